import { must } from '../base/assert.ts'
import type { Lens, LensContext, Resolution } from '../lens/lens.ts'
import { verdictsOf } from '../lens/verdicts.ts'
import type { PairCandidate, Selection } from './candidates.ts'

/** Most candidates of one pair whose fate is listed. */
export const CONSIDERED_MAX = 100

export interface ConsideredParts {
  readonly id: Uint8Array
  readonly lsn: number
  readonly hlc: bigint
  readonly verdict: number
  readonly weight: number
  readonly why: string
}

export interface ExplanationParts {
  readonly considered: readonly ConsideredParts[]
  /** There were more than {@link CONSIDERED_MAX}. */
  readonly isTruncated: boolean
  readonly entriesRead: number
  readonly claimsRead: number
  readonly indexUs: number
  readonly readUs: number
  readonly resolveUs: number
}

/** What became of each candidate of a pair: winners first, then supporters, losers, those left out; the latest first. */
export function consideredOf(
  lens: Lens, { candidates, leftOut }: Selection, resolution: Resolution<PairCandidate>, context: LensContext,
): Pick<ExplanationParts, 'considered' | 'isTruncated'> {
  const judged = verdictsOf(lens, candidates, leftOut, resolution, context)
  const considered = judged.slice(0, CONSIDERED_MAX).map(({ candidate: { entry: { lsn, hlc }, stored }, verdict, weight, why }) =>
    // Who explains has read every claim.
    ({ id: must(stored).id, lsn, hlc, verdict, weight, why }))
  return { considered, isTruncated: judged.length > CONSIDERED_MAX }
}
