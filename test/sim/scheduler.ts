import { assert } from '../../src/base/assert.ts'
import type { Random } from '../../src/base/random.ts'

/** Something that takes one step at a time, as a thread does between two looks at shared memory. */
export interface Actor {
  readonly name: string
  /** How often it gets its turn, in comparison to others. */
  readonly weight: number
  /** Whether it did something. */
  step(): boolean
}

/** How deep steps may stand in steps: each level is a thread that waits for its disk. */
const DEPTH_MAX = 3

/**
 * Lets actors take turns in an order that chance decides. A call to the disk is where others may go on meanwhile
 * ({@link others}), so a step of one may lie within a step of another, as it does between threads; nobody is within
 * itself.
 */
export class Scheduler {
  readonly #random: Random
  readonly #afterTurn: (actor: Actor, progress: boolean) => void
  readonly #running = new Set<Actor>()
  #actors: readonly Actor[] = []
  #weightSum = 0

  constructor(random: Random, afterTurn: (actor: Actor, progress: boolean) => void) {
    this.#random = random
    this.#afterTurn = afterTurn
  }

  /** Who takes part from now on. */
  set actors(actors: readonly Actor[]) {
    assert(this.#running.size === 0, 'nobody is within a step')
    this.#actors = actors
    this.#weightSum = actors.reduce((sum, actor) => sum + actor.weight, 0)
  }

  /** After a death: the stacks are gone, and with them whoever was in a step. */
  clear(): void {
    this.#running.clear()
    this.actors = []
  }

  /** One actor, by chance, takes a step. */
  turn(): void {
    let at = this.#random.u32() % this.#weightSum
    for (const actor of this.#actors) {
      at -= actor.weight
      if (at >= 0) continue
      this.#step(actor)
      return
    }
  }

  /** Everybody takes a step, in an order by chance. Whether anybody did something. */
  sweep(): boolean {
    const order = [...this.#actors]
    let progress = false
    while (order.length > 0) {
      const [actor] = order.splice(this.#random.u32() % order.length, 1)
      if (this.#step(actor!)) progress = true
    }
    return progress
  }

  /** A call takes its time: up to `turnsMax` steps of others fall into it. */
  others(turnsMax: number): void {
    if (this.#actors.length === 0 || this.#running.size >= DEPTH_MAX) return
    for (let left = this.#random.u32() % (turnsMax + 1); left > 0; left--) this.turn()
  }

  #step(actor: Actor): boolean {
    if (this.#running.has(actor)) return false
    this.#running.add(actor)
    const progress = actor.step()
    this.#running.delete(actor)
    this.#afterTurn(actor, progress)
    return progress
  }
}
