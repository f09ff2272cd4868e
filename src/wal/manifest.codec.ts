import { crc32c } from '../base/crc32c.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn, type Lsn } from '../base/lsn.ts'
import {
  ENTRY_BYTES_USED_OFFSET, ENTRY_HLC_LAST_OFFSET, ENTRY_ID_OFFSET, ENTRY_LAST_HEADER_CRC_OFFSET,
  ENTRY_LAST_RECORD_OFFSET_OFFSET, ENTRY_LSN_FIRST_OFFSET, ENTRY_LSN_LAST_OFFSET, ENTRY_RECORD_COUNT_OFFSET,
  ENTRY_SEGMENT_HEADER_CRC_OFFSET, MANIFEST_CRC_OFFSET, MANIFEST_ENTRY_BYTES, MANIFEST_ENTRY_BYTES_OFFSET,
  MANIFEST_FLAGS_OFFSET, MANIFEST_FLAG_CLEAN, MANIFEST_GENERATION_OFFSET, MANIFEST_HEADER_BYTES, MANIFEST_MAGIC,
  MANIFEST_MAGIC_OFFSET, MANIFEST_NODE_ID_OFFSET, MANIFEST_OPEN_ID_OFFSET, MANIFEST_SEALED_COUNT_OFFSET,
  MANIFEST_SEGMENTS_MAX, MANIFEST_VERSION, MANIFEST_VERSION_OFFSET,
} from './manifest.layout.ts'
import { NODE_ID_BYTES, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'

/** A segment that takes no more records, as it was when it was sealed. */
export interface SealedSegment {
  readonly segmentId: number
  /** End of its last record. */
  readonly bytesUsed: number
  readonly lsnFirst: Lsn
  /** `lsnFirst - 1` where it holds no batch. */
  readonly lsnLast: Lsn
  readonly hlcLast: Hlc
  readonly segmentHeaderCrc: number
  readonly lastHeaderCrc: number
  readonly lastRecordOffset: number
  readonly recordCount: number
}

/** What the log consists of. Replaced as a whole, so it is always one state of it. */
export interface Manifest {
  readonly nodeId: Uint8Array
  /** Counts the replacements. */
  readonly generation: number
  readonly sealed: readonly SealedSegment[]
  /** The segment that takes records; 0 for none. */
  readonly openSegmentId: number
  /** Closed in order: there is no tail to look at. */
  readonly clean: boolean
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { sealed } = manifest
  const bytes = new Uint8Array(MANIFEST_HEADER_BYTES + sealed.length * MANIFEST_ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(MANIFEST_MAGIC_OFFSET, MANIFEST_MAGIC, true)
  view.setUint16(MANIFEST_VERSION_OFFSET, MANIFEST_VERSION, true)
  view.setUint16(MANIFEST_ENTRY_BYTES_OFFSET, MANIFEST_ENTRY_BYTES, true)
  bytes.set(manifest.nodeId.subarray(0, NODE_ID_BYTES), MANIFEST_NODE_ID_OFFSET)
  writeLsn(view, MANIFEST_GENERATION_OFFSET, manifest.generation)
  view.setUint32(MANIFEST_SEALED_COUNT_OFFSET, sealed.length, true)
  view.setUint32(MANIFEST_OPEN_ID_OFFSET, manifest.openSegmentId, true)
  view.setUint32(MANIFEST_FLAGS_OFFSET, manifest.clean ? MANIFEST_FLAG_CLEAN : 0, true)
  sealed.forEach((segment, i) => encodeEntry(view, MANIFEST_HEADER_BYTES + i * MANIFEST_ENTRY_BYTES, segment))
  view.setUint32(MANIFEST_CRC_OFFSET, manifestCrc(bytes), true)
  return bytes
}

function encodeEntry(view: DataView, at: number, segment: SealedSegment): void {
  view.setUint32(at + ENTRY_ID_OFFSET, segment.segmentId, true)
  view.setUint32(at + ENTRY_BYTES_USED_OFFSET, segment.bytesUsed, true)
  writeLsn(view, at + ENTRY_LSN_FIRST_OFFSET, segment.lsnFirst)
  writeLsn(view, at + ENTRY_LSN_LAST_OFFSET, segment.lsnLast)
  view.setBigUint64(at + ENTRY_HLC_LAST_OFFSET, segment.hlcLast, true)
  view.setUint32(at + ENTRY_SEGMENT_HEADER_CRC_OFFSET, segment.segmentHeaderCrc, true)
  view.setUint32(at + ENTRY_LAST_HEADER_CRC_OFFSET, segment.lastHeaderCrc, true)
  view.setUint32(at + ENTRY_LAST_RECORD_OFFSET_OFFSET, segment.lastRecordOffset, true)
  view.setUint32(at + ENTRY_RECORD_COUNT_OFFSET, segment.recordCount, true)
}

function decodeEntry(view: DataView, at: number): SealedSegment {
  return {
    segmentId: view.getUint32(at + ENTRY_ID_OFFSET, true),
    bytesUsed: view.getUint32(at + ENTRY_BYTES_USED_OFFSET, true),
    lsnFirst: readLsn(view, at + ENTRY_LSN_FIRST_OFFSET),
    lsnLast: readLsn(view, at + ENTRY_LSN_LAST_OFFSET),
    hlcLast: view.getBigUint64(at + ENTRY_HLC_LAST_OFFSET, true),
    segmentHeaderCrc: view.getUint32(at + ENTRY_SEGMENT_HEADER_CRC_OFFSET, true),
    lastHeaderCrc: view.getUint32(at + ENTRY_LAST_HEADER_CRC_OFFSET, true),
    lastRecordOffset: view.getUint32(at + ENTRY_LAST_RECORD_OFFSET_OFFSET, true),
    recordCount: view.getUint32(at + ENTRY_RECORD_COUNT_OFFSET, true),
  }
}

const manifestCrc = (bytes: Uint8Array): number =>
  crc32c(bytes.subarray(MANIFEST_HEADER_BYTES), crc32c(bytes.subarray(0, MANIFEST_CRC_OFFSET)))

function refuse(why: string): never {
  throw new DbError('wal_corrupt', `WAL manifest: ${why}`, { file: 'MANIFEST', reason: why })
}

/**
 * Bytes that some file under the manifest's name holds, to the log's shape: segment ids and LSNs without a gap.
 * @throws {DbError} `wal_corrupt`, or `format_unsupported` where it is intact and of a newer version.
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  if (bytes.length < MANIFEST_HEADER_BYTES) refuse(`only ${bytes.length} bytes long`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(MANIFEST_MAGIC_OFFSET, true) !== MANIFEST_MAGIC) refuse('not a manifest')
  if (view.getUint32(MANIFEST_CRC_OFFSET, true) !== manifestCrc(bytes)) refuse('checksum differs')
  const version = view.getUint16(MANIFEST_VERSION_OFFSET, true)
  if (version !== MANIFEST_VERSION) {
    throw new DbError('format_unsupported', `WAL manifest has format ${version}, this program knows ${MANIFEST_VERSION}`,
      { version, versionKnown: MANIFEST_VERSION })
  }
  const count = view.getUint32(MANIFEST_SEALED_COUNT_OFFSET, true)
  if (view.getUint16(MANIFEST_ENTRY_BYTES_OFFSET, true) !== MANIFEST_ENTRY_BYTES || count > MANIFEST_SEGMENTS_MAX ||
    bytes.length !== MANIFEST_HEADER_BYTES + count * MANIFEST_ENTRY_BYTES) refuse('size and count disagree')
  const sealed: SealedSegment[] = []
  for (let i = 0; i < count; i++) {
    const segment = decodeEntry(view, MANIFEST_HEADER_BYTES + i * MANIFEST_ENTRY_BYTES)
    checkEntry(segment, sealed[i - 1])
    sealed.push(segment)
  }
  const openSegmentId = view.getUint32(MANIFEST_OPEN_ID_OFFSET, true)
  const last = sealed.at(-1)
  if (openSegmentId !== 0 && last !== undefined && openSegmentId !== last.segmentId + 1) refuse('open segment out of order')
  return {
    nodeId: bytes.slice(MANIFEST_NODE_ID_OFFSET, MANIFEST_NODE_ID_OFFSET + NODE_ID_BYTES),
    generation: readLsn(view, MANIFEST_GENERATION_OFFSET),
    sealed,
    openSegmentId,
    clean: (view.getUint32(MANIFEST_FLAGS_OFFSET, true) & MANIFEST_FLAG_CLEAN) !== 0,
  }
}

function checkEntry(segment: SealedSegment, before: SealedSegment | undefined): void {
  const { segmentId, bytesUsed, lastRecordOffset } = segment
  if (segmentId === 0 || (before !== undefined && segmentId !== before.segmentId + 1)) refuse('segment ids out of order')
  if (before !== undefined && segment.lsnFirst !== before.lsnLast + 1) refuse('LSNs have a gap')
  if (segment.lsnLast < segment.lsnFirst - 1) refuse('LSNs run backwards')
  if (bytesUsed > SEGMENT_BYTES_MAX || lastRecordOffset < SEGMENT_RECORDS_OFFSET || lastRecordOffset >= bytesUsed) {
    refuse('segment size out of range')
  }
}
