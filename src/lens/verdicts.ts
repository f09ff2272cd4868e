import { distinct } from './id-table.ts'
import type { Candidate, LeftOut, Lens, LensContext, Resolution } from './lens.ts'
import { isLater } from './order.ts'

/** As `Considered.verdict` in fbs/query.fbs; append-only. */
export const VERDICT_WON = 1
export const VERDICT_SUPPORTS = 2
export const VERDICT_LOST = 3
export const VERDICT_LEFT_OUT = 4
export type Verdict = typeof VERDICT_WON | typeof VERDICT_SUPPORTS | typeof VERDICT_LOST | typeof VERDICT_LEFT_OUT

/** What became of one candidate. */
export interface Judged<C extends Candidate> {
  readonly candidate: C
  readonly verdict: Verdict
  /** What the lens made it weigh; 0 where it weighs nothing or did not look. */
  readonly weight: number
  /** A sentence for a person. */
  readonly why: string
}

/**
 * What became of every candidate: of those that did not stand or did not pass (`leftOut`), and of those that the lens was
 * given. Winners first, then supporters, losers, those left out; the latest first. For explanations: not for the path of every query.
 */
export function verdictsOf<C extends Candidate>(
  lens: Lens, candidates: readonly C[], leftOut: readonly LeftOut<C>[], resolution: Resolution<C>, context: LensContext,
): Judged<C>[] {
  const judged = new Map<C, Judged<C>>()
  const judge = (candidate: C, verdict: Verdict, why: string): void => {
    if (judged.has(candidate)) return
    const weight = verdict === VERDICT_LEFT_OUT ? 0 : lens.weigh?.(candidate, context) ?? 0
    judged.set(candidate, { candidate, verdict, weight, why })
  }
  for (const { candidate, why } of [...leftOut, ...resolution.leftOut ?? []]) judge(candidate, VERDICT_LEFT_OUT, why)
  const [best, ...others] = resolution.answers
  if (best !== undefined) {
    judge(best.winner, VERDICT_WON, best.why)
    for (const supporter of best.supporters) judge(supporter, VERDICT_SUPPORTS, supports(lens))
  }
  for (const { winner, supporters, why } of others) {
    if (lens.sidesHold === true) judge(winner, VERDICT_WON, why)
    for (const supporter of supporters) judge(supporter, lens.sidesHold === true ? VERDICT_SUPPORTS : VERDICT_LOST, lens.sidesHold === true ? supports(lens) : lost(supporter))
  }
  for (const { candidate, why } of resolution.outranked ?? []) judge(candidate, VERDICT_LOST, why)
  for (const candidate of distinct(candidates)) judge(candidate, VERDICT_LOST, lost(candidate))
  return [...judged.values()].sort((a, b) => a.verdict === b.verdict ? (isLater(a.candidate, b.candidate) ? -1 : 1) : a.verdict - b.verdict)

  function lost(candidate: C): string {
    return best === undefined ? 'Nobody won.' : lens.whyLost?.(candidate, best.winner, context) ?? 'Another one ranks before it.'
  }
}

/** Lenses that look at values hand on those who say the same; others, those who are as good by their measure. */
const supports = (lens: Lens): string => lens.byValue === true ? 'It says what the winner says.' : 'As good as the winner by the measure of the lens.'
