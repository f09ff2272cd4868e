import { concatBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { PairLsns } from '../store/pair-lsns.ts'
import type { CandidateSource, EntryCursor, EntryRange, Place, PlainPair } from './candidate-source.ts'

/** Pairs that one kept answer may depend on. */
export const DEPENDENCIES_MAX = 256

const ZERO = Uint8Array.of(0)

/**
 * What an answer under way was made of, noted by those who read: the pairs that were looked at, each with its LSN as it was
 * before, and whether the time was asked for. Whatever kind of query it is, nothing can be forgotten, because there is no other way
 * to the index.
 */
export class Dependencies {
  readonly #pairLsns: PairLsns
  readonly #indexes = new Int32Array(DEPENDENCIES_MAX)
  readonly #values = new Int32Array(DEPENDENCIES_MAX)
  #count = 0
  #isBounded = true
  #usesTime = false
  #appliedLsn: Lsn = 0

  constructor(pairLsns: PairLsns) {
    this.#pairLsns = pairLsns
  }

  /** @param appliedLsn of now: what is newer may or may not be seen by the answer */
  begin(appliedLsn: Lsn): void {
    this.#appliedLsn = appliedLsn
    this.#count = 0
    this.#isBounded = true
    this.#usesTime = false
  }

  /** Call it before reading anything of the pair, or of something that is made of it alone. */
  pair(subject: Uint8Array, predicate: Uint8Array): void {
    const key = concatBytes(subject, ZERO, predicate, ZERO)
    this.key(key, key.length)
  }

  /** The same, of subject, zero, predicate, zero: the first `length` bytes of `key`. */
  key(key: Uint8Array, length: number): void {
    if (this.#count === DEPENDENCIES_MAX) return this.unbounded()
    const index = this.#pairLsns.indexOf(this.#pairLsns.hashOf(key, length))
    this.#indexes[this.#count] = index
    this.#values[this.#count++] = this.#pairLsns.value(index)
  }

  /** What was found by its id: one that is there and applied stays as it is; of another one no pair says when it can be seen. */
  found(place: Place | undefined): void {
    if (place === undefined || place.lsn > this.#appliedLsn) this.unbounded()
  }

  /** The answer depends on more than can be named. */
  unbounded(): void {
    this.#isBounded = false
  }

  time(): void {
    this.#usesTime = true
  }

  get isBounded(): boolean {
    return this.#isBounded && this.#count > 0
  }

  get usesTime(): boolean {
    return this.#usesTime
  }

  /** Slots and their values, in turns. */
  snapshot(): Int32Array {
    const words = new Int32Array(2 * this.#count)
    for (let i = 0; i < this.#count; i++) {
      words[2 * i] = this.#indexes[i]!
      words[2 * i + 1] = this.#values[i]!
    }
    return words
  }

  /** Whether nothing was written of what a snapshot names since it was taken. */
  holds(snapshot: Int32Array): boolean {
    for (let i = 0; i < snapshot.length; i += 2) {
      if (this.#pairLsns.value(snapshot[i]!) !== snapshot[i + 1]!) return false
    }
    return true
  }
}

/** A source whose reads are noted. */
export class NotedSource implements CandidateSource {
  readonly #source: CandidateSource
  readonly #dependencies: Dependencies

  constructor(source: CandidateSource, dependencies: Dependencies) {
    this.#source = source
    this.#dependencies = dependencies
  }

  appliedLsn(): Lsn {
    return this.#source.appliedLsn()
  }

  appliedHlc(): Hlc | undefined {
    // It moves after the pairs' LSNs do: an answer that leaves out what is newer may lack what they stand for.
    this.#dependencies.unbounded()
    return this.#source.appliedHlc?.()
  }

  byId(id: Uint8Array): Place | undefined {
    const place = this.#source.byId(id)
    this.#dependencies.found(place)
    return place
  }

  pair(key: Uint8Array, length: number): PlainPair | undefined {
    this.#dependencies.key(key, length)
    return this.#source.pair!(key, length)
  }

  entries(range: EntryRange): EntryCursor {
    if (range.subjectIsPrefix || range.predicate === undefined) this.#dependencies.unbounded()
    else this.#dependencies.pair(range.subject, range.predicate)
    return this.#source.entries(range)
  }
}

/** A clock that notes whether the time of day was asked for. */
export class NotedClock implements Clock {
  readonly #clock: Clock
  readonly #dependencies: Dependencies

  constructor(clock: Clock, dependencies: Dependencies) {
    this.#clock = clock
    this.#dependencies = dependencies
  }

  wallMs(): number {
    this.#dependencies.time()
    return this.#clock.wallMs()
  }

  monoMs(): number {
    return this.#clock.monoMs()
  }

  timer(delayMs: number, callback: () => void): () => void {
    return this.#clock.timer(delayMs, callback)
  }
}
