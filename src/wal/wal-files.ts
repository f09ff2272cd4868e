import { dirname, join } from 'node:path'
import type { Disk, DiskFile } from '../base/disk.ts'
import { isDiskFull, removeIfThere, writeSynced } from '../base/disk-files.ts'
import { DbError, errnoOf } from '../base/errors.ts'
import { MiB } from '../base/units.ts'
import type { Lsn } from '../base/lsn.ts'
import { decodeManifest, encodeManifest, type Manifest } from './manifest.codec.ts'
import { MANIFEST_ENTRY_BYTES, MANIFEST_HEADER_BYTES, MANIFEST_SEGMENTS_MAX } from './manifest.layout.ts'
import { SEGMENT_ID_MAX, segmentBytesOf } from './segment.layout.ts'

export const MANIFEST_NAME = 'MANIFEST'
export const MANIFEST_TMP_NAME = 'MANIFEST.tmp'
/** The zero-filled file that becomes the next segment; the preparer alone makes it, under the second name first. */
export const NEXT_NAME = 'NEXT'
export const NEXT_TMP_NAME = 'NEXT.tmp'
/**
 * What `NEXT` is called once the commit thread has taken it, or what that thread fills where none is ready. A name of its
 * own, because the preparer may put another file under `NEXT` at any moment.
 */
export const OPENING_NAME = 'OPENING'

/**
 * An empty file that is there while no sync of the open segment has failed: its pages in memory are then those of the disk, or will be. Who
 * meets a sync that fails takes it away, which needs no space and is seen by the next process; a power cut takes the pages, too.
 */
export const TRUSTED_NAME = 'TRUSTED'

const SEGMENT_SUFFIX = '.wal'
/** A rewritten tail before it takes its segment's name. */
export const TAIL_TMP_SUFFIX = '.tmp'

export const segmentName = (segmentId: number): string => String(segmentId).padStart(10, '0') + SEGMENT_SUFFIX

/** 12 for `0000000012.wal`, undefined for any other name. */
export function segmentIdOf(name: string): number | undefined {
  if (!/^\d{10}\.wal$/.test(name)) return undefined
  const id = Number(name.slice(0, 10))
  return id >= 1 && id <= SEGMENT_ID_MAX ? id : undefined
}

export const segmentPath = (dir: string, segmentId: number): string => join(dir, segmentName(segmentId))

/** The log is damaged at a place; its bytes are left as they are. */
export function walCorrupt(reason: string, segmentId: number, offset: number, lsn: Lsn): DbError {
  return new DbError('wal_corrupt', `WAL segment ${segmentId} at offset ${offset} (LSN ${lsn}): ${reason}`,
    { segmentId, offset, lsn, reason })
}

/** A failed system call becomes an `io_error`; a DbError or a bug stays what it is. */
export function ioError(error: unknown, what: string): unknown {
  const errno = errnoOf(error)
  if (errno === undefined) return error
  const message = error instanceof Error ? error.message : String(error)
  return new DbError('io_error', `${what}: ${message}`, { errno, doing: what }, { cause: error })
}

/** Runs `work`; a system call that fails becomes an `io_error` that says what was being done. @throws {DbError} */
export function doing<T>(what: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw ioError(error, what)
  }
}

/** From now on the open segment may be read from memory, should there ever be no space to copy it. Without space for this, it may not. */
export function trust(disk: Disk, dir: string): void {
  const path = join(dir, TRUSTED_NAME)
  if (disk.exists(path)) return
  try {
    disk.open(path, 'create').close()
  } catch (error) {
    if (!isDiskFull(error)) throw error
  }
}

/** A sync of the open segment has failed: what memory shows of it may never be on the disk. */
export function distrust(disk: Disk, dir: string): void {
  try {
    removeIfThere(disk, join(dir, TRUSTED_NAME))
  } catch (error) {
    // A file system that takes no change any more takes no start either.
    if (errnoOf(error) === undefined) throw error
  }
}

/** A sync of the open segment. @throws what `sync` throws, once nobody trusts the segment any more */
export function syncOrDistrust(disk: Disk, dir: string, file: DiskFile): void {
  try {
    file.fdatasync()
  } catch (error) {
    distrust(disk, dir)
    throw error
  }
}

