import type { Disk, DiskFile } from '../base/disk.ts'
import type { WalPosition } from '../base/lsn.ts'
import type { RecordHeader } from './record.codec.ts'
import type { SegmentHeader } from './segment.codec.ts'
import { SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import { CHUNK_BYTES, SegmentCursor, chainOf } from './segment-cursor.ts'
import { checkSegmentFollows, openSegmentFile, readSegmentHeader } from './segment-scan.ts'
import { doing, walCorrupt } from './wal-files.ts'

export interface WalReaderOptions {
  /** Eight bytes: segments of another node are refused. */
  readonly nodeId: Uint8Array
  /** Most segment files held open at a time. */
  readonly openFilesMax?: number
  /** Size of one read of `next`. */
  readonly chunkBytes?: number
}

const OPEN_FILES_MAX = 64

interface OpenSegment {
  readonly file: DiskFile
  readonly header: SegmentHeader
  readonly size: number
}

/**
 * Reads the log's files: records in order up to a durable position (`seek`, `next`), and single ranges by place
 * (`readRange`). One reader belongs to one thread; any number read while one thread writes.
 */
export class WalReader {
  readonly #disk: Disk
  readonly #dir: string
  readonly #nodeId: Uint8Array
  readonly #openFilesMax: number
  readonly #cursor: SegmentCursor
  /** By segment id, the least recently used first. */
  readonly #open = new Map<number, OpenSegment>()
  #segmentId = 0
  #seekOffset = 0
  #current: OpenSegment | undefined

  constructor(disk: Disk, dir: string, options: WalReaderOptions) {
    this.#disk = disk
    this.#dir = dir
    this.#nodeId = options.nodeId
    this.#openFilesMax = options.openFilesMax ?? OPEN_FILES_MAX
    this.#cursor = new SegmentCursor(options.chunkBytes ?? CHUNK_BYTES)
  }

  /** The current record; as `payload`, valid until the next call. */
  get header(): Readonly<RecordHeader> {
    return this.#cursor.header
  }

  /** Exactly `header.payloadBytes`; a view of the reader's buffer. */
  get payload(): Uint8Array {
    return this.#cursor.payload
  }

  /** Where the current record begins. */
  get segmentId(): number {
    return this.#segmentId
  }

  get offset(): number {
    return this.#cursor.offset
  }

  /** Where the record behind the current one begins: what to `seek` to later. */
  get nextOffset(): number {
    return this.#cursor.nextOffset
  }

  /** The next call of `next` gives the record that begins at `position`, which need not be written yet. */
  seek(position: WalPosition): void {
    this.#segmentId = position.segmentId
    this.#seekOffset = position.offset
    this.#current = undefined
  }

  /**
   * Steps to the next record that begins before `until`, verified: header, payload, and that it follows on the one before.
   * @param until a durable position, not before the last one given.
   * @returns false at `until`.
   * @throws {DbError} `wal_corrupt` naming the place; `format_unsupported`; `io_error`.
   */
  next(until: WalPosition): boolean {
    return doing('reading the WAL', () => this.#next(until))
  }

  #next(until: WalPosition): boolean {
    const cursor = this.#cursor
    for (;;) {
      const isLast = this.#segmentId === until.segmentId
      const offset = this.#current === undefined ? this.#seekOffset : cursor.nextOffset
      if (this.#segmentId > until.segmentId || (isLast && offset >= until.offset)) return false
      const current = this.#current ?? this.#begin()
      cursor.extend(isLast ? until.offset : current.size)
      const outcome = cursor.step()
      if (outcome === 'record') return true
      if (outcome === 'damaged' || isLast) {
        const reason = outcome === 'damaged' ? cursor.fault : 'no record where one must be'
        throw walCorrupt(reason, this.#segmentId, cursor.offset, cursor.chain?.nextLsn ?? 0)
      }
      this.#cross()
    }
  }

  #begin(): OpenSegment {
    const segment = this.#segment(this.#segmentId)
    const offset = this.#seekOffset
    // Only the start of a segment says what its first record follows on.
    const chain = offset === SEGMENT_RECORDS_OFFSET ? chainOf(segment.header) : undefined
    this.#cursor.begin(segment.file, segment.header, offset, offset, chain)
    this.#current = segment
    return segment
  }

  /** To the next segment, which must go on where this one ended: so a cut end shows. */
  #cross(): void {
    const chain = this.#cursor.chain
    const segmentId = this.#segmentId + 1
    const segment = this.#segment(segmentId)
    if (chain !== undefined) checkSegmentFollows(segment.header, chain)
    this.#segmentId = segmentId
    this.#current = segment
    this.#cursor.begin(segment.file, segment.header, SEGMENT_RECORDS_OFFSET, SEGMENT_RECORDS_OFFSET, chainOf(segment.header))
  }

  /**
   * Copies bytes of the log, unverified: the caller has their checksum or their id.
   * @throws {DbError} `wal_corrupt` where they are not there; `io_error`.
   */
  readRange(segmentId: number, offset: number, length: number, out: Uint8Array, outOffset = 0): void {
    doing('reading the WAL', () => {
      const { file } = this.#segment(segmentId)
      if (file.pread(out, outOffset, length, offset) < length) {
        throw walCorrupt(`${length} bytes are not there`, segmentId, offset, 0)
      }
    })
  }

  #segment(segmentId: number): OpenSegment {
    const known = this.#open.get(segmentId)
    if (known !== undefined) {
      this.#open.delete(segmentId)
      this.#open.set(segmentId, known)
      return known
    }
    const file = openSegmentFile(this.#disk, this.#dir, segmentId, 0)
    try {
      const header = readSegmentHeader(file, this.#nodeId, segmentId, 0)
      const segment = { file, header, size: file.size() }
      this.#evict()
      this.#open.set(segmentId, segment)
      return segment
    } catch (error) {
      file.close()
      throw error
    }
  }

  /** Makes room for one more file; the one that `next` reads from stays. */
  #evict(): void {
    for (const [segmentId, { file }] of this.#open) {
      if (this.#open.size < this.#openFilesMax) return
      if (segmentId === this.#segmentId) continue
      this.#open.delete(segmentId)
      file.close()
    }
  }

  close(): void {
    for (const { file } of this.#open.values()) file.close()
    this.#open.clear()
    this.#current = undefined
  }
}
