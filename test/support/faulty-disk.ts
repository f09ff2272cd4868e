import type { Disk, DiskFile } from '../../src/base/disk.ts'
import { systemError } from './memory-disk.ts'

export type DiskCall =
  | 'open' | 'rename' | 'unlink' | 'mkdir' | 'list' | 'syncDir'
  | 'pread' | 'pwrite' | 'fdatasync' | 'fsync' | 'truncate'

/** Calls after which a crash may leave something else than before. */
export const CHANGING_CALLS: ReadonlySet<DiskCall> = new Set([
  'open', 'rename', 'unlink', 'mkdir', 'syncDir', 'pwrite', 'fdatasync', 'fsync', 'truncate',
])

export interface DiskCallSeen {
  readonly call: DiskCall
  readonly path: string
  /** Counts from 1 over all calls. */
  readonly index: number
}

/**
 * - an errno: the call fails and has done nothing (a sync that fails loses the dirty pages).
 * - `die-before`, `die-after`: the process ends there; every later call ends it again.
 * - `die-half`: a pwrite gets half of its bytes out first.
 * - `half-ENOSPC`: a pwrite gets half of its bytes out and says so.
 * - `skip`: the call claims success and does nothing.
 */
export type Fault = 'die-before' | 'die-after' | 'die-half' | 'half-ENOSPC' | 'skip' | `E${string}`

/** The process is dead: no code of the program catches it. */
export class ProcessDied extends Error {
  override name = 'ProcessDied'
}

/** A disk between the program and another one, which counts calls, notes them and injects faults by a plan. */
export class FaultyDisk implements Disk {
  readonly calls: DiskCallSeen[] = []
  readonly #inner: Disk
  readonly #plan: (call: DiskCallSeen) => Fault | undefined
  #dead = false

  constructor(inner: Disk, plan: (call: DiskCallSeen) => Fault | undefined = () => undefined) {
    this.#inner = inner
    this.#plan = plan
  }

  count(call: DiskCall, path?: string): number {
    return this.calls.filter((seen) => seen.call === call && (path === undefined || seen.path === path)).length
  }

  /** The process ends here and now, outside of any call: whatever it does to the disk from now on throws. */
  kill(): void {
    this.#dead = true
  }

  run<T>(call: DiskCall, path: string, work: () => T, options: { half?: () => number, skipped?: T, lost?: () => void } = {}): T {
    if (this.#dead) throw new ProcessDied()
    const seen = { call, path, index: this.calls.length + 1 }
    this.calls.push(seen)
    const fault = this.#plan(seen)
    // While the plan let others run, the process may have ended.
    if (this.#dead) throw new ProcessDied()
    if (fault === undefined) return work()
    if (fault === 'skip') return options.skipped as T
    if (fault.startsWith('die')) {
      this.#dead = true
      if (fault === 'die-after') work()
      if (fault === 'die-half') options.half?.()
      throw new ProcessDied()
    }
    options.lost?.()
    const bytesWritten = fault === 'half-ENOSPC' ? options.half?.() ?? 0 : 0
    throw Object.assign(systemError(fault === 'half-ENOSPC' ? 'ENOSPC' : fault, call, path), call === 'pwrite' ? { bytesWritten } : {})
  }

  open(path: string, mode: 'read' | 'write' | 'create'): DiskFile {
    return new FaultyFile(this, this.run('open', path, () => this.#inner.open(path, mode)))
  }

  rename(from: string, to: string): void {
    this.run('rename', to, () => this.#inner.rename(from, to))
  }

  unlink(path: string): void {
    this.run('unlink', path, () => this.#inner.unlink(path))
  }

  mkdir(path: string): void {
    this.run('mkdir', path, () => this.#inner.mkdir(path))
  }

  list(path: string): string[] {
    return this.run('list', path, () => this.#inner.list(path))
  }

  exists(path: string): boolean {
    return this.#inner.exists(path)
  }

  syncDir(path: string): void {
    this.run('syncDir', path, () => this.#inner.syncDir(path))
  }

  freeBytes(path: string): number {
    return this.#inner.freeBytes(path)
  }
}

class FaultyFile implements DiskFile {
  readonly #disk: FaultyDisk
  readonly #inner: DiskFile & { loseDirty?: () => void }

  constructor(disk: FaultyDisk, inner: DiskFile) {
    this.#disk = disk
    this.#inner = inner
  }

  get path(): string {
    return this.#inner.path
  }

  pread(buffer: Uint8Array, offset: number, length: number, position: number): number {
    return this.#disk.run('pread', this.path, () => this.#inner.pread(buffer, offset, length, position))
  }

  pwrite(buffer: Uint8Array, offset: number, length: number, position: number): void {
    this.#disk.run('pwrite', this.path, () => this.#inner.pwrite(buffer, offset, length, position),
      { half: () => {
        this.#inner.pwrite(buffer, offset, length >> 1, position)
        return length >> 1
      } })
  }

  fdatasync(): void {
    this.#disk.run('fdatasync', this.path, () => this.#inner.fdatasync(), { lost: () => this.#inner.loseDirty?.() })
  }

  fsync(): void {
    this.#disk.run('fsync', this.path, () => this.#inner.fsync(), { lost: () => this.#inner.loseDirty?.() })
  }

  truncate(bytes: number): void {
    this.#disk.run('truncate', this.path, () => this.#inner.truncate(bytes))
  }

  size(): number {
    return this.#inner.size()
  }

  close(): void {
    this.#inner.close()
  }
}
