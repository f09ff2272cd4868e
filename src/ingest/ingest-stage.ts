import type { Clock } from '../base/clock.ts'
import { isDbError } from '../base/errors.ts'
import type { Secrets } from '../base/random.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import type { Marks } from '../ring/marks.ts'
import { isFileRun } from '../store/run-file.layout.ts'
import { openStoreMeta } from '../store/store-meta.ts'
import { isRetryableStoreError } from '../store/store.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import type { IngestLoop } from './ingest-loop.ts'
import { startIngest, type IngestStartOptions } from './ingest-start.ts'

/** Pause after a write that found the disk full, in milliseconds. */
const RETRY_MS = 250
/** From so many assertions on, a batch is large enough not to wait for more. */
const GATHERED_ASSERTIONS = 4096
/** With fewer there is no stream of them, and who writes and asks in turn would wait for nothing. */
const STREAMED_ASSERTIONS = 16
const GATHER_LITTLE_MS = 2
/** Without anything to apply for so long, the indexes are quiet, and merging takes nothing from anybody. In milliseconds. */
const QUIET_MS = 250

export interface IngestStageOptions
  extends Omit<IngestStartOptions, 'meta' | 'durablePosition' | 'onApplied' | 'onEntryList' | 'onIdsFlushed'> {
  readonly marks: Marks
  readonly secrets: Secrets
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  /** Longest pause between two batches. */
  readonly gatherMsMax: number
}

/**
 * Pause after a batch of so many assertions, in milliseconds. A batch costs a write of its own whatever its size, and what came in small
 * batches is merged once more; under a moderate stream each commit group would become a batch.
 */
export function gatherMsAfter(assertions: number, gatherMsMax: number): number {
  if (assertions >= GATHERED_ASSERTIONS) return 0
  return assertions >= STREAMED_ASSERTIONS ? gatherMsMax : Math.min(GATHER_LITTLE_MS, gatherMsMax)
}

/** The ingest loop as a stage: replays when it is built, then follows the durable mark. */
export class IngestStage implements Stage {
  readonly blockedOn: Bell
  readonly #options: IngestStageOptions
  readonly #loop: IngestLoop
  /** Not before then, whatever has come. */
  #notBeforeMs = 0
  #appliedAtMs = 0
  readonly #reported: Partial<Record<'index_runs' | 'id_runs', readonly unknown[]>> = {}

  /**
   * Returns when filter, recent ids and indexes have come to the end of the log. The commit stage starts after it.
   * @throws {DbError} `wal_corrupt`, `store_corrupt`, `disk_full`, `io_error`
   */
  constructor(options: IngestStageOptions) {
    const { marks, store, secrets, logStart } = options
    this.#options = options
    this.blockedOn = marks.durableBell
    marks.setApplied(logStart, 0)
    this.#loop = startIngest({
      ...options,
      meta: openStoreMeta(store, secrets),
      durablePosition: () => marks.durablePosition,
      onApplied: (position, lsn) => marks.setApplied(position, lsn),
      onEntryList: (version) => marks.setEntryList(version),
      onIdsFlushed: (lsn) => marks.setIdsFlushed(lsn),
    })
    this.#report()
  }

  step(): StepOutcome {
    const { clock, metrics } = this.#options
    const startedMs = clock.monoMs()
    if (startedMs < this.#notBeforeMs) return 'idle'
    const before = this.#loop.applied
    try {
      if (this.#loop.step(startedMs - this.#appliedAtMs >= QUIET_MS) === 0) return 'idle'
    } catch (error) {
      if (!isDbError(error) || !isRetryableStoreError(error.code)) throw error
      metrics.inc('storage_operation_errors_total', { operation: 'write' })
      this.#notBeforeMs = clock.monoMs() + RETRY_MS
      return 'idle'
    }
    const applied = this.#loop.applied.assertions - before.assertions
    if (applied > 0) {
      this.#appliedAtMs = clock.monoMs()
      this.#notBeforeMs = this.#appliedAtMs + gatherMsAfter(applied, this.#options.gatherMsMax)
      metrics.inc('assertions_ingested_total', applied)
      metrics.observe('ingest_batch_latency_seconds', (clock.monoMs() - startedMs) / 1000)
    }
    this.#report()
    return 'progress'
  }

  idleMs(): number {
    const nowMs = this.#options.clock.monoMs()
    if (this.#notBeforeMs > nowMs) return this.#notBeforeMs - nowMs
    return nowMs - this.#appliedAtMs < QUIET_MS ? QUIET_MS : 1000
  }

  /** Applies what had to wait for more; what the disk has no room for is replayed at the next start. */
  finish(): void {
    try {
      for (let before = -1; before !== this.#loop.applied.records;) {
        before = this.#loop.applied.records
        this.#loop.step()
      }
    } catch (error) {
      if (!isDbError(error) || !isRetryableStoreError(error.code)) throw error
    }
  }

  #report(): void {
    const { metrics, recents } = this.#options
    metrics.set('applied_lsn', this.#loop.applied.lsn)
    metrics.set('ids_flushed_lsn', this.#loop.idsFlushedLsn)
    this.#reportRuns('index_runs', this.#loop.indexRuns)
    this.#reportRuns('id_runs', this.#loop.idRuns)
    metrics.set('recent_ids', recents.count)
    metrics.set('recent_ids_fill_ratio', recents.count / (2 * recents.entriesMax))
  }

  /** @param runs another array when something has changed */
  #reportRuns(name: 'index_runs' | 'id_runs', runs: readonly { readonly id: number }[]): void {
    if (this.#reported[name] === runs) return
    this.#reported[name] = runs
    const { metrics } = this.#options
    const inFiles = runs.filter(({ id }) => isFileRun(id)).length
    metrics.set(name, { place: 'rocksdb' }, runs.length - inFiles)
    metrics.set(name, { place: 'file' }, inFiles)
  }
}
