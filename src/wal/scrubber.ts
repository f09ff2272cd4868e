import type { Disk, DiskFile } from '../base/disk.ts'
import { errnoOf, isDbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Random } from '../base/random.ts'
import type { SealedSegment } from './manifest.codec.ts'
import type { SegmentHeader } from './segment.codec.ts'
import { SegmentCursor } from './segment-cursor.ts'
import {
  SegmentScan, chainBehind, checkScanned, checkSegmentFollows, openSegmentFile, readSegmentHeader,
} from './segment-scan.ts'
import { examineTail } from './tail.ts'
import { readManifest, walCorrupt } from './wal-files.ts'

/** Where a sealed segment reads differently than it was written. */
export interface ScrubDamage {
  /** 0: the manifest itself. */
  readonly segmentId: number
  readonly offset: number
  /** The first LSN that is in doubt. */
  readonly lsn: Lsn
  readonly reason: string
}

/**
 * What one `read` did. `nothing`: no segment is sealed. `part`: more of the same segment is to come. `checked`: a segment is done.
 * `unread`: the system refused, which says nothing of the bytes.
 */
export type ScrubRead =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'part', readonly bytes: number }
  | { readonly kind: 'checked', readonly bytes: number, readonly segmentId: number, readonly damage: ScrubDamage | undefined }
  | { readonly kind: 'unread', readonly bytes: number, readonly errno: string }

interface OpenScan {
  readonly file: DiskFile
  readonly header: SegmentHeader
  readonly sealed: SealedSegment
  readonly scan: SegmentScan
}

/** Bytes of one read of a file. */
const CHUNK_BYTES = 128 * 1024

/**
 * Reads the sealed segments of a log again, piece by piece and round and round, and holds every byte against checksums, chain
 * and manifest: what to read next, without a clock. Sealed segments never change, so this needs nothing of the writer; what
 * was sealed meanwhile is seen at the next change of segment. After the first damage in a segment the next one is read.
 *
 * It starts at a segment by chance: a node that is often restarted would else read the beginning only.
 */
export class Scrubber {
  readonly #disk: Disk
  readonly #dir: string
  readonly #nodeId: Uint8Array
  readonly #random: Random
  readonly #cursor = new SegmentCursor(CHUNK_BYTES)
  #open: OpenScan | undefined
  /** The segment that was begun last, and the one before it; 0 before the first. */
  #lastId = 0
  #before: SealedSegment | undefined
  /** Where cycles begin, and whether the segment that was begun last is the one before it. */
  #startId = 0
  #endsCycle = false
  #cyclesDone = 0
  #totalBytes = 0

  constructor(disk: Disk, dir: string, nodeId: Uint8Array, random: Random) {
    this.#disk = disk
    this.#dir = dir
    this.#nodeId = nodeId
    this.#random = random
  }

  /** Bytes of all sealed segments, as of the last change of segment. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  /** How often all segments were read. */
  get cyclesDone(): number {
    return this.#cyclesDone
  }

  /** Reads records of at least `bytes`, or up to the end of a segment. @throws what is no error of the disk: a bug. */
  read(bytes: number): ScrubRead {
    const before = this.#open?.scan.offset ?? 0
    let sealed = this.#open?.sealed
    try {
      if (this.#open === undefined) {
        sealed = this.#next()
        if (sealed === undefined) return { kind: 'nothing' }
        this.#begin(sealed)
      }
      return this.#advance(this.#open!, before, bytes)
    } catch (error) {
      const offset = this.#open?.scan.offset ?? 0
      if (sealed !== undefined) this.#endSegment()
      return outcomeOf(error, sealed, offset, Math.max(0, offset - before))
    }
  }

  #advance(open: OpenScan, before: number, bytes: number): ScrubRead {
    const { file, header, sealed, scan } = open
    if (scan.advance(bytes)) return { kind: 'part', bytes: scan.offset - before }
    checkScanned(scan.result(), header, sealed)
    if (examineTail(file, header, sealed.bytesUsed).strayBytes > 0) {
      throw walCorrupt('bytes behind the last record of a sealed segment are not zero', sealed.segmentId, sealed.bytesUsed,
        sealed.lsnLast + 1)
    }
    this.#endSegment()
    return { kind: 'checked', bytes: sealed.bytesUsed - before, segmentId: sealed.segmentId, damage: undefined }
  }

  /** The segment behind the last one, of those that the manifest names now. */
  #next(): SealedSegment | undefined {
    const sealed = readManifest(this.#disk, this.#dir)?.sealed ?? []
    this.#totalBytes = sealed.reduce((sum, segment) => sum + segment.bytesUsed, 0)
    const [first] = sealed
    if (first === undefined) return undefined
    if (this.#startId === 0) {
      this.#startId = sealed[this.#random.u32() % sealed.length]!.segmentId
      this.#lastId = this.#startId - 1
    }
    // Ids have no gap.
    const index = (this.#lastId + 1 - first.segmentId) % sealed.length
    const next = sealed[index]!
    this.#endsCycle = (sealed[index + 1] ?? first).segmentId === this.#startId
    this.#lastId = next.segmentId
    this.#before = sealed[index - 1]
    return next
  }

  #begin(sealed: SealedSegment): void {
    const file = openSegmentFile(this.#disk, this.#dir, sealed.segmentId, sealed.lsnFirst)
    try {
      const header = readSegmentHeader(file, this.#nodeId, sealed.segmentId, sealed.lsnFirst)
      if (this.#before !== undefined) checkSegmentFollows(header, chainBehind(this.#before))
      if (header.headerCrc !== sealed.segmentHeaderCrc) {
        throw walCorrupt('the segment is not the one that was sealed', sealed.segmentId, 0, sealed.lsnFirst)
      }
      const scan = new SegmentScan(this.#cursor, file, header, sealed.bytesUsed)
      this.#open = { file, header, sealed, scan }
    } catch (error) {
      file.close()
      throw error
    }
  }

  #endSegment(): void {
    this.close()
    if (this.#endsCycle) this.#cyclesDone++
  }

  /** Gives the open file back; the next `read` begins the segment behind it. */
  close(): void {
    this.#open?.file.close()
    this.#open = undefined
  }
}

/** Errors that say that the medium itself can not give the bytes. */
const MEDIUM_ERRORS: readonly string[] = ['EIO', 'EUCLEAN', 'ENODATA']

function outcomeOf(error: unknown, sealed: SealedSegment | undefined, offset: number, bytes: number): ScrubRead {
  const segmentId = sealed?.segmentId ?? 0
  const errno = errnoOf(error) ?? (isDbError(error) ? error.details['errno'] : undefined)
  if (typeof errno === 'string' && !MEDIUM_ERRORS.includes(errno)) return { kind: 'unread', bytes, errno }
  const lsn = sealed?.lsnFirst ?? 0
  if (typeof errno === 'string') {
    return { kind: 'checked', bytes, segmentId, damage: { segmentId, offset, lsn, reason: `the disk can not read it (${errno})` } }
  }
  if (!isDbError(error)) throw error
  const { details, message } = error
  const damage = {
    segmentId, offset: Number(details['offset'] ?? 0), lsn: Number(details['lsn'] ?? lsn),
    reason: String(details['reason'] ?? message),
  }
  return { kind: 'checked', bytes, segmentId, damage }
}
