export interface ScrubPaceOptions {
  /** Time in which everything should have been read once. */
  readonly cycleMs: number
  /** Never faster than this, also where a cycle then takes longer. */
  readonly bytesPerSecondMax: number
}

/** Part of the cycle's time that is planned for: what a busy machine takes longer comes out of the rest. */
const PLANNED_SHARE = 0.9
/** Longest wait, so that a log that has grown a lot is not read at the pace of a small one. */
const WAIT_MS_MAX = 60_000
/** What was missed is made up for no further back than this: a machine that slept is not met by a burst of reads. */
const CATCH_UP_MS_MAX = 1000
/** Wait after a look that found nothing to read. */
const EMPTY_MS = 1000

/** When the next piece may be read: spreads a cycle evenly over its time. Pure; the caller says what time it is. */
export class ScrubPace {
  readonly #cycleMs: number
  readonly #bytesPerMsMax: number
  #dueMs: number

  constructor(options: ScrubPaceOptions, nowMs: number) {
    this.#cycleMs = options.cycleMs * PLANNED_SHARE
    this.#bytesPerMsMax = options.bytesPerSecondMax / 1000
    // A start has better things to do.
    this.#dueMs = nowMs + Math.min(WAIT_MS_MAX, this.#cycleMs / 10)
  }

  /** Milliseconds until the next piece is due; 0 where it is. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#dueMs - nowMs)
  }

  /** A piece was read. @param totalBytes of a whole cycle, as far as it is known now. */
  noteRead(bytes: number, totalBytes: number, nowMs: number): void {
    const bytesPerMs = Math.min(this.#bytesPerMsMax, totalBytes / this.#cycleMs)
    const pauseMs = bytes === 0 ? EMPTY_MS : bytes / bytesPerMs
    const dueMs = Math.max(this.#dueMs, nowMs - CATCH_UP_MS_MAX) + pauseMs
    this.#dueMs = Math.min(dueMs, nowMs + WAIT_MS_MAX)
  }
}
