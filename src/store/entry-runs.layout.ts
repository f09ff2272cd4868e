import { assert } from '../base/assert.ts'
import { SP_KEY_BYTES_MAX } from './keyspace.layout.ts'

/** Column `sp` (docs/formats/keyspace.md). First byte of a key: what it is. Append-only, 0 is reserved. */
export const ENTRIES_LIST = 1
export const ENTRIES_NODE = 2

/** Key of a node: kind u8, run u32 BE, level u8, number u32 BE. Level 0 is the pages, which hold the entries. */
export const NODE_KEY_RUN = 1
export const NODE_KEY_LEVEL = NODE_KEY_RUN + 4
export const NODE_KEY_NUMBER = NODE_KEY_LEVEL + 1
export const NODE_KEY_BYTES = NODE_KEY_NUMBER + 4

/** Entries of a page; only the last page of a run has fewer, or one at the end of a step of a merge. */
export const PAGE_ENTRIES = 64
/** Children of an inner node; only the last of a level has fewer. */
export const NODE_CHILDREN = 128

/**
 * A node, little-endian: how many entries (u16); how many words all keys begin with (u16); where each entry begins, in words
 * from the start of the node (u16 each); zeros up to a whole word; the words that all keys begin with; then the entries in
 * the order of their keys. A word has 4 bytes. An inner node has the same form: an entry a child, its value zero.
 */
export const NODE_COUNT = 0
export const NODE_PREFIX_WORDS = NODE_COUNT + 2
export const NODE_OFFSETS = NODE_PREFIX_WORDS + 2

/** An entry: this value, the length of its whole key (u16), then the key behind what all share, zeros up to a whole word. */
export const ENTRY_SEGMENT_ID = 0
export const ENTRY_RECORD_OFFSET = ENTRY_SEGMENT_ID + 4
/** 48 bits. */
export const ENTRY_LSN = ENTRY_RECORD_OFFSET + 4
export const ENTRY_INDEX = ENTRY_LSN + 6
/** `wordSum` of the Assertion buffer: who reads it alone checks it. */
export const ENTRY_ASSERTION_SUM = ENTRY_INDEX + 2
export const ENTRY_SOURCE_CLASS = ENTRY_ASSERTION_SUM + 4
/** Lifecycle in the lower three bits, then whether it names a parent, then the object kind in the upper four. */
export const ENTRY_LIFECYCLE_KIND = ENTRY_SOURCE_CLASS + 1
export const ENTRY_LIFECYCLE_MASK = 7
export const ENTRY_HAS_PARENT = 8
export const ENTRY_OBJECT_KIND_SHIFT = 4
export const ENTRY_KEY_BYTES = ENTRY_LIFECYCLE_KIND + 1
export const ENTRY_KEY = ENTRY_KEY_BYTES + 2
export const ENTRY_VALUE_BYTES = ENTRY_KEY_BYTES

/** LSNs are below this: they have 48 bits in an entry. */
export const ENTRY_LSN_END = 2 ** 48

export const entryBytes = (keyBytes: number): number => (ENTRY_KEY + keyBytes + 3) & ~3
export const nodeHeaderBytes = (count: number): number => (NODE_OFFSETS + 2 * count + 3) & ~3
export const ENTRY_BYTES_MAX = entryBytes(SP_KEY_BYTES_MAX)

/** Nodes of each level of a run, from its pages to its root. */
export function nodeCounts(pages: number): number[] {
  const counts = [pages]
  for (let nodes = pages; nodes > 1;) {
    nodes = Math.ceil(nodes / NODE_CHILDREN)
    counts.push(nodes)
  }
  return counts
}

assert(NODE_KEY_BYTES === 10 && ENTRY_KEY === 24, 'nodes')
assert((nodeHeaderBytes(NODE_CHILDREN) + SP_KEY_BYTES_MAX + NODE_CHILDREN * ENTRY_BYTES_MAX) / 4 < 2 ** 16, 'offsets within a node fit into 16 bits')
