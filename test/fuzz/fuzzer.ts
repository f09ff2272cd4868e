import { createHash } from 'node:crypto'
import { DbError } from '../../src/base/errors.ts'
import { seededRandom, type Random } from '../../src/base/random.ts'

/** A decoder under attack. */
export interface FuzzTarget {
  readonly name: string
  /** Valid inputs, and whatever else is worth to start from. */
  seeds(): Uint8Array[]
  /**
   * Decodes the input as the program would. Returns whether it was taken. To refuse by a DbError is right; to throw
   * anything else is a finding, and so is an `Error` that the target throws itself, where two decodings disagree.
   */
  run(input: Uint8Array): boolean
}

export interface Finding {
  readonly target: string
  readonly why: string
  readonly input: Uint8Array
}

export interface FuzzReport {
  readonly target: string
  readonly inputs: number
  readonly taken: number
  readonly slowestMs: number
  readonly findings: readonly Finding[]
}

/** One input that takes longer is a finding (RELIABILITY, S7). */
export const INPUT_MS_MAX = 100
/** Stop where so much is wrong. */
const FINDINGS_MAX = 10
const INPUT_BYTES_MAX = 64 * 1024
/** Inputs that were taken and are unlike their parents; what mutation starts from besides the seeds. */
const POOL_MAX = 256

const INTERESTING = [0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1023, 1024, 0x7fff, 0x8000, 0xfffe, 0xffff,
  0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff]

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array

const place = (bytes: Uint8Array, random: Random, size: number): number => (random.u32() % Math.max(1, bytes.length - size + 1))
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const aligned = (bytes: Uint8Array, random: Random, size: number): number => place(bytes, random, size) & -size

/** Each changes `bytes`, which are its own, or returns others. Offsets and lengths are what binary formats break on. */
const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => {
    bytes[place(bytes, random, 1)]! ^= 1 << (random.u32() & 7)
    return bytes
  },
  (bytes, random) => bytes.fill(random.u32() & 255, place(bytes, random, 1), place(bytes, random, 1) + (random.u32() & 3)),
  (bytes, random) => {
    if (bytes.length >= 4) viewOf(bytes).setUint32(aligned(bytes, random, 4), INTERESTING[random.u32() % INTERESTING.length]!, true)
    return bytes
  },
  (bytes, random) => {
    if (bytes.length >= 2) viewOf(bytes).setUint16(aligned(bytes, random, 2), INTERESTING[random.u32() % INTERESTING.length]! & 0xffff, true)
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
  // An offset from its own place to anywhere.
  (bytes, random) => {
    if (bytes.length < 4) return bytes
    const at = aligned(bytes, random, 4)
    viewOf(bytes).setUint32(at, aligned(bytes, random, 4) - at, true)
    return bytes
  },
  // One word where another was: two fields that share what they point to.
  (bytes, random) => (bytes.length < 4 ? bytes : bytes.copyWithin(aligned(bytes, random, 4), aligned(bytes, random, 4), aligned(bytes, random, 4) + 4)),
  (bytes, random) => bytes.subarray(0, place(bytes, random, 1)),
  (bytes, random) => {
    const at = place(bytes, random, 1)
    const longer = new Uint8Array(Math.min(INPUT_BYTES_MAX, bytes.length + 1 + (random.u32() & 63)))
    longer.set(bytes.subarray(0, at))
    longer.set(bytes.subarray(at, longer.length - (longer.length - bytes.length)), at + longer.length - bytes.length)
    return longer
  },
  (bytes, random) => {
    const [from, count] = [place(bytes, random, 1), 1 + (random.u32() & 31)]
    return Uint8Array.of(...bytes.subarray(0, from), ...bytes.subarray(from + count))
  },
  // The start of this one and the end of another.
  (bytes, random, other) => Uint8Array.of(...bytes.subarray(0, place(bytes, random, 1)), ...other.subarray(place(other, random, 1))),
  (bytes, random, other) => {
    const at = place(other, random, 1)
    bytes.set(other.subarray(at, at + Math.min(1 + (random.u32() & 63), bytes.length)), place(bytes, random, Math.min(64, bytes.length)) % Math.max(1, bytes.length - 63))
    return bytes
  },
]

