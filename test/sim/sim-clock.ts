import type { Clock } from '../../src/base/clock.ts'

/** Where the wall clock starts, in Unix milliseconds. */
export const START_WALL_MS = 1_800_000_000_000

/** Time that passes only where the simulation lets it. */
export class SimClock implements Clock {
  #nowMs = 0
  /** What somebody has set the wall clock forward or back by. */
  wallOffsetMs = 0

  readonly monoMs = (): number => this.#nowMs
  readonly wallMs = (): number => Math.floor(START_WALL_MS + this.#nowMs + this.wallOffsetMs)

  advance(ms: number): void {
    this.#nowMs += ms
  }

  timer(): never {
    throw new Error('the simulation has no event loop: nobody sets a timer')
  }
}
