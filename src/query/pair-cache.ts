import type { Lsn } from '../base/lsn.ts'
import type { Lookups } from '../store/lookups.ts'
import { PairEntries } from '../store/pair-entries.ts'
import type { PairLsns } from '../store/pair-lsns.ts'
import { Generations } from './generations.ts'
import { KeptPair } from './kept-pair.ts'
import { CANDIDATES_MAX } from './pair-bounds.ts'

export interface PairCacheDependencies {
  /** Puts the entries of a pair into `out`; false: there are more than it takes. Runs that begin behind `lastLsn` have nothing of it. */
  readonly gather: (prefix: Uint8Array, lastLsn: Lsn, out: PairEntries) => boolean
  /** When each pair was written last. Absent: nobody says how long a pair stays as it is, and none is kept. */
  readonly pairLsns?: PairLsns | undefined
  /** Up to which LSN there was something before `pairLsns` began. */
  readonly startLsn?: Lsn
  readonly durableLsn: () => Lsn
  /** Memory for pairs and the claims of theirs that were read, about. */
  readonly bytesMax: number
}

/**
 * Pairs that were asked for lately, with their candidates, for one thread: so that most questions take no look at the index, however many
 * runs it has. A pair is given as long as `PairLsns` says that nothing of it was written since before it was read: whoever reads the
 * applied mark first gets all that is applied up to there.
 */
export class PairCache {
  readonly #deps: PairCacheDependencies
  readonly #kept: Generations<KeptPair>
  readonly #entries = new PairEntries(CANDIDATES_MAX)
  readonly #grew: (bytes: number) => void
  #lookups: Lookups = { kept: 0, read: 0 }

  constructor(deps: PairCacheDependencies) {
    this.#deps = deps
    this.#kept = new Generations(deps.pairLsns === undefined ? 0 : deps.bytesMax, ({ bytes }) => bytes)
    this.#grew = (bytes) => { this.#kept.grew(bytes) }
  }

  /**
   * Undefined where the pair has more entries than `CANDIDATES_MAX`.
   * @param key how the pair's index keys begin: `length` bytes of subject, zero, predicate, zero; not kept
   * @throws {DbError} as `gather`
   */
  pair(key: Uint8Array, length: number): KeptPair | undefined {
    const { pairLsns, startLsn = 0, durableLsn, gather } = this.#deps
    if (pairLsns === undefined) return this.#read(key.slice(0, length), Infinity, 0, gather)
    const hash = pairLsns.hashOf(key, length)
    const value = pairLsns.value(pairLsns.indexOf(hash))
    const kept = this.#kept.get(hash)
    if (kept !== undefined && kept.value === value && kept.isOf(key, length)) {
      this.#lookups.kept++
      return kept
    }
    const read = this.#read(key.slice(0, length), pairLsns.lastLsn(value, startLsn, durableLsn), value, gather)
    if (read !== undefined) this.#kept.keep(hash, read)
    return read
  }

  /** Pairs that were asked for since the last call. */
  takeLookups(): Readonly<Lookups> {
    const lookups = this.#lookups
    this.#lookups = { kept: 0, read: 0 }
    return lookups
  }

  #read(prefix: Uint8Array, lastLsn: Lsn, value: number, gather: PairCacheDependencies['gather']): KeptPair | undefined {
    this.#lookups.read++
    return gather(prefix, lastLsn, this.#entries) ? new KeptPair(prefix, this.#entries, value, this.#grew) : undefined
  }
}
