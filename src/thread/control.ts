import { Bell } from '../ring/bell.ts'

const STOP_INDEX = 0
const READY_INDEX = 1
const BEGIN_INDEX = 2
/** Longest sleep of a thread that may not begin yet: a bound, should a bell be missed; not a schedule. */
const BEGIN_WAIT_MS_MAX = 1000

/**
 * What every thread of the node shares with the supervisor: whether to begin, whether to stop, and who is ready. A thread that sleeps in
 * `Atomics.wait` hears no message, so this is memory, not a port.
 */
export class ThreadControl {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #bell: Bell

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(Bell.BYTES + 64)) {
    this.buffer = buffer
    this.#bell = new Bell(buffer, 0)
    this.#words = new Int32Array(buffer, Bell.BYTES, 3)
  }

  get stopping(): boolean {
    return Atomics.load(this.#words, STOP_INDEX) !== 0
  }

  /** Told by the supervisor; the thread finishes what its rings hold. Ring the thread's bell after it. */
  stop(): void {
    Atomics.store(this.#words, STOP_INDEX, 1)
  }

  /** Told by the supervisor: what the threads build on is there. */
  begin(): void {
    Atomics.store(this.#words, BEGIN_INDEX, 1)
    this.#bell.ring()
  }

  /** Blocks the thread until it may begin. */
  waitBegin(): void {
    for (;;) {
      const prepared = this.#bell.prepare()
      if (Atomics.load(this.#words, BEGIN_INDEX) !== 0) return
      this.#bell.wait(prepared, BEGIN_WAIT_MS_MAX)
    }
  }

  /** Said by the thread once it serves. */
  ready(): void {
    Atomics.add(this.#words, READY_INDEX, 1)
    this.#bell.ring()
  }

  /** Resolves once `count` threads have said so; false after `timeoutMs`. */
  async waitReady(count: number, timeoutMs: number): Promise<boolean> {
    for (;;) {
      const prepared = this.#bell.prepare()
      if (Atomics.load(this.#words, READY_INDEX) >= count) return true
      if (!await this.#bell.waitAsync(prepared, timeoutMs)) return false
    }
  }
}
