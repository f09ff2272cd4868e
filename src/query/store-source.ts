import type { Lsn } from '../base/lsn.ts'
import { decodeSpKey, decodeSpValue, spRange } from '../store/keyspace.codec.ts'
import { SP_TAIL_BYTES } from '../store/keyspace.layout.ts'
import type { RangeBounds, Store, StoreRange } from '../store/store.ts'
import type { CandidateSource, EntryCursor, EntryRange, IndexEntry, Place } from './candidate-source.ts'

/** Entries that the first call of a cursor fetches, and the most that any does. */
const FETCH_FIRST = 16
const FETCH_MAX = 256

export interface StoreSourceDependencies {
  readonly store: Store
  /** Where a known id stands (store/id-lookup.ts). */
  readonly find: (ids: Uint8Array, offset: number) => Place | undefined
  readonly appliedLsn: () => Lsn
  readonly durableLsn: () => Lsn
}

/** What the store's indexes and the table of recent ids say. */
export class StoreSource implements CandidateSource {
  readonly #deps: StoreSourceDependencies

  constructor(deps: StoreSourceDependencies) {
    this.#deps = deps
  }

  appliedLsn(): Lsn {
    return this.#deps.appliedLsn()
  }

  byId(id: Uint8Array): Place | undefined {
    const place = this.#deps.find(id, 0)
    // Recent ids are known before their record is synced: nobody may read what a crash could take back.
    return place !== undefined && place.lsn <= this.#deps.durableLsn() ? place : undefined
  }

  entries(range: EntryRange): EntryCursor {
    const { subject, subjectIsPrefix, predicate } = range
    return new StoreCursor(this.#deps.store, spRange(subject, subjectIsPrefix ? undefined : predicate, { subjectIsPrefix }))
  }
}

class StoreCursor implements EntryCursor {
  readonly #store: Store
  readonly #bounds: RangeBounds
  #range: StoreRange
  /** Key, value, key, value, ...: what the last call fetched, and how far it is used up. */
  #fetched: readonly Uint8Array[] = []
  #used = 0
  #fetchCount = FETCH_FIRST
  #lastKey: Uint8Array | undefined

  constructor(store: Store, bounds: RangeBounds) {
    this.#store = store
    this.#bounds = { ...bounds, fillCache: true }
    this.#range = store.range('sp', this.#bounds)
  }

  next(): IndexEntry | undefined {
    if (this.#used === this.#fetched.length) {
      this.#fetched = this.#range.next(this.#fetchCount)
      this.#used = 0
      this.#fetchCount = Math.min(2 * this.#fetchCount, FETCH_MAX)
    }
    const key = this.#fetched[this.#used]
    const value = this.#fetched[this.#used + 1]
    if (key === undefined || value === undefined) return undefined
    this.#used += 2
    this.#lastKey = key
    return { ...decodeSpKey(key), ...decodeSpValue(value) }
  }

  skipPair(): void {
    const last = this.#lastKey
    if (last === undefined) return
    // Subject, zero, predicate, zero: all entries of the pair begin so, and with the zero made a one none does.
    const behind = last.slice(0, last.length - SP_TAIL_BYTES)
    behind[behind.length - 1] = 1
    while (this.#used < this.#fetched.length) {
      if (Buffer.compare(this.#fetched[this.#used]!, behind) >= 0) return
      this.#used += 2
    }
    this.#range.close()
    this.#range = this.#store.range('sp', { ...this.#bounds, gte: behind })
    this.#fetchCount = FETCH_FIRST
  }

  close(): void {
    this.#range.close()
  }
}
