import type { Clock } from '../base/clock.ts'
import type { Bell } from '../ring/bell.ts'
import type { Marks } from '../ring/marks.ts'
import type { RingReader } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import { decodeCommand } from './feed-command.codec.ts'
import type { Feed } from './feed.ts'

/** After a look at the end of the log, so long until the next, in milliseconds and at least: what comes meanwhile shares frames. */
const GATHER_MS_MIN = 4
/** For each assertion a millisecond, so much longer: a node that takes 10,000/s gathers for no more than the least, one of 160,000/s for 64 ms. */
const GATHER_MS_PER_RATE = 0.4
/** Interval at which slow subscribers are looked for. */
const SLOW_CHECK_MS = 500
/** Commands taken before the log is read on. */
const COMMANDS_MAX = 256
/** Longest sleep while there are subscribers: a bound, not a schedule. */
const IDLE_MS_MAX = 1000
/** The same without any: only a command can bring work, and it rings the bell. */
const NOBODY_MS = 60_000

export interface FeedStageOptions {
  readonly feed: Feed
  readonly commands: RingReader
  readonly marks: Marks
  readonly clock: Clock
  readonly heartbeatMs: number
  /** Longest time for which live subscribers wait for more to share a frame. */
  readonly gatherMsMax: number
}

/** How long deliveries of a stream of so many assertions a millisecond gather. Each is a system call on either side, which a busy node lacks. */
export const gatherMsFor = (assertionsPerMs: number, gatherMsMax: number): number =>
  Math.min(gatherMsMax, Math.max(GATHER_MS_MIN, GATHER_MS_PER_RATE * assertionsPerMs))

/**
 * Follows the applied mark for whoever has subscribed. Without subscribers it sleeps, reads nothing, and the ingest
 * stage does not ring for it.
 */
export class FeedStage implements Stage {
  readonly blockedOn: Bell
  readonly #options: FeedStageOptions
  /** The end of the log is not looked at before then. */
  #followAtMs = 0
  /** When that was put off the last time, and up to where everything had been looked at then. */
  #gatheredAtMs = 0
  #gatheredLsn = 0
  /** What the last step held of that: without it nobody rings, however late it has become since. */
  #mayFollow = false
  #heartbeatAtMs = 0
  #slowCheckAtMs = 0

  constructor(options: FeedStageOptions) {
    this.#options = options
    this.blockedOn = options.feed.out.space
  }

  step(): StepOutcome {
    const { feed, clock, marks } = this.#options
    const commands = this.#takeCommands()
    if (feed.subscriptionCount === 0) {
      marks.followApplied(false)
      this.#report()
      return feed.flush() ? (commands > 0 ? 'progress' : 'idle') : 'blocked'
    }
    const nowMs = clock.monoMs()
    this.#keepTime(nowMs)
    this.#mayFollow = nowMs >= this.#followAtMs
    // Rung for whatever is applied after this look, so that none is missed; not while waiting for more.
    marks.followApplied(this.#mayFollow)
    const outcome = feed.step(this.#mayFollow)
    if (outcome === 'progress' && feed.hasReachedMark && !feed.isCatchingUp) this.#gatherFrom(nowMs)
    this.#report()
    return outcome === 'idle' && commands > 0 ? 'progress' : outcome
  }

  idleMs(): number {
    const { feed, clock } = this.#options
    if (feed.subscriptionCount === 0) return NOBODY_MS
    const nowMs = clock.monoMs()
    const next = Math.min(this.#heartbeatAtMs, this.#slowCheckAtMs, this.#mayFollow ? Infinity : this.#followAtMs)
    return Math.max(0, Math.min(IDLE_MS_MAX, next - nowMs))
  }

  finish(): void {
    this.#options.feed.close()
  }

  /** Live subscribers who have everything wait a moment for more. */
  #gatherFrom(nowMs: number): void {
    const { feed, gatherMsMax } = this.#options
    const nextLsn = feed.liveNextLsn ?? 0
    const passed = this.#gatheredLsn === 0 ? 0 : nextLsn - this.#gatheredLsn
    this.#followAtMs = nowMs + gatherMsFor(passed / Math.max(1, nowMs - this.#gatheredAtMs), gatherMsMax)
    this.#gatheredAtMs = nowMs
    this.#gatheredLsn = nextLsn
  }

  #takeCommands(): number {
    const { commands, feed } = this.#options
    let count = 0
    while (count < COMMANDS_MAX && feed.takesCommands && commands.peek()) {
      feed.command(decodeCommand(commands.frame()))
      commands.release()
      count++
    }
    return count
  }

  #keepTime(nowMs: number): void {
    const { feed, heartbeatMs } = this.#options
    if (nowMs >= this.#slowCheckAtMs) {
      this.#slowCheckAtMs = nowMs + SLOW_CHECK_MS
      feed.endTheSlow()
    }
    if (nowMs < this.#heartbeatAtMs) return
    // The first subscriber after a while is not told at once that nothing has happened.
    if (nowMs - this.#heartbeatAtMs < 2 * heartbeatMs) feed.heartbeat()
    this.#heartbeatAtMs = nowMs + heartbeatMs
  }

  #report(): void {
    this.#options.feed.report()
  }
}
