import { DbError } from '../../src/base/errors.ts'
import { seededRandom, type Random } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import type { Coverage } from './coverage.ts'
import { mutate, type Mutation } from './mutations.ts'

/** A decoder under attack. */
export interface FuzzTarget {
  readonly name: string
  /** Valid inputs, and whatever else is worth to start from. */
  seeds(): Uint8Array[]
  /** Those that know the format, beside those for any bytes. */
  readonly mutations?: readonly Mutation[]
  /**
   * Decodes the input as the program would. Returns whether it was taken. To refuse by a DbError is right; to throw
   * anything else is a finding, and so is an `Error` that the target throws itself, where two decodings disagree.
   */
  run(input: Uint8Array): boolean | Promise<boolean>
}

export interface Finding {
  readonly target: string
  readonly why: string
  readonly input: Uint8Array
}

export interface FuzzReport {
  readonly target: string
  readonly inputs: number
  readonly taken: number
  readonly slowestMs: number
  /** Inputs that ran what none before them had run; 0 without coverage. */
  readonly kept: number
  readonly findings: readonly Finding[]
}

/** One input that takes longer is a finding (RELIABILITY, S7). */
export const INPUT_MS_MAX = 100
/** What one input of at most 64 KiB may take of memory before it is one. */
const INPUT_MEMORY_BYTES_MAX = 32 * MiB
/** Stop where so much is wrong. */
const FINDINGS_MAX = 10
/** What mutation starts from besides the seeds. */
const POOL_MAX = 2048
/** Inputs between two looks at coverage and memory. */
const LOOK_INPUTS = 64

/** The input inside of a bigger buffer, as frames lie in rings, at any alignment. */
function poisoned(input: Uint8Array, random: Random): { input: Uint8Array, whole: Uint8Array } {
  const before = random.u32() % 17
  const whole = new Uint8Array(before + input.length + 16).fill(0xa5)
  whole.set(input, before)
  return { input: whole.subarray(before, before + input.length), whole }
}

