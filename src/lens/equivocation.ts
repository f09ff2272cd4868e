import { compareBytes, toHex } from '../base/bytes.ts'
import type { Assertion, Lifecycle, ObjectValue } from '../record/assertion.ts'

/** Most pairs that one call gives: those with the smallest ids. Whoever equivocates once needs no longer list. */
export const EQUIVOCATIONS_MAX = 64

/** What equivocation is looked for among: candidates of one subject and predicate, with their claims. */
export interface Claimed {
  /** 32 bytes. */
  readonly id: Uint8Array
  readonly assertion: Assertion
}

/** One key said two different things of one subject and predicate at one time of its own. */
export interface Equivocation<C extends Claimed> {
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

export interface Equivocations<C extends Claimed> {
  /** By the ids of both. */
  readonly pairs: readonly Equivocation<C>[]
  /** There are more than {@link EQUIVOCATIONS_MAX}. */
  readonly truncated: boolean
}

/** To say that something is said no longer is no second thing. */
const TAKEN_BACK: ReadonlySet<Lifecycle> = new Set<Lifecycle>(['deprecated', 'rejected', 'retracted'])

/** Equal for equal objects only: of one kind, and the same value. A double has one shortest decimal. */
const objectKey = (object: ObjectValue): string => `${object.kind} ${String(object.value)}`

/** A claim in the terms of this file. */
interface Statement<C extends Claimed> {
  readonly candidate: C
  readonly idHex: string
  readonly object: string
  readonly source: string
}

/**
 * What each key says at each time of its own, by ascending id, each id once. A version that names the one it replaces as its
 * parent is openly the later word, and its parent is left out: so of a chain its end remains, and of a fork each end.
 */
function statementsByMoment<C extends Claimed>(candidates: readonly C[]): Statement<C>[][] {
  const moments = new Map<string, Map<string, Statement<C>>>()
  for (const candidate of candidates) {
    const { id, assertion } = candidate
    if (TAKEN_BACK.has(assertion.lifecycle)) continue
    const key = `${toHex(assertion.agent)} ${assertion.assertedAtMs}`
    let moment = moments.get(key)
    if (moment === undefined) moments.set(key, moment = new Map<string, Statement<C>>())
    const idHex = toHex(id)
    // The same id is the same assertion, and which copy of it is kept must not hang on their order.
    if (!moment.has(idHex)) moment.set(idHex, { candidate, idHex, object: objectKey(assertion.object), source: toHex(assertion.sourceHash) })
  }
  return [...moments.values()].filter((moment) => moment.size > 1).map(endsOf)
}

function endsOf<C extends Claimed>(moment: Map<string, Statement<C>>): Statement<C>[] {
  const replaced = new Set<string>()
  for (const { candidate: { assertion: { parent } } } of moment.values()) if (parent !== undefined) replaced.add(toHex(parent))
  return [...moment.values()].filter(({ idHex }) => !replaced.has(idHex)).sort((a, b) => compareText(a.idHex, b.idHex))
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Of the statements with the same key, the one with the smallest id. */
function firstOfEach<C extends Claimed>(statements: readonly Statement<C>[], keyOf: (statement: Statement<C>) => string): Statement<C>[] {
  const firsts = new Map<string, Statement<C>>()
  for (const statement of statements) if (!firsts.has(keyOf(statement))) firsts.set(keyOf(statement), statement)
  return [...firsts.values()]
}

/**
 * Pairs of claims in which one key contradicts itself: same agent, same time, another object. Of claims with the same object and source
 * the one with the smallest id stands for all. Any order and duplication of the candidates gives the same pairs.
 * @param candidates of one subject and predicate
 */
export function equivocationsOf<C extends Claimed>(candidates: readonly C[]): Equivocations<C> {
  const pairs: Equivocation<C>[] = []
  for (const moment of statementsByMoment(candidates)) {
    pairs.push(...pairsOf(firstOfEach(moment, ({ object, source }) => `${source} ${object}`)))
  }
  pairs.sort((a, b) => compareBytes(a.first.id, b.first.id) || compareBytes(a.second.id, b.second.id))
  return { pairs: pairs.slice(0, EQUIVOCATIONS_MAX), truncated: pairs.length > EQUIVOCATIONS_MAX }
}

/** In the order of ids; where there are too many, one more than are wanted. */
function pairsOf<C extends Claimed>(said: readonly Statement<C>[]): Equivocation<C>[] {
  const pairs: Equivocation<C>[] = []
  for (let i = 0; i < said.length; i++) {
    for (let j = i + 1; j < said.length; j++) {
      if (said[i]!.object === said[j]!.object) continue
      pairs.push(equivocationOf(said[i]!, said[j]!))
      if (pairs.length > EQUIVOCATIONS_MAX) return pairs
    }
  }
  return pairs
}

function equivocationOf<C extends Claimed>(a: Statement<C>, b: Statement<C>): Equivocation<C> {
  const { agent, assertedAtMs } = a.candidate.assertion
  return { agent, assertedAtMs, first: a.candidate, second: b.candidate, sameSource: a.source === b.source }
}

/**
 * Keys, as 64 hex digits, that contradict themselves among these candidates on one and the same source (or on none). What a lens
 * that weighs by trust gives no weight. Handed the claims that still stand, it forgives whoever has taken one of the two back.
 */
export function equivocatorsOf(candidates: readonly Claimed[]): ReadonlySet<string> {
  const agents = new Set<string>()
  for (const moment of statementsByMoment(candidates)) {
    const objectOf = new Map<string, string>()
    for (const { source, object, candidate } of moment) {
      const before = objectOf.get(source)
      if (before === undefined) objectOf.set(source, object)
      else if (before !== object) agents.add(toHex(candidate.assertion.agent))
    }
  }
  return agents
}
