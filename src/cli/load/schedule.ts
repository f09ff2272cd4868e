/** Shortest distance of two ticks: what the ticker's thread can keep without taking much of a core. */
export const TICK_MS_MIN = 0.25
/** Against rounding: a frame whose time is a tick's, up to this share of a tick, belongs to it. */
const EPSILON = 1e-6

/**
 * When each frame of an open loop is due: frame k at k intervals after the start, rounded up to the next tick. Frames of
 * one tick are due together, as arrivals are in life. The times do not depend on how the server does: that is
 * what makes the loop open.
 */
export class Schedule {
  readonly startMs: number
  readonly tickMs: number
  readonly intervalMs: number
  readonly framesMax: number

  constructor(startMs: number, framesPerSecond: number, durationMs: number) {
    this.startMs = startMs
    this.intervalMs = 1000 / framesPerSecond
    this.tickMs = Math.max(TICK_MS_MIN, this.intervalMs)
    this.framesMax = Math.max(1, Math.floor(durationMs / this.intervalMs + EPSILON))
  }

  /** Time at which frame `index` is due. */
  dueMs(index: number): number {
    return this.startMs + Math.ceil((index * this.intervalMs) / this.tickMs - EPSILON) * this.tickMs
  }

  /** How many frames are due at `nowMs`. */
  dueCount(nowMs: number): number {
    const ticks = Math.floor((nowMs - this.startMs) / this.tickMs + EPSILON)
    if (ticks < 0) return 0
    return Math.min(this.framesMax, Math.floor((ticks * this.tickMs) / this.intervalMs + 2 * EPSILON) + 1)
  }
}
