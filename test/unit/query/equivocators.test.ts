import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import type { EquivocationsDocument } from '../../../src/query/kinds/equivocations.ts'
import { QUERY_EQUIVOCATIONS } from '../../../src/query/kinds/registry.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { aliasDrafts } from '../../../src/record/records.ts'
import { ask, executorOver, requestOf, type Ask } from './ask.ts'
import { askDocument } from './document-ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

const [LIAR, HONEST] = [7, 8].map((fill) => new Uint8Array(32).fill(fill)) as [Uint8Array, Uint8Array]
const dose = (value: number, change: Partial<Assertion> = {}): Assertion => claim({ object: { kind: 'number', value }, agent: LIAR, confidence: 1, ...change })
const honest = dose(3, { agent: HONEST, confidence: 0.6 })
const PAIR = { subject: 'drug/aspirin', predicate: 'dose' }

function logOf(...claims: readonly Assertion[]): TestLog {
  const log = new TestLog()
  for (const one of claims) log.append([one])
  return log
}

/** The value that the trust lens answers with. */
const answerOf = (log: TestLog, question: Ask = {}): unknown =>
  ask(executorOver(log), requestOf({ ...PAIR, lens: 'trust-authority', ...question })).answers[0]?.winner.object.value

const documentOf = (log: TestLog): EquivocationsDocument => askDocument(executorOver(log), { ...PAIR, kind: QUERY_EQUIVOCATIONS })

t.test('a version of one half, dated as one likes, hides neither the pair nor who is behind it', async (t) => {
  const [one, two] = [dose(1), dose(2)]
  for (const assertedAtMs of [NOW_MS, NOW_MS - 5]) {
    const log = logOf(one, two, honest, dose(2, { parent: assertionIdOf(one), assertedAtMs }))
    t.match(documentOf(log), { agents: [toHex(LIAR)], equivocations: { length: 1 } })
    t.equal(answerOf(log), 3)
  }
})

t.test('who takes one of the two back is forgiven by the lens; the proof stays', async (t) => {
  const [one, two] = [dose(1), dose(2)]
  const log = logOf(one, two, honest, dose(1, { parent: assertionIdOf(one), lifecycle: 'retracted', assertedAtMs: NOW_MS + 1 }))
  t.equal(documentOf(log).equivocations.length, 1)
  t.equal(answerOf(log), 2)
  t.equal(answerOf(log, { tiers: 0b10 }), 2, 'with a filter, too')
})

t.test('versions by way of what is no candidate are versions', async (t) => {
  const one = dose(1)
  const approval = dose(1, { parent: assertionIdOf(one), lifecycle: 'approved', assertedAtMs: NOW_MS + 1 })
  const log = logOf(one, approval, dose(2, { parent: assertionIdOf(approval) }), honest)
  t.equal(documentOf(log).equivocations.length, 0)
  t.equal(answerOf(log), 2)
  t.equal(answerOf(log, { confidenceMin: 0.1 }), 2)
})

t.test('neither a filter nor an earlier lens makes who says two things honest', async (t) => {
  const log = logOf(dose(1, { sourceClass: 0 }), dose(2, { sourceClass: 3, confidence: 0.9 }), dose(3, { sourceClass: 0, agent: HONEST, confidence: 0.6 }))
  const ways: readonly Ask[] = [
    {}, { lens: 'authority,trust-authority' }, { lens: 'authority,trust-authority,recency' }, { tiers: 1 }, { confidenceMin: 0.5 }, { lens: 'epoch,trust-authority', tiers: 1 }, { untilHlc: 2n ** 63n },
    { lifecycles: 0b10 }, { explain: true, tiers: 1 }, { subject: 'drug/', prefix: true, tiers: 1 }, { aliases: true, tiers: 1 },
  ]
  for (const [i, way] of ways.entries()) t.equal(answerOf(log, way), 3, `way ${i}`)
  t.equal(answerOf(log, { tiers: 1, agent: LIAR }), 1, 'where nobody else has spoken, the latest is shown')
  t.equal(answerOf(log, { tiers: 1, asOfHlc: BigInt(NOW_MS + 1) << 16n }), 1, 'before it said the second thing')
})

t.test('a filter does not move the bound: what is beyond the newest thousand is found among what passes', async (t) => {
  const log = logOf(dose(1, { sourceClass: 0 }), dose(2, { sourceClass: 0 }), dose(3, { sourceClass: 0, agent: HONEST, confidence: 0.6 }))
  log.append(Array.from({ length: 1500 }, (_, i) => dose(i, { agent: HONEST, sourceClass: 5, assertedAtMs: NOW_MS - i })))
  t.equal(answerOf(log, { tiers: 1 }), 3)
})

t.test('with aliases, what is said of the one is looked at by itself', async (t) => {
  const elsewhere = 'drug/acetylsalicylic'
  const aliases = aliasDrafts(PAIR.subject, elsewhere).map((draft): Assertion => ({ sourceClass: 1, ...draft, agent: HONEST, assertedAtMs: NOW_MS }))
  const apart = logOf(dose(1), dose(2, { subject: elsewhere }), honest, ...aliases)
  t.not(answerOf(apart, { aliases: true }), 3, 'nobody becomes a liar by somebody else\'s alias')
  const twice = logOf(dose(1), dose(2, { subject: elsewhere }), dose(9, { subject: elsewhere, sourceClass: 5 }), honest, ...aliases)
  t.equal(answerOf(twice, { aliases: true }), 3)
  t.equal(answerOf(twice, { aliases: true, tiers: 0b10 }), 3)
  t.equal(answerOf(twice), 1, 'without them the other subject is another matter')
})
