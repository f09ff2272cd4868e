import { hlcOf, hlcWallMs } from '../../src/base/hlc.ts'
import type { Random } from '../../src/base/random.ts'
import { AGENTS, OBJECTS, PREDICATES, SOURCES, SUBJECTS, type Accepted } from './history.ts'
import { MODEL_LENSES } from './model.lenses.ts'
import type { Question } from './model.query.ts'

const DAY_MS = 24 * 3_600_000
const LENSES: readonly string[] = Object.keys(MODEL_LENSES)

/** Questions without end about what has happened so far: every lens, every filter, alone and together. */
export class Questions {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  next(world: readonly Accepted[]): Question {
    if (this.#below(12) === 0) return { ...this.#rules(), lens: 'constraints', ...this.#filters(world) }
    return { ...this.#about(world), lens: this.#lens(), ...this.#tolerance() }
  }

  list(world: readonly Accepted[]): Question {
    return { ...this.#about(world), ...this.#tolerance() }
  }

  #tolerance(): Question {
    return this.#below(3) === 0 ? { tolerance: this.#pick([0, 0.005, 0.01, 0.5, 1]) } : {}
  }

  #about(world: readonly Accepted[]): Question {
    return this.#below(4) === 0 ? this.#latest(world) : { ...this.#where(world), ...this.#filters(world) }
  }

  /** By an agent or a time and no subject; whatever else is asked for comes on top. */
  #latest(world: readonly Accepted[]): Question {
    const by = this.#below(3)
    const { fromHlc: _from, untilHlc: _until, ...filters } = this.#filters(world)
    return {
      ...filters, ...this.#below(4) === 0 && { predicate: this.#pick(world).assertion.predicate },
      ...by !== 1 && { agent: this.#pick(AGENTS) }, ...by !== 0 && this.#hlcs(world),
    }
  }

  #where(world: readonly Accepted[]): Question {
    const some = this.#pick(world).assertion
    switch (this.#below(6)) {
      case 0: return { subject: this.#pick(['', 'd', 'drug/a', 'drug/', 'rfc://', 'steme://', 'nothing']), prefix: true }
      case 1: return { subject: this.#pick(['', 'drug/']), prefix: true, predicate: some.predicate }
      case 2: return { subject: this.#pick(SUBJECTS), aliases: true, ...this.#below(2) === 0 && { predicate: this.#pick(PREDICATES) } }
      case 3: return { subject: this.#pick(SUBJECTS), predicate: this.#pick(PREDICATES) }
      case 4: return { predicate: some.predicate }
      default: return { subject: some.subject, ...this.#below(2) === 0 && { predicate: some.predicate } }
    }
  }

  /** The rules of a subject, or of many. */
  #rules(): Question {
    switch (this.#below(4)) {
      case 0: return { subject: this.#pick(['', 'drug/', 'drug/a']), prefix: true }
      case 1: return { subject: this.#pick(SUBJECTS), aliases: true }
      default: return { subject: this.#pick(SUBJECTS) }
    }
  }

  #lens(): string {
    const chain = [this.#pick(LENSES)]
    while (chain.length < 3 && this.#below(3) === 0) chain.push(this.#pick(LENSES))
    return chain.join(',')
  }

  /** None, mostly. */
  #filters(world: readonly Accepted[]): Question {
    if (this.#below(2) === 0) return {}
    const makers: readonly (() => Question)[] = [
      () => ({ agent: this.#pick(AGENTS) }),
      () => ({ source: this.#pick(SOURCES) }),
      () => this.#epoch(world),
      () => ({ lifecycles: this.#pick([0b10, 0b100, 0b1000, 0b1010, 0b10000, 0b1110000, 0b1111110]) }),
      () => ({ tiers: 1 + this.#below(63) }),
      () => this.#hlcs(world),
      () => this.#asserted(world),
      () => ({ confidenceMin: this.#pick([0, 0.1, 0.5, 0.75, 1]) }),
      () => ({ object: this.#pick(OBJECTS) }),
    ]
    const first = this.#below(makers.length)
    const second = this.#below(4) === 0 ? this.#below(makers.length) : first
    return { ...makers[first]!(), ...second === first ? {} : makers[second]!() }
  }

  #epoch(world: readonly Accepted[]): Question {
    const epochs = world.flatMap(({ assertion: { epoch } }) => epoch ?? [])
    return { epoch: epochs.length === 0 ? new Uint8Array(32).fill(7) : this.#pick(epochs) }
  }

  #hlcs(world: readonly Accepted[]): Question {
    const from = this.#pick(world).hlc + BigInt(this.#below(2))
    const until = this.#pick(world).hlc + BigInt(this.#below(2))
    if (this.#below(2) === 0 || from >= until) return this.#below(2) === 0 ? { fromHlc: from } : { untilHlc: until }
    return { fromHlc: from, untilHlc: until }
  }

  #asserted(world: readonly Accepted[]): Question {
    const from = this.#pick(world).assertion.assertedAtMs + this.#below(2)
    if (this.#below(8) === 0) return { assertedUntilMs: 0 }
    return this.#below(2) === 0 ? { assertedFromMs: from } : { assertedFromMs: Math.max(1, from - DAY_MS), assertedUntilMs: from }
  }

  /** A moment of the past: of an assertion, just before it, the end of its millisecond, or before all. */
  moment(world: readonly Accepted[]): bigint {
    const { hlc } = this.#pick(world)
    return this.#pick([hlc, hlc, hlc - 1n, hlcOf(hlcWallMs(hlc), 0xffff), world[0]!.hlc - 1n])
  }

  below(count: number): number {
    return this.#below(count)
  }

  #below(count: number): number {
    return this.#random.u32() % count
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.#below(of.length)]!
  }
}
