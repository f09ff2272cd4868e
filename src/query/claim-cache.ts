import type { Lookups } from '../store/lookups.ts'
import type { EntryPlace } from '../store/pair-entries.ts'
import type { AssertionReader, Place, StoredAssertion } from './candidate-source.ts'
import { Generations } from './generations.ts'

/** What an assertion is counted with beside its bytes: its id, its signature, its decoded form and the objects. */
const CLAIM_OVERHEAD_BYTES = 1024

/** What a kept assertion takes, about. */
export const claimBytes = ({ bytes }: StoredAssertion): number => bytes.length + CLAIM_OVERHEAD_BYTES

/**
 * Assertions that were read and checked lately, by LSN, for one thread. What is durable never changes, so what is kept stays right; it is
 * given to whoever names the same place and the same checksum.
 */
export class ClaimCache implements AssertionReader {
  readonly #reader: AssertionReader
  readonly #kept: Generations<StoredAssertion>
  #lookups: Lookups = { kept: 0, read: 0 }

  /** @param bytesMax memory for assertions, about; 0: none is kept */
  constructor(reader: AssertionReader, bytesMax: number) {
    this.#reader = reader
    this.#kept = new Generations(bytesMax, claimBytes)
  }

  read(place: Place | EntryPlace): StoredAssertion {
    const kept = this.#kept.get(place.lsn)
    const isSame = kept !== undefined && kept.segmentId === place.segmentId && kept.recordOffset === place.recordOffset && kept.index === place.index
      && (!('assertionSum' in place) || kept.assertionSum === place.assertionSum)
    if (isSame) {
      this.#lookups.kept++
      return kept
    }
    this.#lookups.read++
    const stored = this.#reader.read(place)
    this.#kept.keep(stored.lsn, stored)
    return stored
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
}
