import type { Disk } from './disk.ts'
import { DbError, errnoOf } from './errors.ts'

/** No space, no quota, no inode, or a limit of the process on the size of files. */
export function isDiskFull(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG'
}

export function removeIfThere(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.unlink(path)
}

/** A new file with these bytes, synced; its name is not. Takes the place of a leftover. */
export function writeSynced(disk: Disk, path: string, bytes: Uint8Array): void {
  removeIfThere(disk, path)
  const file = disk.open(path, 'create')
  try {
    file.pwrite(bytes, 0, bytes.length, 0)
    file.fsync()
  } finally {
    file.close()
  }
}

/**
 * Does `work`, and tells of a system call that fails as `disk_full` or `io_error`.
 * @param what for the message, as in "reading the proof log"
 * @throws {DbError} those, and whatever else `work` throws
 */
export function onDisk<T>(what: string, path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new DbError(isDiskFull(error) ? 'disk_full' : 'io_error', `${what} failed: ${errno}`, { path, errno }, { cause: error })
  }
}
