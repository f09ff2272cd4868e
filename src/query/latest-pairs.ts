import type { Lsn } from '../base/lsn.ts'
import type { AssertionReader, LatestCursor, LatestPosition, Place, StoredAssertion } from './candidate-source.ts'
import type { Filter } from './filter.ts'
import { passesClaimAndEntry, type AssertionTexts } from './latest-match.ts'
import type { Pair } from './pair-bounds.ts'
import { SEEK_STEPS, type PairSource, type StepBudget } from './pairs.ts'

export interface LatestPairsOptions {
  readonly reader: AssertionReader
  readonly filter: Filter
  readonly texts: AssertionTexts
  /** The lens looks at all predicates of a subject together. */
  readonly isGathered: boolean
  readonly budget: StepBudget
  /** False: no other claim may be read for this page. */
  readonly mayReadClaim: () => boolean
  /**
   * What the index has of a subject, or of one predicate of it.
   * @param cuts where the budget ends within, it gives what it has
   */
  readonly pairsOf: (subject: Uint8Array, predicate: Uint8Array | undefined, cuts: boolean) => PairSource
}

/**
 * Pairs in the order of the log: each where the newest assertion that counts in it stands, the newest first.
 *
 * The walk meets every assertion of an agent or a time, and an assertion says which pair it is of; but a pair is met as often as
 * something was said of it, and a page knows nothing of the pages before. So whether a pair is answered where it is met is decided by
 * the pair itself: its newest candidate must be the assertion that it was met at (`settle`). All candidates pass the filter, so that the
 * walk meets each of them; one of them is the newest; so each pair is answered once, on whatever page.
 */
export class LatestPairs {
  readonly #cursor: LatestCursor
  readonly #options: LatestPairsOptions
  /** Where a pair is answered that was met on this page, 0: nowhere. Each costs a claim that was read, whose number is bounded. */
  readonly #settled = new Map<string, Lsn>()
  #key = ''
  #steps = 0
  #claimsRead = 0
  /** Everything at or above it is done with. */
  #belowLsn: Lsn | undefined
  /** Of the assertion that the pair given last was met at. */
  #hereLsn: Lsn = 0
  #isAtEnd = false
  #isStopped = false

  constructor(cursor: LatestCursor, options: LatestPairsOptions) {
    this.#cursor = cursor
    this.#options = options
  }

  /** Claims read to see which pairs there are. */
  get claimsRead(): number {
    return this.#claimsRead
  }

  /** The next pair that may have to be answered; undefined at the end, or where nothing more may be read. */
  next(): Pair | undefined {
    const { budget, mayReadClaim } = this.#options
    if (this.#steps > 0 && !this.#isStopped) this.#belowLsn = this.#hereLsn
    for (;;) {
      if (this.#isAtEnd || this.#isStopped || !mayReadClaim() || !budget.take(1)) return this.#stop()
      const place = this.#cursor.next()
      if (place === undefined) {
        this.#isAtEnd = true
        return undefined
      }
      budget.entryRead()
      this.#hereLsn = place.lsn
      const pair = this.#pairAt(place, this.#steps++ === 0)
      if (this.#isStopped) return undefined
      if (pair !== undefined) return pair
      this.#belowLsn = place.lsn
    }
  }

  /** Tells of the pair given last which of its assertions is the newest that counts. Returns whether it is answered here. */
  settle(newestLsn: Lsn | undefined): boolean {
    this.#settled.set(this.#key, newestLsn ?? 0)
    return newestLsn === this.#hereLsn
  }

  /** At the pair given last. */
  here(): LatestPosition {
    return { belowLsn: this.#hereLsn + 1 }
  }

  /** Where what `next` has not given begins; undefined where there is nothing. */
  resumeAt(): LatestPosition | undefined {
    return this.#isAtEnd || this.#belowLsn === undefined ? undefined : { belowLsn: this.#belowLsn }
  }

  close(): void {
    this.#cursor.close()
  }

  #stop(): undefined {
    this.#isStopped = true
  }

  #pairAt(place: Place, isFirst: boolean): Pair | undefined {
    const { reader, filter, texts, isGathered, pairsOf, budget } = this.#options
    this.#claimsRead++
    const stored = reader.read(place)
    if (!texts.reset(stored).isAskedFor() || !passesClaimAndEntry(filter, stored)) return undefined
    this.#key = keyOf(stored, isGathered)
    const settled = this.#settled.get(this.#key)
    if (settled !== undefined && settled !== place.lsn) return undefined
    if (!budget.take(SEEK_STEPS)) return this.#stopBefore(place)
    // A pair that is larger than all that a page may read is cut; no other, because then its answer would depend on the page.
    const pairs = pairsOf(texts.subject.slice(), isGathered ? undefined : texts.predicate.slice(), isFirst)
    try {
      const pair = pairs.next()
      const isIncomplete = pair === undefined && (pairs.resumeAt() !== undefined || budget.isUsedUp)
      // The first of a page can be read no better on the next one.
      return isIncomplete && !isFirst ? this.#stopBefore(place) : pair
    } finally {
      pairs.close()
    }
  }

  #stopBefore({ lsn }: Place): undefined {
    this.#belowLsn = lsn + 1
    this.#isStopped = true
  }
}

const keyOf = ({ assertion: { subject, predicate } }: StoredAssertion, isGathered: boolean): string => isGathered ? subject : `${subject}\0${predicate}`
