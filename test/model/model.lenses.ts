import { toHex } from '../../src/base/bytes.ts'
import type { Accepted } from './history.ts'
import { byLateness, isSuperseded, trustIn, votesOn } from './model.records.ts'
import {
  UNIT, bestOf, byRank, clustersOf, conflictOf, latestOf, rankedOf, statusOf, sumOf, weightOf, type Cluster, type Moment, type Status,
} from './model.values.ts'

/**
 * Every lens a second time, written from docs/reference/lenses.md and nothing else, as plainly as can be: slow, without the engine's sorting, units and tables.
 */
export interface Side {
  readonly winner: Accepted
  /** What the next lens of a chain chooses from. */
  readonly supporters: readonly Accepted[]
  readonly weight?: number
  readonly share?: number
  readonly sources?: number
  readonly conflict?: number
}

export interface Verdict {
  /** By rank. */
  readonly sides: readonly Side[]
  readonly conflict?: number
  readonly certainty?: number
  readonly status?: Status
}

export type ModelLens = (candidates: readonly Accepted[], moment: Moment) => Verdict

const NOTHING: Verdict = { sides: [] }

/** One side: those that are best by a score; of them the latest wins. */
const best = (candidates: readonly Accepted[], scoreOf: (candidate: Accepted) => number): Verdict => {
  if (candidates.length === 0) return NOTHING
  const most = Math.max(...candidates.map(scoreOf))
  const supporters = candidates.filter((candidate) => scoreOf(candidate) === most)
  return { sides: [{ winner: latestOf(supporters), supporters }] }
}

const recency: ModelLens = (candidates) => candidates.length === 0 ? NOTHING : { sides: [{ winner: latestOf(candidates), supporters: [latestOf(candidates)] }] }

const confidence: ModelLens = (candidates, moment) => best(candidates, (candidate) => weightOf(candidate, moment))

const authority: ModelLens = (candidates) => best(candidates, ({ assertion }) => -assertion.sourceClass)

const trust: ModelLens = (candidates, moment) =>
  best(candidates, (candidate) => weightOf(candidate, moment) * trustIn(toHex(candidate.assertion.agent), moment.world, moment.nowMs))

const epoch: ModelLens = (candidates, { world }) =>
  best(candidates.filter(({ assertion }) => assertion.epoch === undefined || !isSuperseded(toHex(assertion.epoch), world)), () => 0)

/** The source that a candidate goes back to. */
function originOf(candidate: Accepted, candidates: readonly Accepted[]): string {
  const { parent, sourceHash } = candidate.assertion
  const before = parent === undefined ? undefined : candidates.find(({ id }) => id === toHex(parent))
  return before === undefined ? toHex(sourceHash) : originOf(before, candidates)
}

const sourcesOf = (some: readonly Accepted[], candidates: readonly Accepted[]): number => new Set(some.map((candidate) => originOf(candidate, candidates))).size

/** The verdict of values that compete by weight: the heaviest alone. */
function plurality(ranked: readonly Cluster[]): Verdict {
  const total = sumOf(ranked.map(({ weight }) => weight))
  const [first] = ranked
  if (first === undefined) return NOTHING
  return { sides: [{ winner: first.winner, supporters: first.members, weight: first.weight / UNIT, share: first.weight / total }], certainty: first.weight / total }
}

const consensus: ModelLens = (candidates, moment) => plurality(rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment)))

const independent: ModelLens = (candidates, moment) => {
  const weigh = (candidate: Accepted): number => weightOf(candidate, moment)
  const clusters = rankedOf(clustersOf(candidates, moment.tolerance), weigh)
  const heaviest = (some: readonly Accepted[]): number => Math.max(0, ...some.map(weigh))
  const weights = clusters.map(() => 0)
  for (const origin of new Set(candidates.map((candidate) => originOf(candidate, candidates)))) {
    const own = clusters.map(({ members }) => heaviest(members.filter((candidate) => originOf(candidate, candidates) === origin)))
    const all = sumOf(own)
    own.forEach((part, i) => { if (all > 0) weights[i]! += Math.max(...own) * part / all })
  }
  return plurality(byRank(clusters.map((cluster, i) => ({ ...cluster, weight: weights[i]! }))))
}

