import { join } from 'node:path'
import type { Disk } from '../base/disk.ts'
import { onDisk } from '../base/disk-files.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { encodeManifest, type Manifest, type SealedSegment } from './manifest.codec.ts'
import { SEGMENT_RECORDS_OFFSET } from './segment.layout.ts'
import type { SegmentHeader } from './segment.codec.ts'
import { SegmentCursor } from './segment-cursor.ts'
import { chainAtEnd, copyTail, type OpenTail } from './segment-opening.ts'
import { checkScanned, checkSegmentFollows, readSegmentHeader, scanSegment, sealedFrom } from './segment-scan.ts'
import { examineTail } from './tail.ts'
import {
  MANIFEST_NAME, MANIFEST_TMP_NAME, TAIL_TMP_SUFFIX, doing, publishManifest, readManifest, segmentIdOf, segmentName, segmentPath,
  stageManifest, walCorrupt,
} from './wal-files.ts'

/**
 * The last resort for a log that is damaged where no torn end can be: it is cut at the damage, so that a node can start with
 * what is before it. It drops what was acknowledged, so a person asks for it and names the place. Nothing is destroyed: the
 * damaged segment, those behind it and the manifest stay in the folder as `<name>.cut-<n>`, which no start looks at.
 *
 * Killed at any point, it leaves a log that a start refuses as it did before, or one that is cut; run again, it goes on.
 */

const CUT_SUFFIX = '.cut-'

export interface CutPlace {
  readonly segmentId: number
  readonly offset: number
}

export const placeText = ({ segmentId, offset }: CutPlace): string => `${segmentId}:${offset}`

/** What a cut would do; nothing was changed. */
export interface CutPlan {
  readonly place: CutPlace
  /** Why nothing is read behind it. */
  readonly reason: string
  /** What is aside has this behind its name. */
  readonly suffix: string
  /** As it was before. */
  readonly manifest: Manifest
  /** Sealed segments that stay, the damaged one up to the damage. */
  readonly sealed: readonly SealedSegment[]
  /** Of the damaged segment what stays, undefined where that is no record. */
  readonly kept: OpenTail | undefined
  /** Last LSN that stays; 0: none. */
  readonly lsnKept: Lsn
  /** Last LSN that is known to be lost; undefined where the damage is in the segment that was written last, whose end nobody knows. */
  readonly lsnLost: Lsn | undefined
}

export interface CutProgress {
  readonly segmentsDone: number
  readonly segmentsTotal: number
}

interface Damage {
  readonly offset: number
  readonly reason: string
  readonly kept: OpenTail | undefined
}

/**
 * Reads the log up to its first damage, which must be at `at`: it is cut nowhere else.
 * @throws {DbError} `not_found`; `parameter_invalid` where the damage is elsewhere, or nowhere; `wal_corrupt` where segments of
 *   two logs are mixed, which no cut mends; `format_unsupported`, `io_error`
 */
export function planCut(disk: Disk, dir: string, at: CutPlace, onProgress?: (progress: CutProgress) => void): CutPlan {
  return doing('looking for the damage in the WAL', () => new CutPlanner(disk, dir).plan(at, onProgress))
}

class CutPlanner {
  readonly #disk: Disk
  readonly #dir: string
  readonly #manifest: Manifest
  readonly #names: readonly string[]
  readonly #suffix: string
  readonly #cursor = new SegmentCursor()

  constructor(disk: Disk, dir: string) {
    this.#disk = disk
    this.#dir = dir
    const manifest = readManifest(disk, dir)
    if (manifest === undefined) throw new DbError('not_found', `${dir} holds no WAL`, { dir })
    this.#manifest = manifest
    this.#names = disk.list(dir)
    this.#suffix = this.#chooseSuffix()
  }

  plan(at: CutPlace, onProgress?: (progress: CutProgress) => void): CutPlan {
    const { sealed, openSegmentId } = this.#manifest
    const ids = [...sealed.map(({ segmentId }) => segmentId), ...(openSegmentId === 0 ? [] : [openSegmentId])]
    for (const [i, segmentId] of ids.entries()) {
      onProgress?.({ segmentsDone: i, segmentsTotal: ids.length })
      const damage = this.#damageIn(segmentId, sealed.slice(0, i), sealed[i])
      if (damage !== undefined) return this.#planOf({ segmentId, offset: damage.offset }, at, damage)
    }
    throw new DbError('parameter_invalid', 'no record of the log is damaged: there is nothing to cut', { parameter: '--at' })
  }

