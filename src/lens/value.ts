import type { ObjectValue } from '../record/assertion.ts'
import type { Candidate, LensContext } from './lens.ts'
import { isLater } from './order.ts'
import { quantityOf, type Dimension } from './quantity.ts'
import { claimOf } from './weight.ts'

/** Candidates that give one value. */
export interface Cluster<C extends Candidate> {
  readonly members: C[]
  /** Places of the members in the list that was clustered. */
  readonly places: number[]
  /** Sum of the members' weights; whole units. */
  weight: number
  /** The member of the greatest weight; of equals the latest. */
  best: C
  bestWeight: number
}

/**
 * Conversion of units rounds: quantities so near to each other, relative to the greater, are equal in any case.
 */
export const UNIT_TOLERANCE = 1e-9

/** Clusters that are looked through one by one; where there are more, a map finds the one. */
const SCAN_MAX = 8

/** Of one kind, and equal. */
export const objectsEqual = (a: ObjectValue, b: ObjectValue): boolean => a.kind === b.kind && a.value === b.value

/** Of one sign: however wide the tolerance, a gain is no loss, and nothing but zero is zero. */
const isNear = (a: number, b: number, tolerance: number): boolean =>
  a === b || (a > 0 === b > 0 && a < 0 === b < 0 && Math.abs(a - b) <= tolerance * Math.max(Math.abs(a), Math.abs(b)))

/** 0 for what is no tolerance, 1 at most: with it all numbers of one sign are near. */
export const toleranceOf = (context: LensContext): number => {
  const tolerance = context.tolerance ?? 0
  return tolerance > 0 ? Math.min(tolerance, 1) : 0
}

/**
 * Whether two objects are one value: of one kind and equal; or numbers of one sign no farther apart than `tolerance` (0..1, relative to the
 * greater magnitude); or texts that are quantities of one dimension, compared as such.
 */
export function valuesEqual(a: ObjectValue, b: ObjectValue, tolerance = 0): boolean {
  if (objectsEqual(a, b)) return true
  if (a.kind === 'number' && b.kind === 'number') return isNear(a.value, b.value, tolerance)
  if (a.kind !== 'text' || b.kind !== 'text') return false
  const x = quantityOf(a.value)
  const y = x && quantityOf(b.value)
  return x !== undefined && y !== undefined && x.dimension === y.dimension && isNear(x.value, y.value, Math.max(tolerance, UNIT_TOLERANCE))
}

/** Finds the cluster of an exact value. */
class ExactClusters<C extends Candidate> {
  readonly all: Cluster<C>[] = []
  #references: Map<string, Cluster<C>> | undefined
  #values: Map<string | number | boolean, Cluster<C>> | undefined

  find(object: ObjectValue): Cluster<C> | undefined {
    if (this.#values === undefined) {
      for (const cluster of this.all) if (objectsEqual(claimOf(cluster.best).object, object)) return cluster
      return undefined
    }
    return object.kind === 'reference' ? this.#references!.get(object.value) : this.#values.get(object.value)
  }

  add(object: ObjectValue, cluster: Cluster<C>): void {
    this.all.push(cluster)
    if (this.#values !== undefined) this.#map(object, cluster)
    else if (this.all.length > SCAN_MAX) {
      this.#references = new Map()
      this.#values = new Map()
      for (const one of this.all) this.#map(claimOf(one.best).object, one)
    }
  }

  #map(object: ObjectValue, cluster: Cluster<C>): void {
    if (object.kind === 'reference') this.#references!.set(object.value, cluster)
    else this.#values!.set(object.value, cluster)
  }
}

/**
 * Candidates by value, in no order. `weigh` is asked once for each and gives whole units (`weightOf`), so that sums do not depend on
 * order. Near numbers are sorted and cut where a gap is wider than the tolerance: membership does not depend on which came
 * first, and two values of one cluster may be farther apart than the tolerance if others lie between them.
 */
