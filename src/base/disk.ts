/**
 * The seam to file storage. All calls are synchronous: the WAL's thread has nothing else to do while it syncs, and
 * a fault test can count system calls. Errors are those of the operating system, with `code` (`EIO`, `ENOSPC`,
 * `EROFS`, `ENOENT`, ...). The simulator implements the same interface over memory (RELIABILITY 4.3).
 */
export interface Disk {
  /** `create` fails with EEXIST where the file is there; `write` opens for reading and writing; `read` to read. */
  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile
  /** Replaces `to` atomically. Durable only after `syncDir` of the folder. */
  rename(from: string, to: string): void
  unlink(path: string): void
  /** With parents; access for the owner only (0700). No error where it exists. */
  mkdir(path: string): void
  /** Names in a folder, sorted. */
  list(path: string): string[]
  /** @throws where nobody can tell: no permission, or a file where a folder must be */
  exists(path: string): boolean
  /** Makes creations, renames and removals in this folder durable. */
  syncDir(path: string): void
  /** Bytes that a process like this one may still allocate on the path's file system. */
  freeBytes(path: string): number
}

export interface DiskFile {
  readonly path: string
  /** Reads up to `length` bytes at `position`; fewer only at the end of the file. Returns the count. */
  pread(buffer: Uint8Array, offset: number, length: number, position: number): number
  /** Writes all `length` bytes at `position`, or throws; the error says how many it has written as `bytesWritten`. */
  pwrite(buffer: Uint8Array, offset: number, length: number, position: number): void
  /** Data and size are durable when it returns. A failure is final for this file: never call it again. */
  fdatasync(): void
  fsync(): void
  truncate(bytes: number): void
  size(): number
  close(): void
}
