import type { Lsn } from '../base/lsn.ts'
import type { Lookups } from '../store/lookups.ts'
import type { EntryPlace, PairEntries } from '../store/pair-entries.ts'
import type { AssertionReader, Place, StoredAssertion } from './candidate-source.ts'

/** What an assertion is counted with beside its bytes: its id, its signature, its decoded form and the objects. */
const CLAIM_OVERHEAD_BYTES = 1024

/**
 * Assertions that were read and checked lately, by LSN, for one thread. What is durable never changes, so what is kept stays right; it is
 * given to whoever names the same place and the same checksum.
 *
 * Two generations take turns, each of half of the bytes: what is asked for moves to the young one; when that is full it becomes the old
 * one, and what was left in the old one is forgotten.
 */
export class ClaimCache implements AssertionReader {
  readonly #reader: AssertionReader
  readonly #bytesMax: number
  #young = new Map<Lsn, StoredAssertion>()
  #old = new Map<Lsn, StoredAssertion>()
  #youngBytes = 0
  #lookups: Lookups = { kept: 0, read: 0 }

  /** @param bytesMax memory for assertions, about; 0: none is kept */
  constructor(reader: AssertionReader, bytesMax: number) {
    this.#reader = reader
    this.#bytesMax = bytesMax / 2
  }

  read(place: Place | EntryPlace): StoredAssertion {
    const kept = this.#find(place.lsn)
    const isSame = kept !== undefined && kept.segmentId === place.segmentId && kept.recordOffset === place.recordOffset && kept.index === place.index
      && (!('assertionSum' in place) || kept.assertionSum === place.assertionSum)
    return isSame ? this.#given(kept) : this.#readNew(place)
  }

  /** The same for entry `i` of a pair. */
  readEntry(entries: PairEntries, i: number): StoredAssertion {
    const kept = this.#find(entries.lsn(i))
    const isSame = kept !== undefined && kept.segmentId === entries.segmentId(i) && kept.recordOffset === entries.recordOffset(i)
      && kept.index === entries.index(i) && kept.assertionSum === entries.assertionSum(i)
    return isSame ? this.#given(kept) : this.#readNew(entries.place(i))
  }

  /** What was looked up since the last call. */
  takeLookups(): Readonly<Lookups> {
    const lookups = this.#lookups
    this.#lookups = { kept: 0, read: 0 }
    return lookups
  }

  batchIds(place: Place | EntryPlace): Uint8Array {
    return this.#reader.batchIds!(place)
  }

  #find(lsn: Lsn): StoredAssertion | undefined {
    const young = this.#young.get(lsn)
    if (young !== undefined) return young
    const old = this.#old.get(lsn)
    if (old !== undefined) this.#keep(old)
    return old
  }

  #given(kept: StoredAssertion): StoredAssertion {
    this.#lookups.kept++
    return kept
  }

  #readNew(place: Place | EntryPlace): StoredAssertion {
    this.#lookups.read++
    const stored = this.#reader.read(place)
    if (this.#bytesMax > 0) this.#keep(stored)
    return stored
  }

  #keep(stored: StoredAssertion): void {
    const bytes = stored.bytes.length + CLAIM_OVERHEAD_BYTES
    if (this.#youngBytes + bytes > this.#bytesMax) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    if (bytes > this.#bytesMax) return
    this.#young.set(stored.lsn, stored)
    this.#youngBytes += bytes
  }
}
