import { compareBytes, concatBytes } from '../base/bytes.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { EntryRangeCursor } from '../store/entry-cursor.ts'
import { EntryReader, type EntryReaderOptions } from '../store/entry-reader.ts'
import {
  decodeSpKey, decodeSpValue, isSameSpPair, spKeyHlc, spKeyId, spKey, spKeyAsOf, spRange, type SpKey,
} from '../store/keyspace.codec.ts'
import { SP_TAIL_BYTES } from '../store/keyspace.layout.ts'
import type { Lookups } from '../store/lookups.ts'
import type { PairLsns } from '../store/pair-lsns.ts'
import { readAppliedHlc } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import type { CandidateSource, EntryCursor, EntryPosition, EntryRange, IndexEntry, Place, PlainPair } from './candidate-source.ts'
import { PairCache } from './pair-cache.ts'

export interface StoreSourceDependencies {
  readonly store: Store
  /** Where a known id stands (store/id-lookup.ts). */
  readonly find: (ids: Uint8Array, offset: number) => Place | undefined
  readonly appliedLsn: () => Lsn
  readonly durableLsn: () => Lsn
  /** How the index is read. */
  readonly index?: EntryReaderOptions
  /** Which pairs are kept. Absent: none. */
  readonly keep?: { readonly pairLsns: PairLsns, readonly startLsn: Lsn, readonly bytesMax: number }
}

/** What the store's indexes and the table of recent ids say. */
export class StoreSource implements CandidateSource {
  readonly #deps: StoreSourceDependencies
  readonly #reader: EntryReader
  readonly #pairs: PairCache

  constructor(deps: StoreSourceDependencies) {
    const { store, index, keep = { bytesMax: 0 }, durableLsn } = deps
    const reader = new EntryReader(store, index)
    this.#deps = deps
    this.#reader = reader
    this.#pairs = new PairCache({ ...keep, durableLsn, gather: (prefix, lastLsn, out) => reader.pair(prefix, lastLsn, out) })
  }

  appliedLsn(): Lsn {
    return this.#deps.appliedLsn()
  }

  appliedHlc(): Hlc | undefined {
    return readAppliedHlc(this.#deps.store)
  }

  byId(id: Uint8Array): Place | undefined {
    const place = this.#deps.find(id, 0)
    // Recent ids are known before their record is synced: nobody may read what a crash could take back.
    return place !== undefined && place.lsn <= this.#deps.durableLsn() ? place : undefined
  }

  pair(key: Uint8Array, length: number): PlainPair | undefined {
    return this.#pairs.pair(key, length)
  }

  /** Pages of the index, and pairs, that were looked for since the last call. */
  takeLookups(): Readonly<{ pages: Lookups, pairs: Lookups }> {
    return { pages: this.#reader.takeLookups(), pairs: this.#pairs.takeLookups() }
  }

  entries({ subject, subjectIsPrefix, predicate, asOfHlc, from }: EntryRange): EntryCursor {
    const asOf = asOfHlc === undefined ? {} : { asOf: asOfHlc }
    const { gte, lt } = spRange(subject, subjectIsPrefix ? undefined : predicate, { subjectIsPrefix, ...asOf })
    const start = from === undefined ? gte! : later(gte!, keyOf(from))
    return new StoreCursor(this.#reader.entries({ gte: start, ...lt === undefined ? {} : { lt } }), asOfHlc, start)
  }
}

const later = (a: Uint8Array, b: Uint8Array): Uint8Array => compareBytes(a, b) < 0 ? b : a

const ZERO = Uint8Array.of(0)

function keyOf({ subject, predicate, behind }: EntryPosition): Uint8Array {
  if (behind === undefined) return spKey(subject, predicate)
  return concatBytes(spKey(subject, predicate, behind.hlc, behind.idPrefix), ZERO)
}

class StoreCursor implements EntryCursor {
  readonly #cursor: EntryRangeCursor
  readonly #asOfHlc: Hlc | undefined
  readonly #start: Uint8Array
  #lastKey: Uint8Array | undefined
  /** Of `#lastKey`. */
  #pair: Pick<SpKey, 'subject' | 'predicate'> | undefined

  /** @param start the least key of the range */
  constructor(cursor: EntryRangeCursor, asOfHlc: Hlc | undefined, start: Uint8Array = new Uint8Array(0)) {
    this.#cursor = cursor
    this.#asOfHlc = asOfHlc
    this.#start = start
  }

  next(): IndexEntry | undefined {
    for (;;) {
      const found = this.#cursor.next()
      if (found === undefined) return undefined
      const { subject, predicate } = this.#pairOf(found.key)
      this.#lastKey = found.key
      const hlc = spKeyHlc(found.key)
      if (this.#asOfHlc === undefined || hlc <= this.#asOfHlc) {
        const value = decodeSpValue(found.value)
        return {
          subject, predicate, hlc, idPrefix: spKeyId(found.key), lsn: value.lsn, segmentId: value.segmentId, recordOffset: value.recordOffset,
          index: value.index, assertionSum: value.assertionSum, sourceClass: value.sourceClass, lifecycle: value.lifecycle,
          objectKind: value.objectKind, hasParent: value.hasParent,
        }
      }
      // To the first entry of this pair that is old enough, or whatever stands behind the pair.
      this.#cursor.seek(spKeyAsOf(found.key, this.#asOfHlc))
    }
  }

  /** Entries of one pair share its views: whoever groups them need not compare bytes again. */
  #pairOf(key: Uint8Array): Pick<SpKey, 'subject' | 'predicate'> {
    if (this.#lastKey === undefined || this.#pair === undefined || !isSameSpPair(this.#lastKey, key)) this.#pair = decodeSpKey(key)
    return this.#pair
  }

  skipPair(): void {
    const last = this.#lastKey
    if (last === undefined) return
    // Subject, zero, predicate, zero: all entries of the pair begin so, and with the zero made a one none does.
    const behind = last.slice(0, last.length - SP_TAIL_BYTES)
    behind[behind.length - 1] = 1
    this.#cursor.seek(behind)
  }

  seek(key: Uint8Array): void {
    if (Buffer.compare(key, this.#lastKey ?? this.#start) > 0) this.#cursor.seek(key)
  }

  close(): void {
    // Pages are held by nobody but this object.
  }
}
