import t from 'tap'
import { CANDIDATES_MAX, SOURCE_CANDIDATES_MAX } from '../../../src/query/pair-bounds.ts'
import { CLAIMS_READ_MAX } from '../../../src/query/execute.ts'
import { RARE_ENTRIES_READ_MAX } from '../../../src/query/pairs.ts'
import { VOTES_READ_MAX } from '../../../src/query/record-reader.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { outcomeDraft, voteDraft } from '../../../src/record/records.ts'
import { CUT } from '../../../src/wire/query-reply.codec.ts'
import { decodeReply } from '../../../src/wire/query-reply.codec.ts'
import { ask, executorOver, requestOf, type Ask, type Shown } from './ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

// What somebody can reach by saying much: nothing, as long as a bound that is named is not met, and no silence where one is.

await hashReady

const FLOOD = CANDIDATES_MAX + 100
const key = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(9)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}
const text = (value: string): Assertion['object'] => ({ kind: 'text', value })
const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n)

const asked = (log: TestLog, question: Ask): Shown => ask(executorOver(log), requestOf({ subject: 's', predicate: 'p', ...question }))

/** One claim of `honest`, then a thousand newer ones. */
function flooded(honest: Partial<Assertion>[], flood: (i: number) => Partial<Assertion>, count = FLOOD): TestLog {
  const log = new TestLog()
  const base = { subject: 's', predicate: 'p', confidence: 0.9 }
  log.append(honest.map((one, i) => claim({ ...base, object: text('honest'), assertedAtMs: NOW_MS - 1000 - i, ...one })))
  for (let from = 0; from < count; from += 500) {
    log.append(Array.from({ length: Math.min(500, count - from) }, (_, i) => claim({ ...base, object: text('spam'), assertedAtMs: NOW_MS - from - i, ...flood(from + i) })))
  }
  return log
}

t.test('no number of posts of a lower tier pushes out a better one', async (t) => {
  const log = flooded([{ sourceClass: 0, sourceHash: hash(1) }, { sourceClass: 0, sourceHash: hash(2) }], (i) => ({ sourceClass: 5, agent: key(i) }))
  for (const lens of ['authority', 'layered', 'authority,independent']) {
    t.match(asked(log, { lens }).answers[0], { winner: { object: { value: 'honest' } }, candidates: CANDIDATES_MAX + 2 }, lens)
  }
  const doubted = asked(log, { lens: 'skeptic' }).answers[0]!
  t.strictSame(doubted.sides.map(({ label }) => label).sort(), ['honest', 'spam'], 'who shows every value shows this one')
  t.not(doubted.status, 'escalate', 'a better tier has spoken')
  t.equal(asked(log, { lens: 'layered' }).answers[0]!.status, 'contested')
  t.match(asked(log, { lens: 'recency' }).answers[0], { winner: { object: { value: 'spam' } }, candidates: CANDIDATES_MAX }, 'who wants the newest gets them')
  t.equal(asked(log, { lens: 'versions' }).answers[0]!.sides.length, CANDIDATES_MAX)
})

t.test('how far is looked for what is rare', async (t) => {
  const near = CANDIDATES_MAX + RARE_ENTRIES_READ_MAX - 1
  for (const [flood, wins] of [[near, 'honest'], [near + 10, 'spam']] as const) {
    const log = flooded([{ sourceClass: 0 }], (i) => ({ sourceClass: 5, agent: key(i) }), flood)
    t.match(asked(log, { lens: 'authority' }).answers[0], { winner: { object: { value: wins } } }, `${flood} newer ones`)
    t.match(asked(log, { lens: 'authority', tiers: 1 }).answers[0], { winner: { object: { value: 'honest' } }, candidates: 1 }, 'a filter of the index goes as far as a query does')
  }
})

t.test('no number of restatements pushes out other sources, of the same tier too', async (t) => {
  const log = flooded([{ sourceHash: hash(1) }, { sourceHash: hash(2) }], (i) => ({ sourceHash: hash(3), agent: key(i) }))
  t.match(asked(log, { lens: 'independent' }).answers[0], { winner: { object: { value: 'honest' } }, sides: [] })
  const rare = flooded(Array.from({ length: 3 * SOURCE_CANDIDATES_MAX }, (_, i) => ({ sourceHash: hash(1), agent: key(i) })), () => ({ sourceHash: hash(3) }))
  t.equal(asked(rare, { lens: 'independent' }).answers[0]!.candidates, CANDIDATES_MAX + SOURCE_CANDIDATES_MAX, 'some of each source')
})

