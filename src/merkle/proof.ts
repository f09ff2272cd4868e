import { blake3Into } from './blake3.ts'
import { HASH_BYTES, LEAF_INPUT_BYTES, LEAF_TAG, NODE_INPUT_BYTES, NODE_TAG } from './blake3.layout.ts'

/**
 * Whether `leaf` (a leaf hash) stands at `index` in the tree of `count` leaves that has this root: RFC 9162, 2.1.3.2. Takes
 * anything: a path of the wrong length, an index outside, are just false.
 * @param path sibling hashes from the leaf up, 32 bytes each
 */
export function verifyLeafInclusion(
  leaf: Uint8Array, index: number, count: number, path: Uint8Array, root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(count) || index < 0 || index >= count) return false
  if (leaf.length !== HASH_BYTES || root.length !== HASH_BYTES || path.length % HASH_BYTES !== 0) return false
  const node = new Uint8Array(NODE_INPUT_BYTES)
  node[0] = NODE_TAG
  const hash = leaf.slice()
  let used = 0
  // `at` and `last` are the positions, on this level, of our node and of the level's last one.
  for (let at = index, last = count - 1; last > 0; at = Math.floor(at / 2), last = Math.floor(last / 2)) {
    const isRight = at % 2 === 1
    if (!isRight && at === last) continue
    if (used === path.length) return false
    node.set(hash, isRight ? 1 + HASH_BYTES : 1)
    node.set(path.subarray(used, used + HASH_BYTES), isRight ? 1 : 1 + HASH_BYTES)
    used += HASH_BYTES
    blake3Into(node, hash)
  }
  if (used !== path.length) return false
  for (let i = 0; i < HASH_BYTES; i++) if (hash[i] !== root[i]) return false
  return true
}

/** The leaf hash of an id: H(0x00 ‖ id). */
export function leafHashOf(id: Uint8Array): Uint8Array {
  const input = new Uint8Array(LEAF_INPUT_BYTES)
  input[0] = LEAF_TAG
  input.set(id, 1)
  const leaf = new Uint8Array(HASH_BYTES)
  blake3Into(input, leaf)
  return leaf
}

/** Whether the assertion with this id stands at `index` in the batch of `count` that has this root. Never throws. */
export function verifyInclusion(
  id: Uint8Array, index: number, count: number, path: Uint8Array, root: Uint8Array,
): boolean {
  return id.length === HASH_BYTES && verifyLeafInclusion(leafHashOf(id), index, count, path, root)
}
