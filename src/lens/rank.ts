import type { Candidate } from './lens.ts'
import { isLater, latestOf } from './order.ts'
import type { Cluster } from './value.ts'

/** Clusters by rank, and the sum of their weights. */
export interface Ranking<C extends Candidate> {
  readonly clusters: readonly Cluster<C>[]
  /** Greater than 0. */
  readonly total: number
}

function compareClusters(a: Cluster<Candidate>, b: Cluster<Candidate>): number {
  if (a.weight !== b.weight) return b.weight - a.weight
  return a === b ? 0 : isLater(latestOf(a.members), latestOf(b.members)) ? -1 : 1
}

/**
 * Sorts at least one cluster: the heaviest first; of equal weights the one that has the latest candidate. Where nothing weighs
 * anything (no confidence, or all of it decayed) each candidate counts as one unit, the least there is.
 */
export function rank<C extends Candidate>(clusters: Cluster<C>[]): Ranking<C> {
  let total = 0
  for (const { weight } of clusters) total += weight
  if (total === 0) {
    for (const cluster of clusters) total += cluster.weight = cluster.members.length
  }
  if (clusters.length > 1) clusters.sort(compareClusters)
  return { clusters, total }
}
