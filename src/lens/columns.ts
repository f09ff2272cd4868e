import { distinct } from './id-table.ts'
import type { Candidate, CandidateColumns, LensContext } from './lens.ts'
import { originsOf as findOrigins } from './origins.ts'
import { addToCluster, clusterOfOne, clustersOf, toleranceOf, type Cluster } from './value.ts'
import { claimOf, decaySince, hlcMsOf, weightOf, WEIGHT_ONE } from './weight.ts'

/**
 * Works out what is the same of a set of candidates whenever it is resolved. Worth it where a set is resolved again and again: the
 * lenses' own time is mostly spent on following each candidate to its claim, and on comparing values.
 * @param candidates in any order, with any duplicates
 */
export function columnsOf<C extends Candidate>(candidates: readonly C[], context: LensContext): CandidateColumns & { readonly of: readonly C[] } {
  const of = distinct(candidates)
  const tolerance = toleranceOf(context)
  const clusters = clustersOf(of, tolerance, () => 0)
  const groups = new Uint16Array(of.length)
  clusters.forEach(({ places }, group) => {
    for (const place of places) groups[place] = group
  })
  return {
    of, tolerance, groups, groupCount: clusters.length,
    confidence: Float64Array.from(of, (candidate) => claimOf(candidate).confidence),
    sinceMs: Float64Array.from(of, (candidate) => Math.min(claimOf(candidate).assertedAtMs, hlcMsOf(candidate.hlc))),
    tiers: Uint8Array.from(of, (candidate) => claimOf(candidate).sourceClass),
    origins: findOrigins(of, clusters),
  }
}

/** Those of the context, where they are of exactly these candidates and of its tolerance. */
function at(candidates: readonly Candidate[], context: LensContext): CandidateColumns | undefined {
  const { columns } = context
  return columns?.of === candidates && columns.tolerance === toleranceOf(context) ? columns : undefined
}

/** `weightOf` each candidate, by place. */
export function weightsOf(candidates: readonly Candidate[], context: LensContext): number[] {
  const columns = at(candidates, context)
  if (columns === undefined) return candidates.map((candidate) => weightOf(candidate, context))
  const { confidence, sinceMs, tiers } = columns
  const { halfLifeDays } = context
  const weights: number[] = []
  let nowMs: number | undefined
  for (let i = 0; i < confidence.length; i++) {
    const halfLife = halfLifeDays?.[tiers[i]!] ?? Infinity
    // Whoever asks for the time has an answer that depends on it.
    const decay = halfLife === Infinity ? 1 : decaySince(sinceMs[i]!, nowMs ??= context.nowMs, halfLife)
    weights.push(Math.round(confidence[i]! * decay * WEIGHT_ONE))
  }
  return weights
}

/** `clustersOf` candidates with these weights. */
export function weighedClustersOf<C extends Candidate>(candidates: readonly C[], context: LensContext, weights: readonly number[]): Cluster<C>[] {
  const columns = at(candidates, context)
  if (columns === undefined) return clustersOf(candidates, toleranceOf(context), (_, place) => weights[place]!)
  const { groups } = columns
  const clusters = new Array<Cluster<C> | undefined>(columns.groupCount).fill(undefined)
  for (let place = 0; place < groups.length; place++) {
    const group = groups[place]!
    const cluster = clusters[group]
    if (cluster === undefined) clusters[group] = clusterOfOne(candidates[place]!, place, weights[place]!)
    else addToCluster(cluster, candidates[place]!, place, weights[place]!)
  }
  return clusters as Cluster<C>[]
}

/** `originsOf` candidates in these clusters, which are all of theirs by value. */
export function originsOf(candidates: readonly Candidate[], clusters: readonly Cluster<Candidate>[], context: LensContext): Int32Array {
  return at(candidates, context)?.origins ?? findOrigins(candidates, clusters)
}

/** The source class of each candidate, by place. */
export function tiersOf(candidates: readonly Candidate[], context: LensContext): Uint8Array {
  return at(candidates, context)?.tiers ?? Uint8Array.from(candidates, (candidate) => claimOf(candidate).sourceClass)
}
