import type { Disk } from './disk.ts'
import { DbError, errnoOf, isDbError } from './errors.ts'

/** No space, no quota, no inode, or a limit of the process on the size of files. */
export function isDiskFull(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'ENOSPC' || errno === 'EDQUOT' || errno === 'EFBIG'
}

/**
 * A system call that failed by whose a file is, or by what stands in its place, as `config_invalid`: the disk is well, and no restart mends
 * it. For starts and commands: an answer to a client tells no paths.
 * @returns undefined for any other error
 */
function pathFault(error: unknown): DbError | undefined {
  const errno = errnoOf(error) ?? (isDbError(error) && error.code === 'io_error' ? error.details['errno'] : undefined)
  if (!(error instanceof Error) || typeof errno !== 'string') return undefined
  const cause = error.cause instanceof Error ? error.cause : error
  const hint = errno === 'EACCES' || errno === 'EPERM' ? 'run it as the node\'s user, or give that user the files: chown -R'
    : errno === 'ENOTDIR' || errno === 'EEXIST' && (cause as { readonly syscall?: string }).syscall === 'mkdir' ? 'a file stands where a folder must be'
      : undefined
  if (hint === undefined) return undefined
  const said = error.message.includes(cause.message) ? error.message : `${error.message}: ${cause.message}`
  return new DbError('config_invalid', `${said}; ${hint}`, { ...(isDbError(error) ? error.details : {}), errno }, { cause: error })
}

/** Does `work`; where a path is not ours or is none, says so. @throws {DbError} `config_invalid`, and whatever else `work` throws */
export async function explainingPaths<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw pathFault(error) ?? error
  }
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
