import { systemClock } from '../../base/clock.ts'
import { DbError } from '../../base/errors.ts'
import { Ticker } from '../../thread/ticker.client.ts'
import type { FastAck } from './acks-reader.ts'
import type { LoadConnection } from './connection.ts'
import { LatencyRecorder } from './latency.ts'
import type { LoadProgress } from './load.types.ts'
import type { Outcomes } from './outcomes.ts'
import type { Schedule } from './schedule.ts'
import type { FrameSource } from './source.ts'
import type { FrameMaker } from './template.ts'

const TICKER_WORKER = new URL('../../../workers/ticker.worker.js', import.meta.url)
const PROGRESS_INTERVAL_MS = 1000
const REFUSAL_PAUSE_MS_MIN = 5

export interface EngineInput {
  readonly connections: LoadConnection[]
  readonly maker: FrameMaker
  readonly source: FrameSource
  /** Of the connections: {@link Engine.handlers}. */
  readonly window: number
  readonly warmupMs: number
  readonly durationMs: number
  readonly drainTimeoutMs: number
  /** Makes the schedule when the run begins; undefined for a closed loop. */
  readonly scheduleAt: ((startMs: number) => Schedule) | undefined
  readonly onProgress: ((progress: LoadProgress) => void) | undefined
}

export interface EngineResult {
  readonly seconds: number
  readonly sentFrames: number
  readonly unackedFrames: number
  readonly warmupAccepted: number
  readonly delayed: number
  readonly exhausted: boolean
  readonly cpuSeconds: number
}

/** Sends a run's frames and takes its acks. One use. */
export class Engine {
  readonly outcomes: Outcomes
  readonly latency = new LatencyRecorder()
  /** Of frames that were refused as a whole. */
  readonly refusalLatency = new LatencyRecorder()
  /** Shortest wait that a refusal asked for; infinite where none did. */
  retryAfterMsMin = Infinity
  readonly #input: EngineInput
  readonly #errors: string[] = []
  /** Closed loop: when each frame in flight was sent. */
  readonly #sentAtMs = new Map<number, number>()
  #schedule: Schedule | undefined
  #ticker: Ticker | undefined
  #startMs = 0
  #measureFromMs = 0
  #endMs = 0
  #sending = true
  #exhausted = false
  #nextConnection = 0
  #taken = 0
  #dueSeen = 0
  #delayed = 0
  #sentCounted = 0
  #answeredCounted = 0
  #warmupAccepted = 0
  #doneAssertions = 0
  #doneAtProgress = 0
  #lastAckMs = 0
  #cpuFrom: NodeJS.CpuUsage | undefined
  #finish: ((error?: Error) => void) | undefined
  readonly #stops: (() => void)[] = []

  constructor(input: EngineInput, outcomes: Outcomes) {
    this.#input = input
    this.outcomes = outcomes
  }

  get connectionErrors(): readonly string[] {
    return this.#errors
  }

  /** What the connections must be made with. */
  static handlers(engine: () => Engine | undefined): ConstructorParameters<typeof LoadConnection>[1] {
    return {
      ack: (connection, view, ack) => engine()?.ack(connection, view, ack),
      acked: (connection) => engine()?.acked(connection),
      closed: (connection, reason) => engine()?.closed(connection, reason),
    }
  }

