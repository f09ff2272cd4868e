import { assert } from '../base/assert.ts'
import { blake3Into, blake3Kernel } from './blake3.ts'
import { HASH_BYTES, TREE, TREE_LEAVES_MAX } from './blake3.layout.ts'

/**
 * The Merkle tree of RFC 9162, 2.1.1, over BLAKE3-256: a leaf is H(0x00 ‖ id), a node H(0x01 ‖ left ‖ right), and n leaves
 * split at the largest power of two below n. Going up level by level, with an odd last node rising as it is, makes the
 * same tree. Ids and leaves lie one behind the other, 32 bytes each; a tree has at most {@link TREE_LEAVES_MAX}.
 */

const NOTHING = new Uint8Array(0)

function copyHash(memory: Uint8Array, from: number, out: Uint8Array, outOffset: number): void {
  // Shorter than `set(subarray())`, which allocates a view.
  for (let i = 0; i < HASH_BYTES; i++) out[outOffset + i] = memory[from + i]!
}

/** Puts `count` hashes into the kernel's memory, as leaf hashes where they are ids. */
function loadTree(hashes: Uint8Array, count: number, areIds: boolean): void {
  assert(count <= TREE_LEAVES_MAX, () => `${count} leaves in a tree`)
  const kernel = blake3Kernel()
  const bytes = count * HASH_BYTES
  assert(hashes.length >= bytes, 'fewer hashes than the count says')
  kernel.memory.set(hashes.length === bytes ? hashes : hashes.subarray(0, bytes), TREE)
  if (areIds) kernel.leaves(TREE, count)
}

function rootInto(hashes: Uint8Array, count: number, areIds: boolean, out: Uint8Array, outOffset: number): void {
  if (count === 0) {
    blake3Into(NOTHING, out, outOffset)
    return
  }
  loadTree(hashes, count, areIds)
  const kernel = blake3Kernel()
  for (let width = count; width > 1; width = (width + 1) >> 1) kernel.level(TREE, width)
  copyHash(kernel.memory, TREE, out, outOffset)
}

/** Root over `count` ids, into `out` at `outOffset`. Of no ids: the hash of nothing. Allocates no node. */
export function rootOfIdsInto(ids: Uint8Array, count: number, out: Uint8Array, outOffset = 0): void {
  rootInto(ids, count, true, out, outOffset)
}

/** Root over all ids of `ids`. */
export function rootOfIds(ids: Uint8Array): Uint8Array {
  const root = new Uint8Array(HASH_BYTES)
  rootInto(ids, ids.length / HASH_BYTES, true, root, 0)
  return root
}

/** Root over `count` leaf hashes, into `out` at `outOffset`. */
export function rootOfLeavesInto(leaves: Uint8Array, count: number, out: Uint8Array, outOffset = 0): void {
  rootInto(leaves, count, false, out, outOffset)
}

function pathOf(hashes: Uint8Array, index: number, areIds: boolean): Uint8Array {
  const count = hashes.length / HASH_BYTES
  assert(Number.isInteger(count) && Number.isInteger(index) && index >= 0 && index < count, 'no such leaf')
  loadTree(hashes, count, areIds)
  const kernel = blake3Kernel()
  const path = new Uint8Array(pathHashesMax(count) * HASH_BYTES)
  let used = 0
  for (let width = count, at = index; width > 1; width = (width + 1) >> 1, at >>= 1) {
    const sibling = at ^ 1
    if (sibling < width) {
      copyHash(kernel.memory, TREE + sibling * HASH_BYTES, path, used)
      used += HASH_BYTES
    }
    kernel.level(TREE, width)
  }
  return path.slice(0, used)
}

/** Longest inclusion path in a tree of `count` leaves: ceil(log2(count)). */
export function pathHashesMax(count: number): number {
  return count <= 1 ? 0 : 32 - Math.clz32(count - 1)
}

/** Inclusion path (RFC 9162, 2.1.3) of the id at `index`: siblings from the leaf up, 32 bytes each. */
export function pathOfId(ids: Uint8Array, index: number): Uint8Array {
  return pathOf(ids, index, true)
}

/** Inclusion path of the leaf hash at `index`. */
export function pathOfLeaf(leaves: Uint8Array, index: number): Uint8Array {
  return pathOf(leaves, index, false)
}

/** Paths of all leaves at once and the root: what a commit group needs for its receipts. */
export function pathsOfLeaves(leaves: Uint8Array): { readonly root: Uint8Array; readonly paths: readonly Uint8Array[] } {
  const count = leaves.length / HASH_BYTES
  assert(Number.isInteger(count) && count > 0, 'leaves are 32 bytes each, and there is one')
  loadTree(leaves, count, false)
  const kernel = blake3Kernel()
  const stride = pathHashesMax(count) * HASH_BYTES
  const all = new Uint8Array(count * stride)
  const used = new Uint32Array(count)
  for (let width = count, height = 0; width > 1; width = (width + 1) >> 1, height++) {
    for (let leaf = 0; leaf < count; leaf++) {
      const sibling = (leaf >> height) ^ 1
      if (sibling >= width) continue
      copyHash(kernel.memory, TREE + sibling * HASH_BYTES, all, leaf * stride + used[leaf]!)
      used[leaf]! += HASH_BYTES
    }
    kernel.level(TREE, width)
  }
  const root = new Uint8Array(HASH_BYTES)
  copyHash(kernel.memory, TREE, root, 0)
  return { root, paths: Array.from(used, (bytes, leaf) => all.slice(leaf * stride, leaf * stride + bytes)) }
}
