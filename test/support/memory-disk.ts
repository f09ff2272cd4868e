import { dirname, basename } from 'node:path'
import type { Disk, DiskFile } from '../../src/base/disk.ts'
import type { Random } from '../../src/base/random.ts'

/*
 * A disk in memory with a crash model that is harsher than any real one (RELIABILITY 4.3):
 * - Each 512-byte sector that was written since the file's last sync is, independently, old, new, a mix of both, or garbage.
 * - Creations, renames and removals since the folder's last sync persist as a random subset; syncing a file does not make
 *   its name durable.
 * - A folder that was made since its parent's last sync is there or not, with everything in it.
 * - A file's size since its last sync is the old or the new one.
 * - A sync that fails leaves pages clean, readable and lost (as measured on ext4).
 */

export const SECTOR_BYTES = 512

class SystemError extends Error {
  readonly code: string

  constructor(code: string, syscall: string, path: string) {
    super(`${code}: ${syscall} '${path}'`)
    this.code = code
  }
}

export const systemError = (code: string, syscall: string, path: string): Error => new SystemError(code, syscall, path)

class Inode {
  bytes = new Uint8Array(0)
  size = 0
  durable = new Uint8Array(0)
  durableSize = 0
  readonly dirty = new Set<number>()

  reserve(size: number): void {
    if (size <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(size, this.bytes.length * 2))
    grown.set(this.bytes)
    this.bytes = grown
  }

  sync(): void {
    if (this.durable.length < this.bytes.length) {
      const grown = new Uint8Array(this.bytes.length)
      grown.set(this.durable)
      this.durable = grown
    }
    for (const sector of this.dirty) {
      const start = sector * SECTOR_BYTES
      this.durable.set(this.bytes.subarray(start, Math.min(start + SECTOR_BYTES, this.bytes.length)), start)
    }
    // Bytes behind a truncation read as zeros when the file grows again.
    this.durable.fill(0, this.size)
    this.durableSize = this.size
    this.dirty.clear()
  }

  /** What a power cut leaves. */
  crashed(random: Random): Inode {
    const after = new Inode()
    after.size = random.u32() % 2 === 0 ? this.durableSize : this.size
    after.reserve(Math.max(after.size, 1))
    after.bytes.set(this.durable.subarray(0, Math.min(this.durable.length, after.size)))
    for (const sector of this.dirty) this.#crashSector(after, sector, random)
    after.bytes.fill(0, after.size)
    after.durable = after.bytes.slice()
    after.durableSize = after.size
    return after
  }

  #crashSector(after: Inode, sector: number, random: Random): void {
    const start = sector * SECTOR_BYTES
    const end = Math.min(start + SECTOR_BYTES, after.size, this.bytes.length)
    if (end <= start) return
    const fresh = this.bytes.subarray(start, end)
    const fate = random.u32() % 4
    if (fate === 1) after.bytes.set(fresh, start)
    if (fate === 2) after.bytes.set(fresh.subarray(0, random.u32() % fresh.length), start)
    if (fate === 3) for (let i = start; i < end; i++) after.bytes[i] = random.u32() & 0xff
  }
}

type DirectoryOp =
  | { readonly kind: 'link', readonly name: string, readonly inode: Inode }
  | { readonly kind: 'unlink', readonly name: string }
  | { readonly kind: 'rename', readonly from: string, readonly to: string, readonly inode: Inode }

class Directory {
  readonly names = new Map<string, Inode>()
  readonly durable = new Map<string, Inode>()
  pending: DirectoryOp[] = []

  apply(op: DirectoryOp): void {
    applyTo(this.names, op)
    this.pending.push(op)
  }

  sync(): void {
    for (const op of this.pending) applyTo(this.durable, op)
    this.pending = []
  }
}

function applyTo(names: Map<string, Inode>, op: DirectoryOp): void {
  switch (op.kind) {
    case 'link':
      names.set(op.name, op.inode)
      break
    case 'unlink':
      names.delete(op.name)
      break
    case 'rename':
      names.delete(op.from)
      names.set(op.to, op.inode)
      break
  }
}

class MemoryFile implements DiskFile {
  readonly path: string
  readonly #disk: MemoryDisk
  readonly #inode: Inode

  constructor(disk: MemoryDisk, path: string, inode: Inode) {
    this.path = path
    this.#disk = disk
    this.#inode = inode
  }

