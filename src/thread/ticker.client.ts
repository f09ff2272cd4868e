import { Worker } from 'node:worker_threads'
import { Bell } from '../ring/bell.ts'
import type { TickerData } from './ticker.messages.ts'

/** Longest time between two looks at whether the ticker was stopped. */
const WAIT_MS_MAX = 100

/** Calls `onTick` at `startMs`, `startMs + intervalMs`, ... within some tens of microseconds, or late where this thread is busy. */
export class Ticker {
  readonly #tick = Bell.create()
  readonly #stop = Bell.create()
  readonly #worker: Worker
  #stopped = false

  /** @param worker URL of `workers/ticker.worker.js`. @param startMs on the scale of `systemClock.monoMs`. */
  constructor(worker: URL, startMs: number, intervalMs: number, onTick: () => void, onError: (error: Error) => void) {
    const data: TickerData = { tickBuffer: this.#tick.buffer, stopBuffer: this.#stop.buffer, startMs, intervalMs }
    this.#worker = new Worker(worker, { workerData: data })
    this.#worker.on('error', onError)
    this.#listen(onTick).catch(onError)
  }

  async #listen(onTick: () => void): Promise<void> {
    let prepared = this.#tick.prepare()
    while (!this.#stopped) {
      if (await this.#tick.waitAsync(prepared, WAIT_MS_MAX) && !this.#stopped) onTick()
      prepared = this.#tick.prepare()
    }
  }

  /** Resolves when the thread has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()))
    this.#stop.ring()
    await ended
  }
}
