import { crc32c } from '../base/crc32c.ts'
import { assert } from '../base/assert.ts'
import type { Disk, DiskFile } from '../base/disk.ts'
import { isDiskFull, removeIfThere } from '../base/disk-files.ts'
import { DbError, errnoOf, isDbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { fitOf } from './group-commit.ts'
import type { Manifest, SealedSegment } from './manifest.codec.ts'
import { encodeRecordHeader, emptyRecordHeader } from './record.codec.ts'
import {
  GROUP_ALIGN_BYTES, RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, RECORD_HEADER_CRC_OFFSET, RECORD_KIND, alignUp, recordBytesOf,
} from './record.layout.ts'
import type { Recovered } from './recovery.ts'
import type { SegmentHeader } from './segment.codec.ts'
import { SEAL_BYTES, SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import { chainOf, type Chain } from './segment-cursor.ts'
import { chainAtEnd, openNextSegment, rewriteTail, type OpenTail, type OpeningOptions } from './segment-opening.ts'
import { readSegmentHeader } from './segment-scan.ts'
import { distrust, publishManifest, segmentPath, stageManifest, syncOrDistrust } from './wal-files.ts'

export interface WalWriterOptions extends OpeningOptions {
  /** Most bytes that share one fdatasync; a single record may be larger. */
  readonly groupBytesMax: number
}

/** 'disk_full': the open segment has no room for it, and there is no space for another. */
export type Reservation = 'ok' | 'group_full' | 'segment_full' | 'disk_full'

/** How far a segment is written. */
interface Progress extends Chain {
  /** End of the last record; a multiple of 8 while a group is gathered, of 512 when it is written. */
  offset: number
  lastRecordOffset: number
  recordCount: number
}

/**
 * Appends groups of records to the open segment. One thread owns it. A group is gathered in private memory (`reserve`,
 * copy the payload in, `finish`), then `commit` writes it with one pwrite and one fdatasync; when that has returned,
 * all of it is durable. A place in the segment is known from `reserve` on and does not change.
 *
 * Whatever `write`, `sync` or `rotate` meets from the disk is final: the writer is poisoned, no file is touched or
 * synced again, and every later call throws the same error. Nobody knows then what is on the disk; recovery finds out.
 * A full disk is no such error, because segments are filled before they are used.
 */
export class WalWriter {
  readonly #disk: Disk
  readonly #dir: string
  readonly #options: WalWriterOptions
  readonly #header = emptyRecordHeader()
  readonly #headerBytes = new Uint8Array(RECORD_HEADER_BYTES)
  readonly #headerView = new DataView(this.#headerBytes.buffer)
  readonly #headerCovered = this.#headerBytes.subarray(0, RECORD_HEADER_CRC_OFFSET)
  #staging: Uint8Array
  #manifest: Manifest
  #tail: OpenTail | undefined
  #diskFull: boolean
  #segment: SegmentHeader | undefined
  #file: DiskFile | undefined
  /** What is on stable storage, and what is besides staged or written. */
  #durable: Progress
  #current: Progress
  #durableLsn: Lsn
  #lastKind = 0
  #reservedKind = 0
  #reservedPayloadBytes = -1
  #written = false
  #closed = false
  #failure: DbError | undefined

  private constructor(disk: Disk, dir: string, recovered: Recovered, options: WalWriterOptions) {
    this.#disk = disk
    this.#dir = dir
    this.#options = options
    this.#staging = new Uint8Array(alignUp(options.groupBytesMax, GROUP_ALIGN_BYTES))
    this.#manifest = recovered.manifest
    this.#tail = recovered.tail
    this.#diskFull = recovered.diskFull
    this.#durableLsn = recovered.lastLsn
    this.#durable = progressAt(0, recovered.tail === undefined ? chainAtEnd(recovered.manifest.sealed)
      : chainAtEnd([recovered.tail.sealed]))
    this.#current = { ...this.#durable }
  }

  /**
   * Goes on from what recovery made; with `recovered.diskFull` there is no open segment yet and `rotate` tries to get one.
   * @throws {DbError} `io_error`, `wal_corrupt`.
   */
  static open(disk: Disk, dir: string, recovered: Recovered, options: WalWriterOptions): WalWriter {
    const writer = new WalWriter(disk, dir, recovered, options)
    const { openSegmentId } = recovered.manifest
    if (openSegmentId !== 0 && recovered.tail === undefined) {
      writer.#guard('opening the WAL segment', () => writer.#openFile(openSegmentId))
    }
    return writer
  }

  /** Where the group is gathered: private memory. Replaced when a single record is larger, so read it after `reserve`. */
  get staging(): Uint8Array {
    return this.#staging
  }

  /** Where in `staging` the payload of the reserved record goes. */
  get payloadOffset(): number {
    return this.stagedBytes + RECORD_HEADER_BYTES
  }

  /** Where the reserved record will begin in segment `segmentId`. */
  get recordOffset(): number {
    return this.#current.offset
  }

  /** The open segment; 0 while there is none. */
  get segmentId(): number {
    return this.#segment?.segmentId ?? 0
  }

  get stagedBytes(): number {
    return this.#current.offset - this.#durable.offset
  }

  /** Most bytes that one group takes. */
  get groupBytesMax(): number {
    return this.#options.groupBytesMax
  }

  /** End of what is durable, and so where the next group begins. Without an open segment: the end of the log. */
  get durablePosition(): WalPosition {
    if (this.#segment !== undefined) return { segmentId: this.#segment.segmentId, offset: this.#durable.offset }
    const last = this.#tail?.sealed ?? this.#manifest.sealed.at(-1)
    return last === undefined ? { segmentId: 1, offset: SEGMENT_RECORDS_OFFSET }
      : { segmentId: last.segmentId, offset: last.bytesUsed }
  }

  get durableLsn(): Lsn {
    return this.#durableLsn
  }

  /** The LSN that the next batch must begin with. */
  get nextLsn(): Lsn {
    return this.#current.nextLsn
  }

  /** The last HLC in the log, staged records included. */
  get lastHlc(): Hlc {
    return this.#current.hlcLast
  }

  /** The last try to get another segment found no space. */
  get diskFull(): boolean {
    return this.#diskFull
  }

  /** What poisoned it. */
  get failure(): DbError | undefined {
    return this.#failure
  }

  get manifest(): Manifest {
    return this.#manifest
  }

  /**
   * Asks for a place for one record. After 'ok': copy the payload to `staging[payloadOffset..]`, then `finish`; another
   * `reserve` instead gives the place up.
   * @returns 'group_full': `commit`, then ask again. 'segment_full': `rotate`, then ask again (nothing is staged).
   *   'disk_full': as 'segment_full', but the last `rotate` failed; refuse the record, and `rotate` again now and then.
   * @throws {DbError} what poisoned the writer; `frame_too_large` where no segment could hold it.
   */
  reserve(kind: number, payloadBytes: number): Reservation {
    this.#check()
    return this.#reserve(kind, payloadBytes, SEAL_BYTES)
  }

  #reserve(kind: number, payloadBytes: number, roomBytes: number): Reservation {
    assert(!this.#written, 'nothing is staged between write and sync')
    this.#reservedPayloadBytes = -1
    const { stagedBytes } = this
    if (this.#segment === undefined) return this.#diskFull ? 'disk_full' : 'segment_full'
    const recordBytes = recordBytesOf(payloadBytes)
    const { segmentBytes } = this.#segment
    if (payloadBytes > WalWriter.payloadBytesMaxOf(segmentBytes)) {
      throw new DbError('frame_too_large', `a record of ${payloadBytes} bytes fits no WAL segment`, { payloadBytes, segmentBytes })
    }
    const fit = fitOf(this.#durable.offset, stagedBytes, recordBytes, this.#options.groupBytesMax, segmentBytes, roomBytes)
    if (fit !== 'ok') return fit === 'segment_full' && this.#diskFull ? 'disk_full' : fit
    const bytes = alignUp(stagedBytes + recordBytes, GROUP_ALIGN_BYTES)
    // Only a group's first record can be that large: there is nothing to keep.
    if (bytes > this.#staging.length) this.#staging = new Uint8Array(bytes)
    this.#reservedKind = kind
    this.#reservedPayloadBytes = payloadBytes
    return 'ok'
  }

  /** The largest payload that a segment takes: what asks for more never fits. */
  static payloadBytesMaxOf(segmentBytes: number): number {
    return segmentBytes - SEGMENT_RECORDS_OFFSET - SEAL_BYTES - RECORD_HEADER_BYTES
  }

  /**
   * Completes the reserved record.
   * @param count accepted assertions of a batch; 0 for any other kind.
   * @param lsnFirst must be `nextLsn`. @param hlcFirst must be above `lastHlc`.
   */
  finish(count: number, lsnFirst: Lsn, hlcFirst: Hlc): void {
    const payloadBytes = this.#reservedPayloadBytes
    const current = this.#current
    assert(payloadBytes >= 0, 'a record was reserved')
    assert(lsnFirst === current.nextLsn, 'LSNs have no gap')
    assert(hlcFirst > current.hlcLast, 'the HLC moves forward')
    const at = current.offset - this.#durable.offset
    const bodyStart = at + RECORD_HEADER_BYTES
    const bodyEnd = bodyStart + alignUp(payloadBytes, RECORD_ALIGN_BYTES)
    for (let i = bodyStart + payloadBytes; i < bodyEnd; i++) this.#staging[i] = 0
    const header = this.#header
    header.kind = this.#reservedKind
    header.padBytes = 0
    header.payloadBytes = payloadBytes
    header.count = count
    header.lsnFirst = lsnFirst
    header.hlcFirst = hlcFirst
    header.durableLsn = this.#durableLsn
    header.tagLo = this.#segment!.tagLo
    header.tagHi = this.#segment!.tagHi
    header.durableOffset = this.#durable.offset
    header.prevHeaderCrc = current.headerCrc
    header.payloadCrc = crc32c(this.#staging.subarray(bodyStart, bodyEnd))
    current.headerCrc = encodeRecordHeader(header, this.#headerBytes, this.#headerView, this.#headerCovered)
    this.#staging.set(this.#headerBytes, at)
    current.lastRecordOffset = current.offset
    current.offset += bodyEnd - at
    current.nextLsn = lsnFirst + count
    current.hlcLast = hlcFirst + BigInt(count) - 1n
    current.recordCount++
    this.#reservedPayloadBytes = -1
    this.#lastKind = this.#reservedKind
  }

  /** Fills the group up to its alignment; the padding belongs to the last record. `#header` is still that record's. */
  #pad(): void {
    const { stagedBytes } = this
    const padBytes = alignUp(stagedBytes, GROUP_ALIGN_BYTES) - stagedBytes
    if (padBytes === 0) return
    const header = this.#header
    this.#staging.fill(0, stagedBytes, stagedBytes + padBytes)
    header.padBytes = padBytes
    header.payloadCrc = crc32c(this.#staging.subarray(stagedBytes, stagedBytes + padBytes), header.payloadCrc)
    this.#current.headerCrc = encodeRecordHeader(header, this.#headerBytes, this.#headerView, this.#headerCovered)
    this.#staging.set(this.#headerBytes, this.#current.lastRecordOffset - this.#durable.offset)
    this.#current.offset += padBytes
  }

  /**
   * Hands the staged group to the operating system: one pwrite. `sync` must follow, and nothing is staged meanwhile.
   * @throws {DbError} `durability_failed`, final. `disk_full` where the file system found no space (it copies on write)
   *   and took not one byte: the group is dropped, `nextLsn` is back where the group began, and the writer goes on.
   */
  write(): void {
    this.#check()
    assert(!this.#written, 'a written group is synced before the next')
    if (this.stagedBytes === 0) return
    this.#pad()
    try {
      this.#file!.pwrite(this.#staging, 0, this.stagedBytes, this.#durable.offset)
    } catch (error) {
      if (isDiskFull(error) && (error as { bytesWritten?: unknown }).bytesWritten === 0) this.#dropGroup(error)
      this.#poison('durability_failed', error, 'writing a commit group')
    }
    this.#written = true
  }

  #dropGroup(error: unknown): never {
    this.#current = { ...this.#durable }
    throw new DbError('disk_full', 'no space to write a commit group; nothing of it was written',
      { segmentId: this.segmentId, offset: this.#durable.offset }, { cause: error })
  }

  /**
   * Makes the written group durable: one fdatasync.
   * @returns the end of what is durable. @throws {DbError} `durability_failed`, final.
   */
  sync(): WalPosition {
    this.#check()
    if (this.#written) {
      try {
        this.#file!.fdatasync()
      } catch (error) {
        distrust(this.#disk, this.#dir)
        this.#poison('durability_failed', error, 'syncing a commit group')
      }
      this.#written = false
      this.#durable = { ...this.#current }
      this.#durableLsn = this.#current.nextLsn - 1
    }
    return this.durablePosition
  }

  /** `write` and `sync`. @returns the end of what is durable. @throws {DbError} as they do. */
  commit(): WalPosition {
    this.write()
    return this.sync()
  }

  /**
   * Writes and syncs a mark, which proves that everything before it was synced: later damage there is corruption and no
   * torn write. Call it when the log has been idle for `walMarkIdleMs`, with nothing staged.
   * @returns false where the last record proves as much already, or there is no room.
   */
  mark(): boolean {
    this.#check()
    assert(this.stagedBytes === 0, 'nothing is staged')
    if (this.#segment === undefined || this.#durable.recordCount === 0 || this.#lastKind !== RECORD_KIND.batch) return false
    if (this.#reserve(RECORD_KIND.mark, 0, SEAL_BYTES) !== 'ok') return false
    this.finish(0, this.#current.nextLsn, this.#current.hlcLast + 1n)
    this.commit()
    return true
  }

  /**
   * Seals the open segment, all of which is durable, and opens the next: the prepared one, or one made here. Without an
   * open segment, completes what recovery had no space for. Call it with nothing staged.
   * @returns 'disk_full' with nothing changed; try again later. @throws {DbError} `io_error`, final.
   */
  rotate(): 'ok' | 'disk_full' {
    this.#check()
    assert(this.stagedBytes === 0, 'nothing is staged')
    if (this.#segment !== undefined && this.#durable.recordCount === 0) return 'ok'
    const outcome = this.#guard('opening the next WAL segment', () => this.#rotate())
    this.#diskFull = outcome === 'disk_full'
    return outcome
  }

  #rotate(): 'ok' | 'disk_full' {
    if (this.#tail !== undefined) {
      if (rewriteTail(this.#disk, this.#dir, this.#tail) === 'disk_full') return 'disk_full'
      this.#manifest = { ...this.#manifest, sealed: [...this.#manifest.sealed, this.#tail.sealed], openSegmentId: 0 }
      this.#tail = undefined
    }
    const manifest = this.#sealedManifest()
    const opened = openNextSegment(this.#disk, this.#dir, manifest, chainAtEnd(manifest.sealed), this.#options)
    if (opened === 'disk_full') return 'disk_full'
    this.#file?.close()
    this.#manifest = opened.manifest
    this.#openFile(opened.header.segmentId)
    return 'ok'
  }

  /** The manifest with the open segment among the sealed ones. */
  #sealedManifest(): Manifest {
    const segment = this.#segment
    if (segment === undefined || this.#durable.recordCount === 0) return this.#manifest
    const sealed: SealedSegment = {
      segmentId: segment.segmentId, bytesUsed: this.#durable.offset, lsnFirst: segment.lsnFirst,
      lsnLast: this.#durable.nextLsn - 1, hlcLast: this.#durable.hlcLast, segmentHeaderCrc: segment.headerCrc,
      lastHeaderCrc: this.#durable.headerCrc, lastRecordOffset: this.#durable.lastRecordOffset,
      recordCount: this.#durable.recordCount,
    }
    return { ...this.#manifest, sealed: [...this.#manifest.sealed, sealed] }
  }

  #openFile(segmentId: number): void {
    const file = this.#disk.open(segmentPath(this.#dir, segmentId), 'write')
    const segment = readSegmentHeader(file, this.#options.nodeId, segmentId, this.#durable.nextLsn)
    this.#file = file
    this.#segment = segment
    this.#durable = progressAt(SEGMENT_RECORDS_OFFSET, chainOf(segment))
    this.#current = { ...this.#durable }
    this.#lastKind = 0
  }

  /**
   * Closes the log in order: a seal behind the last group, the file cut to its records, the manifest marked clean. The
   * next start has nothing to replay or to cut. Call it with nothing staged; the writer is closed afterwards.
   * @throws {DbError} `durability_failed`, `io_error`: every acked record is durable all the same.
   */
  seal(): void {
    this.#check()
    assert(this.stagedBytes === 0, 'nothing is staged')
    if (this.#segment !== undefined && this.#durable.recordCount > 0) {
      const place = this.#reserve(RECORD_KIND.seal, 0, 0)
      assert(place === 'ok', 'batches leave room for the seal')
      this.finish(0, this.#current.nextLsn, this.#current.hlcLast + 1n)
      this.commit()
    }
    this.#guard('sealing the WAL', () => this.#publishClean())
    this.close()
  }

  #publishClean(): void {
    // What recovery left undone stays undone: the next one does it.
    if (this.#tail !== undefined) return
    const emptyId = this.#segment !== undefined && this.#durable.recordCount === 0 ? this.#segment.segmentId : 0
    if (this.#segment !== undefined && emptyId === 0) {
      this.#file!.truncate(this.#durable.offset)
      syncOrDistrust(this.#disk, this.#dir, this.#file!)
    }
    const manifest: Manifest = {
      ...this.#sealedManifest(), openSegmentId: 0, clean: true, generation: this.#manifest.generation + 1,
    }
    try {
      stageManifest(this.#disk, this.#dir, manifest)
    } catch (error) {
      // The seal itself tells the next start as much.
      if (isDiskFull(error)) return
      throw error
    }
    publishManifest(this.#disk, this.#dir)
    this.#manifest = manifest
    if (emptyId !== 0) removeIfThere(this.#disk, segmentPath(this.#dir, emptyId))
  }

  /** Gives the file back; syncs nothing. What is staged is dropped. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#file?.close()
    this.#file = undefined
    this.#failure ??= new DbError('shutting_down', 'the WAL is closed')
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #poison(code: 'durability_failed' | 'io_error', error: unknown, what: string): never {
    const errno = errnoOf(error)
    const message = error instanceof Error ? error.message : String(error)
    this.#failure = new DbError(code, `${what}: ${message}`,
      { errno: errno ?? null, doing: what, segmentId: this.segmentId, offset: this.#durable.offset }, { cause: error })
    // A bug shows as what it is, and poisons all the same.
    throw errno === undefined ? error : this.#failure
  }

  /** Any error of `work` is final; one of the system's becomes an `io_error`. */
  #guard<T>(what: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (isDbError(error)) this.#failure = error
      if (errnoOf(error) === undefined) throw error
      return this.#poison('io_error', error, what)
    }
  }
}

const progressAt = (offset: number, chain: Chain): Progress =>
  ({ ...chain, offset, lastRecordOffset: 0, recordCount: 0 })
