import type { Clock } from '../../base/clock.ts'
import type { ThreadMetrics } from '../../observe/thread-metrics.ts'
import { AUDIT_BLOCK_BYTES, AUDIT_BUFFER_BYTES_MAX, AUDIT_RETRY_MS } from './audit-limits.ts'
import type { AuditSegments } from './audit-segments.ts'

export interface AuditLogParts {
  readonly segments: AuditSegments
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  /** Told once for each time that writing begins to fail. */
  readonly onFault: (error: unknown) => void
}

interface Line {
  readonly bytes: Uint8Array
  readonly atMs: number
}

/**
 * Takes lines at once and writes them soon, in their order, one write at a time, off the event loop. What it can not take it drops and
 * counts: a query never waits for its record.
 */
export class AuditLog {
  readonly #parts: AuditLogParts
  #lines: Line[] = []
  #bufferedBytes = 0
  #writing: Promise<void> | undefined
  #takenCount = 0
  #doneCount = 0
  #waiting: { readonly count: number, readonly resolve: () => void }[] = []
  #retryAtMonoMs = -Infinity
  #isFailing = false

  constructor(parts: AuditLogParts) {
    this.#parts = parts
  }

  /** False: it was dropped. `atMs` must not descend. */
  append(line: string, atMs: number): boolean {
    const bytes = Buffer.from(`${line}\n`)
    const { clock, metrics } = this.#parts
    if (this.#bufferedBytes + bytes.length > AUDIT_BUFFER_BYTES_MAX || clock.monoMs() < this.#retryAtMonoMs) {
      metrics.inc('audit_dropped_total')
      return false
    }
    this.#lines.push({ bytes, atMs })
    this.#bufferedBytes += bytes.length
    this.#takenCount++
    this.#writing ??= this.#write()
    return true
  }

  /** Resolves when what was taken so far is in a file, or dropped. */
  flushed(): Promise<void> {
    if (this.#doneCount === this.#takenCount) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ count: this.#takenCount, resolve }))
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#parts.segments.close()
  }

  /** Never rejects. */
  async #write(): Promise<void> {
    // Lines of the same turn of the event loop share a write.
    await Promise.resolve()
    const { segments, metrics } = this.#parts
    while (this.#lines.length > 0) {
      const lines = this.#takeBlock()
      try {
        await segments.append(Buffer.concat(lines.map(({ bytes }) => bytes)), lines[0]!.atMs, lines.at(-1)!.atMs)
        this.#isFailing = false
        metrics.inc('audit_records_total', lines.length)
      } catch (error) {
        metrics.inc('audit_dropped_total', lines.length)
        this.#fail(error)
      }
      metrics.set('audit_disk_usage_bytes', segments.bytes)
      this.#bufferedBytes -= lines.reduce((sum, { bytes }) => sum + bytes.length, 0)
      this.#doneCount += lines.length
      while (this.#waiting.length > 0 && this.#waiting[0]!.count <= this.#doneCount) this.#waiting.shift()!.resolve()
    }
    this.#writing = undefined
  }

  #takeBlock(): Line[] {
    let count = 0
    for (let bytes = 0; count < this.#lines.length && (count === 0 || bytes + this.#lines[count]!.bytes.length <= AUDIT_BLOCK_BYTES); count++) {
      bytes += this.#lines[count]!.bytes.length
    }
    return this.#lines.splice(0, count)
  }

  #fail(error: unknown): void {
    this.#retryAtMonoMs = this.#parts.clock.monoMs() + AUDIT_RETRY_MS
    if (!this.#isFailing) this.#parts.onFault(error)
    this.#isFailing = true
  }
}
