import { assert } from '../base/assert.ts'

/** Column `ids` (docs/formats/keyspace.md). First byte of a key: what it is. Append-only, 0 is reserved. */
export const IDS_MANIFEST = 1
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

/** Manifest, little-endian: a header, then one record a run. */
export const MANIFEST_VERSION = 0
export const MANIFEST_NEXT_RUN = MANIFEST_VERSION + 8
export const MANIFEST_COUNT = MANIFEST_NEXT_RUN + 4
export const MANIFEST_HEADER_BYTES = MANIFEST_COUNT + 4

export const RUN_ID = 0
export const RUN_LEVEL = RUN_ID + 4
export const RUN_PAGE_BITS = RUN_LEVEL + 1
export const RUN_RESERVED = RUN_PAGE_BITS + 1
export const RUN_ENTRIES = RUN_RESERVED + 2
export const RUN_FIRST_LSN = RUN_ENTRIES + 8
export const RUN_LAST_LSN = RUN_FIRST_LSN + 8
export const RUN_BYTES = RUN_LAST_LSN + 8

/** Bits of a fingerprint's upper half that number its page. */
export function pageBitsOf(entries: number): number {
  return Math.min(26, Math.max(0, Math.ceil(Math.log2(entries / PAGE_ENTRIES_MEAN))))
}

assert(PAGE_KEY_BYTES === 9, 'page key')
assert(RUN_ENTRY_BYTES === 18, 'run entry')
assert(MANIFEST_HEADER_BYTES === 16 && RUN_BYTES === 32, 'manifest')
