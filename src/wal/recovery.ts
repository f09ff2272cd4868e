import { join } from 'node:path'
import { bytesEqual, toHex } from '../base/bytes.ts'
import type { Disk } from '../base/disk.ts'
import { isDiskFull, removeIfThere } from '../base/disk-files.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { Manifest } from './manifest.codec.ts'
import { RECORD_KIND } from './record.layout.ts'
import { SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import { SegmentCursor } from './segment-cursor.ts'
import { chainAtEnd, openNextSegment, rewriteTail, type OpenTail, type OpeningOptions } from './segment-opening.ts'
import {
  chainBehind, checkSealedEnds, checkSealedWhole, checkSegmentFollows, openSegmentFile, readSegmentHeader, scanSegment,
  sealedFrom,
} from './segment-scan.ts'
import { examineTail } from './tail.ts'
import {
  MANIFEST_TMP_NAME, NEXT_NAME, NEXT_TMP_NAME, OPENING_NAME, TAIL_TMP_SUFFIX, doing, makeWalDir,
  TRUSTED_NAME, readManifest, segmentIdOf, segmentPath, syncOrDistrust, trust, walCorrupt,
} from './wal-files.ts'

export interface RecoverOptions extends OpeningOptions {
  /**
   * Sealed segments that hold this LSN or later ones are read in full; of earlier ones the two ends only. Whoever
   * replays reads and verifies the rest anyway. Default: ends only.
   */
  readonly verifyFromLsn?: Lsn
}

export interface RecoveryProgress {
  readonly segmentsDone: number
  readonly segmentsTotal: number
  readonly bytesRead: number
}

/** What recovery found and made. Plain data, so that it can cross to the thread that writes. */
export interface Recovered {
  readonly manifest: Manifest
  /** Where the oldest record begins. */
  readonly first: WalPosition
  /** End of the last record. Everything before it is durable and may be served. */
  readonly end: WalPosition
  /** 0 in an empty log. */
  readonly lastLsn: Lsn
  readonly lastHlc: Hlc
  /** The log was closed in order: the store may be complete, and nothing was cut. */
  readonly cleanShutdown: boolean
  /** Bytes of a torn group that were cut from the end: never acked, to be reported. */
  readonly truncatedBytes: number
  /** Bytes that the open segment's file is short of its size: no crash does that. To be reported. */
  readonly missingBytes: number
  readonly bytesRead: number
  /** No space for a segment: the log can be read, and takes records when space has come back (WalWriter.rotate). */
  readonly diskFull: boolean
  /** Where even the rewriting of the open segment did not find space: what is still to be done. */
  readonly tail: OpenTail | undefined
}

/** What stands in the folder; nothing was changed. */
export interface Examined {
  /** As on disk; undefined in a new folder. */
  readonly manifest: Manifest | undefined
  /** The open segment, where it holds records. */
  readonly tail: OpenTail | undefined
  readonly cleanShutdown: boolean
  readonly truncatedBytes: number
  readonly missingBytes: number
  readonly bytesRead: number
  /** No sync of the open segment has failed since the last power cut or copy: what memory shows of it is on the disk, or can be synced. */
  readonly isTrusted: boolean
  /** Names that a crash left behind; they hold no acked record. */
  readonly leftovers: readonly string[]
}

/**
 * Reads the log without touching it, and tells a torn tail from corruption (record.codec.ts has the rule).
 * @throws {DbError} `wal_corrupt` naming segment, offset and LSN; `format_unsupported`; `io_error`.
 */
export function examineWal(
  disk: Disk, dir: string, options: Pick<RecoverOptions, 'nodeId' | 'verifyFromLsn'>,
  onProgress?: (progress: RecoveryProgress) => void,
): Examined {
  return doing('reading the WAL', () => new Examination(disk, dir, options, onProgress).run())
}

class Examination {
  readonly #disk: Disk
  readonly #dir: string
  readonly #options: Pick<RecoverOptions, 'nodeId' | 'verifyFromLsn'>
  readonly #onProgress: ((progress: RecoveryProgress) => void) | undefined
  readonly #cursor = new SegmentCursor()
  #bytesRead = 0
  #truncatedBytes = 0
  #missingBytes = 0
  #isSealed = false

  constructor(
    disk: Disk, dir: string, options: Pick<RecoverOptions, 'nodeId' | 'verifyFromLsn'>,
    onProgress: ((progress: RecoveryProgress) => void) | undefined,
  ) {
    this.#disk = disk
    this.#dir = dir
    this.#options = options
    this.#onProgress = onProgress
  }

  run(): Examined {
    const names = this.#disk.exists(this.#dir) ? this.#disk.list(this.#dir) : []
    const manifest = readManifest(this.#disk, this.#dir)
    if (manifest !== undefined) this.#checkOwner(manifest)
    const sealed = manifest?.sealed ?? []
    const segmentsTotal = sealed.length + (manifest !== undefined && manifest.openSegmentId !== 0 ? 1 : 0)
    sealed.forEach((_, i) => {
      this.#examineSealed(manifest!, i)
      this.#onProgress?.({ segmentsDone: i + 1, segmentsTotal, bytesRead: this.#bytesRead })
    })
    const tail = manifest !== undefined && manifest.openSegmentId !== 0 ? this.#examineOpen(manifest) : undefined
    this.#onProgress?.({ segmentsDone: segmentsTotal, segmentsTotal, bytesRead: this.#bytesRead })
    return {
      manifest, tail, cleanShutdown: (manifest?.clean ?? false) || this.#isSealed, truncatedBytes: this.#truncatedBytes,
      missingBytes: this.#missingBytes, bytesRead: this.#bytesRead, isTrusted: names.includes(TRUSTED_NAME), leftovers: this.#leftovers(names, manifest, tail),
    }
  }

  #checkOwner(manifest: Manifest): void {
    if (bytesEqual(manifest.nodeId, this.#options.nodeId)) return
    throw new DbError('wal_corrupt', `the WAL belongs to node ${toHex(manifest.nodeId)}, this is ${toHex(this.#options.nodeId)}`,
      { nodeIdFound: toHex(manifest.nodeId), nodeId: toHex(this.#options.nodeId), reason: 'foreign' })
  }

  #examineSealed(manifest: Manifest, index: number): void {
    const sealed = manifest.sealed[index]!
    const before = manifest.sealed[index - 1]
    const file = openSegmentFile(this.#disk, this.#dir, sealed.segmentId, sealed.lsnFirst)
    try {
      const header = readSegmentHeader(file, this.#options.nodeId, sealed.segmentId, sealed.lsnFirst)
      if (before !== undefined) checkSegmentFollows(header, chainBehind(before))
      checkSealedEnds(file, header, sealed)
      if (sealed.lsnLast >= (this.#options.verifyFromLsn ?? Infinity)) {
        checkSealedWhole(this.#cursor, file, header, sealed)
        this.#bytesRead += sealed.bytesUsed
      }
    } finally {
      file.close()
    }
  }

  #examineOpen(manifest: Manifest): OpenTail | undefined {
    const segmentId = manifest.openSegmentId
    const before = chainAtEnd(manifest.sealed)
    const file = openSegmentFile(this.#disk, this.#dir, segmentId, before.nextLsn)
    try {
      const size = file.size()
      if (size < SEGMENT_RECORDS_OFFSET) {
        // Shorter than its header: it was prepared in full, so somebody cut it. No record is left in it.
        this.#missingBytes = SEGMENT_RECORDS_OFFSET - size
        return undefined
      }
      const header = readSegmentHeader(file, this.#options.nodeId, segmentId, before.nextLsn)
      if (manifest.sealed.length > 0 || segmentId === 1) checkSegmentFollows(header, before)
      const scan = scanSegment(this.#cursor, file, header, size)
      const behind = examineTail(file, header, scan.end)
      this.#bytesRead += size
      if (behind.proof !== undefined) {
        const reason = scan.outcome === 'damaged' ? scan.fault : 'no record where one must be'
        throw walCorrupt(`${reason}; the record at ${behind.proof.offset} shows that it was synced`, segmentId, scan.end,
          scan.chain.nextLsn)
      }
      this.#truncatedBytes = behind.strayBytes
      // A rewritten tail ends with its last record; any other file has the size it was prepared with.
      this.#missingBytes = size === scan.end && scan.recordCount > 0 ? 0 : Math.max(0, header.segmentBytes - size)
      this.#isSealed = scan.lastKind === RECORD_KIND.seal && behind.strayBytes === 0
      return scan.recordCount === 0 ? undefined : { header, sealed: sealedFrom(header, scan) }
    } finally {
      file.close()
    }
  }

  #leftovers(names: readonly string[], manifest: Manifest | undefined, tail: OpenTail | undefined): string[] {
    const known = [NEXT_NAME, NEXT_TMP_NAME, OPENING_NAME, MANIFEST_TMP_NAME]
    const leftovers = names.filter((name) => known.includes(name) || name.endsWith(`.wal${TAIL_TMP_SUFFIX}`))
    const lastSealedId = manifest?.sealed.at(-1)?.segmentId ?? 0
    const lastId = Math.max(lastSealedId, manifest?.openSegmentId ?? 0)
    for (const name of names) {
      const id = segmentIdOf(name)
      if (id === undefined || id <= lastId) continue
      this.#checkOrphan(id, lastId, manifest, tail)
      leftovers.push(name)
    }
    return leftovers
  }

  /**
   * A segment that the manifest does not name: a crash between its naming and the manifest's leaves one, empty, that
   * follows on the last. Anything else is a log whose manifest is older than itself, or is gone.
   */
  #checkOrphan(id: number, lastId: number, manifest: Manifest | undefined, tail: OpenTail | undefined): void {
    const chain = tail === undefined ? chainAtEnd(manifest?.sealed ?? []) : chainBehind(tail.sealed)
    if (id !== lastId + 1) throw walCorrupt('the manifest does not name this segment', id, 0, chain.nextLsn)
    const file = openSegmentFile(this.#disk, this.#dir, id, chain.nextLsn)
    try {
      const header = readSegmentHeader(file, this.#options.nodeId, id, chain.nextLsn)
      checkSegmentFollows(header, chain)
      if (examineTail(file, header, SEGMENT_RECORDS_OFFSET).strayBytes > 0) {
        throw walCorrupt('the manifest does not name this segment, which holds records', id, SEGMENT_RECORDS_OFFSET, chain.nextLsn)
      }
    } finally {
      file.close()
    }
  }
}

/**
 * Makes the log fit to be read and appended to: reads it (examineWal), removes what a crash left behind, rewrites the
 * open segment's valid records into a synced file, and opens a new segment behind. An old segment is never appended
 * to. Killed at any point and started again, it comes to the same records.
 *
 * With a full disk it gets as far as space allows: `diskFull` is set, all records are readable, and the writer
 * completes the work when space has come back. Where a sync had failed before, that is no way: it is refused.
 * @throws {DbError} `wal_corrupt` (nothing was changed), `disk_full`, `format_unsupported` (nothing was changed), `io_error`.
 */
export function recoverWal(
  disk: Disk, dir: string, options: RecoverOptions, onProgress?: (progress: RecoveryProgress) => void,
): Recovered {
  const examined = examineWal(disk, dir, options, onProgress)
  return doing('recovering the WAL', () => settle(disk, dir, examined, options))
}

function settle(disk: Disk, dir: string, examined: Examined, options: RecoverOptions): Recovered {
  const { tail } = examined
  let manifest: Manifest = examined.manifest ??
    { nodeId: options.nodeId, generation: 0, sealed: [], openSegmentId: 0, clean: false }
  const found = {
    first: { segmentId: manifest.sealed[0]?.segmentId ?? Math.max(1, manifest.openSegmentId), offset: SEGMENT_RECORDS_OFFSET },
    cleanShutdown: examined.cleanShutdown, truncatedBytes: examined.truncatedBytes, missingBytes: examined.missingBytes,
    bytesRead: examined.bytesRead,
  }
  const result = (diskFull: boolean, unsettled: OpenTail | undefined): Recovered => {
    const last = unsettled?.sealed ?? manifest.sealed.at(-1)
    return {
      ...found, manifest, diskFull, tail: unsettled, lastLsn: last?.lsnLast ?? 0, lastHlc: last?.hlcLast ?? 0n,
      end: last === undefined ? found.first : { segmentId: last.segmentId, offset: last.bytesUsed },
    }
  }
  makeDir(disk, dir)
  // Frees their space first: what was prepared for the next segment is enough for the rewriting.
  for (const name of examined.leftovers) removeIfThere(disk, join(dir, name))
  if (tail !== undefined) {
    if (rewriteTail(disk, dir, tail) === 'disk_full') {
      if (!examined.isTrusted) throw untrusted(dir, tail)
      clearTorn(disk, dir, tail.header.segmentId, tail.sealed.bytesUsed, examined.truncatedBytes)
      syncInPlace(disk, dir, tail)
      return result(true, tail)
    }
    manifest = { ...manifest, sealed: [...manifest.sealed, tail.sealed], openSegmentId: 0 }
  }
  // What is written from here on goes to files whose syncs this process sees.
  trust(disk, dir)
  // An open segment without records is made anew under its name: an id is never skipped.
  const opened = openNextSegment(disk, dir, manifest, chainAtEnd(manifest.sealed), options)
  if (opened === 'disk_full') {
    if (manifest.openSegmentId !== 0) clearTorn(disk, dir, manifest.openSegmentId, SEGMENT_RECORDS_OFFSET, examined.truncatedBytes)
    manifest = { ...manifest, openSegmentId: 0 }
    return result(true, undefined)
  }
  manifest = opened.manifest
  return result(false, undefined)
}

/**
 * Zeros over what a torn group left in a segment that can not be made anew while the disk is full. Whoever opens it
 * now reads it to the end of the file once the log has gone on; and where it has no record at all, an orderly stop takes
 * its name out of the manifest: a file that nobody names and that is not empty would pass for a log newer than its manifest.
 */
function clearTorn(disk: Disk, dir: string, segmentId: number, offset: number, bytes: number): void {
  if (bytes === 0) return
  const file = disk.open(segmentPath(dir, segmentId), 'write')
  try {
    file.pwrite(new Uint8Array(bytes), 0, bytes, offset)
    syncOrDistrust(disk, dir, file)
  } catch (error) {
    // Only where writing over a file takes space: then it stays as it is.
    if (!isDiskFull(error)) throw error
  } finally {
    file.close()
  }
}

function untrusted(dir: string, { header, sealed }: OpenTail): DbError {
  return new DbError('disk_full',
    `a sync of the log has failed, and there is no space for a copy of its last segment: what can be read of it may not be on the disk; free ${sealed.bytesUsed} bytes`,
    { dir, segmentId: header.segmentId, bytesNeeded: sealed.bytesUsed })
}

function makeDir(disk: Disk, dir: string): void {
  try {
    makeWalDir(disk, dir)
  } catch (error) {
    if (!isDiskFull(error)) throw error
    throw new DbError('disk_full', `no space to make ${dir}`, { dir }, { cause: error })
  }
}

/**
 * There is no space for a copy: what the kernel holds of the old file goes to the disk before anybody reads it. No sync of it has failed, or
 * pages would be in memory only, and clean.
 */
function syncInPlace(disk: Disk, dir: string, tail: OpenTail): void {
  const file = disk.open(segmentPath(dir, tail.header.segmentId), 'write')
  try {
    syncOrDistrust(disk, dir, file)
  } finally {
    file.close()
  }
}

/**
 * Where to start reading for LSNs from `lsn` on: the beginning of the segment that holds it, or the end of the log where
 * it is not written yet. Records before it are still to be skipped.
 */
export function positionOfLsn(recovered: Recovered, lsn: Lsn): WalPosition {
  if (lsn > recovered.lastLsn) return recovered.end
  const { sealed } = recovered.manifest
  let low = 0
  let high = sealed.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sealed[middle]!.lsnLast < lsn) low = middle + 1
    else high = middle
  }
  const segmentId = sealed[low]?.segmentId ?? recovered.end.segmentId
  return { segmentId, offset: SEGMENT_RECORDS_OFFSET }
}