const reasonOf = (error: unknown): string | false => {
  if (error instanceof DbError) return false
  return error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ''}` : String(error)
}

/** Runs one input; gives why it is a finding, or whether it was taken. */
export function runInput(target: FuzzTarget, input: Uint8Array): string | boolean | Promise<string | boolean> {
  try {
    const result = target.run(input)
    return typeof result === 'boolean' ? result : result.catch(reasonOf)
  } catch (error) {
    return reasonOf(error)
  }
}

export interface FuzzOptions {
  readonly seconds: number
  readonly seed: number
  /** Stops earlier, so that a smoke run is the same everywhere. */
  readonly inputsMax?: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Guides by what code has run; started before the target was loaded. */
  readonly coverage?: Coverage | undefined
  /** More to start from: what was found before. */
  readonly more?: readonly Uint8Array[]
}

/** Mutates the target's seeds, and what it took of their offspring, for as long as the options say. */
export function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  return new Fuzzing(target, options).run()
}

class Fuzzing {
  readonly #target: FuzzTarget
  readonly #options: FuzzOptions
  readonly #random: Random
  readonly #seeds: readonly Uint8Array[]
  readonly #pool: Uint8Array[] = []
  readonly #findings: Finding[] = []
  /** Since the last look. */
  #recent: Uint8Array[] = []
  #inputs = 0
  #taken = 0
  #kept = 0
  #slowestMs = 0
  #rssBytes = process.memoryUsage.rss()
  #externalBytes = process.memoryUsage().external

  constructor(target: FuzzTarget, options: FuzzOptions) {
    this.#target = target
    this.#options = options
    this.#random = seededRandom(options.seed).fork(target.name)
    this.#seeds = [...target.seeds(), ...options.more ?? []]
  }

  async run(): Promise<FuzzReport> {
    const { now, seconds, inputsMax = Infinity } = this.#options
    const end = now() + 1000 * seconds
    this.#options.coverage?.forget()
    while (now() < end && this.#inputs < inputsMax && this.#findings.length < FINDINGS_MAX) {
      await this.#one(this.#inputs < this.#seeds.length ? this.#seeds[this.#inputs]! : this.#child())
      if (this.#recent.length >= LOOK_INPUTS) await this.#look()
    }
    return {
      target: this.#target.name, inputs: this.#inputs, taken: this.#taken, slowestMs: this.#slowestMs, kept: this.#kept, findings: this.#findings,
    }
  }

  #child(): Uint8Array {
    return mutate(this.#parent(), this.#parent(), this.#random, this.#target.mutations)
  }

  /** Rather a late one of the pool: it got further. */
  #parent(): Uint8Array {
    const random = this.#random
    if (this.#pool.length === 0 || (random.u32() & 3) === 0) return this.#seeds[random.u32() % this.#seeds.length]!
    return this.#pool[Math.max(random.u32() % this.#pool.length, random.u32() % this.#pool.length)]!
  }

  async #one(bytes: Uint8Array): Promise<void> {
    const { now } = this.#options
    const { input, whole } = poisoned(bytes, this.#random)
    const copy = whole.slice()
    const before = now()
    const outcome = runInput(this.#target, input)
    const result = typeof outcome === 'object' ? await outcome : outcome
    const ms = now() - before
    this.#slowestMs = Math.max(this.#slowestMs, ms)
    const why = typeof result === 'string' ? result
      : Buffer.compare(whole, copy) !== 0 ? 'the decoder wrote to its input or beside it'
        : ms > INPUT_MS_MAX && await this.#isSlow(bytes) ? `took ${ms.toFixed(0)} ms` : undefined
    if (why !== undefined) this.#findings.push({ target: this.#target.name, why, input: bytes })
    const isSeed = this.#inputs++ < this.#seeds.length
    this.#recent.push(bytes)
    if (result !== true) return
    this.#taken++
    if (this.#options.coverage === undefined && !isSeed && (this.#random.u32() & 7) === 0) this.#keep(bytes)
  }

  /** Whether it is slow each time, by what it takes of a core: a busy machine, or a low priority, makes each one wait. */
  async #isSlow(input: Uint8Array): Promise<boolean> {
    for (let i = 0; i < 3; i++) {
      const before = process.cpuUsage()
      await runInput(this.#target, input)
      const { user, system } = process.cpuUsage(before)
      if ((user + system) / 1000 <= INPUT_MS_MAX) return false
    }
    return true
  }

  #keep(input: Uint8Array): void {
    this.#pool[this.#pool.length < POOL_MAX ? this.#pool.length : this.#random.u32() % POOL_MAX] = input
  }

  async #look(): Promise<void> {
    const recent = this.#recent
    this.#recent = []
    const { coverage } = this.#options
    if (coverage !== undefined) {
      const all = coverage.take()
      if (coverage.isNews(all)) {
        for (const input of recent) await this.#keepIfNew(coverage, input)
        // Where only all of them together brought it about, nobody is to look for it again.
        coverage.learn(all)
      }
    }
    const { rss, external } = process.memoryUsage()
    // Either: freed pages are used again, and what is on the heap is not external.
    if (rss - this.#rssBytes > INPUT_MEMORY_BYTES_MAX || external - this.#externalBytes > INPUT_MEMORY_BYTES_MAX) {
      for (const input of recent) await this.#weigh(input)
    }
    this.#rssBytes = Math.max(this.#rssBytes, rss)
    this.#externalBytes = external
  }

  async #keepIfNew(coverage: Coverage, input: Uint8Array): Promise<void> {
    await runInput(this.#target, input)
    const sample = coverage.take()
    if (!coverage.isNews(sample)) return
    coverage.learn(sample)
    this.#kept++
    this.#keep(input)
  }

  /** Among these inputs one took much memory, or all of them a little: each is looked at alone. */
  async #weigh(input: Uint8Array): Promise<void> {
    const used = (): number => {
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    const before = used()
    await runInput(this.#target, input)
    const bytes = used() - before
    if (bytes > INPUT_MEMORY_BYTES_MAX) this.#findings.push({ target: this.#target.name, why: `took ${Math.round(bytes / MiB)} MiB`, input })
  }
}
