import { bytesEqual, compareBytes, toHex } from '../base/bytes.ts'
import { TAKEN_BACK } from '../record/assertion.ts'
import { distinct } from './id-table.ts'
import type { Candidate } from './lens.ts'
import { Lineage } from './lineage.ts'
import { clustersOf } from './value.ts'
import { claimOf } from './weight.ts'

/** Most pairs that one call gives: those with the smallest ids. Whoever equivocates once needs no longer list. */
export const EQUIVOCATIONS_MAX = 64

/** One key said two different things of one subject and predicate at one time of its own. */
export interface Equivocation<C extends Candidate> {
  readonly agent: Uint8Array
  readonly assertedAtMs: number
  /** The one with the smaller id. */
  readonly first: C
  readonly second: C
  /**
   * Both cite the same source, or none. Where they do not, the key may have reported two sources that contradict each other, which
   * importers do: that is shown, and held against nobody.
   */
  readonly sameSource: boolean
}

export interface Equivocations<C extends Candidate> {
  /** By the ids of both. */
  readonly pairs: readonly Equivocation<C>[]
  /** There are more than {@link EQUIVOCATIONS_MAX}. */
  readonly truncated: boolean
}

/** A claim in the terms of this file. */
interface Statement<C extends Candidate> {
  readonly candidate: C
  readonly source: string
  /** Which of the values that are given at the time. */
  readonly value: number
  /** Its number in the lineage, and the last of those that come from it. */
  readonly number: number
  readonly last: number
}

/**
 * What each key says at each time of its own of one subject and predicate, where that is more than one value. Values are compared as lenses
 * do, without any tolerance but that of units. Whether one claim comes from another is seen by all that are known, as a version may
 * go by way of another time, or of a claim that does not count.
 */
function contradictoryMoments<C extends Candidate>(candidates: readonly C[], known: readonly Candidate[]): Statement<C>[][] {
  const said = distinct(candidates)
  const moments: Statement<C>[][] = []
  let lineage: Lineage | undefined
  for (const places of placesByMoment(said)) {
    const clusters = clustersOf(places.map((place) => said[place]!), 0, () => 0)
    if (clusters.length < 2) continue
    // Those that are said come first, each at its place.
    const { numbers, lasts } = lineage ??= new Lineage(distinct<Candidate>([...said, ...known]))
    const statementAt = (place: number, value: number): Statement<C> => {
      const candidate = said[place]!
      return { candidate, source: toHex(claimOf(candidate).sourceHash), value, number: numbers[place]!, last: lasts[place]! }
    }
    moments.push(clusters.flatMap((cluster, value) => cluster.places.map((i) => statementAt(places[i]!, value))))
  }
  return moments
}

/** Places of what is said by one key of one subject and predicate at one time, where that is more than one claim. */
function placesByMoment(list: readonly Candidate[]): number[][] {
  const moments = new Map<string, number[]>()
  const isShared = sharedTimes(list)
  for (let place = 0; place < list.length; place++) {
    const { agent, assertedAtMs, lifecycle, subject, predicate } = claimOf(list[place]!)
    // To say that something is said no longer is no second thing.
    if (TAKEN_BACK.has(lifecycle) || !isShared.has(assertedAtMs)) continue
    const key = `${toHex(agent)} ${assertedAtMs} ${subject}\0${predicate}`
    const moment = moments.get(key)
    if (moment === undefined) moments.set(key, [place])
    else moment.push(place)
  }
  return [...moments.values()].filter((moment) => moment.length > 1)
}

/** Times of which there is more than one claim: mostly none, and then there is nothing to look for. */
function sharedTimes(candidates: readonly Candidate[]): ReadonlySet<number> {
  const seen = new Set<number>()
  const shared = new Set<number>()
  for (const candidate of candidates) {
    const { assertedAtMs } = claimOf(candidate)
    if (seen.has(assertedAtMs)) shared.add(assertedAtMs)
    seen.add(assertedAtMs)
  }
  return shared
}

/** Whether one of them openly comes from the other, as a version that names the one it replaces does. */
const areVersions = (a: Statement<Candidate>, b: Statement<Candidate>): boolean =>
  a.number <= b.number ? b.number <= a.last : a.number <= b.last

const NO_VALUE = -1
const SEVERAL_VALUES = -2

/**
 * Whether there are two different values of which neither comes from the other. In the order of the lineage, a claim comes from those before
 * it that are still open, and from none that have ended: so it is enough to know which values have ended.
 */
function contradicts(said: readonly Statement<Candidate>[]): boolean {
  const open: Statement<Candidate>[] = []
  let ended = NO_VALUE
  for (const statement of [...said].sort((a, b) => a.number - b.number)) {
    while (open.length > 0 && open[open.length - 1]!.last < statement.number) {
      const { value } = open.pop()!
      ended = ended === NO_VALUE || ended === value ? value : SEVERAL_VALUES
    }
    if (ended !== NO_VALUE && ended !== statement.value) return true
    open.push(statement)
  }
  return false
}

