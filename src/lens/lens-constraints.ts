import { must } from '../base/assert.ts'
import { SOURCE_CLASSES } from '../record/assertion.ts'
import { constraintsOf, FORBIDDEN, MUST_USE, type Rule } from './constraints.ts'
import type { Candidate, Lens, LensAnswer, LensContext, Resolution } from './lens.ts'
import { valueText } from './value.ts'
import { claimOf, decayedConfidence } from './weight.ts'

function answerOf<C extends Candidate>({ kind, value, best, supporters, weight, reason }: Rule<C>): LensAnswer<C> {
  const because = reason === undefined ? '' : ` Reason: ${reason}`
  return {
    label: `${kind} ${valueText(value)}`, winner: best, supporters, weight,
    why: `A rule in force, by tier ${SOURCE_CLASSES[claimOf(best).sourceClass]}.${because}`,
  }
}

/**
 * Constraints: rules in place of facts (`must_use`, `forbidden`; shape and ranking in constraints.ts, after the reference's constraints lens).
 * One answer for each rule in force, by rank, and how they belong together. A value that is demanded and forbidden can not be both: one side holds, the other
 * has lost. Conflict is the part of the values on which that is so. Candidates of other predicates are left out.
 */
export const constraintsLens: Lens = {
  name: 'constraints',
  description: 'The rules in force: what must be used, what is forbidden; a value can not be both.',
  reads: 'claims',
  byValue: true,
  sidesHold: true,
  gathers: [FORBIDDEN, MUST_USE],
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    const { rules, rows, conflicts, leftOut } = constraintsOf(candidates, context)
    if (rules.length === 0) return { answers: [], leftOut }
    const places = new Map(rules.map((rule, place) => [rule, place]))
    const placeOf = (rule: Rule<C> | undefined): number | undefined => rule && places.get(rule)
    return {
      answers: rules.map(answerOf),
      conflict: conflicts.length / rules.length,
      status: conflicts.length > 0 ? 'contested' : 'agreed',
      rules: {
        rows: rows.map(({ mustUse, forbidden, reason }) => ({ mustUse: placeOf(mustUse), forbidden: placeOf(forbidden), reason })),
        conflicts: conflicts.map(({ holds, overruled, why }) => ({ holds: must(placeOf(holds)), overruled: { ...answerOf(overruled), why } })),
      },
      leftOut,
      outranked: conflicts.flatMap(({ overruled, why }) => overruled.supporters.map((candidate) => ({ candidate, why }))),
    }
  },
  weigh: decayedConfidence,
}
