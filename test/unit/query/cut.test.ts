import t from 'tap'
import { QUERY_LIST } from '../../../src/query/plan.ts'
import { ALIASES_MAX, OUTCOMES_READ_MAX, VOTES_READ_MAX } from '../../../src/query/record-reader.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { aliasDrafts, outcomeDraft, voteDraft, type RecordDraft } from '../../../src/record/records.ts'
import { cutNames, type CutName } from '../../../src/wire/query-reply.codec.ts'
import { answer, type Ask } from './ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

const key = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(7)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}
let serial = 0
const by = (agent: number, draft: RecordDraft): Assertion => ({ ...claim({ agent: key(agent), assertedAtMs: NOW_MS - serial++ }), ...draft })

/** What each answer says is cut, by the client's reader and as JSON. */
function cutsOf(log: TestLog, question: Ask): (readonly CutName[])[] {
  const { result, json } = answer(log, question)
  const cuts = result.answers.map(({ cut }) => cut)
  t.strictSame(json.answers.map(({ cut }) => cut), cuts.map((cut) => cut.length === 0 ? undefined : cut), 'JSON says the same, and nothing where nothing is cut')
  return cuts
}

t.test('votes beyond their bound are said to be cut, of the answer that they bear on alone', async (t) => {
  const log = new TestLog()
  const [a, b, c] = ['a', 'b', 'c'].map((subject) => claim({ subject })) as [Assertion, Assertion, Assertion]
  log.append([a, b, c])
  const voted = (count: number, on: Assertion): void => void log.append(Array.from({ length: count }, (_, i) => by(i, voteDraft(assertionIdOf(on), 0.5))))
  voted(VOTES_READ_MAX, a)
  voted(VOTES_READ_MAX + 1, b)
  const ballot: Ask = { subject: '', prefix: true, predicate: 'dose', lens: 'ballot' }
  t.strictSame(cutsOf(log, ballot), [[], ['records'], []])
  t.strictSame(cutsOf(log, { ...ballot, explain: true }), [[], ['records'], []], 'explained')
  t.match(answer(log, ballot).result.answers[1]!.why, /Of votes, outcomes or epochs only the newest were looked at/)
  t.strictSame(cutsOf(log, { ...ballot, lens: 'recency' }), [[], [], []], 'a lens that asks for no votes')
})

t.test('outcomes that were cut bear on every answer of their agent, however often they are asked for', async (t) => {
  const log = new TestLog()
  const [judged, other] = [key(1_000_000), key(1_000_001)]
  log.append([claim({ subject: 'a', agent: judged }), claim({ subject: 'b', agent: other }), claim({ subject: 'c', agent: judged })])
  log.append(Array.from({ length: OUTCOMES_READ_MAX + 1 }, (_, i) => by(i, outcomeDraft({ agent: judged, accurate: true }))))
  t.strictSame(cutsOf(log, { subject: '', prefix: true, predicate: 'dose', lens: 'trust-authority' }), [['records'], [], ['records']])
})

t.test('candidates beyond their bound', async (t) => {
  const log = new TestLog()
  const many = (subject: string, count: number): Assertion[] => Array.from({ length: count }, (_, value) => claim({ subject, object: { kind: 'number', value } }))
  log.append([...many('a', 1000), ...many('b', 1001)])
  for (const lens of ['recency', 'consensus']) {
    t.strictSame(cutsOf(log, { subject: '', prefix: true, lens }), [[], ['candidates']], lens)
    t.strictSame([...cutsOf(log, { subject: 'a', predicate: 'dose', lens }), ...cutsOf(log, { subject: 'b', predicate: 'dose', lens })], [[], ['candidates']], `${lens}, a plain question`)
  }
})

t.test('aliases beyond their bound are said of the reply, answers or none', async (t) => {
  const log = new TestLog()
  log.append([claim({ subject: 'x/0' })])
  log.append(Array.from({ length: ALIASES_MAX - 1 }, (_, i) => by(1, aliasDrafts('x/0', `x/${i + 1}`)[0])))
  const questions: Ask[] = [{ subject: 'x/0', aliases: true }, { subject: 'x/0', aliases: true, predicate: 'none' }, { subject: 'x/0', aliases: true, kind: QUERY_LIST }]
  for (const question of questions) t.match([answer(log, question).result.cut, answer(log, question).json.cut], [[], undefined], 'as many as are followed')
  log.append([by(1, aliasDrafts('x/0', 'x/one too many')[0])])
  for (const question of questions) t.strictSame([answer(log, question).result.cut, answer(log, question).json.cut], [['aliases'], ['aliases']])
  t.strictSame(answer(log, { subject: 'x/0' }).result.cut, [], 'a question that follows none')
  t.strictSame(cutsOf(log, { subject: 'x/0', aliases: true, lens: 'ballot' }), [[]], 'no answer of it')
})

t.test('bits of a newer node are left out', async (t) => {
  t.strictSame(cutNames(0), [])
  t.strictSame(cutNames(255), ['candidates', 'records', 'aliases'])
})
