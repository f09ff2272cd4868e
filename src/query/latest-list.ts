import { lifecycleNumber } from '../record/assertion.ts'
import type { AssertionReader, CandidateSource, LatestPosition, StoredAssertion } from './candidate-source.ts'
import { CLAIMS_READ_MAX } from './candidates.ts'
import { lifecyclePasses } from './filter.ts'
import { AssertionTexts, latestRangeOf, passesClaimAndEntry } from './latest-match.ts'
import type { ListPlan } from './plan.ts'
import type { Moment } from './scan.ts'

export interface LatestListParts {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  /** False: it does not fit any more. */
  readonly give: (assertion: StoredAssertion) => boolean
}

/**
 * Gives every assertion that matches, unresolved and whatever has become of it, in the order of the log, the newest first. Returns
 * where the next page begins, or undefined behind the last. Each step reads a claim, so their bound is the bound of the page; it may be
 * empty where much had to be looked through.
 * @throws {DbError} as `AssertionReader.read`
 */
export function listLatest(plan: ListPlan, moment: Moment, { source, reader, give }: LatestListParts): LatestPosition | undefined {
  const { filter, limit } = plan
  const texts = new AssertionTexts(plan)
  const cursor = source.latest(latestRangeOf(plan, moment))
  try {
    let given = 0
    for (let read = 0; ; read++) {
      const place = cursor.next()
      if (place === undefined) return undefined
      const here = { belowLsn: place.lsn + 1 }
      if (given === limit || read === CLAIMS_READ_MAX) return here
      const stored = reader.read(place)
      const isLifecycle = filter.lifecycles === undefined || lifecyclePasses(filter.lifecycles, lifecycleNumber(stored.assertion.lifecycle))
      if (!isLifecycle || !texts.reset(stored).isAskedFor() || !passesClaimAndEntry(filter, stored)) continue
      if (!give(stored)) return here
      given++
    }
  } finally {
    cursor.close()
  }
}
