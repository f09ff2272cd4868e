import type { Clock } from '../base/clock.ts'
import type { Stage } from '../thread/stage.ts'

/** How often stages are stepped although nothing came: for the mark behind an idle log, and for free space. */
const TICK_MS = 20

/**
 * The stages of a node on one thread, in the order of the flow: for tests and tiny machines. Nothing sleeps; work is
 * done when something was put into a ring, and on a slow tick.
 */
export class InlineHost {
  readonly #stages: readonly Stage[]
  readonly #drainFront: () => number
  readonly #clock: Clock
  readonly #failed: (error: unknown) => void
  #scheduled = false
  #running = false
  #stopped = false
  #cancelTick: () => void = () => {}

  constructor(stages: readonly Stage[], drainFront: () => number, clock: Clock, failed: (error: unknown) => void) {
    this.#stages = stages
    this.#drainFront = drainFront
    this.#clock = clock
    this.#failed = failed
    this.#tick()
  }

  /** Called after something was put into a ring. */
  readonly schedule = (): void => {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  /** Does all that the rings hold, then lets each stage finish. */
  stop(): void {
    this.#pump()
    this.#stopped = true
    this.#cancelTick()
    for (const stage of this.#stages) stage.finish()
    this.#drainFront()
  }

  /** Steps all stages until none has anything to do. */
  #pump(): void {
    if (this.#stopped || this.#running) return
    this.#running = true
    try {
      let progress = true
      while (progress) {
        progress = false
        for (const stage of this.#stages) if (stage.step() === 'progress') progress = true
        if (this.#drainFront() > 0) progress = true
      }
    } catch (error) {
      this.#stopped = true
      this.#drainFront()
      this.#failed(error)
    } finally {
      this.#running = false
    }
  }

  #tick(): void {
    this.#cancelTick = this.#clock.timer(TICK_MS, () => {
      this.#pump()
      if (!this.#stopped) this.#tick()
    })
  }
}
