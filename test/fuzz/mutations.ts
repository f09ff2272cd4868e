import type { Random } from '../../src/base/random.ts'

/** Changes `bytes`, which are its own, or returns others. `other` is another input of the same target, to take from. */
export type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array

export const INPUT_BYTES_MAX = 64 * 1024

/** Sizes, limits and the edges of integers: what lengths and offsets break on. */
export const INTERESTING = [0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024, 4096, 0x7fff, 0x8000,
  0xfffe, 0xffff, 0x10000, 0x1fffff, 0x200000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff]

export const pick = <T>(of: readonly T[], random: Random): T => of[random.u32() % of.length]!
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

const place = (bytes: Uint8Array, random: Random, size: number): number => (random.u32() % Math.max(1, bytes.length - size + 1))
const aligned = (bytes: Uint8Array, random: Random, size: number): number => place(bytes, random, size) & -size

/** What does for bytes of any format. */
const ANYWHERE: readonly Mutation[] = [
  (bytes, random) => {
    bytes[place(bytes, random, 1)]! ^= 1 << (random.u32() & 7)
    return bytes
  },
  (bytes, random) => {
    bytes[place(bytes, random, 1)] = random.u32()
    return bytes
  },
  (bytes, random) => bytes.fill(random.u32() & 255, place(bytes, random, 1), place(bytes, random, 1) + (random.u32() & 3)),
  (bytes, random) => {
    if (bytes.length >= 4) viewOf(bytes).setUint32(aligned(bytes, random, 4), pick(INTERESTING, random), true)
    return bytes
  },
  (bytes, random) => {
    if (bytes.length >= 2) viewOf(bytes).setUint16(aligned(bytes, random, 2), pick(INTERESTING, random) & 0xffff, true)
    return bytes
  },
  // A little more or less: an offset that points beside where it did.
  (bytes, random) => {
    if (bytes.length < 4) return bytes
    const [at, view] = [aligned(bytes, random, 4), viewOf(bytes)]
    view.setUint32(at, view.getUint32(at, true) + (random.u32() % 33) - 16, true)
    return bytes
  },
  (bytes, random) => {
    if (bytes.length < 2) return bytes
    const [at, view] = [aligned(bytes, random, 2), viewOf(bytes)]
    view.setUint16(at, view.getUint16(at, true) + (random.u32() % 17) - 8, true)
    return bytes
  },
  // One word where another was: two fields that share what they point to.
  (bytes, random) => (bytes.length < 4 ? bytes : bytes.copyWithin(aligned(bytes, random, 4), aligned(bytes, random, 4), aligned(bytes, random, 4) + 4)),
  (bytes, random) => bytes.subarray(0, place(bytes, random, 1)),
  // Something between, of zeros.
  (bytes, random) => {
    const [at, count] = [place(bytes, random, 1), 1 + (random.u32() & 63)]
    const longer = new Uint8Array(bytes.length + count)
    longer.set(bytes.subarray(0, at))
    longer.set(bytes.subarray(at), at + count)
    return longer
  },
  (bytes, random) => {
    const [from, count] = [place(bytes, random, 1), 1 + (random.u32() & 31)]
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + count)])
  },
  // The start of this one and the end of another.
  (bytes, random, other) => Buffer.concat([bytes.subarray(0, place(bytes, random, 1)), other.subarray(place(other, random, 1))]),
  (bytes, random, other) => {
    const at = place(other, random, 1)
    bytes.set(other.subarray(at, at + Math.min(1 + (random.u32() & 63), bytes.length)), place(bytes, random, Math.min(64, bytes.length)) % Math.max(1, bytes.length - 63))
    return bytes
  },
]

/** A Buffer's methods are stricter than those of the arrays that decoders get. */
const plain = (bytes: Uint8Array): Uint8Array => (Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes)

/** A child of `parent`: one change or a few, those that know the format as often as those that do not. */
export function mutate(parent: Uint8Array, other: Uint8Array, random: Random, ofFormat: readonly Mutation[] = []): Uint8Array {
  let bytes: Uint8Array = parent.slice()
  const steps = 1 + (random.u32() & random.u32() & 7)
  for (let i = 0; i < steps; i++) {
    const mutation = ofFormat.length > 0 && (random.u32() & 3) !== 0 ? pick(ofFormat, random) : pick(ANYWHERE, random)
    // Mutations of nothing, and of places where there is no room, leave it as it is.
    if (bytes.length > 0) bytes = plain(mutation(bytes, random, other.length > 0 ? other : parent))
  }
  return new Uint8Array(bytes.subarray(0, INPUT_BYTES_MAX))
}
