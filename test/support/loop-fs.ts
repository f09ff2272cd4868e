import { execFileSync } from 'node:child_process'
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MiB } from '../../src/base/units.ts'

export type FileSystemKind = 'ext4' | 'xfs'

/** Programs that a loop file system needs, for `requireTool`. */
export const LOOP_TOOLS = ['mkfs.ext4', 'mkfs.xfs', 'xfs_io', 'mount', 'umount', 'losetup'] as const

export const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/** A killed process lets go of its files a little later than its parent hears of it. */
export function unmountWhenFree(mountDir: string): void {
  for (let attempt = 0; ; attempt++) {
    try {
      run('umount', mountDir)
      return
    } catch (error) {
      if (attempt >= 50) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    }
  }
}

/** Makes an empty one in a sparse file of `bytes`. */
export function makeImage(kind: FileSystemKind, image: string, bytes: number): void {
  const fd = openSync(image, 'wx')
  ftruncateSync(fd, bytes)
  closeSync(fd)
  // -m 0: root would otherwise have a reserve that freeBytes() does not count.
  if (kind === 'ext4') run('mkfs.ext4', '-q', '-F', '-m', '0', image)
  else run('mkfs.xfs', '-q', '-f', image)
}

/**
 * A file system of its own in a file: can be filled, and can lose its power. Call `remove` in the test's teardown,
 * whatever happened.
 */
export class LoopFs {
  readonly kind: FileSystemKind
  readonly #folder: string
  readonly #image: string
  /** Where it is mounted. */
  readonly mountDir: string
  #mounted = false

  private constructor(kind: FileSystemKind, folder: string) {
    this.kind = kind
    this.#folder = folder
    this.#image = join(folder, 'image')
    this.mountDir = join(folder, 'mnt')
  }

  /** Makes and mounts one of `bytes` (xfs wants at least 300 MiB). @throws where mounting is not allowed here. */
  static create(kind: FileSystemKind, bytes: number): LoopFs {
    const fs = new LoopFs(kind, mkdtempSync(join(tmpdir(), `stemedb-${kind}-`)))
    try {
      mkdirSync(fs.mountDir)
      makeImage(kind, fs.#image, bytes)
      fs.mount()
    } catch (error) {
      fs.remove()
      throw error
    }
    return fs
  }

  mount(): void {
    run('mount', '-o', 'loop', this.#image, this.mountDir)
    this.#mounted = true
  }

  /** The process that used it must be gone. */
  unmount(): void {
    unmountWhenFree(this.mountDir)
    this.#mounted = false
  }

  /** From now on nothing reaches the device any more, its log included: as when the power goes. */
  cutPower(): void {
    run('xfs_io', '-x', '-c', 'shutdown', this.mountDir)
  }

  freeBytes(): number {
    const stat = statfsSync(this.mountDir)
    return stat.bavail * stat.bsize
  }

  /** Takes all free space but about `leaveBytes`; the result gives it back. */
  fill(leaveBytes = 0): () => void {
    const path = join(this.mountDir, `ballast-${process.pid}`)
    const fd = openSync(path, 'wx')
    try {
      const chunk = new Uint8Array(1 * MiB)
      let size = chunk.length
      let position = 0
      while (size >= 512) {
        if (this.freeBytes() - size < leaveBytes) {
          size >>= 1
          continue
        }
        try {
          position += writeSync(fd, chunk, 0, size, position)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          size >>= 1
        }
      }
      try {
        fsyncSync(fd)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error // delayed allocation found no room: full is full
      }
    } finally {
      closeSync(fd)
    }
    return () => unlinkSync(path)
  }

  /** Unmounts and deletes it. Never throws for what is gone already. */
  remove(): void {
    if (this.#mounted) {
      try {
        this.unmount()
      } catch {
        run('umount', '-l', this.mountDir) // something still holds it; the kernel finishes when that ends
      }
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