/** The whole of a small file, or undefined where there is none. @throws {DbError} `wal_corrupt` beyond `bytesMax`. */
function readWhole(disk: Disk, path: string, bytesMax: number): Uint8Array | undefined {
  if (!disk.exists(path)) return undefined
  const file = disk.open(path, 'read')
  try {
    const size = file.size()
    if (size > bytesMax) throw new DbError('wal_corrupt', `${path}: ${size} bytes are too many`, { file: path })
    const bytes = new Uint8Array(size)
    return bytes.subarray(0, file.pread(bytes, 0, size, 0))
  } finally {
    file.close()
  }
}

/** The log's manifest, or undefined in a new folder. @throws {DbError} `wal_corrupt`, `format_unsupported`, `io_error` */
export function readManifest(disk: Disk, dir: string, name = MANIFEST_NAME): Manifest | undefined {
  return doing('reading the WAL manifest', () => {
    const bytesMax = MANIFEST_HEADER_BYTES + MANIFEST_SEGMENTS_MAX * MANIFEST_ENTRY_BYTES
    const bytes = readWhole(disk, join(dir, name), bytesMax)
    return bytes === undefined ? undefined : decodeManifest(bytes)
  })
}

/** A manifest or a segment is there, of whichever node. @throws {DbError} as the disk does */
export function holdsLog(disk: Disk, dir: string): boolean {
  return doing('looking for a WAL', () =>
    disk.exists(dir) && disk.list(dir).some((name) => name === MANIFEST_NAME || segmentIdOf(name) !== undefined))
}

/** The part of a replacement that needs space: the new manifest beside the old one. */
export function stageManifest(disk: Disk, dir: string, manifest: Manifest): void {
  writeSynced(disk, join(dir, MANIFEST_TMP_NAME), encodeManifest(manifest))
}

/** The part that makes it so: the new manifest takes the old one's name, durably. */
export function publishManifest(disk: Disk, dir: string): void {
  disk.rename(join(dir, MANIFEST_TMP_NAME), join(dir, MANIFEST_NAME))
  disk.syncDir(dir)
}

const ZEROS_BYTES = MiB

/**
 * Writes zeros over the whole of a new file and syncs them: later writes into it allocate nothing, so they can not
 * find the disk full, and their fdatasync has no metadata to carry.
 */
function fillWithZeros(file: DiskFile, bytes: number): void {
  const zeros = new Uint8Array(Math.min(ZEROS_BYTES, bytes))
  for (let at = 0; at < bytes; at += zeros.length) file.pwrite(zeros, 0, Math.min(zeros.length, bytes - at), at)
  file.fdatasync()
}

export interface SegmentSizes {
  /** Size of a segment; rounded down to whole pages. */
  readonly segmentBytes: number
  /** Free space that must be left when a segment has been made. */
  readonly reserveBytes: number
}

/**
 * Takes the prepared file for the next segment, under `OPENING_NAME`; makes one here and now where none is ready (or one of
 * another size is: the setting has changed), which takes about 2 ms a MiB.
 * @returns the file, opened for writing; 'disk_full' where there is no space for it, with nothing left behind.
 */
export function takeNext(disk: Disk, dir: string, sizes: SegmentSizes): DiskFile | 'disk_full' {
  const segmentBytes = segmentBytesOf(sizes.segmentBytes)
  const path = join(dir, OPENING_NAME)
  removeIfThere(disk, path)
  if (disk.exists(join(dir, NEXT_NAME))) {
    disk.rename(join(dir, NEXT_NAME), path)
    const file = disk.open(path, 'write')
    if (file.size() === segmentBytes) return file
    file.close()
    disk.unlink(path)
  }
  if (disk.freeBytes(dir) < segmentBytes + sizes.reserveBytes) return 'disk_full'
  const file = disk.open(path, 'create')
  try {
    fillWithZeros(file, segmentBytes)
    return file
  } catch (error) {
    file.close()
    if (!isDiskFull(error)) throw error
    disk.unlink(path)
    return 'disk_full'
  }
}

/** The folder, durable in its parent: synced whoever made it, because a start that made it may have died before its sync. */
export function makeWalDir(disk: Disk, dir: string): void {
  disk.mkdir(dir)
  disk.syncDir(dirname(dir))
}
