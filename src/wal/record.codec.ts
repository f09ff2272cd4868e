import { crc32c } from '../base/crc32c.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn, type Lsn } from '../base/lsn.ts'
import {
  GROUP_ALIGN_BYTES, RECORD_ALIGN_BYTES, RECORD_COUNT_OFFSET, RECORD_DURABLE_LSN_OFFSET, RECORD_DURABLE_OFFSET_OFFSET,
  RECORD_HEADER_BYTES, RECORD_HEADER_CRC_OFFSET, RECORD_HLC_FIRST_OFFSET, RECORD_KIND, RECORD_KIND_MAX,
  RECORD_KIND_OFFSET, RECORD_LSN_FIRST_OFFSET, RECORD_MAGIC, RECORD_MAGIC_OFFSET, RECORD_PAD_BYTES_OFFSET,
  RECORD_PAYLOAD_BYTES_OFFSET, RECORD_PAYLOAD_CRC_OFFSET, RECORD_PREV_HEADER_CRC_OFFSET, RECORD_TAG_OFFSET,
  RECORD_VERSION, RECORD_VERSION_OFFSET,
} from './record.layout.ts'

/*
 * The torn-tail rule.
 *
 * A group is one pwrite and one fdatasync; the next begins only after that returned. So each header can state a fact
 * about its segment: every byte before `durableOffset` was on stable storage when this header was written.
 *
 * Reading the open segment forward, let P be the first place that is not a valid record. Then
 * - no valid header behind P has `durableOffset > P`: what stood at P was never confirmed as synced, nobody was told
 *   that it is durable: a TORN TAIL. It is cut, and the bytes lost are counted and reported. Valid records behind P
 *   belong to the same group, which was not acked, and go with it.
 * - one has: the bytes at P were durable once and are damaged now: CORRUPTION. Nothing is changed, the start is refused.
 *
 * Offsets decide and not LSNs, because a damaged mark takes no LSN and would hide an acked group behind it. A mark
 * written at the latest `walMarkIdleMs` after the last group makes the rule cover that group, too.
 *
 * A header behind P is believed by its CRC and the segment's secret 64-bit tag: a client can place bytes of its
 * choice in a payload, but not ones that pass for a header of this segment.
 */

/** A record's header as numbers; reused by its readers, so copy what must live longer. */
export interface RecordHeader {
  kind: number
  /** Zero bytes behind the aligned payload: only the last record of a group has them. */
  padBytes: number
  payloadBytes: number
  /** LSNs that the record takes: `lsnFirst .. lsnFirst + count - 1`. */
  count: number
  /** For a mark or seal: the next LSN. */
  lsnFirst: Lsn
  /** For a mark or seal: the next HLC. */
  hlcFirst: Hlc
  durableLsn: Lsn
  /** The segment's secret tag, low and high half. */
  tagLo: number
  tagHi: number
  /** Everything before it in this segment was synced when this header was written. */
  durableOffset: number
  /** CRC of the header before this one; of the segment's header for the first. */
  prevHeaderCrc: number
  /** CRC32C over payload, alignment and padding: every byte of a record is covered by one of its two CRCs. */
  payloadCrc: number
  headerCrc: number
}

export const emptyRecordHeader = (): RecordHeader => ({
  kind: 0, padBytes: 0, payloadBytes: 0, count: 0, lsnFirst: 0, hlcFirst: 0n, durableLsn: 0, tagLo: 0, tagHi: 0,
  durableOffset: 0, prevHeaderCrc: 0, payloadCrc: 0, headerCrc: 0,
})

/**
 * Why 64 bytes are not a usable record header. `zero`: all are 0, as behind the end of the log. `version` and `kind`:
 * written by a newer program, and intact.
 */
export type HeaderFault = 'zero' | 'magic' | 'checksum' | 'foreign' | 'version' | 'kind' | 'shape'

