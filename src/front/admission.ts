import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import { RETRY_AFTER_DEFAULT_MS, RETRY_AFTER_OVERLOADED_MS } from './front-limits.ts'
import type { Pipeline } from './pipeline.ts'
import type { RateLimiter } from './rate-limiter.ts'
import type { SlotHandle } from './slots.ts'

export interface Refusal {
  readonly code: ErrorName
  /** 0: sending again is of no use. */
  readonly retryAfterMs: number
}

const refusalOf = (code: ErrorName, retryAfterMs = RETRY_AFTER_DEFAULT_MS): Refusal =>
  ({ code, retryAfterMs: ERROR_CODES[code].retryable ? retryAfterMs : 0 })

const SHUTTING_DOWN = refusalOf('shutting_down')
const OVERLOADED = refusalOf('overloaded', RETRY_AFTER_OVERLOADED_MS)

/** The door that every batch goes through, whichever way it came. What it refuses, no stage has seen. */
export class Admission {
  /** Set once: nothing new is taken from then on. */
  draining = false
  /** Of batches that went in and are not acked. */
  unackedBytes = 0
  readonly rate: RateLimiter
  readonly #pipeline: Pipeline
  readonly #metrics: ThreadMetrics

  constructor(pipeline: Pipeline, rate: RateLimiter, metrics: ThreadMetrics) {
    this.rate = rate
    this.#pipeline = pipeline
    this.#metrics = metrics
  }

  /** Why no batch at all would be taken now. */
  closedBecause(): Refusal | undefined {
    if (this.draining) return SHUTTING_DOWN
    const { writable } = this.#pipeline.status()
    return writable === 'yes' ? undefined : refusalOf(writable)
  }

  /**
   * Offers a batch of `count` assertions. Undefined: it is on its way, its ack goes to `handle`, and its bytes count as
   * unacked until {@link settled}.
   */
  submit(handle: SlotHandle, address: string, count: number, frame: Uint8Array): Refusal | undefined {
    const closed = this.closedBecause()
    if (closed !== undefined) return closed
    const waitMs = this.rate.take(address, count)
    if (waitMs > 0) return refusalOf('rate_limited', waitMs)
    if (!this.#pipeline.submit(handle.slot, handle.generation, frame)) {
      this.rate.giveBack(address, count)
      return OVERLOADED
    }
    this.unackedBytes += frame.length
    this.#metrics.inc('batches_total')
    return undefined
  }

  /** Bytes that were acked, or whose owner has gone. */
  settled(bytes: number): void {
    this.unackedBytes -= bytes
  }

  /** Counts a refusal of a whole batch or request. */
  refused(code: ErrorName): void {
    this.#metrics.inc('refusals_total', { code })
  }
}
