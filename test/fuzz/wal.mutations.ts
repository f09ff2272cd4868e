import { crc32c } from '../../src/base/crc32c.ts'
import { MANIFEST_CRC_OFFSET, MANIFEST_HEADER_BYTES } from '../../src/wal/manifest.layout.ts'
import {
  RECORD_HEADER_BYTES, RECORD_HEADER_CRC_OFFSET, RECORD_MAGIC, RECORD_PAD_BYTES_OFFSET, RECORD_PAYLOAD_BYTES_OFFSET, RECORD_PAYLOAD_CRC_OFFSET, RECORD_PREV_HEADER_CRC_OFFSET,
} from '../../src/wal/record.layout.ts'
import { SEGMENT_HEADER_CRC_OFFSET, SEGMENT_MAGIC } from '../../src/wal/segment.layout.ts'
import type { Random } from '../../src/base/random.ts'
import { INTERESTING, pick, viewOf, type Mutation } from './mutations.ts'

/** Where something with this magic number begins, at multiples of 8 from `start`. */
function placesOf(bytes: Uint8Array, magic: number, start: number): number[] {
  const view = viewOf(bytes)
  const places: number[] = []
  for (let at = start; at + RECORD_HEADER_BYTES <= bytes.length; at += 8) if (view.getUint32(at, true) === magic) places.push(at)
  return places
}

/** Some field of the 64 bytes at `at`: one of 1, 2, 4 or 8 bytes, to the edges of its range or a little beside. */
function changeField(bytes: Uint8Array, at: number, random: Random): void {
  const view = viewOf(bytes)
  const size = pick([1, 2, 4, 8], random)
  const field = at + size * (random.u32() % (56 / size))
  if (size === 1) view.setUint8(field, pick([0, 1, 2, 3, 4, 255], random))
  else if (size === 2) view.setUint16(field, pick([0, 8, 504, 512, 0xfff8, view.getUint16(field, true) + 8], random), true)
  else if (size === 4) view.setUint32(field, pick([...INTERESTING, view.getUint32(field, true) + 1, view.getUint32(field, true) - 1, view.getUint32(field, true) + 512], random), true)
  else view.setBigUint64(field, pick([0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, BigInt.asUintN(64, view.getBigUint64(field, true) + 1n)], random), true)
}

const sumHeader = (bytes: Uint8Array, at: number, crcOffset: number): void =>
  viewOf(bytes).setUint32(at + crcOffset, crc32c(bytes.subarray(at, at + crcOffset)), true)

function sumBody(bytes: Uint8Array, at: number): void {
  const view = viewOf(bytes)
  const length = Math.ceil(view.getUint32(at + RECORD_PAYLOAD_BYTES_OFFSET, true) / 8) * 8 + view.getUint16(at + RECORD_PAD_BYTES_OFFSET, true)
  const start = at + RECORD_HEADER_BYTES
  if (start + length <= bytes.length) view.setUint32(at + RECORD_PAYLOAD_CRC_OFFSET, crc32c(bytes.subarray(start, start + length)), true)
}

/** Makes what follows a changed record follow on it again: so the damage is in one place only, as a forger would have it. */
function chain(bytes: Uint8Array, places: readonly number[], from: number): void {
  const view = viewOf(bytes)
  for (let i = from + 1; i < places.length; i++) {
    view.setUint32(places[i]! + RECORD_PREV_HEADER_CRC_OFFSET, view.getUint32(places[i - 1]! + RECORD_HEADER_CRC_OFFSET, true), true)
    sumHeader(bytes, places[i]!, RECORD_HEADER_CRC_OFFSET)
  }
}

/** Mutations of WAL bytes that begin at `start` with their checksums made right again. */
export function walMutations(start: number): readonly Mutation[] {
  return [
    (bytes, random) => {
      const places = placesOf(bytes, RECORD_MAGIC, start)
      if (places.length === 0) return bytes
      const at = random.u32() % places.length
      changeField(bytes, places[at]!, random)
      sumBody(bytes, places[at]!)
      sumHeader(bytes, places[at]!, RECORD_HEADER_CRC_OFFSET)
      if ((random.u32() & 1) === 0) chain(bytes, places, at)
      return bytes
    },
    // A payload's byte, and its checksums; or without them.
    (bytes, random) => {
      const places = placesOf(bytes, RECORD_MAGIC, start)
      if (places.length === 0) return bytes
      const at = random.u32() % places.length
      const byte = places[at]! + RECORD_HEADER_BYTES + random.u32() % 64
      if (byte < bytes.length) bytes[byte]! ^= 1 << (random.u32() & 7)
      if ((random.u32() & 1) === 0) return bytes
      sumBody(bytes, places[at]!)
      sumHeader(bytes, places[at]!, RECORD_HEADER_CRC_OFFSET)
      chain(bytes, places, at)
      return bytes
    },
    (bytes, random) => {
      const places = placesOf(bytes, SEGMENT_MAGIC, start)
      if (places.length === 0) return bytes
      const at = pick(places, random)
      changeField(bytes, at, random)
      sumHeader(bytes, at, SEGMENT_HEADER_CRC_OFFSET)
      return bytes
    },
    // A sector of zeros, of garbage, or of another place: a torn or misdirected write.
    (bytes, random) => {
      const sectors = Math.max(1, (bytes.length - start) >> 9)
      const sector = (): number => start + 512 * (random.u32() % sectors)
      const at = sector()
      if ((random.u32() & 1) === 0) return bytes.fill(pick([0, 0, 0xff], random), at, at + 512)
      const from = sector()
      return bytes.copyWithin(at, from, from + 512)
    },
    // The end is lost, or everything from some sector on is zero.
    (bytes, random) => {
      const at = Math.min(bytes.length, start + 8 * (random.u32() % Math.max(1, (bytes.length - start) >> 3)))
      return (random.u32() & 1) === 0 ? bytes.subarray(0, at) : bytes.fill(0, at)
    },
  ]
}

/** A manifest at `start` with `length` bytes. */
export function sumManifest(bytes: Uint8Array, start: number, length: number): void {
  if (length < MANIFEST_HEADER_BYTES || start + length > bytes.length) return
  const manifest = bytes.subarray(start, start + length)
  viewOf(manifest).setUint32(MANIFEST_CRC_OFFSET, crc32c(manifest.subarray(MANIFEST_HEADER_BYTES), crc32c(manifest.subarray(0, MANIFEST_CRC_OFFSET))), true)
}

export function manifestMutation(start: number, lengthOf: (bytes: Uint8Array) => number): Mutation {
  return (bytes, random) => {
    const length = Math.min(lengthOf(bytes), bytes.length - start)
    if (length < MANIFEST_HEADER_BYTES) return bytes
    changeField(bytes, start + 48 * (random.u32() % Math.max(1, Math.floor((length - 8) / 48))), random)
    sumManifest(bytes, start, length)
    return bytes
  }
}
