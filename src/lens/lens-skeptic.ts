import { originsOf, tiersOf, weighedClustersOf, weightsOf } from './columns.ts'
import { conflictScore, statusOf } from './conflict.ts'
import { distinct } from './id-table.ts'
import { candidatesIn, whyLighter } from './lens-consensus.ts'
import type { Candidate, ConflictStatus, Lens, LensAnswer, LensContext, Resolution } from './lens.ts'
import { countSources } from './origins.ts'
import { rank, type Ranking } from './rank.ts'
import { backedBy } from './sentence-memo.ts'
import { valueText } from './value.ts'
import { claimOf, decayedConfidence, percentOf, WEIGHT_ONE } from './weight.ts'

const TIER_ANECDOTAL = 5
const TIER_STUDIED_MAX = 2

/** Whether so many anecdotes stand alone that somebody should look: none of tiers 0 to 2 has spoken. */
function mustEscalate(candidates: readonly Candidate[], context: LensContext): boolean {
  const { escalationCount } = context
  if (escalationCount === undefined || candidates.length < escalationCount) return false
  let anecdotes = 0
  for (const tier of tiersOf(candidates, context)) {
    if (tier <= TIER_STUDIED_MAX) return false
    if (tier === TIER_ANECDOTAL) anecdotes++
  }
  return anecdotes >= escalationCount
}

function sidesOf<C extends Candidate>({ clusters, total }: Ranking<C>, origins: Int32Array): LensAnswer<C>[] {
  const count = candidatesIn(clusters)
  return clusters.map(({ best, members, places, weight }) => {
    const share = weight / total
    const sources = countSources(places, origins)
    return {
      label: valueText(claimOf(best).object), winner: best, supporters: members, weight: weight / WEIGHT_ONE, share, sources,
      why: backedBy.of(members.length, count, sources, percentOf(share)),
    }
  })
}

/**
 * Skeptic: shows the conflict and does not settle it. One answer for each cluster of values, by weight as in consensus, with its share
 * and how many independent sources it goes back to; the conflict score of the shares (`conflictScore`: normalised Shannon entropy); and
 * a status, the first of these that holds:
 *
 * - `escalate`: at least `escalationCount` candidates of tier 5, and none of tiers 0 to 2 (the reference's anecdotal cluster);
 * - `unanimous`: one value;
 * - `agreed`: the heaviest value has 80% of the weight or more (`AGREED_SHARE_MIN`);
 * - `contested`: anything else. Two equally sure studies that contradict each other score 1.
 */
export const skepticLens: Lens = {
  name: 'skeptic',
  description: 'Every value with its share of the weight, how much they conflict, and whether somebody should look.',
  reads: 'claims',
  byValue: true,
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const all = distinct(candidates, context)
    const ranking = rank(weighedClustersOf(all, context, weightsOf(all, context)))
    const topShare = ranking.clusters[0]!.weight / ranking.total
    const status: ConflictStatus = mustEscalate(all, context) ? 'escalate' : statusOf(ranking.clusters.length, topShare)
    return {
      answers: sidesOf(ranking, originsOf(all, ranking.clusters, context)),
      conflict: conflictScore(ranking.clusters.map(({ weight }) => weight)),
      certainty: topShare,
      status,
    }
  },
  weigh: decayedConfidence,
  whyLost: whyLighter,
}