  /** @throws {DbError} as rejection, where no connection is left. */
  async run(): Promise<EngineResult> {
    const { warmupMs, durationMs, scheduleAt } = this.#input
    const done = new Promise<void>((resolve, reject) => {
      this.#finish = (error) => (error === undefined ? resolve() : reject(error))
    })
    // A little ahead, so that the ticker's thread is up by then.
    this.#startMs = systemClock.monoMs() + (scheduleAt === undefined ? 0 : 100)
    this.#measureFromMs = this.#startMs + warmupMs
    this.#endMs = this.#measureFromMs + durationMs
    this.#lastAckMs = this.#measureFromMs
    this.#schedule = scheduleAt?.(this.#startMs)
    this.#progressTimer()
    this.#later(this.#measureFromMs - systemClock.monoMs(), () => { this.#cpuFrom = process.cpuUsage() })
    if (this.#schedule === undefined) {
      this.#later(this.#endMs - systemClock.monoMs(), () => this.#stopSending())
      for (const connection of this.#input.connections) this.#topUp(connection)
    } else {
      this.#ticker = new Ticker(TICKER_WORKER, this.#startMs, this.#schedule.tickMs, () => this.#dispatch(), (error) => this.#finish?.(error))
    }
    try {
      await done
    } finally {
      for (const stop of this.#stops) stop()
      await this.#ticker?.stop()
    }
    return this.#result()
  }

  #result(): EngineResult {
    const cpu = process.cpuUsage(this.#cpuFrom)
    return {
      seconds: Math.max(1e-3, (this.#lastAckMs - this.#measureFromMs) / 1000),
      sentFrames: this.#sentCounted,
      unackedFrames: this.#sentCounted - this.#answeredCounted,
      warmupAccepted: this.#warmupAccepted,
      delayed: this.#delayed,
      exhausted: this.#exhausted,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
    }
  }

  // ---- sending ----

  #later(delayMs: number, callback: () => void): void {
    this.#stops.push(systemClock.timer(Math.max(0, delayMs), callback))
  }

  #topUp(connection: LoadConnection): void {
    if (!this.#sending || this.#schedule !== undefined) return
    const nowMs = systemClock.monoMs()
    if (nowMs >= this.#endMs) return this.#stopSending()
    this.#send(connection, this.#input.window, Infinity, nowMs)
  }

  /** Sends up to `most` frames as far as the connection has room; how many. */
  #send(connection: LoadConnection, window: number, most: number, nowMs: number): number {
    const { maker, source } = this.#input
    let sent = 0
    for (;;) {
      const room = Math.min(connection.room(maker.payloadBytes, window, nowMs), most - sent)
      if (room <= 0) return sent
      const run = source.take(room)
      if (run === undefined) {
        this.#exhausted = true
        this.#stopSending()
        return sent
      }
      connection.send(run, maker.payloadBytes)
      for (let i = 0; i < run.count; i++) {
        const index = run.firstIndex + i
        const fromMs = this.#schedule === undefined ? nowMs : this.#schedule.dueMs(index)
        if (this.#schedule === undefined) this.#sentAtMs.set(index, nowMs)
        if (fromMs >= this.#measureFromMs) this.#sentCounted++
      }
      this.#taken += run.count
      sent += run.count
    }
  }

  /**
   * Open loop: sends what is due. Frames of one tick go out on one connection, those of the next tick on the next one: a
   * write for each of them would make the generator the bottleneck.
   */
  #dispatch(): void {
    const schedule = this.#schedule
    if (!this.#sending || schedule === undefined) return
    const nowMs = systemClock.monoMs()
    const due = schedule.dueCount(nowMs)
    const { connections } = this.#input
    let backlog = due - this.#taken
    let idle = 0
    while (backlog > 0 && idle < connections.length && this.#sending) {
      const connection = connections[this.#nextConnection]!
      this.#nextConnection = (this.#nextConnection + 1) % connections.length
      const sent = this.#send(connection, Infinity, backlog, nowMs)
      idle = sent === 0 ? idle + 1 : 0
      backlog -= sent
    }
    if (due > this.#dueSeen) {
      this.#delayed += Math.min(backlog, due - this.#dueSeen)
      this.#dueSeen = due
    }
    if (this.#taken >= schedule.framesMax) this.#stopSending()
  }

  #stopSending(): void {
    if (!this.#sending) return
    this.#sending = false
    this.#later(this.#input.drainTimeoutMs, () => this.#finish?.())
    this.#finishIfIdle()
  }

  #finishIfIdle(): void {
    if (this.#sending) return
    if (this.#input.connections.every((connection) => !connection.isOpen || connection.inFlight === 0)) this.#finish?.()
  }

  // ---- receiving ----

  #nowMs = 0

  ack(connection: LoadConnection, view: DataView, ack: FastAck): void {
    // One reading for all acks of one message.
    if (this.#nowMs === 0) this.#nowMs = systemClock.monoMs()
    const nowMs = this.#nowMs
    const index = ack.requestId
    const fromMs = this.#schedule === undefined ? this.#sentAtMs.get(index) : this.#schedule.dueMs(index)
    if (fromMs === undefined) throw new DbError('malformed_frame', `the server sent an ack for request ${index}, which is not under way`)
    this.#sentAtMs.delete(index)
    const counted = fromMs >= this.#measureFromMs
    const stored = this.outcomes.add(view, ack, counted)
    this.#doneAssertions += ack.accepted
    if (counted) {
      this.#answeredCounted++
      this.#lastAckMs = nowMs
      if (stored) this.latency.record(nowMs - fromMs)
      else if (ack.refused !== 0) this.#refusedFrame(nowMs - fromMs, ack.retryAfterMs)
    } else {
      this.#warmupAccepted += ack.accepted
    }
    if (ack.refused !== 0) {
      const pauseMs = Math.max(REFUSAL_PAUSE_MS_MIN, ack.retryAfterMs)
      connection.pausedUntilMs = nowMs + pauseMs
      systemClock.timer(pauseMs + 1, () => this.#roomOn(connection))
    }
  }

  #refusedFrame(latencyMs: number, retryAfterMs: number): void {
    this.refusalLatency.record(latencyMs)
    this.retryAfterMsMin = Math.min(this.retryAfterMsMin, retryAfterMs)
  }

  acked(connection: LoadConnection): void {
    this.#nowMs = 0
    this.#roomOn(connection)
    this.#finishIfIdle()
  }

  #roomOn(connection: LoadConnection): void {
    if (this.#schedule === undefined) this.#topUp(connection)
    else if (this.#taken < this.#dueSeen) this.#dispatch()
  }

  closed(connection: LoadConnection, reason: string): void {
    if (this.#finish === undefined) return
    if (this.#errors.length < 100) this.#errors.push(`connection ${connection.index}: ${reason}`)
    const { connections } = this.#input
    if (connections.every((other) => !other.isOpen)) this.#sending = false
    this.#finishIfIdle()
  }

  // ---- progress ----

  #progressTimer(): void {
    const { onProgress } = this.#input
    if (onProgress === undefined) return
    this.#later(PROGRESS_INTERVAL_MS, () => {
      onProgress(this.#progress())
      this.#progressTimer()
    })
  }

  #progress(): LoadProgress {
    const nowMs = systemClock.monoMs()
    const inWarmup = nowMs < this.#measureFromMs
    const fromMs = inWarmup ? this.#startMs : this.#measureFromMs
    const lengthMs = (inWarmup ? this.#measureFromMs : this.#endMs) - fromMs
    const perSecond = this.#doneAssertions - this.#doneAtProgress
    this.#doneAtProgress = this.#doneAssertions
    return {
      phase: inWarmup ? 'warmup' : this.#sending ? 'run' : 'drain',
      fraction: Math.min(1, Math.max(0, (nowMs - fromMs) / lengthMs)),
      elapsedMs: nowMs - this.#startMs,
      done: this.#doneAssertions,
      perSecond,
      ...this.latency.recent(),
      refused: this.outcomes.refused,
    }
  }
}