const votes: ModelLens = (candidates, moment) => {
  const netOf = ({ id }: Accepted): number => {
    const { agreeWeight, disagreeWeight } = votesOn(id, moment.world)
    return agreeWeight - disagreeWeight
  }
  // By consensus first: a sort that keeps the order of equals leaves that as what settles ties.
  const ranked = rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment))
    .map(({ members }) => ({ members, net: sumOf(members.map(netOf)) })).sort((a, b) => b.net - a.net)
  const [first] = ranked
  if (first === undefined) return NOTHING
  const total = sumOf(ranked.map(({ net }) => Math.max(0, net)))
  return { sides: [{ winner: bestOf(first.members, netOf), supporters: first.members }], certainty: total === 0 ? 0 : Math.max(0, first.net) / total }
}

const layered: ModelLens = (candidates, moment) => {
  if (candidates.length === 0) return NOTHING
  const weigh = (candidate: Accepted): number => weightOf(candidate, moment)
  const groups = clustersOf(candidates, moment.tolerance)
  const tiers = [0, 1, 2, 3, 4, 5].map((tier) => {
    const parts = groups.map((group) => group.filter(({ assertion }) => assertion.sourceClass === tier))
    const ranked = rankedOf(parts.filter((part) => part.length > 0), weigh)
    return { ranked, total: sumOf(ranked.map(({ weight }) => weight)) }
  }).filter(({ ranked }) => ranked.length > 0)
  const groupOf = (candidate: Accepted): number => groups.findIndex((group) => group.includes(candidate))
  const voices = groups.map((_, i) => sumOf(tiers.flatMap(({ ranked, total }) =>
    ranked.filter(({ winner }) => groupOf(winner) === i).map(({ weight }) => weight / total))))
  const answers = new Set(tiers.map(({ ranked }) => groupOf(ranked[0]!.winner)))
  return {
    sides: tiers.map(({ ranked }): Side => ({
      winner: ranked[0]!.winner, supporters: ranked[0]!.members, conflict: conflictOf(ranked.map(({ weight }) => weight)),
    })),
    conflict: conflictOf(voices),
    status: groups.length === 1 ? 'unanimous' : answers.size === 1 ? 'agreed' : 'contested',
  }
}

const skeptic: ModelLens = (candidates, moment) => {
  if (candidates.length === 0) return NOTHING
  const ranked = rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment))
  const weights = ranked.map(({ weight }) => weight)
  const tiers = candidates.map(({ assertion }) => assertion.sourceClass)
  const isAlarm = tiers.filter((tier) => tier === 5).length >= moment.escalationCount && tiers.every((tier) => tier > 2)
  return {
    sides: ranked.map(({ winner, members, weight }) =>
      ({ winner, supporters: members, weight, share: weight / sumOf(weights), sources: sourcesOf(members, candidates) })),
    conflict: conflictOf(weights),
    status: isAlarm ? 'escalate' : statusOf(weights),
  }
}

const versions: ModelLens = (candidates) => ({ sides: candidates.toSorted(byLateness).map((winner) => ({ winner, supporters: [winner] })) })

export const MODEL_LENSES: Readonly<Record<string, ModelLens>> = { recency, confidence, consensus, independent, votes, authority, trust, epoch, layered, skeptic, versions }

/** A chain: each lens chooses from the supporters of the best side of the one before. */
export const chainOf = (lenses: readonly ModelLens[]): ModelLens => (candidates, moment) => {
  const [first, ...rest] = lenses
  const verdict = first!(candidates, moment)
  return rest.length === 0 ? verdict : chainOf(rest)(verdict.sides[0]?.supporters ?? [], moment)
}