/** Bytes of payload, alignment and padding behind the header. */
export const bodyBytesOf = (header: RecordHeader): number =>
  Math.ceil(header.payloadBytes / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES + header.padBytes

/**
 * Writes `header` to `bytes[0..64)`, sets its `headerCrc` and returns it. `view` is over the same bytes.
 * @param covered the bytes under the checksum; whoever encodes many headers in one place hands the same view in again.
 */
export function encodeRecordHeader(
  header: RecordHeader, bytes: Uint8Array, view: DataView, covered = bytes.subarray(0, RECORD_HEADER_CRC_OFFSET),
): number {
  view.setUint32(RECORD_MAGIC_OFFSET, RECORD_MAGIC, true)
  view.setUint8(RECORD_VERSION_OFFSET, RECORD_VERSION)
  view.setUint8(RECORD_KIND_OFFSET, header.kind)
  view.setUint16(RECORD_PAD_BYTES_OFFSET, header.padBytes, true)
  view.setUint32(RECORD_PAYLOAD_BYTES_OFFSET, header.payloadBytes, true)
  view.setUint32(RECORD_COUNT_OFFSET, header.count, true)
  writeLsn(view, RECORD_LSN_FIRST_OFFSET, header.lsnFirst)
  view.setBigUint64(RECORD_HLC_FIRST_OFFSET, header.hlcFirst, true)
  writeLsn(view, RECORD_DURABLE_LSN_OFFSET, header.durableLsn)
  view.setUint32(RECORD_TAG_OFFSET, header.tagLo, true)
  view.setUint32(RECORD_TAG_OFFSET + 4, header.tagHi, true)
  view.setUint32(RECORD_DURABLE_OFFSET_OFFSET, header.durableOffset, true)
  view.setUint32(RECORD_PREV_HEADER_CRC_OFFSET, header.prevHeaderCrc, true)
  view.setUint32(RECORD_PAYLOAD_CRC_OFFSET, header.payloadCrc, true)
  header.headerCrc = crc32c(covered)
  view.setUint32(RECORD_HEADER_CRC_OFFSET, header.headerCrc, true)
  return header.headerCrc
}

function isZero(view: DataView, at: number): boolean {
  for (let i = 0; i < RECORD_HEADER_BYTES; i += 4) if (view.getUint32(at + i, true) !== 0) return false
  return true
}

/** LSNs stay below 2^53: the high half has at most 21 bits. */
const isLsn = (view: DataView, at: number): boolean => view.getUint32(at + 4, true) < 1 << 21

function hasShape(header: RecordHeader): boolean {
  const isBatch = header.kind === RECORD_KIND.batch
  return (header.count > 0) === isBatch && (header.payloadBytes > 0) === isBatch &&
    header.padBytes % RECORD_ALIGN_BYTES === 0 && header.padBytes < GROUP_ALIGN_BYTES &&
    header.durableOffset % GROUP_ALIGN_BYTES === 0 && header.durableLsn < header.lsnFirst
}

/**
 * Reads and checks the header at `at`, where the caller has made sure of 64 bytes. `out` is filled only where the
 * result is undefined. Never throws.
 * @param bytes and `view` are over the same memory.
 * @param tagLo low half of the tag of the segment that is being read.
 */
export function parseRecordHeader(
  bytes: Uint8Array, view: DataView, at: number, tagLo: number, tagHi: number, out: RecordHeader,
): HeaderFault | undefined {
  if (view.getUint32(at + RECORD_MAGIC_OFFSET, true) !== RECORD_MAGIC) return isZero(view, at) ? 'zero' : 'magic'
  const headerCrc = view.getUint32(at + RECORD_HEADER_CRC_OFFSET, true)
  if (crc32c(bytes.subarray(at, at + RECORD_HEADER_CRC_OFFSET)) !== headerCrc) return 'checksum'
  if (view.getUint32(at + RECORD_TAG_OFFSET, true) !== tagLo) return 'foreign'
  if (view.getUint32(at + RECORD_TAG_OFFSET + 4, true) !== tagHi) return 'foreign'
  if (view.getUint8(at + RECORD_VERSION_OFFSET) !== RECORD_VERSION) return 'version'
  const kind = view.getUint8(at + RECORD_KIND_OFFSET)
  if (kind === 0 || kind > RECORD_KIND_MAX) return 'kind'
  if (!isLsn(view, at + RECORD_LSN_FIRST_OFFSET) || !isLsn(view, at + RECORD_DURABLE_LSN_OFFSET)) return 'shape'
  out.kind = kind
  out.padBytes = view.getUint16(at + RECORD_PAD_BYTES_OFFSET, true)
  out.payloadBytes = view.getUint32(at + RECORD_PAYLOAD_BYTES_OFFSET, true)
  out.count = view.getUint32(at + RECORD_COUNT_OFFSET, true)
  out.lsnFirst = readLsn(view, at + RECORD_LSN_FIRST_OFFSET)
  out.hlcFirst = view.getBigUint64(at + RECORD_HLC_FIRST_OFFSET, true)
  out.durableLsn = readLsn(view, at + RECORD_DURABLE_LSN_OFFSET)
  out.tagLo = tagLo
  out.tagHi = tagHi
  out.durableOffset = view.getUint32(at + RECORD_DURABLE_OFFSET_OFFSET, true)
  out.prevHeaderCrc = view.getUint32(at + RECORD_PREV_HEADER_CRC_OFFSET, true)
  out.payloadCrc = view.getUint32(at + RECORD_PAYLOAD_CRC_OFFSET, true)
  out.headerCrc = headerCrc
  return hasShape(out) ? undefined : 'shape'
}
