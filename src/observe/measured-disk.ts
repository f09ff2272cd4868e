import type { Clock } from '../base/clock.ts'
import type { Disk, DiskFile } from '../base/disk.ts'
import { errnoOf } from '../base/errors.ts'
import type { DISK_ERRORS } from './metrics.ts'
import type { ThreadMetrics } from './thread-metrics.ts'

/** Counts and times what the log's thread does to its files; adds and hides no call, and throws what the file throws. */
class MeasuredFile implements DiskFile {
  readonly #file: DiskFile
  readonly #clock: Clock
  readonly #metrics: ThreadMetrics

  constructor(file: DiskFile, clock: Clock, metrics: ThreadMetrics) {
    this.#file = file
    this.#clock = clock
    this.#metrics = metrics
  }

  get path(): string {
    return this.#file.path
  }

  pwrite(buffer: Uint8Array, offset: number, length: number, position: number): void {
    try {
      this.#file.pwrite(buffer, offset, length, position)
    } catch (error) {
      // An errno outside the table counts as "other".
      this.#metrics.inc('wal_write_errors_total', { error: (errnoOf(error) ?? 'other') as (typeof DISK_ERRORS)[number] })
      throw error
    }
  }

  fdatasync(): void {
    const startedMs = this.#clock.monoMs()
    try {
      this.#file.fdatasync()
    } catch (error) {
      this.#metrics.inc('wal_fsync_errors_total')
      throw error
    }
    this.#metrics.inc('wal_fsync_total')
    this.#metrics.observe('wal_fsync_latency_seconds', (this.#clock.monoMs() - startedMs) / 1000)
  }

  pread(buffer: Uint8Array, offset: number, length: number, position: number): number {
    return this.#file.pread(buffer, offset, length, position)
  }

  fsync(): void { this.#file.fsync() }
  truncate(bytes: number): void { this.#file.truncate(bytes) }
  size(): number { return this.#file.size() }
  close(): void { this.#file.close() }
}

/** The same disk, with `wal_fsync_*` and `wal_write_errors_total` of the files that are opened through it. */
export function measuredDisk(disk: Disk, clock: Clock, metrics: ThreadMetrics): Disk {
  return { ...disk, open: (path, mode) => new MeasuredFile(disk.open(path, mode), clock, metrics) }
}