function mutate(parent: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = parent.slice()
  const steps = 1 + (random.u32() & random.u32() & 7)
  for (let i = 0; i < steps; i++) {
    const mutation = MUTATIONS[random.u32() % MUTATIONS.length]!
    // Mutations of nothing, and of places where there is no room, leave it as it is.
    if (bytes.length > 0) bytes = mutation(bytes, random, other.length > 0 ? other : parent)
  }
  return bytes.slice(0, INPUT_BYTES_MAX)
}

/** The input inside of a bigger buffer, as frames lie in rings, at any alignment. */
function poisoned(input: Uint8Array, random: Random): { input: Uint8Array, whole: Uint8Array } {
  const before = random.u32() % 17
  const whole = new Uint8Array(before + input.length + 16).fill(0xa5)
  whole.set(input, before)
  return { input: whole.subarray(before, before + input.length), whole }
}

/** Runs one input; returns why it is a finding, or whether it was taken. */
export function runInput(target: FuzzTarget, input: Uint8Array): string | boolean {
  try {
    return target.run(input)
  } catch (error) {
    if (error instanceof DbError) return false
    return error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ''}` : String(error)
  }
}

/** Whether it is slow each time, and not once because the machine was busy. */
function isSlow(target: FuzzTarget, input: Uint8Array, now: () => number): boolean {
  for (let i = 0; i < 3; i++) {
    const before = now()
    runInput(target, input)
    if (now() - before <= INPUT_MS_MAX) return false
  }
  return true
}

export interface FuzzOptions {
  readonly seconds: number
  readonly seed: number
  /** Stops earlier, so that a smoke run is the same everywhere. */
  readonly inputsMax?: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** Mutates the target's seeds, and what it took of their offspring, for as long as the options say. */
export function fuzz(target: FuzzTarget, { seconds, seed, inputsMax = Infinity, now }: FuzzOptions): FuzzReport {
  const random = seededRandom(seed).fork(target.name)
  const seeds = target.seeds()
  const pool: Uint8Array[] = []
  const findings: Finding[] = []
  let [inputs, taken, slowestMs] = [0, 0, 0]
  const end = now() + 1000 * seconds
  const pick = (): Uint8Array => {
    const from = pool.length > 0 && (random.u32() & 1) === 0 ? pool : seeds
    return from[random.u32() % from.length]!
  }
  for (let last = now(); last < end && inputs < inputsMax && findings.length < FINDINGS_MAX; inputs++) {
    const bytes = inputs < seeds.length ? seeds[inputs]! : mutate(pick(), pick(), random)
    const { input, whole } = poisoned(bytes, random)
    const copy = whole.slice()
    const before = now()
    const result = runInput(target, input)
    last = now()
    slowestMs = Math.max(slowestMs, last - before)
    const why = typeof result === 'string' ? result
      : Buffer.compare(whole, copy) !== 0 ? 'the decoder wrote to its input or beside it'
        : last - before > INPUT_MS_MAX && isSlow(target, input, now) ? `took ${(last - before).toFixed(0)} ms` : undefined
    if (why !== undefined) findings.push({ target: target.name, why, input: bytes })
    if (result === true) {
      taken++
      if (inputs >= seeds.length && (random.u32() & 7) === 0) pool[pool.length < POOL_MAX ? pool.length : random.u32() % POOL_MAX] = bytes
    }
  }
  return { target: target.name, inputs, taken, slowestMs, findings }
}

/** What a finding's file is called in test/fuzz/corpus: replayed by every test run from then on. */
export function findingName({ target, input }: Finding): string {
  return `${target}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}.bin`
}
