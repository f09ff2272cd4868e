import { bytesEqual } from '../base/bytes.ts'
import type { ObjectValue } from '../record/assertion.ts'
import { distinct } from './id-table.ts'
import type { Candidate, LeftOut, LensContext } from './lens.ts'
import { isLater, latestOf } from './order.ts'
import { clustersOf, toleranceOf, valuesEqual, valueText, type Cluster } from './value.ts'
import { claimOf, WEIGHT_ONE, weightOf } from './weight.ts'

/**
 * A rule is an assertion. Its subject is the context in which it holds (`project/http-client`), its predicate one of these two, its object
 * what must be used or may not be, its note the reason. A `forbidden` whose parent is a `must_use`, or the other way
 * round, belongs to it: use this instead of that.
 */
export const MUST_USE = 'must_use'
export const FORBIDDEN = 'forbidden'
export type RuleKind = typeof MUST_USE | typeof FORBIDDEN

/** One value that must be used or may not be, in force. */
export interface Rule<C extends Candidate> {
  readonly kind: RuleKind
  readonly value: ObjectValue
  /** Who says so best: the best tier, then the greatest weight, then the latest. */
  readonly best: C
  readonly supporters: readonly C[]
  /** Sum of the decayed confidence of the supporters. */
  readonly weight: number
  /** The note of `best`, or else of the best supporter that has one. */
  readonly reason: string | undefined
}

/** What must be used, or what is forbidden, or the one instead of the other. */
export interface RuleRow<C extends Candidate> {
  readonly mustUse?: Rule<C>
  readonly forbidden?: Rule<C>
  readonly reason: string | undefined
}

/** A value that some demand and some forbid: both can not hold. */
export interface RuleConflict<C extends Candidate> {
  readonly value: ObjectValue
  readonly holds: Rule<C>
  readonly overruled: Rule<C>
  readonly why: string
}

export interface Constraints<C extends Candidate> {
  /** By rank: better tier, greater weight, later. */
  readonly rules: readonly Rule<C>[]
  readonly rows: readonly RuleRow<C>[]
  readonly conflicts: readonly RuleConflict<C>[]
  /** No rules. */
  readonly leftOut: readonly LeftOut<C>[]
}

const kindOf = (candidate: Candidate): RuleKind | undefined => {
  const { predicate } = claimOf(candidate)
  return predicate === MUST_USE || predicate === FORBIDDEN ? predicate : undefined
}

/** Better at saying so: tier, then decayed confidence, then (HLC, id). A total order, so no answer hangs on the order of reading. */
function isBetter(a: Candidate, b: Candidate, context: LensContext): boolean {
  const tiers = claimOf(a).sourceClass - claimOf(b).sourceClass
  if (tiers !== 0) return tiers < 0
  const weights = weightOf(a, context) - weightOf(b, context)
  return weights === 0 ? isLater(a, b) : weights > 0
}

function ruleOf<C extends Candidate>(kind: RuleKind, supporters: readonly C[], context: LensContext): Rule<C> {
  const ranked = [...supporters].sort((a, b) => isBetter(a, b, context) ? -1 : 1)
  const best = ranked[0]!
  const reasoned = ranked.find((candidate) => claimOf(candidate).note !== undefined)
  let weight = 0
  for (const supporter of supporters) weight += weightOf(supporter, context)
  return { kind, value: claimOf(best).object, best, supporters, weight: weight / WEIGHT_ONE, reason: reasoned && claimOf(reasoned).note }
}

/** Whether one rule stands above another: tier, then the weight of all who say so, then the latest of them. */
function outranks(a: Rule<Candidate>, b: Rule<Candidate>): boolean {
  const tiers = claimOf(a.best).sourceClass - claimOf(b.best).sourceClass
  if (tiers !== 0) return tiers < 0
  return a.weight === b.weight ? isLater(latestOf(a.supporters), latestOf(b.supporters)) : a.weight > b.weight
}

