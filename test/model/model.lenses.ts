import { toHex } from '../../src/base/bytes.ts'
import type { Accepted } from './history.ts'
import { byLateness, isSuperseded, trustIn, votesOn } from './model.records.ts'
import {
  UNIT, areEqual, bestOf, byRank, clustersOf, conflictOf, latestOf, rankedOf, statusOf, sumOf, weightOf, type Cluster, type Moment, type Status,
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

/** What a lens is told of one subject and predicate beside the candidates. */
export interface PairMoment extends Moment {
  /** All assertions of it, whatever has become of them and whatever is asked for. */
  readonly pair: readonly Accepted[]
  /** Of these, what stands, and what did until a new version took its place; not what was taken back. */
  readonly said: readonly Accepted[]
}

export type ModelLens = (candidates: readonly Accepted[], moment: PairMoment) => Verdict

const NOTHING: Verdict = { sides: [] }

/** One side: those that are best by a score; of them the latest wins. */
const best = (candidates: readonly Accepted[], scoreOf: (candidate: Accepted) => number): Verdict => {
  if (candidates.length === 0) return NOTHING
  const most = Math.max(...candidates.map(scoreOf))
  const supporters = candidates.filter((candidate) => scoreOf(candidate) === most)
  return { sides: [{ winner: latestOf(supporters), supporters }] }
}

/** As {@link best}, and the score is what the winner weighs. */
const weighed = (candidates: readonly Accepted[], scoreOf: (candidate: Accepted) => number): Verdict =>
  ({ sides: best(candidates, scoreOf).sides.map((side) => ({ ...side, weight: scoreOf(side.winner) / UNIT })) })

const recency: ModelLens = (candidates) => candidates.length === 0 ? NOTHING : { sides: [{ winner: latestOf(candidates), supporters: [latestOf(candidates)] }] }

const confidence: ModelLens = (candidates, moment) => weighed(candidates, (candidate) => weightOf(candidate, moment))

const authority: ModelLens = (candidates) => best(candidates, ({ assertion }) => -assertion.sourceClass)

/** Whether a claim is a version of another: names it as its parent, or a version of it; all by one agent, of one subject. */
function comesFrom(one: Accepted, other: Accepted, pair: readonly Accepted[]): boolean {
  const { parent, agent, subject } = one.assertion
  const before = parent && pair.find(({ id, assertion }) => id === toHex(parent) && toHex(assertion.agent) === toHex(agent) && assertion.subject === subject)
  return before !== undefined && (before === other || comesFrom(before, other, pair))
}

/** Keys that say two different things of one time, on one source, and not one of them as a version of the other. */
function equivocatorsOf({ pair, said }: PairMoment): ReadonlySet<string> {
  const timeOf = ({ assertion: { agent, subject, assertedAtMs, sourceHash } }: Accepted): string => `${toHex(agent)} ${subject} ${assertedAtMs} ${toHex(sourceHash)}`
  const contradicts = (one: Accepted, other: Accepted): boolean => timeOf(one) === timeOf(other) && !areEqual(one.assertion.object, other.assertion.object, 0)
    && !comesFrom(one, other, pair) && !comesFrom(other, one, pair)
  return new Set(said.filter((one) => said.some((other) => contradicts(one, other))).map(({ assertion }) => toHex(assertion.agent)))
}

const trust: ModelLens = (candidates, moment) => {
  const equivocators = equivocatorsOf(moment)
  const trusted = candidates.filter(({ assertion }) => !equivocators.has(toHex(assertion.agent)))
  return trusted.length === 0 ? best(candidates, () => 0) : trustedMost(trusted, moment)
}

const trustedMost: ModelLens = (candidates, moment) =>
  // Whole units again, so that equal products are equal.
  weighed(candidates, (candidate) => Math.round(weightOf(candidate, moment) * trustIn(toHex(candidate.assertion.agent), moment.world, moment.nowMs)))

const epoch: ModelLens = (candidates, { world }) =>
  best(candidates.filter(({ assertion }) => assertion.epoch === undefined || !isSuperseded(toHex(assertion.epoch), world)), () => 0)

/** The source that a candidate goes back to: its parent's, where that says the same. */
function originOf(candidate: Accepted, candidates: readonly Accepted[], tolerance: number): string {
  const { parent, sourceHash } = candidate.assertion
  const cluster = parent === undefined ? [] : clustersOf(candidates, tolerance).find((members) => members.includes(candidate))!
  const before = cluster.find(({ id }) => id === toHex(parent!))
  return before === undefined ? toHex(sourceHash) : originOf(before, candidates, tolerance)
}

const sourcesOf = (some: readonly Accepted[], candidates: readonly Accepted[], tolerance: number): number =>
  new Set(some.map((candidate) => originOf(candidate, candidates, tolerance))).size

/** The verdict of values that compete by weight, every value a side. */
function valuesOf(ranked: readonly Cluster[]): Verdict {
  if (ranked.length === 0) return NOTHING
  const weights = ranked.map(({ weight }) => weight)
  const total = sumOf(weights)
  return {
    sides: ranked.map(({ winner, members, weight }): Side => ({ winner, supporters: members, weight: weight / UNIT, share: weight / total })),
    conflict: conflictOf(weights), certainty: weights[0]! / total, status: statusOf(weights),
  }
}

/** The heaviest value alone. */
const plurality = (ranked: readonly Cluster[]): Verdict => ({ ...valuesOf(ranked), sides: valuesOf(ranked).sides.slice(0, 1) })

const consensus: ModelLens = (candidates, moment) => plurality(rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment)))

