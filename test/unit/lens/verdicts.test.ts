import fc from 'fast-check'
import t from 'tap'
import { OPTIONS } from '../../../src/config/options.ts'
import { constraintsOf, violationsOf, type Constraints } from '../../../src/lens/constraints.ts'
import { LENSES, lensOf } from '../../../src/lens/registry.ts'
import { lensSettingsOf } from '../../../src/lens/settings.ts'
import { standing } from '../../../src/lens/standing.ts'
import { verdictsOf, VERDICT_LEFT_OUT, VERDICT_LOST, VERDICT_SUPPORTS, VERDICT_WON } from '../../../src/lens/verdicts.ts'
import { candidateLists, contexts, digest, HALF_LIFE_DAYS, nameOf, NOW_MS, says, text, type FullCandidate } from '../../support/lens-candidates.ts'

const CONTEXT = { nowMs: NOW_MS }

t.test('settings become the constant part of a context', async (t) => {
  const defaults = { decayHalfLifeDays: OPTIONS.decayHalfLifeDays.default, consensusTolerance: OPTIONS.consensusTolerance.default, escalationCount: OPTIONS.escalationCount.default }
  t.strictSame(lensSettingsOf(defaults), { halfLifeDays: HALF_LIFE_DAYS, tolerance: 0, escalationCount: 500 })
  t.strictSame(lensSettingsOf({ decayHalfLifeDays: '1,2,3,4,5,inf', consensusTolerance: '0.05', escalationCount: 0 }),
    { halfLifeDays: [1, 2, 3, 4, 5, Infinity], tolerance: 0.05 }, 'no escalation')
})

/** What became of them, by lens. */
function told(lens: string, list: readonly FullCandidate[]): [number, number, string][] {
  const { standing: stands, leftOut } = standing(list)
  const resolution = lensOf(lens).resolve(stands, CONTEXT)
  return verdictsOf(lensOf(lens), stands, leftOut, resolution, CONTEXT).map(({ verdict, weight, why }) => [verdict, weight, why])
}

t.test('verdicts: who won, who supports, who lost, who was left out', async (t) => {
  const claim = says(9, 'b', { agent: digest(7) })
  const list = [says(3, 'a', { confidence: 0.5 }), says(4, 'b', { confidence: 0.25 }), says(2, 'a', { confidence: 0.75 }), claim,
    says(8, 'b', { agent: digest(7), parent: claim.id, lifecycle: 'retracted' })]
  t.strictSame(told('consensus', list), [
    [VERDICT_WON, 0.75, '2 of 3 say so, with 83% of the weight.'],
    [VERDICT_SUPPORTS, 0.5, 'It says what the winner says.'],
    [VERDICT_LOST, 0.25, 'Says b, which has less behind it than a; it weighs 0.25 itself.'],
    [VERDICT_LEFT_OUT, 0, 'It says that its parent is retracted.'],
    [VERDICT_LEFT_OUT, 0, 'Its agent has made it retracted.'],
  ])
  t.strictSame(told('recency', list).slice(0, 2).map(([verdict, weight]) => [verdict, weight]), [[VERDICT_WON, 0], [VERDICT_LOST, 0]])
  t.match(told('recency', list)[1]![2], /^Accepted earlier, at 2027-01-15T07:59:59\.997Z\.$/)
  t.strictSame(told('versions', list).map(([verdict]) => verdict), [1, 1, 1, 4, 4], 'versions do not compete')
  const tiers = [says(1, 'a', { sourceClass: 4 }), says(2, 'b', { sourceClass: 2 }), says(3, 'b', { sourceClass: 2 })]
  t.strictSame(told('authority', tiers), [
    [VERDICT_WON, 0, 'The latest of 2 of the best tier, observational.'],
    [VERDICT_SUPPORTS, 0, 'As good as the winner by the measure of the lens.'],
    [VERDICT_LOST, 0, 'Of tier community, behind observational.'],
  ])
  t.strictSame(told('authority,recency', tiers).map(([verdict, , why]) => `${verdict} ${why.slice(0, 30)}`), [
    '1 authority: The latest of 2 of ', '3 authority: Of tier community, ', '3 Accepted earlier, at 2027-01-1'])
})