/**
 * Pairs of claims in which one key contradicts itself: same agent, subject, predicate and time, another value, and neither comes from the
 * other by parents of the same agent. Nothing that the agent says later removes a pair: a claim that another has replaced still contradicts
 * every third one. Of pairs with the same two values and sources, the one with the smallest ids stands for all. Any order and duplication
 * of the candidates gives the same pairs.
 * @param candidates with their claims
 */
export function equivocationsOf<C extends Candidate>(candidates: readonly C[]): Equivocations<C> {
  const pairs = contradictoryMoments(candidates, []).filter(contradicts).flatMap(pairsOf)
  pairs.sort((a, b) => compareBytes(a.first.id, b.first.id) || compareBytes(a.second.id, b.second.id))
  return { pairs: pairs.slice(0, EQUIVOCATIONS_MAX), truncated: pairs.length > EQUIVOCATIONS_MAX }
}

/** In the order of ids; where there are too many, one more than are wanted. Of a thousand claims it compares half a million numbers at most. */
function pairsOf<C extends Candidate>(moment: readonly Statement<C>[]): Equivocation<C>[] {
  const said = [...moment].sort((a, b) => compareBytes(a.candidate.id, b.candidate.id))
  const kinds = kindsOf(said)
  const pairs = new Map<number, Equivocation<C>>()
  for (let i = 0; i < said.length; i++) {
    for (let j = i + 1; j < said.length; j++) {
      const a = said[i]!
      const b = said[j]!
      if (a.value === b.value || areVersions(a, b)) continue
      const key = Math.min(kinds[i]!, kinds[j]!) * said.length + Math.max(kinds[i]!, kinds[j]!)
      if (pairs.has(key)) continue
      pairs.set(key, equivocationOf(a, b))
      if (pairs.size > EQUIVOCATIONS_MAX) return [...pairs.values()]
    }
  }
  return [...pairs.values()]
}

/**
 * In what one claim contradicts others of its key: {@link equivocationsOf} lists the pairs with the smallest ids, among which those of the claim
 * that is asked about need not be. Of others with the same value and source the one with the smallest id stands for all.
 * @param candidates of its subject and predicate; it may be among them
 * @returns at most {@link EQUIVOCATIONS_MAX}, by the ids of the others
 */
export function contradictionsOf<C extends Candidate>(of: C, candidates: readonly C[]): Equivocation<C>[] {
  const { agent, assertedAtMs } = claimOf(of)
  const own = candidates.filter((candidate) => bytesEqual(claimOf(candidate).agent, agent))
  const [moment = []] = contradictoryMoments([of, ...own.filter((candidate) => claimOf(candidate).assertedAtMs === assertedAtMs)], own)
  const said = [...moment].sort((a, b) => compareBytes(a.candidate.id, b.candidate.id))
  const at = said.findIndex(({ candidate }) => bytesEqual(candidate.id, of.id))
  if (at < 0) return []
  const kinds = kindsOf(said)
  const pairs = new Map<number, Equivocation<C>>()
  for (let i = 0; i < said.length && pairs.size < EQUIVOCATIONS_MAX; i++) {
    if (said[i]!.value === said[at]!.value || areVersions(said[i]!, said[at]!) || pairs.has(kinds[i]!)) continue
    pairs.set(kinds[i]!, equivocationOf(said[Math.min(i, at)]!, said[Math.max(i, at)]!))
  }
  return [...pairs.values()]
}

/** A number for each: the same for the same value of the same source. */
function kindsOf(said: readonly Statement<Candidate>[]): number[] {
  const kinds = new Map<string, number>()
  return said.map(({ source, value }) => {
    const key = `${source} ${value}`
    const kind = kinds.get(key) ?? kinds.size
    kinds.set(key, kind)
    return kind
  })
}

function equivocationOf<C extends Candidate>(a: Statement<C>, b: Statement<C>): Equivocation<C> {
  const { agent, assertedAtMs } = claimOf(a.candidate)
  return { agent, assertedAtMs, first: a.candidate, second: b.candidate, sameSource: a.source === b.source }
}

/**
 * Keys, as 64 hex digits, that contradict themselves among these candidates on one and the same source (or on none). What a lens
 * that weighs by trust gives no weight. Handed claims without those that were taken back, it forgives whoever has taken one of the two back.
 * @param known other claims, which do not count, but by way of which one candidate may come from another
 */
export function equivocatorsOf(candidates: readonly Candidate[], known: readonly Candidate[] = []): ReadonlySet<string> {
  const agents = new Set<string>()
  for (const moment of contradictoryMoments(candidates, known)) {
    const bySource = new Map<string, Statement<Candidate>[]>()
    for (const statement of moment) {
      const said = bySource.get(statement.source)
      if (said === undefined) bySource.set(statement.source, [statement])
      else said.push(statement)
    }
    if ([...bySource.values()].some(contradicts)) agents.add(toHex(claimOf(moment[0]!.candidate).agent))
  }
  return agents
}
