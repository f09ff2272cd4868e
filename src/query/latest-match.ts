import { objectKindNumber } from '../record/assertion.ts'
import { AssertionView } from '../wire/assertion-view.ts'
import type { LatestRange, StoredAssertion } from './candidate-source.ts'
import { claimPasses, entryPasses, type Filter } from './filter.ts'
import { sameBytes } from './pairs.ts'
import { belowLsnOf, type ScanPlan } from './plan.ts'
import { isReserved } from './reserved.ts'
import type { Moment } from './scan.ts'

/** What a plan in the order of the log walks through: as little as its agent and its times allow. */
export function latestRangeOf(plan: ScanPlan, { asOfHlc }: Moment): LatestRange {
  const { agent, fromHlc, untilHlc } = plan.filter
  const beforeUntil = untilHlc === undefined ? undefined : untilHlc - 1n
  const lastHlc = beforeUntil === undefined || (asOfHlc !== undefined && asOfHlc < beforeUntil) ? asOfHlc : beforeUntil
  return { agent, fromHlc, lastHlc, belowLsn: belowLsnOf(plan) }
}

/** All of a filter but the lifecycle, of an assertion that was read without its entry in the index. */
export function passesClaimAndEntry(filter: Filter, { hlc, assertion }: StoredAssertion): boolean {
  const { sourceClass, object } = assertion
  return entryPasses(filter, { hlc, sourceClass, objectKind: objectKindNumber(object.kind) }) && claimPasses(filter, assertion)
}

/**
 * Subject and predicate of an assertion, as the bytes that they are. In the order of the log no subject is named, and so no record is
 * looked for.
 */
export class AssertionTexts {
  readonly #predicates: readonly Uint8Array[] | undefined
  readonly #view = new AssertionView()

  /** @param predicates those that are asked about; undefined: all */
  constructor({ predicate }: Pick<ScanPlan, 'predicate'>, predicates: readonly Uint8Array[] | undefined = predicate && [predicate]) {
    this.#predicates = predicates
  }

  reset({ bytes }: StoredAssertion): this {
    this.#view.reset(bytes)
    return this
  }

  isAskedFor(): boolean {
    if (isReserved(this.subject)) return false
    return this.#predicates === undefined || this.#predicates.some((one) => sameBytes(one, this.predicate))
  }

  get subject(): Uint8Array {
    const { bytes, subjectStart, subjectLength } = this.#view
    return bytes.subarray(subjectStart, subjectStart + subjectLength)
  }

  get predicate(): Uint8Array {
    const { bytes, predicateStart, predicateLength } = this.#view
    return bytes.subarray(predicateStart, predicateStart + predicateLength)
  }
}
