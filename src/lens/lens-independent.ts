import { originsOf, weighedClustersOf, weightsOf } from './columns.ts'
import { conflictScore, statusOf } from './conflict.ts'
import { distinct } from './id-table.ts'
import { candidatesIn } from './lens-consensus.ts'
import type { Candidate, Lens, LensContext, Resolution } from './lens.ts'
import { countSources } from './origins.ts'
import { rank } from './rank.ts'
import { backedBy } from './sentence-memo.ts'
import { valueText, type Cluster } from './value.ts'
import { claimOf, decayedConfidence, percentOf, WEIGHT_ONE } from './weight.ts'

/**
 * Independent consensus: as consensus, but what is counted are independent sources (`originsOf`), not assertions or keys. All that goes
 * back to one source weighs together what its heaviest assertion weighs; where they give several values, this is
 * divided by the heaviest assertion for each. So a thousand keys that restate one source, or cite none, weigh as one of them.
 * What no counting can tell: whether a hash stands for something, and whether a source says what it is cited for. That is for the registry of
 * sources and for tiers (`authority,independent`).
 */
export const independentLens: Lens = {
  name: 'independent',
  description: 'The value with the most independent sources behind it wins; restating a source adds nothing.',
  reads: 'claims',
  countsSources: true,
  byValue: true,
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const all = distinct(candidates, context)
    const weights = weightsOf(all, context)
    const unweighted = weighedClustersOf(all, context, weights)
    const origins = originsOf(all, unweighted, context)
    weighOrigins(unweighted, weights, origins)
    // A thousand keys are one source also where nothing weighs anything: each source counts as much as a candidate does elsewhere.
    if (unweighted.every(({ weight }) => weight === 0)) weighOrigins(unweighted, weights.map(() => 1), origins, 1 / WEIGHT_ONE)
    const { clusters, total } = rank(unweighted)
    const { best, members, places, weight } = clusters[0]!
    const share = weight / total
    const sources = countSources(places, origins)
    return {
      answers: [{
        label: valueText(claimOf(best).object), winner: best, supporters: members, weight: weight / WEIGHT_ONE, share, sources,
        why: backedBy.of(members.length, candidatesIn(clusters), sources, percentOf(share)),
      }],
      conflict: conflictScore(clusters.map((cluster) => cluster.weight)),
      certainty: share,
      status: statusOf(clusters.length, share),
    }
  },
  weigh: decayedConfidence,
  whyLost: (candidate, winner) =>
    `Says ${valueText(claimOf(candidate).object)}, which has less of independent sources behind it than ${valueText(claimOf(winner).object)}.`,
}

/**
 * Replaces the clusters' weights: each origin's heaviest weight, divided by its heaviest in each cluster.
 * @param grain parts are rounded to multiples of it, so that sums do not depend on order
 */
function weighOrigins(clusters: readonly Cluster<Candidate>[], weights: readonly number[], origins: Int32Array, grain = 1): void {
  const sums = new Float64Array(weights.length + 1)
  const tops = new Float64Array(weights.length + 1)
  const parts = clusters.map(({ places }) => heaviestByOrigin(places, weights, origins))
  for (const part of parts) {
    for (const [origin, weight] of part) {
      sums[origin]! += weight
      tops[origin] = Math.max(tops[origin]!, weight)
    }
  }
  for (let i = 0; i < clusters.length; i++) {
    let weight = 0
    for (const [origin, its] of parts[i]!) if (its > 0) weight += grain * Math.round(tops[origin]! * (its / sums[origin]!) / grain)
    clusters[i]!.weight = weight
  }
}

function heaviestByOrigin(places: readonly number[], weights: readonly number[], origins: Int32Array): Map<number, number> {
  const heaviest = new Map<number, number>()
  for (const place of places) {
    const origin = origins[place]!
    const weight = weights[place]!
    if (weight >= (heaviest.get(origin) ?? 0)) heaviest.set(origin, weight)
  }
  return heaviest
}
