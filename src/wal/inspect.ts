import { toHex } from '../base/bytes.ts'
import type { Disk } from '../base/disk.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Manifest } from './manifest.codec.ts'
import type { RecordHeader } from './record.codec.ts'
import { bodyBytesOf } from './record.codec.ts'
import { RECORD_HEADER_BYTES, RECORD_KIND } from './record.layout.ts'
import { SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import { SegmentCursor, chainOf } from './segment-cursor.ts'
import {
  checkSealedEnds, checkSealedWhole, checkSegmentFollows, chainBehind, openSegmentFile, readSegmentHeader, scanSegment,
} from './segment-scan.ts'
import { chainAtEnd } from './segment-opening.ts'
import { examineTail } from './tail.ts'
import { doing, readManifest, walCorrupt } from './wal-files.ts'

export type RecordKindName = keyof typeof RECORD_KIND

/** One record as people and programs read it; 64-bit stamps as text, because JSON has no place for them. */
export interface InspectedRecord {
  readonly segmentId: number
  readonly offset: number
  /** Header, payload, alignment and padding. */
  readonly bytes: number
  readonly kind: RecordKindName
  readonly payloadBytes: number
  readonly count: number
  readonly lsnFirst: Lsn
  /** Absent where the record takes no LSN. */
  readonly lsnLast?: Lsn
  readonly hlcFirst: string
  readonly durableLsn: Lsn
  readonly durableOffset: number
  readonly payloadCrc: string
  readonly headerCrc: string
}

export interface InspectOptions {
  /** First and last LSN of interest; marks and seals are shown where the next LSN is within. */
  readonly fromLsn?: Lsn
  readonly toLsn?: Lsn
  /** First segment of interest. */
  readonly fromSegmentId?: number
  /** Most records. */
  readonly limit: number
}

const crcHex = (crc: number): string => crc.toString(16).padStart(8, '0')

const kindName = (kind: number): RecordKindName =>
  (Object.keys(RECORD_KIND) as RecordKindName[]).find((name) => RECORD_KIND[name] === kind)!

function inspected(segmentId: number, offset: number, header: RecordHeader): InspectedRecord {
  return {
    segmentId, offset, bytes: RECORD_HEADER_BYTES + bodyBytesOf(header), kind: kindName(header.kind),
    payloadBytes: header.payloadBytes, count: header.count, lsnFirst: header.lsnFirst,
    ...(header.count > 0 ? { lsnLast: header.lsnFirst + header.count - 1 } : {}), hlcFirst: String(header.hlcFirst),
    durableLsn: header.durableLsn, durableOffset: header.durableOffset, payloadCrc: crcHex(header.payloadCrc),
    headerCrc: crcHex(header.headerCrc),
  }
}

/** @throws {DbError} `not_found` where the folder holds no log. */
function manifestOf(disk: Disk, dir: string): Manifest {
  const manifest = readManifest(disk, dir)
  if (manifest === undefined) throw new DbError('not_found', `${dir} holds no WAL`, { dir })
  return manifest
}

interface ListedSegment {
  readonly segmentId: number
  readonly lsnFirst: Lsn
  readonly lsnLast: Lsn
}

function segmentsOf(manifest: Manifest): ListedSegment[] {
  const open = manifest.openSegmentId === 0 ? []
    : [{ segmentId: manifest.openSegmentId, lsnFirst: chainAtEnd(manifest.sealed).nextLsn, lsnLast: Infinity }]
  return [...manifest.sealed, ...open]
}

/**
 * Records in order, read only; also beside a running node (what is being written just then is not shown).
 * @throws {DbError} `not_found`; `wal_corrupt` at the first damage, after the records before it.
 */
export function* inspectWal(disk: Disk, dir: string, options: InspectOptions): Generator<InspectedRecord, void> {
  const { fromLsn = 0, toLsn = Infinity, fromSegmentId = 0, limit } = options
  const manifest = manifestOf(disk, dir)
  const cursor = new SegmentCursor()
  let left = limit
  for (const { segmentId, lsnFirst, lsnLast } of segmentsOf(manifest)) {
    if (segmentId < fromSegmentId || lsnLast < fromLsn || lsnFirst > toLsn) continue
    const file = openSegmentFile(disk, dir, segmentId, lsnFirst)
    try {
      const header = readSegmentHeader(file, manifest.nodeId, segmentId, lsnFirst)
      cursor.begin(file, header, SEGMENT_RECORDS_OFFSET, file.size(), chainOf(header))
      for (let outcome = cursor.step(); outcome !== 'end' && left > 0; outcome = cursor.step()) {
        if (outcome === 'damaged') {
          // Behind the end of the open segment: a torn group, or one being written.
          if (segmentId === manifest.openSegmentId && examineTail(file, header, cursor.offset).proof === undefined) return
          throw walCorrupt(cursor.fault, segmentId, cursor.offset, cursor.chain?.nextLsn ?? lsnFirst)
        }
        const last = cursor.header.lsnFirst + Math.max(0, cursor.header.count - 1)
        if (last < fromLsn) continue
        if (cursor.header.lsnFirst > toLsn) return
        left--
        yield inspected(segmentId, cursor.offset, cursor.header)
      }
    } finally {
      file.close()
    }
    if (left === 0) return
  }
}

export interface VerifyProgress {
  readonly segmentsDone: number
  readonly segmentsTotal: number
  readonly bytesDone: number
}

export interface VerifyReport {
  readonly ok: boolean
  readonly nodeId: string
  readonly segments: number
  readonly bytes: number
  readonly records: Readonly<Record<RecordKindName, number>>
  readonly assertions: number
  /** 0 where there is none. */
  readonly lsnFirst: Lsn
  readonly lsnLast: Lsn
  readonly clean: boolean
  /** Bytes behind the last record of the open segment that are not zero: a torn group, or one being written. */
  readonly tornBytes: number
  /** The first damage; nothing behind it was looked at. */
  readonly damage: { readonly code: string, readonly message: string, readonly segmentId: number, readonly offset: number, readonly lsn: Lsn } | undefined
}

/** Reads every byte of the log, and holds it against the manifest. Read only. */
export function* verifyWal(disk: Disk, dir: string): Generator<VerifyProgress, VerifyReport> {
  const verification = new Verification(disk, dir)
  for (const segmentsDone of verification.segments()) {
    yield { segmentsDone, segmentsTotal: verification.segmentsTotal, bytesDone: verification.bytes }
  }
  return verification.report()
}

class Verification {
  readonly #disk: Disk
  readonly #dir: string
  readonly #manifest: Manifest
  readonly #cursor = new SegmentCursor()
  readonly #records = { batch: 0, mark: 0, seal: 0 }
  #lsnLast = 0
  #assertions = 0
  #tornBytes = 0
  #damage: VerifyReport['damage']
  bytes = 0

  constructor(disk: Disk, dir: string) {
    this.#disk = disk
    this.#dir = dir
    this.#manifest = manifestOf(disk, dir)
  }

  get segmentsTotal(): number {
    return segmentsOf(this.#manifest).length
  }

  *segments(): Generator<number, void> {
    const { sealed, openSegmentId } = this.#manifest
    for (let i = 0; i < sealed.length; i++) {
      if (!this.#guarded(() => this.#sealed(i))) return
      yield i + 1
    }
    if (openSegmentId === 0) return
    if (this.#guarded(() => this.#open(openSegmentId))) yield this.segmentsTotal
  }

  #guarded(work: () => void): boolean {
    try {
      doing('verifying the WAL', work)
      return true
    } catch (error) {
      if (!isDbError(error)) throw error
      const { details } = error
      this.#damage = {
        code: error.code, message: error.message, segmentId: Number(details['segmentId'] ?? 0),
        offset: Number(details['offset'] ?? 0), lsn: Number(details['lsn'] ?? 0),
      }
      return false
    }
  }

  readonly #count = (header: RecordHeader): void => {
    this.#records[kindName(header.kind)]++
    this.#assertions += header.count
    this.#lsnLast = header.lsnFirst + header.count - 1
  }

  #sealed(index: number): void {
    const sealed = this.#manifest.sealed[index]!
    const before = this.#manifest.sealed[index - 1]
    const file = openSegmentFile(this.#disk, this.#dir, sealed.segmentId, sealed.lsnFirst)
    try {
      const header = readSegmentHeader(file, this.#manifest.nodeId, sealed.segmentId, sealed.lsnFirst)
      if (before !== undefined) checkSegmentFollows(header, chainBehind(before))
      checkSealedEnds(file, header, sealed)
      checkSealedWhole(this.#cursor, file, header, sealed, this.#count)
      if (examineTail(file, header, sealed.bytesUsed).strayBytes > 0) {
        throw walCorrupt('bytes behind the last record of a sealed segment are not zero', sealed.segmentId, sealed.bytesUsed,
          sealed.lsnLast + 1)
      }
      this.bytes += sealed.bytesUsed
    } finally {
      file.close()
    }
  }

  #open(segmentId: number): void {
    const before = chainAtEnd(this.#manifest.sealed)
    const file = openSegmentFile(this.#disk, this.#dir, segmentId, before.nextLsn)
    try {
      const header = readSegmentHeader(file, this.#manifest.nodeId, segmentId, before.nextLsn)
      if (this.#manifest.sealed.length > 0) checkSegmentFollows(header, before)
      const scan = scanSegment(this.#cursor, file, header, file.size(), this.#count)
      const behind = examineTail(file, header, scan.end)
      if (behind.proof !== undefined) {
        throw walCorrupt(scan.fault === '' ? 'no record where one must be' : scan.fault, segmentId, scan.end, scan.chain.nextLsn)
      }
      this.#tornBytes = behind.strayBytes
      this.bytes += scan.end
    } finally {
      file.close()
    }
  }

  report(): VerifyReport {
    const manifest = this.#manifest
    return {
      ok: this.#damage === undefined, nodeId: toHex(manifest.nodeId), segments: this.segmentsTotal, bytes: this.bytes,
      records: this.#records, assertions: this.#assertions,
      lsnFirst: this.#assertions === 0 ? 0 : manifest.sealed[0]?.lsnFirst ?? 1, lsnLast: this.#lsnLast,
      clean: manifest.clean, tornBytes: this.#tornBytes, damage: this.#damage,
    }
  }
}
