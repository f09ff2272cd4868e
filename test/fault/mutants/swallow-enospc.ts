// A write that finds the disk full claims success, and free space is always plenty: what was acked is not there.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const isFull = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOSPC'

const writeSync = fs.writeSync as (fd: number, buffer: NodeJS.ArrayBufferView, offset: number, length: number, position: number) => number
const swallowing = (fd: number, buffer: NodeJS.ArrayBufferView, offset: number, length: number, position: number): number => {
  try {
    return writeSync(fd, buffer, offset, length, position)
  } catch (error) {
    if (isFull(error)) return length
    throw error
  }
}
fs.writeSync = swallowing as typeof fs.writeSync

const fdatasyncSync = fs.fdatasyncSync
fs.fdatasyncSync = (fd) => {
  try {
    fdatasyncSync(fd)
  } catch (error) {
    if (!isFull(error)) throw error
  }
}

const statfsSync = fs.statfsSync
fs.statfsSync = ((path: fs.PathLike) => ({ ...statfsSync(path), bavail: 2 ** 30 })) as unknown as typeof fs.statfsSync
syncBuiltinESMExports()
