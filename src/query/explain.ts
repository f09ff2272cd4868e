import { must } from '../base/assert.ts'
import type { Resolution } from '../lens/lens.ts'
import type { PairCandidate, Selection } from './candidates.ts'

/** Most candidates of one pair whose fate is listed. */
export const CONSIDERED_MAX = 100

/** As `Considered.verdict` in fbs/query.fbs; append-only. */
export const VERDICT_WON = 1
export const VERDICT_SUPPORTS = 2
export const VERDICT_LOST = 3
export const VERDICT_LEFT_OUT = 4

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

type Figures = Omit<ExplanationParts, 'considered' | 'isTruncated'>

/** What became of each candidate of a pair: those that won first, then by verdict, the newest first. */
export function explanationOf({ candidates, leftOut }: Selection, resolution: Resolution<PairCandidate>, figures: Figures): ExplanationParts {
  const considered: ConsideredParts[] = []
  const notWeighed = new Map(resolution.leftOut?.map(({ candidate, why }) => [candidate, why]))
  for (const candidate of candidates) considered.push(verdictOf(candidate, resolution, notWeighed.get(candidate)))
  for (const { candidate, why } of leftOut) considered.push(partsOf(candidate, VERDICT_LEFT_OUT, 0, why))
  considered.sort((a, b) => a.verdict - b.verdict)
  return { considered: considered.slice(0, CONSIDERED_MAX), isTruncated: considered.length > CONSIDERED_MAX, ...figures }
}

function verdictOf(candidate: PairCandidate, { answers }: Resolution<PairCandidate>, notWeighed: string | undefined): ConsideredParts {
  if (notWeighed !== undefined) return partsOf(candidate, VERDICT_LEFT_OUT, 0, notWeighed)
  for (const { winner, supporters, weight, why } of answers) {
    if (winner === candidate) return partsOf(candidate, VERDICT_WON, weight ?? 0, why)
    if (supporters.includes(candidate)) return partsOf(candidate, VERDICT_SUPPORTS, weight ?? 0, 'It says what the winner says.')
  }
  return partsOf(candidate, VERDICT_LOST, 0, 'Another one ranks before it.')
}

function partsOf({ entry: { lsn, hlc }, stored }: PairCandidate, verdict: number, weight: number, why: string): ConsideredParts {
  // Who explains has read every claim.
  return { id: must(stored).id, lsn, hlc, verdict, weight, why }
}