  pread(buffer: Uint8Array, offset: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.#inode.size - position))
    buffer.set(this.#inode.bytes.subarray(position, position + count), offset)
    return count
  }

  pwrite(buffer: Uint8Array, offset: number, length: number, position: number): void {
    const inode = this.#inode
    const grows = Math.max(0, position + length - inode.size)
    if (grows > this.#disk.freeBytes(this.path)) {
      throw Object.assign(systemError('ENOSPC', 'pwrite', this.path), { bytesWritten: 0 })
    }
    inode.reserve(position + length)
    inode.bytes.set(buffer.subarray(offset, offset + length), position)
    inode.size = Math.max(inode.size, position + length)
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < position + length; sector++) {
      inode.dirty.add(sector)
    }
  }

  fdatasync(): void {
    this.#inode.sync()
  }

  fsync(): void {
    this.#inode.sync()
  }

  /** What a failed sync does: the pages are clean now, readable, and will never be written. */
  loseDirty(): void {
    this.#inode.dirty.clear()
  }

  truncate(bytes: number): void {
    this.#inode.reserve(bytes)
    this.#inode.bytes.fill(0, bytes)
    this.#inode.size = bytes
  }

  size(): number {
    return this.#inode.size
  }

  close(): void {
    // Nothing: a closed file's dirty pages stay dirty.
  }
}

/** A file as it is on the disk, whatever has been written since. */
class DurableFile implements DiskFile {
  readonly path: string
  readonly #inode: Inode

  constructor(path: string, inode: Inode) {
    this.path = path
    this.#inode = inode
  }

  pread(buffer: Uint8Array, offset: number, length: number, position: number): number {
    const { durable, durableSize } = this.#inode
    const count = Math.max(0, Math.min(length, durableSize - position))
    buffer.fill(0, offset, offset + count)
    buffer.set(durable.subarray(position, Math.max(position, Math.min(position + count, durable.length))), offset)
    return count
  }

  size(): number {
    return this.#inode.durableSize
  }

  pwrite(): void { throw systemError('EROFS', 'pwrite', this.path) }
  truncate(): void { throw systemError('EROFS', 'truncate', this.path) }
  fdatasync(): void { /* it is synced */ }
  fsync(): void { /* it is synced */ }
  close(): void { /* nothing is held */ }
}

export class MemoryDisk implements Disk {
  readonly #directories = new Map<string, Directory>([['/', new Directory()]])
  /** Made since their parent's last sync. */
  readonly #unsyncedDirectories = new Set<string>()
  capacityBytes = Infinity

