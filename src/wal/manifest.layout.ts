import { assert } from '../base/assert.ts'

/** "SWMF" in file order. */
export const MANIFEST_MAGIC = 0x464d_5753
export const MANIFEST_VERSION = 1

export const MANIFEST_MAGIC_OFFSET = 0
export const MANIFEST_VERSION_OFFSET = MANIFEST_MAGIC_OFFSET + 4
export const MANIFEST_ENTRY_BYTES_OFFSET = MANIFEST_VERSION_OFFSET + 2
export const MANIFEST_NODE_ID_OFFSET = MANIFEST_ENTRY_BYTES_OFFSET + 2
export const MANIFEST_GENERATION_OFFSET = MANIFEST_NODE_ID_OFFSET + 8
export const MANIFEST_SEALED_COUNT_OFFSET = MANIFEST_GENERATION_OFFSET + 8
export const MANIFEST_OPEN_ID_OFFSET = MANIFEST_SEALED_COUNT_OFFSET + 4
export const MANIFEST_FLAGS_OFFSET = MANIFEST_OPEN_ID_OFFSET + 4
/** Twenty-four zero bytes. */
export const MANIFEST_RESERVED_OFFSET = MANIFEST_FLAGS_OFFSET + 4
/** Over all other bytes of the file. Magic, version and this field keep their places in every later version. */
export const MANIFEST_CRC_OFFSET = MANIFEST_RESERVED_OFFSET + 24
export const MANIFEST_HEADER_BYTES = MANIFEST_CRC_OFFSET + 4

/** Flag: the log was closed in order. */
export const MANIFEST_FLAG_CLEAN = 1

// Fields of one entry.
export const ENTRY_ID_OFFSET = 0
export const ENTRY_BYTES_USED_OFFSET = ENTRY_ID_OFFSET + 4
export const ENTRY_LSN_FIRST_OFFSET = ENTRY_BYTES_USED_OFFSET + 4
export const ENTRY_LSN_LAST_OFFSET = ENTRY_LSN_FIRST_OFFSET + 8
export const ENTRY_HLC_LAST_OFFSET = ENTRY_LSN_LAST_OFFSET + 8
export const ENTRY_SEGMENT_HEADER_CRC_OFFSET = ENTRY_HLC_LAST_OFFSET + 8
export const ENTRY_LAST_HEADER_CRC_OFFSET = ENTRY_SEGMENT_HEADER_CRC_OFFSET + 4
export const ENTRY_LAST_RECORD_OFFSET_OFFSET = ENTRY_LAST_HEADER_CRC_OFFSET + 4
export const ENTRY_RECORD_COUNT_OFFSET = ENTRY_LAST_RECORD_OFFSET_OFFSET + 4
export const MANIFEST_ENTRY_BYTES = ENTRY_RECORD_COUNT_OFFSET + 4

/** 64 TiB of segments of 64 MiB. A manifest is 48 bytes a segment, rewritten at each rotation. */
export const MANIFEST_SEGMENTS_MAX = 1 << 20

assert(MANIFEST_HEADER_BYTES === 64, 'a manifest header is 64 bytes')
assert(MANIFEST_ENTRY_BYTES === 48, 'a manifest entry is 48 bytes')
