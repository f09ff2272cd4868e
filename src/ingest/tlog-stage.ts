import type { Clock } from '../base/clock.ts'
import { isDbError } from '../base/errors.ts'
import { TLOG_STATE, type TlogBoard } from '../merkle/tlog-board.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import type { Marks } from '../ring/marks.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import { TlogFollower, diverged, type TlogFollowerOptions } from './tlog-follower.ts'

/**
 * How often it looks for new assertions, in milliseconds. It follows no bell: one rings a thousand times a second, and nobody waits for
 * this stage.
 */
const FOLLOW_MS = 100
/** Tiles in doubt are made again this often at most: each time reads the whole log. */
const REBUILD_MS_MIN = 60_000
/** Pause after an error of the disk. */
const RETRY_MS = 5000

export interface TlogStageOptions extends Omit<TlogFollowerOptions, 'log'> {
  readonly openLog: () => TlogFollowerOptions['log']
  readonly marks: Marks
  readonly board: TlogBoard
  /** The stage's own. */
  readonly bell: Bell
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  /** A head is signed so often, where there is anything new. */
  readonly checkpointMs: number
}

/**
 * Follows the applied mark with the log of proofs. It may lag as far as it will: nobody waits for it but who wants a proof. An error stops
 * proofs, not the node: it is on the board, and in `/readyz?verbose`.
 */
export class TlogStage implements Stage {
  readonly blockedOn: Bell
  readonly #options: TlogStageOptions
  #follower: TlogFollower | undefined
  #hasDiverged = false
  #nextLookMs = 0
  #nextSignMs = 0
  #publishedSize = -1
  #doubts: number
  #nextRebuildMs = 0

  constructor(options: TlogStageOptions) {
    this.#options = options
    this.blockedOn = options.bell
    this.#doubts = options.board.doubts
  }

  step(): StepOutcome {
    const { clock, metrics } = this.#options
    const startedMs = clock.monoMs()
    if (this.#hasDiverged || startedMs < this.#nextLookMs) return 'idle'
    try {
      const more = this.#advance(startedMs)
      if (!more) this.#nextLookMs = clock.monoMs() + Math.min(FOLLOW_MS, this.#options.checkpointMs)
      return more ? 'progress' : 'idle'
    } catch (error) {
      this.#fail(error)
      return 'idle'
    } finally {
      metrics.inc('tlog_busy_seconds_total', (clock.monoMs() - startedMs) / 1000)
    }
  }

  /** True where there is more to read at once. */
  #advance(nowMs: number): boolean {
    const { marks, metrics, checkpointMs } = this.#options
    const follower = this.#follower ??= this.#open()
    this.#heedDoubts(follower, nowMs)
    const more = follower.read(marks.appliedPosition, marks.appliedLsn)
    metrics.set('tlog_size', follower.size)
    this.#publish(follower)
    if (nowMs >= this.#nextSignMs && follower.sign()) {
      metrics.inc('tlog_checkpoints_total')
      this.#nextSignMs = nowMs + checkpointMs
      this.#publish(follower)
    }
    return more
  }

  #open(): TlogFollower {
    const { board, openLog, marks } = this.#options
    const follower = new TlogFollower({ ...this.#options, log: openLog() })
    this.#follower = follower
    if (follower.promisedSize > marks.durableLsn) {
      throw diverged(`it ends at LSN ${marks.durableLsn}, and a head of ${follower.promisedSize} assertions was given out`, follower.promisedSize)
    }
    board.setState(TLOG_STATE.rebuilds)
    return follower
  }

  #heedDoubts(follower: TlogFollower, nowMs: number): void {
    const { board, metrics } = this.#options
    if (board.doubts === this.#doubts || nowMs < this.#nextRebuildMs) return
    this.#doubts = board.doubts
    this.#nextRebuildMs = nowMs + REBUILD_MS_MIN
    metrics.inc('tlog_rebuilds_total')
    board.setState(TLOG_STATE.rebuilds)
    this.#publishedSize = -1
    follower.rebuild()
  }

  #publish({ head }: TlogFollower): void {
    if (head === undefined || head.size === this.#publishedSize) return
    const { board } = this.#options
    board.publish(head.text, head.size)
    board.setState(TLOG_STATE.follows)
    this.#publishedSize = head.size
  }

  #fail(error: unknown): void {
    if (!isDbError(error)) throw error
    const { board, clock, metrics } = this.#options
    this.#hasDiverged = error.code === 'proof_log_diverged'
    board.setState(this.#hasDiverged ? TLOG_STATE.diverged : TLOG_STATE.fails, error.number)
    metrics.inc('tlog_errors_total')
    this.#close()
    this.#nextLookMs = clock.monoMs() + RETRY_MS
  }

  #close(): void {
    this.#follower?.close()
    this.#follower = undefined
    this.#publishedSize = -1
  }

  idleMs(): number {
    return this.#hasDiverged ? RETRY_MS : Math.max(0, this.#nextLookMs - this.#options.clock.monoMs())
  }

  /** What the disk does not take now is read again at the next start. */
  finish(): void {
    try {
      this.#follower?.sync()
    } catch (error) {
      if (!isDbError(error)) throw error
    } finally {
      this.#close()
    }
  }
}
