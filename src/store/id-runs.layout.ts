import { assert } from '../base/assert.ts'

/** Column `ids` (docs/formats/keyspace.md). First byte of a key: what it is. Append-only, 0 is reserved. */
export const IDS_LIST = 1
export const IDS_PAGE = 2

/** Key of a page: kind u8, run u32 BE, page u32 BE. */
export const PAGE_KEY_RUN = 1
export const PAGE_KEY_PAGE = PAGE_KEY_RUN + 4
export const PAGE_KEY_BYTES = PAGE_KEY_PAGE + 4

/** Entry of a page, little-endian, sorted by (hi, lo) as unsigned numbers. */
export const RUN_ENTRY_HI = 0
export const RUN_ENTRY_LO = RUN_ENTRY_HI + 4
export const RUN_ENTRY_SEGMENT_ID = RUN_ENTRY_LO + 4
export const RUN_ENTRY_RECORD_OFFSET = RUN_ENTRY_SEGMENT_ID + 4
export const RUN_ENTRY_INDEX = RUN_ENTRY_RECORD_OFFSET + 4
export const RUN_ENTRY_BYTES = RUN_ENTRY_INDEX + 2

/** Entries of a page on average; fingerprints are uniform, so none has many more. */
export const PAGE_ENTRIES_MEAN = 128

/** Shape of a run in the list of runs (run-list.codec.ts): level u8, page bits u8, 16 bits of zero. */
export const SHAPE_PAGE_BITS_SHIFT = 8
export const SHAPE_BYTE = 0xff

/** Bits of a fingerprint's upper half that number its page. */
export function pageBitsOf(entries: number): number {
  return Math.min(26, Math.max(0, Math.ceil(Math.log2(entries / PAGE_ENTRIES_MEAN))))
}

assert(PAGE_KEY_BYTES === 9, 'page key')
assert(RUN_ENTRY_BYTES === 18, 'run entry')
