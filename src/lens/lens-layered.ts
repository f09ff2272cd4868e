import { SOURCE_CLASSES } from '../record/assertion.ts'
import { weighedClustersOf, weightsOf } from './columns.ts'
import { conflictScore } from './conflict.ts'
import { distinct } from './id-table.ts'
import type { Candidate, ConflictStatus, Lens, LensAnswer, LensContext, Resolution } from './lens.ts'
import { isLater } from './order.ts'
import { rank, type Ranking } from './rank.ts'
import { valueText, type Cluster } from './value.ts'
import { claimOf, decayedConfidence, shareText, WEIGHT_ONE, weightText } from './weight.ts'

/** The part of a cluster that is of one tier, and which cluster that is. */
interface TierCluster<C extends Candidate> extends Cluster<C> {
  readonly value: number
}

interface Tier<C extends Candidate> {
  readonly tier: number
  readonly ranking: Ranking<C>
}

/** Clusters of all candidates, each cut by tier: near numbers are one value in every tier if they are in any. */
function tiersOf<C extends Candidate>(clusters: readonly Cluster<C>[], weights: readonly number[]): Tier<C>[] {
  const byTier: TierCluster<C>[][] = SOURCE_CLASSES.map(() => [])
  clusters.forEach(({ members, places }, value) => {
    for (let i = 0; i < members.length; i++) addTo(byTier[claimOf(members[i]!).sourceClass]!, value, members[i]!, places[i]!, weights[places[i]!]!)
  })
  return byTier.flatMap((parts, tier) => parts.length === 0 ? [] : [{ tier, ranking: rank<C>(parts) }])
}

function addTo<C extends Candidate>(parts: TierCluster<C>[], value: number, member: C, place: number, weight: number): void {
  const last = parts[parts.length - 1]
  if (last?.value !== value) {
    parts.push({ value, members: [member], places: [place], weight, best: member, bestWeight: weight })
    return
  }
  last.members.push(member)
  last.places.push(place)
  last.weight += weight
  if (weight > last.bestWeight || (weight === last.bestWeight && isLater(member, last.best))) {
    last.best = member
    last.bestWeight = weight
  }
}

const valueOf = (cluster: Cluster<Candidate>): number => (cluster as TierCluster<Candidate>).value

/** Conflict across tiers: each has one voice, which it divides among its values by their weight in it. */
function crossConflict(tiers: readonly Tier<Candidate>[], values: number): number {
  const voices = new Array<number>(values).fill(0)
  for (const { ranking: { clusters, total } } of tiers) {
    for (const cluster of clusters) voices[valueOf(cluster)]! += Math.round((cluster.weight / total) * WEIGHT_ONE)
  }
  return conflictScore(voices.sort((a, b) => b - a))
}

function statusOf(tiers: readonly Tier<Candidate>[], values: number): ConflictStatus {
  if (values === 1) return 'unanimous'
  const first = valueOf(tiers[0]!.ranking.clusters[0]!)
  return tiers.every(({ ranking: { clusters } }) => valueOf(clusters[0]!) === first) ? 'agreed' : 'contested'
}

function answerOf<C extends Candidate>({ tier, ranking: { clusters, total } }: Tier<C>, all: number): LensAnswer<C> {
  const { best, members, weight } = clusters[0]!
  const value = valueText(claimOf(best).object)
  return {
    label: SOURCE_CLASSES[tier]!, winner: best, supporters: members, weight: total / WEIGHT_ONE, share: total / all,
    conflict: conflictScore(clusters.map((cluster) => cluster.weight)),
    why: `Tier ${SOURCE_CLASSES[tier]!} says ${value}, with ${shareText(weight / total)} of its weight.`,
  }
}

/**
 * Layered: one answer for each tier that has candidates, the best tier first, so that the overall winner is the best tier's. Within a tier
 * values compete as in consensus, and the tier says how much they conflict (`conflictScore`).
 *
 * Across tiers each has one voice, whatever its number of candidates, divided among its values by their share in the tier. The
 * resolution's conflict is the score of these voices: 0 where all tiers say one thing, 1 where two tiers flatly
 * contradict each other. Status: `unanimous` (one value in all), `agreed` (every tier answers the same), `contested` (tiers disagree).
 */
export const layeredLens: Lens = {
  name: 'layered',
  description: 'One answer for each source tier, the conflict within each, and whether tiers disagree.',
  reads: 'claims',
  byValue: true,
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const all = distinct(candidates, context)
    const weights = weightsOf(all, context)
    const clusters = weighedClustersOf(all, context, weights)
    const tiers = tiersOf(clusters, weights)
    const total = tiers.reduce((sum, { ranking }) => sum + ranking.total, 0)
    const top = tiers[0]!.ranking
    return {
      answers: tiers.map((tier) => answerOf(tier, total)),
      conflict: crossConflict(tiers, clusters.length),
      certainty: top.clusters[0]!.weight / top.total,
      status: statusOf(tiers, clusters.length),
    }
  },
  weigh: decayedConfidence,
  whyLost: (candidate, winner, context) => {
    const tier = SOURCE_CLASSES[claimOf(candidate).sourceClass]
    const its = `it weighs ${weightText(decayedConfidence(candidate, context))} itself.`
    return claimOf(candidate).sourceClass === claimOf(winner).sourceClass
      ? `Says ${valueText(claimOf(candidate).object)}, which has less behind it in tier ${tier}; ${its}`
      : `Of tier ${tier}, behind ${SOURCE_CLASSES[claimOf(winner).sourceClass]}; ${its}`
  },
}