  #directory(path: string, syscall: string): Directory {
    const directory = this.#directories.get(path)
    if (directory === undefined) throw systemError('ENOENT', syscall, path)
    return directory
  }

  open(path: string, mode: 'read' | 'write' | 'create'): MemoryFile {
    const directory = this.#directory(dirname(path), 'open')
    const name = basename(path)
    let inode = directory.names.get(name)
    if (mode === 'create') {
      if (inode !== undefined) throw systemError('EEXIST', 'open', path)
      inode = new Inode()
      directory.apply({ kind: 'link', name, inode })
    }
    if (inode === undefined) throw systemError('ENOENT', 'open', path)
    return new MemoryFile(this, path, inode)
  }

  rename(from: string, to: string): void {
    const directory = this.#directory(dirname(from), 'rename')
    if (dirname(to) !== dirname(from)) throw systemError('EXDEV', 'rename', to)
    const inode = directory.names.get(basename(from))
    if (inode === undefined) throw systemError('ENOENT', 'rename', from)
    directory.apply({ kind: 'rename', from: basename(from), to: basename(to), inode })
  }

  unlink(path: string): void {
    const directory = this.#directory(dirname(path), 'unlink')
    if (!directory.names.has(basename(path))) throw systemError('ENOENT', 'unlink', path)
    directory.apply({ kind: 'unlink', name: basename(path) })
  }

  mkdir(path: string): void {
    if (!this.#directories.has(dirname(path))) this.mkdir(dirname(path))
    if (this.#directories.has(path)) return
    this.#directories.set(path, new Directory())
    this.#unsyncedDirectories.add(path)
  }

  list(path: string): string[] {
    const folders = [...this.#directories.keys()].filter((name) => name !== '/' && dirname(name) === path).map((name) => basename(name))
    return [...this.#directory(path, 'scandir').names.keys(), ...folders].sort()
  }

  exists(path: string): boolean {
    return this.#directories.has(path) || (this.#directories.get(dirname(path))?.names.has(basename(path)) ?? false)
  }

  syncDir(path: string): void {
    this.#directory(path, 'fsync').sync()
    for (const made of this.#unsyncedDirectories) if (dirname(made) === path) this.#unsyncedDirectories.delete(made)
  }

  freeBytes(_path: string): number {
    let used = 0
    for (const directory of this.#directories.values()) {
      for (const inode of new Set(directory.names.values())) used += inode.size
    }
    return Math.max(0, this.capacityBytes - used)
  }

  /** The disk after a power cut now. This one goes on as if nothing had happened. */
  crash(random: Random): MemoryDisk {
    const after = new MemoryDisk()
    after.capacityBytes = this.capacityBytes
    // One fate an inode, by whatever names it is found.
    const inodes = new Map<Inode, Inode>()
    for (const [path, directory] of this.#directories) {
      if (path !== '/' && !after.#directories.has(dirname(path))) continue // a folder above it is gone
      if (this.#unsyncedDirectories.has(path) && random.u32() % 2 === 0) continue
      const names = new Map(directory.durable)
      for (const op of directory.pending) if (random.u32() % 2 === 0) applyTo(names, op)
      const copy = new Directory()
      for (const [name, inode] of names) {
        let crashed = inodes.get(inode)
        if (crashed === undefined) inodes.set(inode, crashed = inode.crashed(random))
        copy.names.set(name, crashed)
        copy.durable.set(name, crashed)
      }
      after.#directories.set(path, copy)
    }
    return after
  }

  /**
   * What is on the disk for certain, and stays so while it changes: what a power cut leaves that takes all that it may.
   * To read only.
   */
  durableView(): Disk {
    const directoryOf = (path: string): Directory | undefined => {
      for (let at = path; at !== '/'; at = dirname(at)) if (this.#unsyncedDirectories.has(at)) return undefined
      return this.#directories.get(path)
    }
    const refuse = (path: string): never => { throw systemError('EROFS', 'change', path) }
    return {
      open(path, mode) {
        const inode = directoryOf(dirname(path))?.durable.get(basename(path))
        if (inode === undefined) throw systemError('ENOENT', 'open', path)
        return mode === 'create' ? refuse(path) : new DurableFile(path, inode)
      },
      list: (path) => [...directoryOf(path)?.durable.keys() ?? []].sort(),
      exists: (path) => directoryOf(path) !== undefined || (directoryOf(dirname(path))?.durable.has(basename(path)) ?? false),
      freeBytes: (path) => this.freeBytes(path),
      rename: refuse, unlink: refuse, mkdir: refuse, syncDir: refuse,
    }
  }

  /** A copy that shares nothing, everything synced: a starting point for many trials. */
  clone(): MemoryDisk {
    const copy = new MemoryDisk()
    copy.capacityBytes = this.capacityBytes
    for (const [path, directory] of this.#directories) {
      copy.mkdir(path)
      if (path !== '/') copy.syncDir(dirname(path))
      for (const name of directory.names.keys()) copy.writeFile(`${path}/${name}`, this.readFile(`${path}/${name}`))
    }
    return copy
  }

  readFile(path: string): Uint8Array {
    const file = this.open(path, 'read')
    const bytes = new Uint8Array(file.size())
    file.pread(bytes, 0, bytes.length, 0)
    return bytes
  }

  /** Replaces or makes a file, durable at once. */
  writeFile(path: string, bytes: Uint8Array): void {
    if (this.exists(path)) this.unlink(path)
    const file = this.open(path, 'create')
    file.pwrite(bytes, 0, bytes.length, 0)
    file.fsync()
    this.syncDir(dirname(path))
  }

  /** Flips bits of one byte where it lies, behind everybody's back. */
  flip(path: string, offset: number, mask: number): void {
    const file = this.open(path, 'write')
    const byte = new Uint8Array(1)
    file.pread(byte, 0, 1, offset)
    byte[0]! ^= mask
    file.pwrite(byte, 0, 1, offset)
    file.fsync()
  }
}
