import { join } from 'node:path'
import type { Disk, DiskFile } from '../base/disk.ts'
import { isDiskFull, removeIfThere } from '../base/disk-files.ts'
import { assert } from '../base/assert.ts'
import type { Secrets } from '../base/random.ts'
import { MiB } from '../base/units.ts'
import type { Manifest, SealedSegment } from './manifest.codec.ts'
import { MANIFEST_SEGMENTS_MAX } from './manifest.layout.ts'
import { encodeSegmentHeader, type SegmentHeader } from './segment.codec.ts'
import { segmentBytesOf } from './segment.layout.ts'
import { SegmentCursor, type Chain } from './segment-cursor.ts'
import { chainBehind, scanSegment } from './segment-scan.ts'
import {
  MANIFEST_TMP_NAME, OPENING_NAME, TAIL_TMP_SUFFIX, publishManifest, segmentPath, stageManifest,
  takeNext, walCorrupt, type SegmentSizes,
} from './wal-files.ts'

export interface OpeningOptions extends SegmentSizes {
  /** Eight bytes. */
  readonly nodeId: Uint8Array
  /** Tags of new segments come from here. */
  readonly secrets: Secrets
}

function newHeader(segmentId: number, chain: Chain, options: OpeningOptions): SegmentHeader {
  const tag = options.secrets.bytes(8)
  const view = new DataView(tag.buffer, tag.byteOffset, 8)
  return {
    nodeId: options.nodeId, tagLo: view.getUint32(0, true), tagHi: view.getUint32(4, true), segmentId,
    segmentBytes: segmentBytesOf(options.segmentBytes), lsnFirst: chain.nextLsn, hlcBefore: chain.hlcLast,
    prevHeaderCrc: chain.headerCrc, headerCrc: 0,
  }
}

/**
 * Everything of an opening that needs space: the segment's header in the prepared file, the new manifest beside the
 * old one, both synced. Where space runs out, what it made is removed.
 */
function stage(disk: Disk, dir: string, header: SegmentHeader, manifest: Manifest, options: OpeningOptions): 'staged' | 'disk_full' {
  try {
    const file = takeNext(disk, dir, options)
    if (file === 'disk_full') return 'disk_full'
    try {
      const bytes = encodeSegmentHeader(header)
      file.pwrite(bytes, 0, bytes.length, 0)
      file.fdatasync()
    } finally {
      file.close()
    }
    stageManifest(disk, dir, manifest)
    return 'staged'
  } catch (error) {
    if (!isDiskFull(error)) throw error
    removeIfThere(disk, join(dir, OPENING_NAME))
    removeIfThere(disk, join(dir, MANIFEST_TMP_NAME))
    return 'disk_full'
  }
}

/**
 * Opens a new segment behind `manifest.sealed`. Order, each step durable before the next: the segment's header; its
 * name; the manifest that names it. So a manifest never names a segment that may be missing, and no record is
 * written into one that the manifest does not name.
 * @param manifest what is to become, but for `openSegmentId` and `generation`.
 * @returns 'disk_full' with nothing changed. @throws the disk's errors: then the state on disk is one of the two, and
 *   only a recovery tells which.
 */
export function openNextSegment(
  disk: Disk, dir: string, manifest: Manifest, chain: Chain, options: OpeningOptions,
): { manifest: Manifest, header: SegmentHeader } | 'disk_full' {
  const segmentId = (manifest.sealed.at(-1)?.segmentId ?? 0) + 1
  assert(manifest.sealed.length < MANIFEST_SEGMENTS_MAX, 'the manifest has room')
  const header = newHeader(segmentId, chain, options)
  const next: Manifest = { ...manifest, openSegmentId: segmentId, clean: false, generation: manifest.generation + 1 }
  if (stage(disk, dir, header, next, options) === 'disk_full') return 'disk_full'
  disk.rename(join(dir, OPENING_NAME), segmentPath(dir, segmentId))
  disk.syncDir(dir)
  publishManifest(disk, dir)
  return { manifest: next, header }
}

/** The open segment that recovery found, up to its last valid record. */
export interface OpenTail {
  readonly header: SegmentHeader
  readonly sealed: SealedSegment
}

const COPY_BYTES = MiB

function copyFile(from: DiskFile, to: DiskFile, bytes: number): void {
  const buffer = new Uint8Array(Math.min(COPY_BYTES, bytes))
  for (let at = 0; at < bytes; at += buffer.length) {
    const count = from.pread(buffer, 0, Math.min(buffer.length, bytes - at), at)
    to.pwrite(buffer, 0, count, at)
  }
}

/** The copy says what was recovered, read back. @throws {DbError} `wal_corrupt` */
function checkCopy(file: DiskFile, tail: OpenTail): void {
  const scan = scanSegment(new SegmentCursor(), file, tail.header, file.size())
  if (scan.end !== tail.sealed.bytesUsed || scan.chain.headerCrc !== tail.sealed.lastHeaderCrc) {
    throw walCorrupt('the segment reads differently the second time', tail.header.segmentId, scan.end, scan.chain.nextLsn)
  }
}

/** A new file `copy` with the valid records of a segment, synced and read back; its name is not durable. Takes the place of a leftover. */
export function copyTail(disk: Disk, path: string, copy: string, tail: OpenTail): void {
  removeIfThere(disk, copy)
  const from = disk.open(path, 'read')
  const to = disk.open(copy, 'create')
  try {
    copyFile(from, to, tail.sealed.bytesUsed)
    to.fsync()
    checkCopy(to, tail)
  } finally {
    from.close()
    to.close()
  }
}

/**
 * Replaces the open segment by a synced copy of its valid records, under the same name, so that positions stay. What a
 * process reads after an fsync of an earlier one failed may stand in the page cache only; the copy is on the disk.
 * @returns 'disk_full' with the old file in place.
 */
export function rewriteTail(disk: Disk, dir: string, tail: OpenTail): 'done' | 'disk_full' {
  const path = segmentPath(dir, tail.header.segmentId)
  const tmp = path + TAIL_TMP_SUFFIX
  try {
    copyTail(disk, path, tmp, tail)
  } catch (error) {
    if (!isDiskFull(error)) throw error
    removeIfThere(disk, tmp)
    return 'disk_full'
  }
  disk.rename(tmp, path)
  disk.syncDir(dir)
  return 'done'
}

/** Where the log goes on behind what is sealed. */
export const chainAtEnd = (sealed: readonly SealedSegment[]): Chain => {
  const last = sealed.at(-1)
  return last === undefined ? { nextLsn: 1, hlcLast: 0n, headerCrc: 0 } : chainBehind(last)
}
