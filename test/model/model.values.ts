import { hlcWallMs } from '../../src/base/hlc.ts'
import type { ObjectValue } from '../../src/record/assertion.ts'
import type { Accepted } from './history.ts'
import { byLateness } from './model.records.ts'

/**
 * What claims weigh, which of them give one value, and how much values conflict: written from docs/reference/lenses.md and nothing else.
 */
const DAY_MS = 24 * 3_600_000
/** Weights are whole multiples of 1 / UNIT. */
export const UNIT = 2 ** 40
const AGREED_SHARE = 0.8

export interface Moment {
  readonly nowMs: number
  /** By tier. */
  readonly halfLifeDays: readonly number[]
  readonly tolerance: number
  readonly escalationCount: number
  /** All that was accepted until the moment. */
  readonly world: readonly Accepted[]
}

/** Decayed confidence, in units. */
export function weightOf({ assertion, hlc }: Accepted, { nowMs, halfLifeDays }: Moment): number {
  const sinceMs = Math.min(assertion.assertedAtMs, hlcWallMs(hlc))
  const ageDays = Math.max(0, nowMs - sinceMs) / DAY_MS
  return Math.round(assertion.confidence * 0.5 ** (ageDays / halfLifeDays[assertion.sourceClass]!) * UNIT)
}

/** Factors to one base unit of each dimension: those that histories use. */
const UNITS: Readonly<Record<string, readonly [dimension: string, factor: number]>> = { mg: ['mass', 1e-3], g: ['mass', 1], s: ['time', 1] }

/** A text of the dimension's name, and how much of it; undefined for what is no quantity. */
function quantityOf(object: ObjectValue): { readonly dimension: string, readonly amount: number } | undefined {
  if (object.kind === 'number') return { dimension: 'number', amount: object.value }
  const match = object.kind === 'text' ? /^(-?\d+(?:\.\d+)?) ?([a-z]+)$/.exec(object.value) : null
  const unit = match === null ? undefined : UNITS[match[2]!]
  return unit === undefined ? undefined : { dimension: unit[0], amount: Number(match![1]) * unit[1] }
}

/** Conversions round. */
const ROUNDING = 1e-9

const areNear = (a: number, b: number, tolerance: number): boolean => Math.sign(a) === Math.sign(b) && Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b))

/** Whether two objects are one value, looked at alone. */
export function areEqual(a: ObjectValue, b: ObjectValue, tolerance: number): boolean {
  const [one, other] = [quantityOf(a), quantityOf(b)]
  if (a.kind === b.kind && one !== undefined && one.dimension === other?.dimension) {
    return areNear(one.amount, other.amount, one.dimension === 'number' ? tolerance : Math.max(tolerance, ROUNDING))
  }
  return a.kind === b.kind && a.value === b.value
}

/** Groups of one value: whatever hangs together by steps that are near. */
export function clustersOf(candidates: readonly Accepted[], tolerance: number): Accepted[][] {
  const clusters: Accepted[][] = []
  for (const candidate of candidates) {
    const near = clusters.filter((cluster) => cluster.some((other) => areEqual(candidate.assertion.object, other.assertion.object, tolerance)))
    for (const cluster of near) clusters.splice(clusters.indexOf(cluster), 1)
    clusters.push([candidate, ...near.flat()])
  }
  return clusters
}

export interface Cluster {
  readonly members: readonly Accepted[]
  readonly weight: number
  /** The heaviest, the latest of them. */
  readonly winner: Accepted
}

export const latestOf = (candidates: readonly Accepted[]): Accepted => candidates.toSorted(byLateness)[0]!

/** The best by a score, the latest of those. */
export function bestOf(candidates: readonly Accepted[], scoreOf: (candidate: Accepted) => number): Accepted {
  const best = Math.max(...candidates.map(scoreOf))
  return latestOf(candidates.filter((candidate) => scoreOf(candidate) === best))
}

export const isSameObject = (a: ObjectValue, b: ObjectValue): boolean => a.kind === b.kind && a.value === b.value

export const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

/** By rank: the heaviest first, of equals the one with the latest candidate. */
export function byRank(clusters: readonly Cluster[]): Cluster[] {
  return clusters.toSorted((a, b) => b.weight - a.weight || byLateness(latestOf(a.members), latestOf(b.members)))
}

/** Where nothing weighs anything, each candidate counts one unit. */
const counted = (clusters: readonly Cluster[]): readonly Cluster[] =>
  clusters.every(({ weight }) => weight === 0) ? clusters.map((cluster) => ({ ...cluster, weight: cluster.members.length })) : clusters

/** Clusters by rank, their weights by `weigh`. */
export function rankedOf(groups: readonly (readonly Accepted[])[], weigh: (candidate: Accepted) => number): Cluster[] {
  return byRank(counted(groups.map((members) => ({ members, weight: sumOf(members.map(weigh)), winner: bestOf(members, weigh) }))))
}

/** 0: one value has all the weight; 1: as contradictory as can be. */
export function conflictOf(weights: readonly number[]): number {
  const heaviest = weights.filter((weight) => weight > 0).sort((a, b) => b - a)
  const scores = heaviest.slice(1).map((_, i) => {
    const some = heaviest.slice(0, i + 2)
    const entropy = -sumOf(some.map((weight) => weight / sumOf(some)).map((p) => p * Math.log2(p)))
    return entropy / Math.log2(some.length)
  })
  return Math.max(0, ...scores)
}

export type Status = 'unanimous' | 'agreed' | 'contested' | 'escalate'

export function statusOf(weights: readonly number[]): Status {
  if (weights.length <= 1) return 'unanimous'
  return Math.max(...weights) >= AGREED_SHARE * sumOf(weights) ? 'agreed' : 'contested'
}
