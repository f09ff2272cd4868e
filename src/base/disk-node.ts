import * as fs from 'node:fs'
import type { Disk, DiskFile } from './disk.ts'
import { errnoOf } from './errors.ts'

class NodeFile implements DiskFile {
  readonly path: string
  readonly #fd: number

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  pread(buffer: Uint8Array, offset: number, length: number, position: number): number {
    let done = 0
    while (done < length) {
      const count = fs.readSync(this.#fd, buffer, offset + done, length - done, position + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  pwrite(buffer: Uint8Array, offset: number, length: number, position: number): void {
    let done = 0
    try {
      while (done < length) done += fs.writeSync(this.#fd, buffer, offset + done, length - done, position + done)
    } catch (error) {
      throw Object.assign(error as Error, { bytesWritten: done })
    }
  }

  fdatasync(): void {
    fs.fdatasyncSync(this.#fd)
  }

  fsync(): void {
    fs.fsyncSync(this.#fd)
  }

  truncate(bytes: number): void {
    fs.ftruncateSync(this.#fd, bytes)
  }

  size(): number {
    return fs.fstatSync(this.#fd).size
  }

  close(): void {
    fs.closeSync(this.#fd)
  }
}

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const

/** The operating system's files. */
export const nodeDisk: Disk = {
  open: (path, mode) => new NodeFile(path, fs.openSync(path, FLAGS[mode], 0o600)),
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  mkdir: (path) => void fs.mkdirSync(path, { recursive: true, mode: 0o700 }),
  list: (path) => fs.readdirSync(path).sort(),
  exists(path) {
    try {
      fs.statSync(path)
      return true
    } catch (error) {
      // What may not be looked at may well be there: existsSync calls that absent.
      if (errnoOf(error) === 'ENOENT') return false
      throw error
    }
  },
  syncDir(path) {
    const fd = fs.openSync(path, 'r')
    try {
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  },
  freeBytes(path) {
    const stat = fs.statfsSync(path)
    return stat.bavail * stat.bsize
  },
}