function settle<C extends Candidate>({ members }: Cluster<C>, context: LensContext): Rule<C> | RuleConflict<C> {
  const demanding = members.filter((member) => kindOf(member) === MUST_USE)
  const forbidding = members.filter((member) => kindOf(member) === FORBIDDEN)
  if (forbidding.length === 0) return ruleOf(MUST_USE, demanding, context)
  const forbids = ruleOf(FORBIDDEN, forbidding, context)
  if (demanding.length === 0) return forbids
  const demands = ruleOf(MUST_USE, demanding, context)
  const [holds, overruled] = outranks(demands, forbids) ? [demands, forbids] : [forbids, demands]
  const why = `${valueText(holds.value)} is both ${MUST_USE} and ${FORBIDDEN}; ${holds.kind} holds, by ${reasonOf(holds, overruled)}.`
  return { value: holds.value, holds, overruled, why }
}

function reasonOf(holds: Rule<Candidate>, overruled: Rule<Candidate>): string {
  if (claimOf(holds.best).sourceClass !== claimOf(overruled.best).sourceClass) return 'its tier'
  return holds.weight === overruled.weight ? 'being later' : 'its weight'
}

/** A pair of rules is one row if an assertion for the one names an assertion for the other as its parent. */
function isLinked(a: Rule<Candidate>, b: Rule<Candidate>): boolean {
  const follows = (children: readonly Candidate[], parents: readonly Candidate[]): boolean => children.some((child) => {
    const { parent } = claimOf(child)
    return parent !== undefined && parents.some(({ id }) => bytesEqual(id, parent))
  })
  return follows(a.supporters, b.supporters) || follows(b.supporters, a.supporters)
}

function rowsOf<C extends Candidate>(rules: readonly Rule<C>[]): RuleRow<C>[] {
  const bans = rules.filter(({ kind }) => kind === FORBIDDEN)
  const linked = new Set<Rule<C>>()
  const rows: RuleRow<C>[] = []
  for (const mustUse of rules) {
    if (mustUse.kind === FORBIDDEN) continue
    const instead = bans.filter((ban) => isLinked(mustUse, ban))
    if (instead.length === 0) rows.push({ mustUse, reason: mustUse.reason })
    for (const forbidden of instead) {
      linked.add(forbidden)
      rows.push({ mustUse, forbidden, reason: mustUse.reason ?? forbidden.reason })
    }
  }
  for (const forbidden of bans) if (!linked.has(forbidden)) rows.push({ forbidden, reason: forbidden.reason })
  return rows
}

/**
 * The rules that hold of candidates of one context, of both predicates: a pure function, order-independent as lenses are. Rules do
 * not compete with one another (one may use this and that), but no value can be demanded and forbidden: there the side of
 * the better tier holds, then that of the greater decayed weight, then the later one, and the conflict is told.
 */
export function constraintsOf<C extends Candidate>(candidates: readonly C[], context: LensContext): Constraints<C> {
  const relevant: C[] = []
  const leftOut: LeftOut<C>[] = []
  for (const candidate of distinct(candidates)) {
    if (kindOf(candidate) !== undefined) relevant.push(candidate)
    else leftOut.push({ candidate, why: `No rule: its predicate is neither ${MUST_USE} nor ${FORBIDDEN}.` })
  }
  const rules: Rule<C>[] = []
  const conflicts: RuleConflict<C>[] = []
  for (const cluster of clustersOf(relevant, toleranceOf(context), () => 0)) {
    const settled = settle(cluster, context)
    if ('holds' in settled) conflicts.push(settled)
    rules.push('holds' in settled ? settled.holds : settled)
  }
  rules.sort((a, b) => outranks(a, b) ? -1 : 1)
  conflicts.sort((a, b) => outranks(a.holds, b.holds) ? -1 : 1)
  return { rules, rows: rowsOf(rules), conflicts, leftOut }
}

/** Rules that somebody who uses these values would break: forbidden ones that are among them, and what must be used and is not. */
export function violationsOf<C extends Candidate>(
  { rows }: Constraints<C>, values: readonly ObjectValue[], tolerance = 0,
): RuleRow<C>[] {
  const uses = (rule: Rule<C>): boolean => values.some((value) => valuesEqual(value, rule.value, tolerance))
  return rows.filter(({ mustUse, forbidden }) => (forbidden !== undefined && uses(forbidden)) || (mustUse !== undefined && !uses(mustUse)))
}