export function clustersOf<C extends Candidate>(
  candidates: readonly C[], tolerance: number, weigh: (candidate: C, place: number) => number,
): Cluster<C>[] {
  const clusters = new ExactClusters<C>()
  for (let place = 0; place < candidates.length; place++) {
    const candidate = candidates[place]!
    const { object } = claimOf(candidate)
    const weight = weigh(candidate, place)
    const cluster = clusters.find(object)
    if (cluster === undefined) clusters.add(object, clusterOfOne(candidate, place, weight))
    else addToCluster(cluster, candidate, place, weight)
  }
  return clusters.all.length < 2 ? clusters.all : mergeNear(clusters.all, tolerance)
}

export const clusterOfOne = <C extends Candidate>(candidate: C, place: number, weight: number): Cluster<C> =>
  ({ members: [candidate], places: [place], weight, best: candidate, bestWeight: weight })

export function addToCluster<C extends Candidate>(cluster: Cluster<C>, candidate: C, place: number, weight: number): void {
  cluster.members.push(candidate)
  cluster.places.push(place)
  cluster.weight += weight
  takeBetter(cluster, candidate, weight)
}

function takeBetter<C extends Candidate>(cluster: Cluster<C>, candidate: C, weight: number): void {
  if (weight > cluster.bestWeight || (weight === cluster.bestWeight && isLater(candidate, cluster.best))) {
    cluster.best = candidate
    cluster.bestWeight = weight
  }
}

interface Scalar<C extends Candidate> {
  readonly cluster: Cluster<C>
  readonly dimension: Dimension | 'number'
  readonly value: number
}

function scalarOf<C extends Candidate>(cluster: Cluster<C>, tolerance: number): Scalar<C> | undefined {
  const { object } = claimOf(cluster.best)
  if (object.kind === 'number') return tolerance > 0 ? { cluster, dimension: 'number', value: object.value } : undefined
  const quantity = object.kind === 'text' ? quantityOf(object.value) : undefined
  return quantity && { cluster, dimension: quantity.dimension, value: quantity.value }
}

const compareScalars = (a: Scalar<Candidate>, b: Scalar<Candidate>): number =>
  a.dimension === b.dimension ? a.value - b.value : a.dimension < b.dimension ? -1 : 1

function mergeNear<C extends Candidate>(clusters: Cluster<C>[], tolerance: number): Cluster<C>[] {
  const scalars: Scalar<C>[] = []
  const merged: Cluster<C>[] = []
  for (const cluster of clusters) {
    const scalar = scalarOf(cluster, tolerance)
    if (scalar === undefined) merged.push(cluster)
    else scalars.push(scalar)
  }
  if (scalars.length < 2) return clusters
  scalars.sort(compareScalars)
  let before: Scalar<C> | undefined
  let into: Cluster<C> | undefined
  for (const scalar of scalars) {
    const { cluster, dimension, value } = scalar
    const near = dimension === 'number' ? tolerance : Math.max(tolerance, UNIT_TOLERANCE)
    if (into !== undefined && before!.dimension === dimension && isNear(before!.value, value, near)) absorb(into, cluster)
    else merged.push(into = cluster)
    before = scalar
  }
  return merged
}

function absorb<C extends Candidate>(into: Cluster<C>, cluster: Cluster<C>): void {
  for (const member of cluster.members) into.members.push(member)
  for (const place of cluster.places) into.places.push(place)
  into.weight += cluster.weight
  takeBetter(into, cluster.best, cluster.bestWeight)
}

/** Characters of a value that a label shows. */
export const LABEL_CHARACTERS_MAX = 80

/** A value for a person: texts as they are, clipped. */
export function valueText({ value }: ObjectValue): string {
  const text = String(value)
  if (text.length <= LABEL_CHARACTERS_MAX) return text
  const end = LABEL_CHARACTERS_MAX - 1
  // Half a surrogate pair is no text.
  const isSplit = (text.charCodeAt(end - 1) & 0xfc00) === 0xd800
  return `${text.slice(0, isSplit ? end - 1 : end)}…`
}
