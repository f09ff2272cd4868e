/**
 * A doorbell in shared memory: the only place that waits on or notifies another thread. Two words: a sequence number
 * that each ring of the bell moves, and a count of sleepers, so that ringing an awake thread costs no system call.
 *
 * No wake-up is lost: a waiter reads the sequence (`prepare`), looks for work, and sleeps only if the sequence is still
 * the same; a ringer publishes its work before it moves the sequence. Every wait has a timeout.
 */
export class Bell {
  /** Two Int32 words, on a cache line of their own. */
  static readonly BYTES = 64

  readonly #words: Int32Array

  constructor(buffer: SharedArrayBuffer, byteOffset = 0) {
    this.#words = new Int32Array(buffer, byteOffset, 2)
  }

  static create(): Bell {
    return new Bell(new SharedArrayBuffer(Bell.BYTES))
  }

  get buffer(): SharedArrayBuffer {
    return this.#words.buffer as SharedArrayBuffer
  }

  /** The sequence number to hand to a wait; take it before looking for work. */
  prepare(): number {
    return Atomics.load(this.#words, 0)
  }

  /** Says that there is work. Call it after the work has been published. */
  ring(): void {
    Atomics.add(this.#words, 0, 1)
    if (Atomics.load(this.#words, 1) !== 0) Atomics.notify(this.#words, 0)
  }

  /** Sleeps until the bell rings after `prepared`; false after `timeoutMs`. Not for a thread with an event loop. */
  wait(prepared: number, timeoutMs: number): boolean {
    Atomics.add(this.#words, 1, 1)
    const outcome = Atomics.wait(this.#words, 0, prepared, timeoutMs)
    Atomics.sub(this.#words, 1, 1)
    return outcome !== 'timed-out'
  }

  /** The same for a thread with an event loop. Resolves true at once where the bell has rung already. */
  async waitAsync(prepared: number, timeoutMs: number): Promise<boolean> {
    Atomics.add(this.#words, 1, 1)
    try {
      const outcome = Atomics.waitAsync(this.#words, 0, prepared, timeoutMs)
      return (outcome.async ? await outcome.value : outcome.value) !== 'timed-out'
    } finally {
      Atomics.sub(this.#words, 1, 1)
    }
  }
}
