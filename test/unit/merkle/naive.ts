import { createBLAKE3 } from 'hash-wasm'
import { concatBytes } from '../../../src/base/bytes.ts'

const hasher = await createBLAKE3()

/** BLAKE3 by the library: what our kernels are held against. */
export const libraryHash = (bytes: Uint8Array): Uint8Array => hasher.init().update(bytes).digest('binary')

const ONE = Uint8Array.of(1)
const ZERO = Uint8Array.of(0)

/** MTH of RFC 9162, 2.1.1, word by word. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return libraryHash(new Uint8Array(0))
  if (leaves.length === 1) return leaves[0]!
  const split = largestPowerBelow(leaves.length)
  return libraryHash(concatBytes(ONE, naiveRoot(leaves.slice(0, split)), naiveRoot(leaves.slice(split))))
}

/** PATH of RFC 9162, 2.1.3.1. */
export function naivePath(index: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return []
  const split = largestPowerBelow(leaves.length)
  return index < split
    ? [...naivePath(index, leaves.slice(0, split)), naiveRoot(leaves.slice(split))]
    : [...naivePath(index - split, leaves.slice(split)), naiveRoot(leaves.slice(0, split))]
}

export const naiveLeaf = (id: Uint8Array): Uint8Array => libraryHash(concatBytes(ZERO, id))

function largestPowerBelow(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}

/** The i-th id of the checked-in vectors: BLAKE3 of i as u32, little-endian. */
export function vectorId(i: number): Uint8Array {
  const input = new Uint8Array(4)
  new DataView(input.buffer).setUint32(0, i, true)
  return libraryHash(input)
}
