import { assert } from '../base/assert.ts'
import { GROUP_ALIGN_BYTES, RECORD_HEADER_BYTES } from './record.layout.ts'

/** "SWSG" in file order. */
export const SEGMENT_MAGIC = 0x4753_5753
export const SEGMENT_VERSION = 1

export const SEGMENT_MAGIC_OFFSET = 0
export const SEGMENT_VERSION_OFFSET = SEGMENT_MAGIC_OFFSET + 4
export const SEGMENT_RECORDS_OFFSET_OFFSET = SEGMENT_VERSION_OFFSET + 2
export const SEGMENT_NODE_ID_OFFSET = SEGMENT_RECORDS_OFFSET_OFFSET + 2
export const SEGMENT_TAG_OFFSET = SEGMENT_NODE_ID_OFFSET + 8
export const SEGMENT_LSN_FIRST_OFFSET = SEGMENT_TAG_OFFSET + 8
export const SEGMENT_HLC_BEFORE_OFFSET = SEGMENT_LSN_FIRST_OFFSET + 8
export const SEGMENT_ID_OFFSET = SEGMENT_HLC_BEFORE_OFFSET + 8
export const SEGMENT_BYTES_OFFSET = SEGMENT_ID_OFFSET + 4
export const SEGMENT_PREV_HEADER_CRC_OFFSET = SEGMENT_BYTES_OFFSET + 4
/** Eight zero bytes. */
export const SEGMENT_RESERVED_OFFSET = SEGMENT_PREV_HEADER_CRC_OFFSET + 4
export const SEGMENT_HEADER_CRC_OFFSET = SEGMENT_RESERVED_OFFSET + 8
export const SEGMENT_HEADER_BYTES = SEGMENT_HEADER_CRC_OFFSET + 4

/** Where the first record begins. The bytes between header and records are zero: the header has a sector of its own. */
export const SEGMENT_RECORDS_OFFSET = GROUP_ALIGN_BYTES

/** Room that batches leave at a segment's end for the seal. */
export const SEAL_BYTES = GROUP_ALIGN_BYTES
export const SEGMENT_BYTES_MIN = 4096
/** Record offsets are kept as 32 bits elsewhere; a gibibyte is far within them. */
export const SEGMENT_BYTES_MAX = 2 ** 30

/** Ids run from 1; ten digits name every one. */
export const SEGMENT_ID_MAX = 0xffff_ffff

export const NODE_ID_BYTES = 8

/** Segments have whole pages: a size that is no multiple is rounded down. */
export const segmentBytesOf = (bytes: number): number => {
  const whole = Math.floor(bytes / SEGMENT_BYTES_MIN) * SEGMENT_BYTES_MIN
  return Math.min(SEGMENT_BYTES_MAX, Math.max(SEGMENT_BYTES_MIN, whole))
}

assert(SEGMENT_HEADER_BYTES === 64, 'a segment header is 64 bytes')
assert(SEGMENT_HEADER_BYTES <= SEGMENT_RECORDS_OFFSET, 'records begin behind the header')
assert(SEGMENT_RECORDS_OFFSET % GROUP_ALIGN_BYTES === 0, 'the first group is aligned')
assert(SEAL_BYTES >= RECORD_HEADER_BYTES && SEAL_BYTES % GROUP_ALIGN_BYTES === 0, 'a seal has room')
assert(SEGMENT_BYTES_MIN % GROUP_ALIGN_BYTES === 0, 'groups tile a segment')
assert([SEGMENT_TAG_OFFSET, SEGMENT_LSN_FIRST_OFFSET, SEGMENT_HLC_BEFORE_OFFSET].every((offset) => offset % 8 === 0),
  '64-bit fields are aligned')
