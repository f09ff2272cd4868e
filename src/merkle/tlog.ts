import { assert } from '../base/assert.ts'
import { bytesEqual } from '../base/bytes.ts'
import { HASH_BYTES, LEAF_INPUT_BYTES, LEAF_TAG, NODE_INPUT_BYTES, NODE_TAG } from './blake3.layout.ts'
import { sha256 } from './sha256-kernel.ts'

/**
 * The append-only log of RFC 9162, 2.1, over SHA-256: what is proven, and how a proof is checked. Pure, and for browsers. A leaf's
 * data is the BLAKE3 id of an assertion, and leaf i is the assertion with LSN i + 1 (docs/formats/tlog.md). Sizes and indexes are whole
 * numbers below 2^53, beyond which 32-bit operators do not reach.
 */

/** Longest path and longest consistency proof: a tree of 2^53 leaves has 53 levels, and one more hash starts a consistency proof. */
export const PROOF_HASHES_MAX = 54

/** SHA-256(0x00 ‖ id) */
export function tlogLeafHash(id: Uint8Array): Uint8Array {
  const input = new Uint8Array(LEAF_INPUT_BYTES)
  input[0] = LEAF_TAG
  input.set(id, 1)
  return sha256(input)
}

/** SHA-256(0x01 ‖ left ‖ right) */
export function tlogNodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const input = new Uint8Array(NODE_INPUT_BYTES)
  input[0] = NODE_TAG
  input.set(left, 1)
  input.set(right, 1 + HASH_BYTES)
  return sha256(input)
}

/** The root of a log without leaves: the hash of nothing. */
export const emptyTlogRoot = (): Uint8Array => sha256(new Uint8Array(0))

/** The leaves from `first` up to, and without, `end`. */
export interface LeafRange {
  readonly first: number
  readonly end: number
}

/** The greatest power of two below `count`, which is at least 2. */
function splitOf(count: number): number {
  let power = 1
  while (power * 2 < count) power *= 2
  return power
}

/** The subtrees whose hashes are the inclusion path of leaf `index` in a tree of `size`, from the leaf's sibling up: PATH of RFC 9162, 2.1.3.1. */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  assert(Number.isSafeInteger(size) && Number.isSafeInteger(index) && index >= 0 && index < size, 'no such leaf')
  const ranges: LeafRange[] = []
  let first = 0
  let end = size
  while (end - first > 1) {
    const middle = first + splitOf(end - first)
    const isLeft = index < middle
    ranges.push(isLeft ? { first: middle, end } : { first, end: middle })
    if (isLeft) end = middle
    else first = middle
  }
  return ranges.reverse()
}

/** The subtrees whose hashes prove that the tree of `to` leaves begins with the tree of `from`: PROOF of RFC 9162, 2.1.4.1. None where they are equal, or `from` is 0. */
export function consistencyRanges(from: number, to: number): LeafRange[] {
  assert(Number.isSafeInteger(to) && Number.isSafeInteger(from) && from >= 0 && from <= to, 'no such trees')
  if (from === 0 || from === to) return []
  const ranges: LeafRange[] = []
  let first = 0
  let end = to
  while (from !== end) {
    const middle = first + splitOf(end - first)
    if (from <= middle) {
      ranges.push({ first: middle, end })
      end = middle
    } else {
      ranges.push({ first, end: middle })
      first = middle
    }
  }
  // The old tree itself is known to whoever asks.
  if (first > 0) ranges.push({ first, end })
  return ranges.reverse()
}

const isHash = (bytes: Uint8Array): boolean => bytes.length === HASH_BYTES
const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
const half = (value: number): number => Math.floor(value / 2)

/**
 * Whether the leaf with this hash stands at `index` in the tree of `size` leaves that has this root: RFC 9162, 2.1.3.2. Takes anything, and
 * never throws.
 * @param path from the leaf's sibling up
 */
export function verifyTlogLeaf(leafHash: Uint8Array, index: number, size: number, path: readonly Uint8Array[], root: Uint8Array): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || ![leafHash, root, ...path].every(isHash)) return false
  let fn = index
  let sn = size - 1
  let hash = leafHash
  for (const sibling of path) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      hash = tlogNodeHash(sibling, hash)
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      hash = tlogNodeHash(hash, sibling)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && bytesEqual(hash, root)
}

/** Whether the assertion with this id is leaf `index`; else as {@link verifyTlogLeaf}. */
export function verifyTlogInclusion(id: Uint8Array, index: number, size: number, path: readonly Uint8Array[], root: Uint8Array): boolean {
  return isHash(id) && verifyTlogLeaf(tlogLeafHash(id), index, size, path, root)
}

/**
 * Whether the tree of `to` leaves with root `toRoot` begins with the tree of `from` leaves with root `fromRoot`: RFC 9162, 2.1.4.2, and for
 * `from` of 0 that the old root is that of no leaves. Takes anything, and never throws.
 */
export function verifyTlogConsistency(from: number, fromRoot: Uint8Array, to: number, toRoot: Uint8Array, proof: readonly Uint8Array[]): boolean {
  if (!isSize(from) || !isSize(to) || from > to || ![fromRoot, toRoot, ...proof].every(isHash)) return false
  if (from === 0) return proof.length === 0 && bytesEqual(fromRoot, emptyTlogRoot()) && (to > 0 || bytesEqual(fromRoot, toRoot))
  if (from === to) return proof.length === 0 && bytesEqual(fromRoot, toRoot)
  let fn = from - 1
  let sn = to - 1
  while (fn % 2 === 1) {
    fn = half(fn)
    sn = half(sn)
  }
  // Where the old tree is a whole subtree of the new one, its root stands in for the proof's first hash.
  const [start, ...rest] = fn === 0 ? [fromRoot, ...proof] : proof
  if (start === undefined) return false
  let oldHash = start
  let newHash = start
  for (const sibling of rest) {
    if (sn === 0) return false
    if (fn % 2 === 1 || fn === sn) {
      oldHash = tlogNodeHash(sibling, oldHash)
      newHash = tlogNodeHash(sibling, newHash)
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn)
        sn = half(sn)
      }
    } else {
      newHash = tlogNodeHash(newHash, sibling)
    }
    fn = half(fn)
    sn = half(sn)
  }
  return sn === 0 && bytesEqual(oldHash, fromRoot) && bytesEqual(newHash, toRoot)
}
