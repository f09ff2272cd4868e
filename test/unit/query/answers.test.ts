import t from 'tap'
import type { Assertion, ObjectValue } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { answer, type Ask } from './ask.ts'
import { TestLog, claim } from './test-log.ts'

await hashReady

// What an answer says beside its winner, as the client reads it and as JSON.

t.test('a winner comes with the lifecycle that its agent has given it', async (t) => {
  const log = new TestLog()
  const [first, other] = [claim({ confidence: 0.9 }), claim({ object: { kind: 'number', value: 2 } })]
  log.append([first, other])
  log.append([claim({ confidence: 0.9, lifecycle: 'approved', parent: assertionIdOf(first) })])
  const pair: Ask = { subject: 'drug/aspirin', predicate: 'dose' }
  for (const lens of ['recency', 'confidence']) {
    const { result, json } = answer(log, { ...pair, lens, lifecycles: 1 << 3 })
    t.match(result.answers, [{ winner: { effectiveLifecycle: 'approved', assertion: { lifecycle: 'proposed' } } }], lens)
    t.match(json.answers, [{ winner: { effective_lifecycle: 'approved', assertion: { lifecycle: 'proposed' } } }])
  }
  const { result, json } = answer(log, { ...pair, lens: 'skeptic' })
  t.strictSame(result.answers[0]!.sides.map(({ winner }) => winner?.effectiveLifecycle), ['approved', undefined], 'of each side')
  t.strictSame(json.answers[0]!.sides!.map(({ winner }) => winner?.effective_lifecycle), ['approved', undefined])
  t.equal(answer(log, { ...pair, lens: 'skeptic', leaveOut: 1 }).result.answers[0]!.sides[0]!.winner, undefined)
  log.append([claim({ confidence: 0.9, lifecycle: 'under_review', parent: assertionIdOf(first) })])
  t.equal(answer(log, { ...pair, lens: 'confidence' }).result.answers[0]!.winner!.effectiveLifecycle, 'under_review', 'the last word counts')
})

t.test('rules come with what belongs together, and what was overruled', async (t) => {
  const log = new TestLog()
  const text = (value: string): ObjectValue => ({ kind: 'text', value })
  const rule = (predicate: string, value: string, more: Partial<Assertion> = {}): Assertion => claim({ subject: 'ctx', predicate, object: text(value), ...more })
  const axios = rule('must_use', 'axios', { note: 'User correction' })
  log.append([axios, rule('forbidden', 'requests', { parent: assertionIdOf(axios) }), rule('must_use', 'tls', { confidence: 0.9, sourceClass: 0 }), rule('forbidden', 'tls')])
  const asked: Ask = { subject: 'ctx', lens: 'constraints' }
  const { result: { answers: [answered] }, json: { answers: [json] } } = answer(log, asked)
  const { sides, ruleRows, ruleConflicts } = answered!
  t.strictSame(sides.map(({ label }) => label), ['must_use tls', 'forbidden requests', 'must_use axios'])
  t.strictSame(ruleRows.map(({ mustUse, forbidden, reason }) => [mustUse?.label, forbidden?.label, reason]),
    [['must_use tls', undefined, undefined], ['must_use axios', 'forbidden requests', 'User correction']])
  t.strictSame(json!.rule_rows, [{ must_use: 0 }, { must_use: 2, forbidden: 1, reason: 'User correction' }])
  const why = 'tls is both must_use and forbidden; must_use holds, by its tier.'
  t.strictSame(ruleConflicts.map(({ holds, overruled }) => [holds.label, overruled.label, overruled.why]), [['must_use tls', 'forbidden tls', why]])
  t.match(json!.rule_conflicts, [{ holds: 0, overruled: { label: 'forbidden tls', why, weight: 0.5, winner: { assertion: { predicate: 'forbidden' } } } }])
  const short = answer(log, { ...asked, leaveOut: 3 }).result.answers[0]!
  t.match(short.ruleConflicts, [{ holds: { label: 'must_use tls' }, overruled: { winner: undefined, why: '' } }])
  t.match(answer(log, { ...asked, predicate: 'must_use' }).json.answers, [{ rule_rows: [{ must_use: 0 }, { must_use: 1 }], rule_conflicts: [] }], 'one predicate alone')
  t.match(answer(log, { ...asked, lens: 'skeptic', predicate: 'must_use' }), { result: { answers: [{ ruleRows: [], ruleConflicts: [] }] }, json: { answers: [{ rule_rows: undefined }] } })
})
