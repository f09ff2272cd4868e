import { assert } from '../base/assert.ts'
import type { Disk, DiskFile } from '../base/disk.ts'
import { bytesEqual, toHex } from '../base/bytes.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { SealedSegment } from './manifest.codec.ts'
import { bodyBytesOf, emptyRecordHeader, parseRecordHeader, type RecordHeader } from './record.codec.ts'
import { RECORD_HEADER_BYTES } from './record.layout.ts'
import { decodeSegmentHeader, type SegmentFault, type SegmentHeader } from './segment.codec.ts'
import { SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import { chainOf, type Chain, type SegmentCursor } from './segment-cursor.ts'
import { ioError, segmentPath, walCorrupt } from './wal-files.ts'

const FAULTS: Readonly<Record<SegmentFault, string>> = {
  magic: 'not a WAL segment',
  checksum: 'checksum of the segment header differs',
  stray_bytes: 'bytes behind the segment header that must be zero are not',
}

/** @param lsn the first that the segment should hold, for the message. @throws {DbError} `wal_corrupt` where the file is missing. */
export function openSegmentFile(disk: Disk, dir: string, segmentId: number, lsn: Lsn): DiskFile {
  try {
    return disk.open(segmentPath(dir, segmentId), 'read')
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw ioError(error, 'opening a WAL segment')
    throw walCorrupt('the segment\'s file is missing', segmentId, 0, lsn)
  }
}

/**
 * The header of segment `segmentId`, known to be of this node and this place in the log.
 * @throws {DbError} `wal_corrupt`, `format_unsupported`
 */
export function readSegmentHeader(file: DiskFile, nodeId: Uint8Array, segmentId: number, lsn: Lsn): SegmentHeader {
  const bytes = new Uint8Array(SEGMENT_RECORDS_OFFSET)
  if (file.pread(bytes, 0, bytes.length, 0) < bytes.length) throw walCorrupt('the segment header is cut off', segmentId, 0, lsn)
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw walCorrupt(FAULTS[header], segmentId, 0, lsn)
  if (!bytesEqual(header.nodeId, nodeId)) {
    throw walCorrupt(`the segment belongs to node ${toHex(header.nodeId)}`, segmentId, 0, lsn)
  }
  if (header.segmentId !== segmentId) {
    throw walCorrupt(`the file holds segment ${header.segmentId}`, segmentId, 0, lsn)
  }
  return header
}

/** @throws {DbError} `wal_corrupt` where the segment does not continue the log at `chain`. */
export function checkSegmentFollows(header: SegmentHeader, chain: Chain): void {
  if (header.prevHeaderCrc !== chain.headerCrc || header.lsnFirst !== chain.nextLsn || header.hlcBefore !== chain.hlcLast) {
    throw walCorrupt(`the segment does not follow on the one before it, which ends before LSN ${chain.nextLsn}`,
      header.segmentId, 0, header.lsnFirst)
  }
}

export interface Scan {
  readonly outcome: 'end' | 'damaged'
  /** Why, where damaged. */
  readonly fault: string
  /** End of the last valid record. */
  readonly end: number
  readonly chain: Chain
  readonly lastRecordOffset: number
  readonly lastKind: number
  readonly recordCount: number
}

/** Reads a segment record by record, from its first up to the first place that is none, or to `limit`; may stop in between. */
export class SegmentScan {
  readonly #cursor: SegmentCursor
  readonly #header: SegmentHeader
  #lastRecordOffset = 0
  #lastKind = 0
  #recordCount = 0
  #outcome: 'record' | 'end' | 'damaged' = 'record'

  constructor(cursor: SegmentCursor, file: DiskFile, header: SegmentHeader, limit: number) {
    this.#cursor = cursor
    this.#header = header
    cursor.begin(file, header, SEGMENT_RECORDS_OFFSET, limit, chainOf(header))
  }

  /** Where the next record begins. */
  get offset(): number {
    return this.#cursor.nextOffset
  }

  /** Reads records until at least `bytes` of them were read. @returns false where there is nothing more to read. */
  advance(bytes: number, onRecord?: (header: RecordHeader, offset: number) => void): boolean {
    const cursor = this.#cursor
    for (const stop = cursor.nextOffset + bytes; cursor.nextOffset < stop;) {
      this.#outcome = cursor.step()
      if (this.#outcome !== 'record') return false
      onRecord?.(cursor.header, cursor.offset)
      this.#lastRecordOffset = cursor.offset
      this.#lastKind = cursor.header.kind
      this.#recordCount++
    }
    return true
  }

  /** What was found, when `advance` has said that there is nothing more. */
  result(): Scan {
    const cursor = this.#cursor
    assert(this.#outcome !== 'record', 'the scan has come to an end')
    return {
      outcome: this.#outcome, fault: this.#outcome === 'damaged' ? cursor.fault : '', end: cursor.offset,
      chain: cursor.chain ?? chainOf(this.#header), lastRecordOffset: this.#lastRecordOffset, lastKind: this.#lastKind,
      recordCount: this.#recordCount,
    }
  }
}

/** Reads a segment from its first record up to the first place that is none, or to `limit`. */
export function scanSegment(
  cursor: SegmentCursor, file: DiskFile, header: SegmentHeader, limit: number,
  onRecord?: (header: RecordHeader, offset: number) => void,
): Scan {
  const scan = new SegmentScan(cursor, file, header, limit)
  scan.advance(Infinity, onRecord)
  return scan.result()
}

/** What the manifest says of a segment that was scanned up to its end. */
export function sealedFrom(header: SegmentHeader, scan: Scan): SealedSegment {
  return {
    segmentId: header.segmentId, bytesUsed: scan.end, lsnFirst: header.lsnFirst, lsnLast: scan.chain.nextLsn - 1,
    hlcLast: scan.chain.hlcLast, segmentHeaderCrc: header.headerCrc, lastHeaderCrc: scan.chain.headerCrc,
    lastRecordOffset: scan.lastRecordOffset, recordCount: scan.recordCount,
  }
}

/** Where the log goes on behind a sealed segment. */
export const chainBehind = (sealed: SealedSegment): Chain =>
  ({ nextLsn: sealed.lsnLast + 1, hlcLast: sealed.hlcLast, headerCrc: sealed.lastHeaderCrc })

/**
 * Holds a sealed segment against its manifest entry, reading two headers only: a missing, short, foreign, stale or
 * swapped file shows. @throws {DbError} `wal_corrupt`
 */
export function checkSealedEnds(file: DiskFile, header: SegmentHeader, sealed: SealedSegment): void {
  const { segmentId, lsnFirst, lastRecordOffset } = sealed
  if (header.headerCrc !== sealed.segmentHeaderCrc) {
    throw walCorrupt('the segment is not the one that was sealed', segmentId, 0, lsnFirst)
  }
  const bytes = new Uint8Array(RECORD_HEADER_BYTES)
  const found = emptyRecordHeader()
  const count = file.pread(bytes, 0, bytes.length, lastRecordOffset)
  const fault = parseRecordHeader(bytes, new DataView(bytes.buffer), 0, header.tagLo, header.tagHi, found)
  const end = lastRecordOffset + RECORD_HEADER_BYTES + bodyBytesOf(found)
  if (count < bytes.length || fault !== undefined || found.headerCrc !== sealed.lastHeaderCrc || end !== sealed.bytesUsed ||
    file.size() < sealed.bytesUsed) {
    throw walCorrupt('the last record of the sealed segment is not in its place', segmentId, lastRecordOffset, sealed.lsnLast)
  }
}

/** Reads every byte of a sealed segment. @throws {DbError} `wal_corrupt` naming the first damage. */
export function checkSealedWhole(
  cursor: SegmentCursor, file: DiskFile, header: SegmentHeader, sealed: SealedSegment,
  onRecord?: (header: RecordHeader, offset: number) => void,
): void {
  checkScanned(scanSegment(cursor, file, header, sealed.bytesUsed, onRecord), header, sealed)
}

/** Holds a sealed segment that was scanned up to its end against its manifest entry. @throws {DbError} `wal_corrupt` */
export function checkScanned(scan: Scan, header: SegmentHeader, sealed: SealedSegment): void {
  if (scan.end !== sealed.bytesUsed) {
    const reason = scan.outcome === 'damaged' ? scan.fault : 'no record where one must be'
    throw walCorrupt(reason, sealed.segmentId, scan.end, scan.chain.nextLsn)
  }
  const found = sealedFrom(header, scan)
  for (const key of ['lsnFirst', 'lsnLast', 'hlcLast', 'lastHeaderCrc', 'lastRecordOffset', 'recordCount'] as const) {
    if (found[key] !== sealed[key]) {
      throw new DbError('wal_corrupt', `WAL segment ${sealed.segmentId}: ${key} is ${found[key]}, sealed as ${sealed[key]}`,
        { segmentId: sealed.segmentId, offset: scan.end, lsn: sealed.lsnLast, reason: `${key} differs` })
    }
  }
}
