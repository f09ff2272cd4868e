import { createHash } from 'node:crypto'
import { TILE_HASHES, type HashSource } from '../../../src/merkle/tlog-tiles.ts'

/** RFC 9162, 2.1, as it stands there: recursive, over Node's SHA-256. */
export const sha = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}
export const leafOf = (data: Uint8Array): Uint8Array => sha(Uint8Array.of(0), data)
const nodeOf = (left: Uint8Array, right: Uint8Array): Uint8Array => sha(Uint8Array.of(1), left, right)

const split = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1)

/** MTH, of leaf hashes. */
export function rootOf(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha()
  if (leaves.length === 1) return leaves[0]!
  const k = split(leaves.length)
  return nodeOf(rootOf(leaves.slice(0, k)), rootOf(leaves.slice(k)))
}

/** PATH */
export function pathOf(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return []
  const k = split(leaves.length)
  return m < k
    ? [...pathOf(m, leaves.slice(0, k)), rootOf(leaves.slice(k))]
    : [...pathOf(m - k, leaves.slice(k)), rootOf(leaves.slice(0, k))]
}

/** PROOF */
export const proofOf = (m: number, leaves: readonly Uint8Array[]): Uint8Array[] => subproofOf(m, leaves, true)

function subproofOf(m: number, leaves: readonly Uint8Array[], isWhole: boolean): Uint8Array[] {
  if (m === leaves.length) return isWhole ? [] : [rootOf(leaves)]
  const k = split(leaves.length)
  return m <= k
    ? [...subproofOf(m, leaves.slice(0, k), isWhole), rootOf(leaves.slice(k))]
    : [...subproofOf(m - k, leaves.slice(k), false), rootOf(leaves.slice(0, k))]
}

/** All levels in memory, of any leaves. */
export function sourceOf(leaves: readonly Uint8Array[]): HashSource {
  const levels = [leaves]
  while (levels.at(-1)!.length >= TILE_HASHES) {
    const below = levels.at(-1)!
    levels.push(Array.from({ length: Math.floor(below.length / TILE_HASHES) }, (_, i) => rootOf(below.slice(i * TILE_HASHES, (i + 1) * TILE_HASHES))))
  }
  return {
    hashes(level, first, count) {
      if (Math.floor(first / TILE_HASHES) !== Math.floor((first + count - 1) / TILE_HASHES)) throw new Error('hashes of two tiles')
      return Buffer.concat(levels[level]!.slice(first, first + count))
    },
  }
}