t.test('every candidate has one verdict, with a reason, whatever the lens', async (t) => {
  const names = [...LENSES.map(({ name }) => name), 'authority,recency', 'epoch,consensus', 'skeptic,constraints']
  fc.assert(fc.property(fc.constantFrom(...names), candidateLists, contexts, (name, list, context) => {
    const lens = lensOf(name)
    const { standing: stands, leftOut } = standing(list)
    const resolution = lens.resolve(stands, context)
    const judged = verdictsOf(lens, stands, leftOut, resolution, context)
    t.strictSame(judged.map(({ candidate }) => nameOf(candidate)).sort(), [...stands, ...leftOut.map(({ candidate }) => candidate)].map(nameOf).sort())
    t.ok(judged.every(({ why, weight }) => why.length > 5 && Number.isFinite(weight)))
    t.strictSame(judged.map(({ verdict }) => verdict), judged.map(({ verdict }) => verdict).sort())
    t.equal(judged.filter(({ verdict }) => verdict === VERDICT_WON).length, lens.sidesHold ? resolution.answers.length : Math.min(1, resolution.answers.length))
    for (const { candidate } of resolution.leftOut ?? []) t.equal(judged.find((one) => one.candidate === candidate)!.verdict, VERDICT_LEFT_OUT)
  }), { numRuns: 150 })
})

const must = (n: number, object: string, more: object = {}): FullCandidate => says(n, object, { predicate: 'must_use', ...more })
const ban = (n: number, object: string, more: object = {}): FullCandidate => says(n, object, { predicate: 'forbidden', ...more })
const rowsOf = ({ rows }: Constraints<FullCandidate>): unknown[] =>
  rows.map(({ mustUse, forbidden, reason }) => ({ must_use: mustUse?.value.value, forbidden: forbidden?.value.value, reason }))

t.test('constraints: rules that go together', async (t) => {
  const axios = must(5, 'axios', { note: 'User correction' })
  const list = [axios, ban(4, 'requests', { parent: axios.id }), ban(3, 'telnet', { sourceClass: 0 }), must(2, 'axios', { confidence: 0.5 }), says(1, 'x')]
  const constraints = constraintsOf(list, CONTEXT)
  t.strictSame(rowsOf(constraints), [
    { must_use: 'axios', forbidden: 'requests', reason: 'User correction' },
    { must_use: undefined, forbidden: 'telnet', reason: undefined },
  ])
  t.strictSame(constraints.rules.map(({ kind, value, weight }) => [kind, value.value, weight]),
    [['forbidden', 'telnet', 1], ['must_use', 'axios', 1.5], ['forbidden', 'requests', 1]], 'by tier, then weight')
  t.strictSame(constraints.leftOut.map(({ candidate }) => candidate), [list[4]])
  const broken = (...values: string[]): unknown[] => rowsOf({ ...constraints, rows: violationsOf(constraints, values.map(text)) })
  t.equal(broken('axios').length, 0)
  t.equal(broken('axios', 'telnet').length, 1)
  t.equal(broken('axios', 'requests').length, 1)
  t.equal(broken().length, 1, 'what must be used is not')
})

t.test('constraints: no value is demanded and forbidden', async (t) => {
  const holds = (...list: FullCandidate[]): [string, string] => {
    const { rules: [rule], conflicts: [conflict] } = constraintsOf(list, CONTEXT)
    return [rule!.kind, conflict!.why]
  }
  t.strictSame(holds(must(2, 'a', { sourceClass: 1 }), ban(1, 'a', { sourceClass: 3 }), ban(3, 'a', { sourceClass: 3 })), ['must_use', 'a is both must_use and forbidden; must_use holds, by its tier.'])
  t.strictSame(holds(must(1, 'a'), ban(2, 'a', { confidence: 0.7 }), ban(3, 'a', { confidence: 0.7 })), ['forbidden', 'a is both must_use and forbidden; forbidden holds, by its weight.'])
  t.strictSame(holds(must(1, 'a'), ban(2, 'a')), ['must_use', 'a is both must_use and forbidden; must_use holds, by being later.'])
  const { answers, conflict, status, outranked, leftOut } = lensOf('constraints').resolve([must(1, 'a'), ban(2, 'a'), ban(3, 'b', { note: 'old' }), says(4, 'c')], CONTEXT)
  t.strictSame([answers.map(({ label }) => label), conflict, status, outranked!.length, leftOut!.length], [['must_use a', 'forbidden b'], 0.5, 'contested', 1, 1])
  t.equal(answers[1]!.why, 'A rule in force, by tier clinical. Reason: old')
  t.strictSame(lensOf('constraints').resolve([says(1, 'a')], CONTEXT).answers, [])
})
