import { weighedClustersOf, weightsOf } from './columns.ts'
import { conflictScore, statusOf } from './conflict.ts'
import { distinct } from './id-table.ts'
import type { Candidate, Lens, LensContext, Resolution } from './lens.ts'
import { rank } from './rank.ts'
import { SentenceMemo } from './sentence-memo.ts'
import { valueText } from './value.ts'
import { claimOf, decayedConfidence, percentOf, WEIGHT_ONE, weightText } from './weight.ts'

const weighed = new SentenceMemo((members, count, _, percent) => `${members} of ${count} say so, with ${percent}% of the weight.`)

/**
 * Consensus: weighted plurality by value. Candidates are clustered by value (`clustersOf`: numeric tolerance, units); each weighs its
 * decayed confidence; the heaviest value wins, of equals the one with the latest candidate. The winner is the
 * heaviest candidate of that value. Each assertion counts, whoever signed it: see `independent` for where agents may be many.
 */
export const consensusLens: Lens = {
  name: 'consensus',
  description: 'The value with the most weight behind it wins; an assertion weighs its decayed confidence.',
  reads: 'claims',
  byValue: true,
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const all = distinct(candidates, context)
    const { clusters, total } = rank(weighedClustersOf(all, context, weightsOf(all, context)))
    const { best, members, weight } = clusters[0]!
    const share = weight / total
    return {
      answers: [{
        label: valueText(claimOf(best).object), winner: best, supporters: members, weight: weight / WEIGHT_ONE, share,
        why: weighed.of(members.length, candidatesIn(clusters), 0, percentOf(share)),
      }],
      conflict: conflictScore(clusters.map((cluster) => cluster.weight)),
      certainty: share,
      status: statusOf(clusters.length, share),
    }
  },
  weigh: decayedConfidence,
  whyLost: whyLighter,
}

export const candidatesIn = (clusters: readonly { readonly members: readonly unknown[] }[]): number =>
  clusters.reduce((sum, { members }) => sum + members.length, 0)

/** Why a candidate of another value lost, by a lens that weighs values. */
export function whyLighter(candidate: Candidate, winner: Candidate, context: LensContext): string {
  return `Says ${valueText(claimOf(candidate).object)}, which has less behind it than ${valueText(claimOf(winner).object)};`
    + ` it weighs ${weightText(decayedConfidence(candidate, context))} itself.`
}
