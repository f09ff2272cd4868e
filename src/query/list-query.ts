import { compareBytes } from '../base/bytes.ts'
import type { AssertionReader, CandidateSource, EntryPosition, IndexEntry, StoredAssertion } from './candidate-source.ts'
import { CLAIMS_READ_MAX } from './candidates.ts'
import { claimPasses, entryPasses, lifecyclePasses, readsClaims } from './filter.ts'
import { SEEK_STEPS, StepBudget, sameBytes } from './pairs.ts'
import { entryPositionOf, type ListPlan } from './plan.ts'
import { claimEntries } from './reserved.ts'
import { rangeOf, subjectsOf, type Moment, type SubjectParts } from './scan.ts'

export interface ListParts extends SubjectParts {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  /** False: it does not fit any more. */
  readonly give: (assertion: StoredAssertion) => boolean
}

/**
 * Gives every assertion that matches, unresolved and whatever has become of it, in the order of the index: by subject and predicate, the
 * newest first. Returns where the next page begins, or undefined behind the last. A page may be empty where much had to be
 * looked through.
 * @throws {DbError} as `AssertionReader.read`
 */
export function listMatches(plan: ListPlan, moment: Moment, parts: ListParts): EntryPosition | undefined {
  const page = new ListPage(plan, parts)
  const from = entryPositionOf(plan)
  for (const subject of subjectsOf(plan, parts)) {
    // A page that ended within the assertions of one alias goes on there.
    if (from !== undefined && plan.aliases && compareBytes(subject, from.subject) < 0) continue
    const cursor = claimEntries(parts.source, rangeOf(plan, subject, moment, from))
    try {
      for (;;) {
        if (!page.mayStep()) return page.end()
        const entry = cursor.next()
        if (entry === undefined) break
        if (!page.isOfPredicate(entry)) {
          if (page.shouldSkip(entry)) cursor.skipPair()
        } else if (!page.take(entry)) {
          return page.end()
        }
      }
    } finally {
      cursor.close()
    }
  }
  return undefined
}

class ListPage {
  readonly #plan: ListPlan
  readonly #parts: ListParts
  readonly #readsClaims: boolean
  readonly #budget = new StepBudget()
  #claimsLeft = CLAIMS_READ_MAX
  #count = 0
  /** The last entry that is done with. */
  #last: IndexEntry | undefined
  #skipped = 0

  constructor(plan: ListPlan, parts: ListParts) {
    this.#plan = plan
    this.#parts = parts
    this.#readsClaims = readsClaims(plan.filter)
  }

  mayStep(): boolean {
    return this.#budget.take(1)
  }

  isOfPredicate({ predicate }: IndexEntry): boolean {
    return this.#plan.predicate === undefined || sameBytes(predicate, this.#plan.predicate)
  }

  /** Whether a look-up behind the pair is cheaper than going on step by step. */
  shouldSkip(entry: IndexEntry): boolean {
    const isSame = this.#last !== undefined && sameBytes(this.#last.predicate, entry.predicate) && sameBytes(this.#last.subject, entry.subject)
    this.#skipped = isSame ? this.#skipped + 1 : 1
    this.#last = entry
    return this.#skipped >= SEEK_STEPS && this.#budget.take(SEEK_STEPS)
  }

  /** False where the page ends before this entry. */
  take(entry: IndexEntry): boolean {
    const { filter, limit } = this.#plan
    if ((filter.lifecycles === undefined || lifecyclePasses(filter.lifecycles, entry.lifecycle)) && entryPasses(filter, entry)) {
      if (this.#count === limit || (this.#claimsLeft -= 1) < 0) return false
      const stored = this.#parts.reader.read(entry)
      if (!this.#readsClaims || claimPasses(filter, stored.assertion)) {
        if (!this.#parts.give(stored)) return false
        this.#count++
      }
    }
    this.#last = entry
    return true
  }

  /** Behind what is done with. */
  end(): EntryPosition | undefined {
    if (this.#last === undefined) return entryPositionOf(this.#plan)
    const { subject, predicate, hlc, idPrefix } = this.#last
    return { subject, predicate, behind: { hlc, idPrefix } }
  }
}
