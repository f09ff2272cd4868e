import { crc32c } from '../base/crc32c.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn, type Lsn } from '../base/lsn.ts'
import {
  NODE_ID_BYTES, SEGMENT_BYTES_OFFSET, SEGMENT_HEADER_BYTES, SEGMENT_HEADER_CRC_OFFSET, SEGMENT_HLC_BEFORE_OFFSET,
  SEGMENT_ID_OFFSET, SEGMENT_LSN_FIRST_OFFSET, SEGMENT_MAGIC, SEGMENT_MAGIC_OFFSET, SEGMENT_NODE_ID_OFFSET,
  SEGMENT_PREV_HEADER_CRC_OFFSET, SEGMENT_RECORDS_OFFSET, SEGMENT_RECORDS_OFFSET_OFFSET, SEGMENT_TAG_OFFSET,
  SEGMENT_VERSION, SEGMENT_VERSION_OFFSET,
} from './segment.layout.ts'

export interface SegmentHeader {
  /** Eight bytes: the segment belongs to this node. */
  nodeId: Uint8Array
  /** Random and secret: every record of the segment carries it, and no bytes of a client can. */
  tagLo: number
  tagHi: number
  segmentId: number
  /** Size of the file as it was prepared. */
  segmentBytes: number
  /** LSN of its first batch. */
  lsnFirst: Lsn
  /** Last HLC before it. */
  hlcBefore: Hlc
  /** CRC of the last header of the segment before; 0 for the first. */
  prevHeaderCrc: number
  headerCrc: number
}

/** Why the first sector of a segment is unusable. */
export type SegmentFault = 'magic' | 'checksum' | 'stray_bytes'

/** The first sector of a segment; sets `header.headerCrc`. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_RECORDS_OFFSET)
  const view = new DataView(bytes.buffer)
  view.setUint32(SEGMENT_MAGIC_OFFSET, SEGMENT_MAGIC, true)
  view.setUint16(SEGMENT_VERSION_OFFSET, SEGMENT_VERSION, true)
  view.setUint16(SEGMENT_RECORDS_OFFSET_OFFSET, SEGMENT_RECORDS_OFFSET, true)
  bytes.set(header.nodeId.subarray(0, NODE_ID_BYTES), SEGMENT_NODE_ID_OFFSET)
  view.setUint32(SEGMENT_TAG_OFFSET, header.tagLo, true)
  view.setUint32(SEGMENT_TAG_OFFSET + 4, header.tagHi, true)
  writeLsn(view, SEGMENT_LSN_FIRST_OFFSET, header.lsnFirst)
  view.setBigUint64(SEGMENT_HLC_BEFORE_OFFSET, header.hlcBefore, true)
  view.setUint32(SEGMENT_ID_OFFSET, header.segmentId, true)
  view.setUint32(SEGMENT_BYTES_OFFSET, header.segmentBytes, true)
  view.setUint32(SEGMENT_PREV_HEADER_CRC_OFFSET, header.prevHeaderCrc, true)
  header.headerCrc = crc32c(bytes.subarray(0, SEGMENT_HEADER_CRC_OFFSET))
  view.setUint32(SEGMENT_HEADER_CRC_OFFSET, header.headerCrc, true)
  return bytes
}

/**
 * @param bytes the first sector, 512 bytes.
 * @throws {DbError} `format_unsupported` where it is intact and of a newer version.
 */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | SegmentFault {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(SEGMENT_MAGIC_OFFSET, true) !== SEGMENT_MAGIC) return 'magic'
  const headerCrc = view.getUint32(SEGMENT_HEADER_CRC_OFFSET, true)
  if (crc32c(bytes.subarray(0, SEGMENT_HEADER_CRC_OFFSET)) !== headerCrc) return 'checksum'
  const version = view.getUint16(SEGMENT_VERSION_OFFSET, true)
  const recordsOffset = view.getUint16(SEGMENT_RECORDS_OFFSET_OFFSET, true)
  if (version !== SEGMENT_VERSION || recordsOffset !== SEGMENT_RECORDS_OFFSET) {
    throw new DbError('format_unsupported', `WAL segment has format ${version}, this program knows ${SEGMENT_VERSION}`,
      { version, versionKnown: SEGMENT_VERSION, recordsOffset })
  }
  for (let i = SEGMENT_HEADER_BYTES; i < SEGMENT_RECORDS_OFFSET; i++) if (bytes[i] !== 0) return 'stray_bytes'
  return {
    nodeId: bytes.slice(SEGMENT_NODE_ID_OFFSET, SEGMENT_NODE_ID_OFFSET + NODE_ID_BYTES),
    tagLo: view.getUint32(SEGMENT_TAG_OFFSET, true),
    tagHi: view.getUint32(SEGMENT_TAG_OFFSET + 4, true),
    segmentId: view.getUint32(SEGMENT_ID_OFFSET, true),
    segmentBytes: view.getUint32(SEGMENT_BYTES_OFFSET, true),
    lsnFirst: readLsn(view, SEGMENT_LSN_FIRST_OFFSET),
    hlcBefore: view.getBigUint64(SEGMENT_HLC_BEFORE_OFFSET, true),
    prevHeaderCrc: view.getUint32(SEGMENT_PREV_HEADER_CRC_OFFSET, true),
    headerCrc,
  }
}