const independent: ModelLens = (candidates, moment) => {
  const clusters = rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment))
  const origins = new Map(candidates.map((candidate) => [candidate, originOf(candidate, candidates, moment.tolerance)]))
  /** Of each value: the weight of the heaviest of each origin, divided among its values. */
  const weightsBy = (weigh: (candidate: Accepted) => number, round: (part: number) => number): number[] => {
    const weights = clusters.map(() => 0)
    for (const origin of new Set(origins.values())) {
      const own = clusters.map(({ members }) => Math.max(0, ...members.filter((candidate) => origins.get(candidate) === origin).map(weigh)))
      const all = sumOf(own)
      own.forEach((part, i) => { if (all > 0) weights[i]! += round(Math.max(...own) * (part / all)) })
    }
    return weights
  }
  const weighed = weightsBy((candidate) => weightOf(candidate, moment), Math.round)
  // Where nothing weighs anything, each origin counts one unit; a part of one is not rounded.
  const weights = sumOf(weighed) > 0 ? weighed : weightsBy(() => 1, (part) => part)
  const verdict = plurality(byRank(clusters.map((cluster, i) => ({ ...cluster, weight: weights[i]! }))))
  return { ...verdict, sides: verdict.sides.map((side) => ({ ...side, sources: sourcesOf(side.supporters, candidates, moment.tolerance) })) }
}

const ballot: ModelLens = (candidates, moment) => {
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
  const share = total === 0 ? 0 : Math.max(0, first.net) / total
  const most = Math.max(...first.members.map(netOf))
  const winner = bestOf(first.members.filter((candidate) => netOf(candidate) === most), (candidate) => weightOf(candidate, moment))
  return { sides: [{ winner, supporters: first.members, weight: first.net, share }], certainty: share }
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
    sides: tiers.map(({ ranked, total }): Side => ({
      winner: ranked[0]!.winner, supporters: ranked[0]!.members, conflict: conflictOf(ranked.map(({ weight }) => weight)),
      weight: total / UNIT, share: total / sumOf(tiers.map((tier) => tier.total)),
    })),
    conflict: conflictOf(voices),
    certainty: tiers[0]!.ranked[0]!.weight / tiers[0]!.total,
    status: groups.length === 1 ? 'unanimous' : answers.size === 1 ? 'agreed' : 'contested',
  }
}

const skeptic: ModelLens = (candidates, moment) => {
  if (candidates.length === 0) return NOTHING
  const verdict = valuesOf(rankedOf(clustersOf(candidates, moment.tolerance), (candidate) => weightOf(candidate, moment)))
  const tiers = candidates.map(({ assertion }) => assertion.sourceClass)
  const isAlarm = tiers.filter((tier) => tier === 5).length >= moment.escalationCount && tiers.every((tier) => tier > 2)
  const sides = verdict.sides.map((side) => ({ ...side, sources: sourcesOf(side.supporters, candidates, moment.tolerance) }))
  return { ...verdict, sides, ...isAlarm && { status: 'escalate' } }
}

const versions: ModelLens = (candidates) => ({ sides: candidates.toSorted(byLateness).map((winner) => ({ winner, supporters: [winner] })) })

/** What some demand or some forbid. */
interface Rule extends Side {
  readonly tier: number
  readonly weight: number
}

/** By tier, then by what all who say so weigh, then by the latest of them. */
const byForce = (a: Rule, b: Rule): number => a.tier - b.tier || b.weight - a.weight || byLateness(latestOf(a.supporters), latestOf(b.supporters))

/** Predicates of rules: a subject's are looked at together. */
export const RULE_PREDICATES: readonly string[] = ['forbidden', 'must_use']

const constraints: ModelLens = (candidates, moment) => {
  const rules = candidates.filter(({ assertion }) => RULE_PREDICATES.includes(assertion.predicate))
  if (rules.length === 0) return NOTHING
  const ruleOf = (supporters: readonly Accepted[]): Rule => {
    const tier = Math.min(...supporters.map(({ assertion }) => assertion.sourceClass))
    const winner = bestOf(supporters.filter(({ assertion }) => assertion.sourceClass === tier), (supporter) => weightOf(supporter, moment))
    return { tier, winner, supporters, weight: sumOf(supporters.map((supporter) => weightOf(supporter, moment))) / UNIT }
  }
  const values = clustersOf(rules, moment.tolerance).map((members) =>
    RULE_PREDICATES.map((predicate) => members.filter(({ assertion }) => assertion.predicate === predicate)).filter((some) => some.length > 0).map(ruleOf).sort(byForce))
  const contested = values.filter((sides) => sides.length > 1).length
  return { sides: values.map(([holds]) => holds!).sort(byForce), conflict: contested / values.length, status: contested > 0 ? 'contested' : 'agreed' }
}

export const MODEL_LENSES: Readonly<Record<string, ModelLens>> = {
  recency, confidence, consensus, independent, ballot, authority, 'trust-authority': trust, epoch, layered, skeptic, constraints, versions,
}

/** A chain: each lens chooses from the supporters of the best side of the one before. */
export const chainOf = (lenses: readonly ModelLens[]): ModelLens => (candidates, moment) => {
  const [first, ...rest] = lenses
  const verdict = first!(candidates, moment)
  return rest.length === 0 ? verdict : chainOf(rest)(verdict.sides[0]?.supporters ?? [], moment)
}
