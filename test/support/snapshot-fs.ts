import { execFile, execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { GiB } from '../../src/base/units.ts'
import { LoopFs, makeImage, unmountWhenFree, type FileSystemKind } from './loop-fs.ts'

const run = promisify(execFile)

/** Sparse: it takes what the inner images write. */
const OUTER_BYTES = 6 * GiB

/**
 * A file system whose device can be copied in an instant while it is in use: its image lies on an xfs that shares blocks
 * between copies. A copy is what the device had at one moment, as a power cut leaves it: nothing that only the page cache
 * held, and no file system that was unmounted in order. Call `remove` in the test's teardown, whatever happened.
 */
export class SnapshotFs {
  readonly #kind: FileSystemKind
  readonly #outer: LoopFs
  readonly #image: string
  readonly #mounted = new Set<string>()
  readonly mountDir: string

  private constructor(kind: FileSystemKind, outer: LoopFs) {
    this.#kind = kind
    this.#outer = outer
    this.#image = join(outer.mountDir, 'image')
    this.mountDir = join(outer.mountDir, 'mnt')
  }

  static create(kind: FileSystemKind, bytes: number): SnapshotFs {
    const fs = new SnapshotFs(kind, LoopFs.create('xfs', OUTER_BYTES))
    try {
      makeImage(kind, fs.#image, bytes)
      fs.#mount(fs.#image, fs.mountDir)
    } catch (error) {
      fs.remove()
      throw error
    }
    return fs
  }

  #mount(image: string, mountDir: string): void {
    mkdirSync(mountDir, { recursive: true })
    // Copies of one xfs have one id, which is refused a second time otherwise.
    execFileSync('mount', ['-o', this.#kind === 'xfs' ? 'loop,nouuid' : 'loop', image, mountDir])
    this.#mounted.add(mountDir)
  }

  #unmount(mountDir: string): void {
    unmountWhenFree(mountDir)
    this.#mounted.delete(mountDir)
  }

  #pathOf(number: number): string {
    return join(this.#outer.mountDir, `snapshot-${number}`)
  }

  /** Copies the device as it is at some moment between the call and its end. */
  async take(number: number): Promise<void> {
    await run('cp', ['--reflink=always', this.#image, this.#pathOf(number)])
  }

  /** Mounts a copy, which makes its file system whole again by its journal, and gives it to `work`. */
  async open<T>(number: number, work: (mountDir: string) => T | Promise<T>): Promise<T> {
    const mountDir = join(this.#outer.mountDir, 'copy')
    this.#mount(this.#pathOf(number), mountDir)
    try {
      return await work(mountDir)
    } finally {
      this.#unmount(mountDir)
    }
  }

  drop(number: number): void {
    rmSync(this.#pathOf(number), { force: true })
  }

  /** Unmounts and deletes all of it. */
  remove(): void {
    for (const mountDir of [...this.#mounted].reverse()) {
      try {
        this.#unmount(mountDir)
      } catch {
        execFileSync('umount', ['-l', mountDir]) // something still holds it; the kernel finishes when that ends
      }
    }
    this.#outer.remove()
  }
}
