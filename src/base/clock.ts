/** The only source of time. Cores get it handed in, so that a simulator can own it. */
export interface Clock {
  /** Unix milliseconds; may step. Never used for timeouts. */
  wallMs(): number
  /** Monotonic milliseconds with a fraction, from an arbitrary origin that all threads of this process share. */
  monoMs(): number
  /** Calls `callback` once after `delayMs`; the result cancels it. Does not keep the process alive. */
  timer(delayMs: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  // hrtime has one origin for all threads; performance.now() has one a thread.
  monoMs: () => Number(process.hrtime.bigint()) / 1e6,
  timer(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs)
    timeout.unref()
    return () => clearTimeout(timeout)
  },
}

/** Keeps the process alive until the result is called: sleeping on shared memory alone does not. */
export function holdProcess(): () => void {
  const interval = setInterval(() => {}, 0x3fff_ffff)
  return () => clearInterval(interval)
}
