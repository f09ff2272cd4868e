import { distinct } from './id-table.ts'
import type { Candidate, Lens, LensContext, Resolution } from './lens.ts'
import { latestOf } from './order.ts'
import { decayedConfidence, WEIGHT_ONE, weightOf, weightText } from './weight.ts'

/**
 * Confidence: the candidate that is surest of itself wins, by decayed confidence (`weightOf`); of equals, the latest. The word of one
 * agent about itself: fit where agents are trusted and calibrated.
 */
export const confidenceLens: Lens = {
  name: 'confidence',
  description: 'The assertion of the highest confidence wins, decayed with the half-life of its tier.',
  reads: 'claims',
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    const supporters = heaviestOf(distinct(candidates, context), (candidate) => weightOf(candidate, context))
    if (supporters.list.length === 0) return { answers: [] }
    const weight = supporters.score / WEIGHT_ONE
    return {
      answers: [{
        label: '', winner: latestOf(supporters.list), supporters: supporters.list, weight,
        why: `Of the highest confidence: ${weightText(weight)} after decay.`,
      }],
    }
  },
  weigh: decayedConfidence,
  whyLost: (candidate, winner, context) =>
    `Of confidence ${weightText(decayedConfidence(candidate, context))} after decay; the winner has ${weightText(decayedConfidence(winner, context))}.`,
}

/** Those of the greatest score, which is finite and at least 0. */
export function heaviestOf<C extends Candidate>(candidates: readonly C[], scoreOf: (candidate: C) => number): { list: C[], score: number } {
  let list: C[] = []
  let score = -1
  for (const candidate of candidates) {
    const its = scoreOf(candidate)
    if (its > score) {
      score = its
      list = [candidate]
    } else if (its === score) list.push(candidate)
  }
  return { list, score }
}
