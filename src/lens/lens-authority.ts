import { SOURCE_CLASSES } from '../record/assertion.ts'
import { distinct } from './id-table.ts'
import type { Candidate, Lens, Resolution } from './lens.ts'
import { latestOf } from './order.ts'
import { claimOf } from './weight.ts'

const tierOf = (candidate: Candidate): string => SOURCE_CLASSES[claimOf(candidate).sourceClass]

/**
 * Authority: the candidates of the best tier (the lowest number) are left, and the latest of them wins. The order is lexicographic:
 * no number of posts outweighs one regulator, whatever their confidence (docs/rfcs/0007-conflict-score-and-votes.md).
 */
export const authorityLens: Lens = {
  name: 'authority',
  description: 'The best source tier wins; within it, the most recently accepted assertion.',
  reads: 'claims',
  resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
    let best = Infinity
    let supporters: C[] = []
    for (const candidate of distinct(candidates)) {
      const { sourceClass } = claimOf(candidate)
      if (sourceClass < best) {
        best = sourceClass
        supporters = [candidate]
      } else if (sourceClass === best) supporters.push(candidate)
    }
    if (supporters.length === 0) return { answers: [] }
    const winner = latestOf(supporters)
    const why = supporters.length === 1 ? `The only one of the best tier, ${tierOf(winner)}.` : `The latest of ${supporters.length} of the best tier, ${tierOf(winner)}.`
    return { answers: [{ label: '', winner, supporters, why }] }
  },
  whyLost: (candidate, winner) => tierOf(candidate) === tierOf(winner)
    ? 'Of the same tier as the winner, accepted earlier.'
    : `Of tier ${tierOf(candidate)}, behind ${tierOf(winner)}.`,
}
