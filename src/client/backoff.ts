export interface BackoffOptions {
  /** Upper end of the first delay. */
  readonly baseMs: number
  /** Upper end of every delay. */
  readonly capMs: number
}

/**
 * The delay before attempt `attempt` (0, 1, 2, ...): uniform between half of and the whole exponential step ("equal jitter",
 * M. Brooker, "Exponential Backoff And Jitter", 2015), so that clients that lost one node do not come back at once
 * and none hammers it.
 * @param random uniform in 0..1.
 */
export function backoffMs(attempt: number, options: BackoffOptions, random: number): number {
  // 2^30 times anything is beyond every cap; the exponent must not overflow.
  const step = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30))
  return step / 2 + (step / 2) * random
}