t.test('what a filter wants is found however much else is newer', async (t) => {
  const mine = { agent: key(77), sourceHash: hash(8), epoch: hash(4), confidence: 1, assertedAtMs: 1000, sourceClass: 2 as const }
  const log = flooded([mine], (i) => ({ agent: key(i % 3) }))
  const filters: Ask[] = [
    { agent: mine.agent }, { source: mine.sourceHash }, { epoch: mine.epoch }, { confidenceMin: 0.95 }, { assertedUntilMs: 2000 }, { object: text('honest') }, { tiers: 1 << 2 },
  ]
  for (const filter of filters) {
    const reply = asked(log, filter)
    t.match(reply.answers.map(({ winner, candidates }) => [(winner.object as { value: string }).value, candidates]), [['honest', 1]], Object.keys(filter).join())
  }
  t.match(ask(executorOver(log), requestOf({ agent: mine.agent })).answers, [{ winner: { object: { value: 'honest' } } }], 'in the order of the log')
})

t.test('where a filter was followed as far as a bound, that is said, answers or none', async (t) => {
  const log = flooded([{ agent: key(77) }], (i) => ({ agent: key(i % 3) }), CLAIMS_READ_MAX + 100)
  for (const question of [{ agent: key(77) }, { agent: key(77), lens: 'skeptic' }, { agent: key(77), explain: true }]) {
    const reply = decodeReply(executorOver(log).answer(requestOf({ subject: 's', predicate: 'p', ...question })))
    if (reply.refused !== undefined) throw new Error(reply.detail)
    t.strictSame([reply.result.answers.length, reply.result.cut], [0, ['candidates']], JSON.stringify(Object.keys(question)))
  }
  t.equal(CUT.candidates, 1)
})

t.test('strangers who name parents take no place of a candidate', async (t) => {
  const log = flooded([{ sourceClass: 0 }], (i) => ({ sourceClass: 5, parent: key(i), agent: key(i) }))
  t.match(asked(log, { tiers: 1, lens: 'skeptic' }).answers[0], { winner: { object: { value: 'honest' } }, candidates: 1 })
})

t.test('of one mind are only all', async (t) => {
  const log = flooded([{}], () => ({ object: text('honest') }))
  for (const lens of ['consensus', 'skeptic', 'independent']) t.equal(asked(log, { lens, tiers: 0b111111 }).answers[0]!.status, 'agreed', lens)
  const all = flooded([{}], () => ({ object: text('honest') }), 10)
  t.equal(asked(all, { lens: 'consensus' }).answers[0]!.status, 'unanimous')
})

t.test('votes and outcomes that were followed, or that nobody hears, take no place of others', async (t) => {
  const log = new TestLog()
  const [a, b] = ['a', 'b'].map((value) => claim({ subject: 's', predicate: 'p', object: text(value), agent: key(value.length) })) as [Assertion, Assertion]
  log.append([a, b])
  let serial = 0
  const by = (agent: number, draft: ReturnType<typeof voteDraft>): Assertion => ({ ...claim({ agent: key(agent), assertedAtMs: NOW_MS - 50_000 + serial++ }), ...draft })
  log.append([by(1, voteDraft(assertionIdOf(a), 1)), by(2, voteDraft(assertionIdOf(a), 1))])
  log.append(Array.from({ length: VOTES_READ_MAX + 100 }, (_, i) => by(3, voteDraft(assertionIdOf(a), i % 2 === 0 ? -0.1 : -0.2))))
  const { answers: [answer] } = asked(log, { lens: 'ballot' })
  t.match(answer, { winner: { object: { value: 'a' } } })
  t.notMatch(answer!.why, /only the newest/)

  const liar = key(500)
  log.append([claim({ subject: 't', predicate: 'p', object: text('lie'), agent: liar, confidence: 0.9 }), claim({ subject: 't', predicate: 'p', object: text('truth'), agent: key(501), confidence: 0.7 })])
  log.append(Array.from({ length: 5 }, (_, i) => by(i, outcomeDraft({ agent: liar, accurate: false, judged: hash(i) }))))
  const own = Array.from({ length: FLOOD }, (_, i) => ({ ...by(0, outcomeDraft({ agent: liar, accurate: true, judged: key(i) })), agent: liar }))
  for (let from = 0; from < own.length; from += 500) log.append(own.slice(from, from + 500))
  t.match(asked(log, { subject: 't', lens: 'trust-authority' }).answers[0], { winner: { object: { value: 'truth' } } })
})
