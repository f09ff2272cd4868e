import { assert } from '../base/assert.ts'

/** Every record begins at a multiple of this, so that its payload may hold aligned 64-bit fields. */
export const RECORD_ALIGN_BYTES = 8

/**
 * Every commit group begins at a multiple of this, and its last record is padded up to it: a write never touches a
 * sector that holds synced bytes, so a power cut that garbles the sectors under way can not reach an acked record.
 */
export const GROUP_ALIGN_BYTES = 512

/** "SWRC" in file order. */
export const RECORD_MAGIC = 0x4352_5753
export const RECORD_VERSION = 1

/** Append-only; 0 is reserved, so that zeroed bytes are never a record. */
export const RECORD_KIND = Object.freeze({
  /** Payload: a LogEntry buffer; `count` accepted assertions, at least one. */
  batch: 1,
  /** No payload, no LSN: "everything before `durableOffset` is synced". */
  mark: 2,
  /** No payload, no LSN: the last record of a log that was closed in order. */
  seal: 3,
})
export const RECORD_KIND_MAX = 3

// Offsets of the fields, chained: docs/formats/wal.md is the table.
export const RECORD_MAGIC_OFFSET = 0
export const RECORD_VERSION_OFFSET = RECORD_MAGIC_OFFSET + 4
export const RECORD_KIND_OFFSET = RECORD_VERSION_OFFSET + 1
export const RECORD_PAD_BYTES_OFFSET = RECORD_KIND_OFFSET + 1
export const RECORD_PAYLOAD_BYTES_OFFSET = RECORD_PAD_BYTES_OFFSET + 2
export const RECORD_COUNT_OFFSET = RECORD_PAYLOAD_BYTES_OFFSET + 4
export const RECORD_LSN_FIRST_OFFSET = RECORD_COUNT_OFFSET + 4
export const RECORD_HLC_FIRST_OFFSET = RECORD_LSN_FIRST_OFFSET + 8
export const RECORD_DURABLE_LSN_OFFSET = RECORD_HLC_FIRST_OFFSET + 8
export const RECORD_TAG_OFFSET = RECORD_DURABLE_LSN_OFFSET + 8
export const RECORD_DURABLE_OFFSET_OFFSET = RECORD_TAG_OFFSET + 8
export const RECORD_PREV_HEADER_CRC_OFFSET = RECORD_DURABLE_OFFSET_OFFSET + 4
export const RECORD_PAYLOAD_CRC_OFFSET = RECORD_PREV_HEADER_CRC_OFFSET + 4
export const RECORD_HEADER_CRC_OFFSET = RECORD_PAYLOAD_CRC_OFFSET + 4
export const RECORD_HEADER_BYTES = RECORD_HEADER_CRC_OFFSET + 4

assert(RECORD_HEADER_BYTES === 64, 'a record header is 64 bytes')
assert(RECORD_HEADER_BYTES % RECORD_ALIGN_BYTES === 0, 'a payload starts aligned')
assert(GROUP_ALIGN_BYTES % RECORD_ALIGN_BYTES === 0, 'a group starts aligned')
assert(GROUP_ALIGN_BYTES - RECORD_ALIGN_BYTES <= 0xffff, 'padding fits its field')
assert([RECORD_LSN_FIRST_OFFSET, RECORD_HLC_FIRST_OFFSET, RECORD_DURABLE_LSN_OFFSET, RECORD_TAG_OFFSET]
  .every((offset) => offset % 8 === 0), '64-bit fields are aligned')

export const alignUp = (value: number, to: number): number => Math.ceil(value / to) * to

/** Bytes that a record takes in its segment, without padding to the end of its group. */
export const recordBytesOf = (payloadBytes: number): number =>
  RECORD_HEADER_BYTES + alignUp(payloadBytes, RECORD_ALIGN_BYTES)