  #planOf(place: CutPlace, at: CutPlace, { reason, kept }: Damage): CutPlan {
    if (place.segmentId !== at.segmentId || place.offset !== at.offset) {
      throw new DbError('parameter_invalid', `the log's first damage is at ${placeText(place)} (${reason}), not at ${placeText(at)}: it is cut there or nowhere`,
        { parameter: '--at', ...place })
    }
    const { sealed: all, openSegmentId } = this.#manifest
    const sealed = [...all.filter(({ segmentId }) => segmentId < place.segmentId), ...(kept === undefined ? [] : [kept.sealed])]
    return {
      place, reason, suffix: this.#suffix, manifest: this.#manifest, sealed, kept, lsnKept: chainAtEnd(sealed).nextLsn - 1,
      lsnLost: place.segmentId === openSegmentId ? undefined : all.at(-1)!.lsnLast,
    }
  }

  /** That of a cut which did not get as far as the manifest; else one that nothing has yet. */
  #chooseSuffix(): string {
    const numbers = this.#names.map((name) => Number(/\.cut-(\d+)$/.exec(name)?.[1] ?? 0))
    const last = Math.max(0, ...numbers)
    const before = readManifest(this.#disk, this.#dir, MANIFEST_NAME + CUT_SUFFIX + last)
    const isUnfinished = before !== undefined && Buffer.compare(encodeManifest(before), encodeManifest(this.#manifest)) === 0
    return CUT_SUFFIX + (isUnfinished ? last : last + 1)
  }

  /** @param sealed what the manifest says of the segment; undefined for the one that takes records */
  #damageIn(segmentId: number, before: readonly SealedSegment[], sealed: SealedSegment | undefined): Damage | undefined {
    const chain = chainAtEnd(before)
    const path = originalOf(this.#disk, this.#dir, segmentId, this.#suffix)
    if (path === undefined) return { offset: 0, reason: 'the segment\'s file is missing', kept: undefined }
    const file = this.#disk.open(path, 'read')
    try {
      // Shorter than its header, and no record in it is known of: a start makes it anew.
      if (sealed === undefined && file.size() < SEGMENT_RECORDS_OFFSET) return undefined
      let header: SegmentHeader
      try {
        header = readSegmentHeader(file, this.#manifest.nodeId, segmentId, chain.nextLsn)
        if (before.length > 0 || segmentId === 1) checkSegmentFollows(header, chain)
        if (sealed !== undefined && sealed.segmentHeaderCrc !== header.headerCrc) throw walCorrupt('the segment is not the one that was sealed', segmentId, 0, chain.nextLsn)
      } catch (error) {
        if (!isDbError(error) || error.code !== 'wal_corrupt') throw error
        return { offset: 0, reason: String(error.details['reason']), kept: undefined }
      }
      const scan = scanSegment(this.#cursor, file, header, sealed?.bytesUsed ?? file.size())
      if (sealed === undefined ? examineTail(file, header, scan.end).proof === undefined : scan.end === sealed.bytesUsed) {
        if (sealed !== undefined) checkScanned(scan, header, sealed)
        return undefined
      }
      return {
        offset: scan.end, reason: scan.outcome === 'damaged' ? scan.fault : 'no record where one must be',
        kept: scan.recordCount === 0 ? undefined : { header, sealed: sealedFrom(header, scan) },
      }
    } finally {
      file.close()
    }
  }
}

/** Where the segment's file is as it was before the cut: aside already, or in its place. */
function originalOf(disk: Disk, dir: string, segmentId: number, suffix: string): string | undefined {
  const path = segmentPath(dir, segmentId)
  return [path + suffix, path].find((candidate) => disk.exists(candidate))
}

/**
 * Cuts the log as planned. Each step is durable before the next: a copy of the manifest aside; a copy of what stays of the
 * damaged segment, which alone needs space; the segments behind aside, then the damaged one; the copy in its place; the manifest.
 * Nobody else may have the log open. The next start opens a new segment behind what is left.
 * @returns names of what is aside
 * @throws {DbError} `disk_full` before anything is out of its place; `io_error`
 */
export function applyCut(disk: Disk, dir: string, plan: CutPlan): readonly string[] {
  return onDisk('cutting the WAL', dir, () => {
    const { place: { segmentId }, suffix, manifest, sealed, kept } = plan
    const aside = (name: string): void => disk.rename(join(dir, name), join(dir, name + suffix))
    if (!disk.exists(join(dir, MANIFEST_NAME + suffix))) {
      stageManifest(disk, dir, manifest)
      disk.rename(join(dir, MANIFEST_TMP_NAME), join(dir, MANIFEST_NAME + suffix))
      disk.syncDir(dir)
    }
    const path = segmentPath(dir, segmentId)
    const isInPlace = kept !== undefined && disk.exists(path) && disk.exists(path + suffix)
    if (kept !== undefined && !isInPlace) copyTail(disk, originalOf(disk, dir, segmentId, suffix)!, path + TAIL_TMP_SUFFIX, kept)
    for (const name of disk.list(dir)) if ((segmentIdOf(name) ?? 0) > segmentId) aside(name)
    disk.syncDir(dir)
    if (!isInPlace && disk.exists(path)) aside(segmentName(segmentId))
    // Before its name is taken: else a power cut may keep the taking and not the moving.
    disk.syncDir(dir)
    if (kept !== undefined && !isInPlace) disk.rename(path + TAIL_TMP_SUFFIX, path)
    disk.syncDir(dir)
    stageManifest(disk, dir, { ...manifest, sealed, openSegmentId: 0, clean: false, generation: manifest.generation + 1 })
    publishManifest(disk, dir)
    return disk.list(dir).filter((name) => name.endsWith(suffix))
  })
}
