import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { hlcOf, hlcWallMs, type Hlc } from '../../../src/base/hlc.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { RecordCache } from '../../../src/query/record-cache.ts'
import {
  ALIASES_MAX, OUTCOMES_READ_MAX, VOTES_READ_MAX, recordReader, type RecordReader, type RecordReaderDependencies,
} from '../../../src/query/record-reader.ts'
import { STEPS_PER_RECORD } from '../../../src/query/record-range.ts'
import {
  TRUST_NEUTRAL, standingAliases, standingEpochs, standingOutcomes, standingVotes, tallyOf, trustAt, type Said, type TrustPolicy,
} from '../../../src/query/record-standing.ts'
import type { EpochsDocument } from '../../../src/query/kinds/epochs.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import { trustPolicyOf } from '../../../src/query/trust-policy.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { hashReady } from '../../../src/record/claim.ts'
import {
  aliasDrafts, aliasSubject, epochDraft, epochWithdrawalDraft, outcomeDraft, voteDraft, type AliasRecord, type EpochRecord, type OutcomeRecord, type RecordDraft, type VoteRecord,
} from '../../../src/record/records.ts'
import { QUERY_KINDS } from '../../../src/wire/query-request.codec.ts'
import { askDocument, executorOver } from './document-ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

const DAY_MS = 86_400_000
const key = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32).fill(n)
  bytes[31]! ^= n >> 8
  return bytes
}
const X = key(0xaa)
const Y = key(0xbb)
let clockMs = NOW_MS
const clock = { wallMs: () => clockMs, monoMs: () => 0, timer: () => () => {} }

let serial = 0
const by = (agent: number, draft: RecordDraft, more: Partial<Assertion> = {}): Assertion =>
  ({ ...claim({ agent: key(agent), assertedAtMs: NOW_MS - serial++ }), ...draft, ...more })

function over(log: TestLog, more: Partial<RecordReaderDependencies> = {}): (asOfHlc?: Hlc) => RecordReader {
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1 })
  const reader = new LogAssertionReader(log.readRange)
  return (asOfHlc) => recordReader({ source, reader, clock, ...more }, asOfHlc)
}

t.test('votes: one an agent, its last; zero and withdrawal take it back; each moment has its own tally', async (t) => {
  const log = new TestLog()
  const at = over(log, { cache: new RecordCache() })
  t.strictSame(at().votesOf(X), { agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 })
  log.append([by(1, voteDraft(X, 0.5)), by(2, voteDraft(X, -1)), by(1, voteDraft(Y, -0.25))])
  t.strictSame(at().votesOf(X), { agreeWeight: 0.5, disagreeWeight: 1, agreeCount: 1, disagreeCount: 1 })
  log.append([by(1, voteDraft(X, -0.25))])
  t.strictSame(at().votesOf(X), { agreeWeight: 0, disagreeWeight: 1.25, agreeCount: 0, disagreeCount: 2 })
  log.append([by(1, voteDraft(X, 0))])
  log.append([by(2, voteDraft(X, -1), { lifecycle: 'retracted' })])
  t.strictSame(at().votesOf(X), { agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 })
  t.strictSame(at().votesOf(Y), { agreeWeight: 0, disagreeWeight: 0.25, agreeCount: 0, disagreeCount: 1 })
  const then = [0, 1, 2, 3, 4, 5, 6].map((lsn) => at(hlcOf(NOW_MS + lsn, 0xffff)).votesOf(X))
  // The first three share a record: the second has the counter 1 of the first one's millisecond.
  t.strictSame(then.map(({ agreeCount, disagreeCount }) => `${agreeCount}:${disagreeCount}`), ['0:0', '1:1', '1:1', '1:1', '0:2', '0:1', '0:0'])
})

/** Histories of votes by few agents on few assertions against a plain model that walks through them. */
t.test('votes: any history, at any moment, is what a walk through it comes to', async (t) => {
  const step = fc.record({ agent: fc.integer({ min: 1, max: 4 }), on: fc.constantFrom(X, Y), weight: fc.constantFrom(-1, -0.3, 0, 0.1, 0.7, 1), gone: fc.boolean() })
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, oneBatch) => {
    const log = new TestLog()
    const claims = steps.map(({ agent, on, weight, gone }) => by(agent, voteDraft(on, weight), gone && weight > 0.5 ? { lifecycle: 'deprecated' } : {}))
    if (oneBatch && claims.length > 0) log.append(claims)
    else for (const one of claims) log.append([one])
    const at = over(log, { cache: new RecordCache(8) })
    for (let seen = 0; seen <= steps.length; seen++) {
      const asOf = oneBatch ? hlcOf(NOW_MS + 1) + BigInt(seen - 1) : hlcOf(NOW_MS + seen)
      const model = new Map<number, number>()
      for (const { agent, on, weight, gone } of steps.slice(0, seen)) if (on === X) model.set(agent, gone && weight > 0.5 ? 0 : weight)
      const agree = [...model].sort(([a], [b]) => a - b).map(([, weight]) => weight).filter((weight) => weight > 0)
      const disagree = [...model].sort(([a], [b]) => a - b).map(([, weight]) => -weight).filter((weight) => weight > 0)
      const sum = (weights: number[]): number => weights.reduce((a, b) => a + b, 0)
      t.strictSame(at(asOf).votesOf(X), { agreeWeight: sum(agree), disagreeWeight: sum(disagree), agreeCount: agree.length, disagreeCount: disagree.length })
    }
  }), { numRuns: 40 })
})

t.test('trust: steps, clamps, decay between outcomes and up to the moment', async (t) => {
  const log = new TestLog()
  const at = over(log)
  const near = (actual: number, expected: number, what: string): void => {
    t.ok(Math.abs(actual - expected) < 1e-6, `${what}: ${actual}, not ${expected}`)
  }
  t.equal(at().trustOf(X), TRUST_NEUTRAL)
  log.append([by(1, outcomeDraft({ agent: X, accurate: true, judged: key(1) }))])
  clockMs = NOW_MS + 1
  near(at().trustOf(X), 0.55, 'one right')
  clockMs = NOW_MS + 1 + 30 * DAY_MS
  near(at().trustOf(X), 0.525, 'after a half-life')
  clockMs = NOW_MS + 1 + 3000 * DAY_MS
  near(at().trustOf(X), 0.5, 'after all')
  near(at(hlcOf(NOW_MS + 1 + 60 * DAY_MS)).trustOf(X), 0.5125, 'as of then, whatever the clock says')
  near(over(log, { trustPolicy: { halfLifeDays: 0, reporters: undefined } })().trustOf(X), 0.55, 'without decay')
  clockMs = NOW_MS
  near(at().trustOf(X), 0.55, 'a clock that is behind turns nothing back')
  log.append([by(1, outcomeDraft({ agent: X, accurate: true, judged: key(1) }))])
  near(at().trustOf(X), 0.55, 'one outcome a reporter and assertion')
  log.append([by(X[0]!, outcomeDraft({ agent: X, accurate: true, judged: key(2) }))])
  near(at().trustOf(X), 0.55, 'none of itself')
  log.append([by(2, outcomeDraft({ agent: X, accurate: false, judged: key(1) })), by(3, outcomeDraft({ agent: X, accurate: false }))])
  near(at().trustOf(X), 0.35, 'two wrong')
  log.append([by(3, outcomeDraft({ agent: X, accurate: false }), { lifecycle: 'retracted' })])
  near(at().trustOf(X), 0.45, 'one taken back')
  log.append(Array.from({ length: 30 }, (_, i) => by(4, outcomeDraft({ agent: X, accurate: true, judged: key(i) }))))
  near(at().trustOf(X), 1, 'not above one')
  log.append(Array.from({ length: 30 }, (_, i) => by(5, outcomeDraft({ agent: X, accurate: false, judged: key(i) }))))
  near(at().trustOf(X), 0, 'not below zero')
  t.equal(at().trustOf(Y), 0.5, 'of somebody else nothing is known')
  const heard = trustPolicyOf({ trustHalfLifeDays: 30, trustReporters: `${toHex(key(1))}, ${toHex(key(3))}` })
  near(over(log, { trustPolicy: heard })().trustOf(X), 0.55, 'by reporters that the node names')
  t.throws(() => trustPolicyOf({ trustHalfLifeDays: 30, trustReporters: 'nobody' }), { code: 'config_invalid', message: /nobody/ })
  clockMs = NOW_MS
})

interface Chain { readonly ids: Uint8Array[], readonly log: TestLog }
/** Epochs of which each supersedes the one before. */
function chainOf(length: number): Chain {
  const log = new TestLog()
  const ids: Uint8Array[] = []
  for (let i = 0; i < length; i++) {
    const before = ids.at(-1)
    ids.push(...log.append([by(1, before === undefined ? epochDraft({ name: 'e0' }) : epochDraft({ name: `e${i}`, supersedes: before, reason: 'newer' }))]))
  }
  return { ids, log }
}

t.test('epochs: chains, moments, and what is taken back', async (t) => {
  const { ids, log } = chainOf(4)
  const at = over(log, { cache: new RecordCache() })
  const superseded = (reader: RecordReader): boolean[] => ids.map((id) => reader.isSuperseded(id))
  t.strictSame(superseded(at()), [true, true, true, false])
  t.strictSame(superseded(at(hlcOf(NOW_MS + 2))), [true, false, false, false])
  t.equal(at().isSuperseded(X), false, 'an epoch that nobody has declared')
  // Declared before the epoch that it names is here, as on a node that hears of them in another order.
  log.append([by(2, epochDraft({ name: 'later', supersedes: X, reason: 'r' }))])
  t.equal(at().isSuperseded(X), true)
  const third = { name: 'e2', supersedes: ids[1]!, reason: 'newer' }
  log.append([by(2, epochWithdrawalDraft(ids[2]!, third))])
  t.strictSame(superseded(at()), [true, true, true, false], 'somebody else can not take it back')
  log.append([by(1, epochWithdrawalDraft(ids[3]!, { ...third, name: 'another' }))])
  t.strictSame(superseded(at()), [true, true, true, false], 'nor does the withdrawal of another one')
  log.append([by(1, epochWithdrawalDraft(ids[2]!, third))])
  t.strictSame(superseded(at()), [true, false, true, false])
  log.append([by(3, epochDraft({ name: 'e2 again', supersedes: ids[1]!, reason: 'it is' }))])
  t.strictSame(superseded(at()), [true, true, true, false], 'another one still supersedes')
})

t.test('epochs: the list says what a lens sees, also after a withdrawal that fits no epoch', async (t) => {
  const { ids, log } = chainOf(2)
  // As a client may write it: what the epoch supersedes is not said, so that it stands elsewhere.
  log.append([by(1, epochWithdrawalDraft(ids[1]!, { name: 'e1' }))])
  const { epochs } = askDocument<EpochsDocument>(executorOver(log), { kind: QUERY_KINDS.epochs })
  t.strictSame(epochs.map(({ name, withdrawn, superseded }) => [name, withdrawn, superseded]), [['e1', false, false], ['e0', false, true]])
  t.equal(over(log, {})().isSuperseded(ids[0]!), true)
})

t.test('aliases: the closure of what stands, both ways, over circles, bounded', async (t) => {
  const log = new TestLog()
  const at = over(log, { cache: new RecordCache() })
  t.strictSame(at().aliasesOf('a'), ['a'])
  t.strictSame(at().aliasesOf('no//subject'), ['no//subject'])
  log.append([...aliasDrafts('a', 'rfc://1'), ...aliasDrafts('rfc://1', 'c'), ...aliasDrafts('c', 'a'), ...aliasDrafts('x', 'y')].map((draft) => by(1, draft)))
  t.strictSame(at().aliasesOf('a'), ['a', 'c', 'rfc://1'])
  t.strictSame(at().aliasesOf('rfc://1'), ['rfc://1', 'a', 'c'])
  log.append(aliasDrafts('c', 'd').map((draft) => by(2, draft)))
  t.strictSame(at().aliasesOf('a'), ['a', 'c', 'rfc://1', 'd'])
  t.strictSame(at(hlcOf(NOW_MS + 1, 7)).aliasesOf('a'), ['a', 'c', 'rfc://1'], 'before the last batch')
  log.append(aliasDrafts('c', 'a', true).map((draft) => by(2, draft)))
  t.strictSame(at().aliasesOf('a'), ['a', 'c', 'rfc://1', 'd'], 'nobody takes back what another one says')
  log.append([...aliasDrafts('c', 'a', true), ...aliasDrafts('c', 'rfc://1', true)].map((draft) => by(1, draft)))
  t.strictSame(at().aliasesOf('a'), ['a', 'rfc://1'])
  log.append([by(1, { ...aliasDrafts('c', 'a')[0], subject: aliasSubject('only/from') })])
  t.strictSame(at().aliasesOf('only/from'), ['only/from', 'a', 'rfc://1'], 'one direction alone leads one way')

  log.append(Array.from({ length: 100 }, (_, i) => by(1, aliasDrafts('hub', `spoke/${String(i).padStart(3, '0')}`)[0])))
  const hub = at()
  const found = hub.aliasesOf('hub')
  t.equal(found.length, ALIASES_MAX)
  t.strictSame([found[1], found.at(-1), hub.isCut], ['spoke/000', `spoke/0${ALIASES_MAX - 2}`, true])
})

t.test('bounds: the newest count, and it is said that there are more', async (t) => {
  const log = new TestLog()
  const at = over(log)
  log.append([by(1, voteDraft(X, -1)), by(1, outcomeDraft({ agent: X, accurate: false, judged: key(1) }))])
  log.append(Array.from({ length: VOTES_READ_MAX - 1 }, (_, i) => by(i + 2, voteDraft(X, 1))))
  const all = at()
  t.match([all.votesOf(X), all.isCut], [{ agreeCount: VOTES_READ_MAX - 1, disagreeCount: 1 }, false])
  log.append(Array.from({ length: VOTES_READ_MAX }, (_, i) => by(2, voteDraft(X, i % 2 === 0 ? 1 : 0.5))))
  const repeated = at()
  t.match([repeated.votesOf(X), repeated.isCut], [{ agreeCount: VOTES_READ_MAX - 1, disagreeCount: 1 }, false], 'what one agent says again and again takes no place of others')
  log.append([by(VOTES_READ_MAX + 1, voteDraft(X, 1))])
  const cut = at()
  t.match([cut.votesOf(X), cut.isCut], [{ agreeCount: VOTES_READ_MAX, disagreeCount: 0 }, true])
  log.append(Array.from({ length: OUTCOMES_READ_MAX }, (_, i) => by(2, outcomeDraft({ agent: X, accurate: i > 0, judged: key(i + 2) }))))
  const trust = at()
  t.ok(trust.trustOf(X) > 0.5 && trust.isCut)
  log.append(Array.from({ length: STEPS_PER_RECORD * VOTES_READ_MAX }, (_, i) => by(2, voteDraft(Y, i % 2 === 0 ? 1 : 0.5))))
  log.append([by(2, voteDraft(Y, 1))])
  const long = at()
  t.match([long.votesOf(Y), long.isCut], [{ agreeCount: 1 }, true], 'looked at no longer than the bound')
})

t.test('what an older node has taken and is no record is left out', async (t) => {
  const log = new TestLog()
  log.append([by(1, voteDraft(X, 1)), by(2, { ...voteDraft(X, 1), object: { kind: 'number', value: 7 } }), by(3, { ...voteDraft(X, 1), object: { kind: 'text', value: 'yes' } })])
  t.strictSame(over(log)().votesOf(X), { agreeWeight: 1, disagreeWeight: 0, agreeCount: 1, disagreeCount: 0 })
})

t.test('a record is read from the log once, whatever is asked, and is never out of date', async (t) => {
  const log = new TestLog()
  let reads = 0
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1 })
  const plain = new LogAssertionReader(log.readRange)
  const reader = { read: (place: Parameters<typeof plain.read>[0]) => { reads++; return plain.read(place) } }
  const cache = new RecordCache()
  const at = (asOf?: Hlc): RecordReader => recordReader({ source, reader, clock, cache }, asOf)
  log.append(Array.from({ length: 50 }, (_, i) => by(i + 1, voteDraft(X, 1))))
  t.equal(at().votesOf(X).agreeCount, 50)
  t.equal(reads, 50)
  t.equal(at().votesOf(X).agreeCount, 50)
  t.equal(at(hlcOf(NOW_MS + 1) + 9n).votesOf(X).agreeCount, 10)
  t.equal(reads, 50, 'and no more')
  log.append([by(1, voteDraft(X, -1))])
  t.strictSame([at().votesOf(X).agreeCount, at().votesOf(X).disagreeCount, reads], [49, 1, 51])
  const one = at()
  one.votesOf(X)
  log.append([by(2, voteDraft(X, -1))])
  t.equal(one.votesOf(X).disagreeCount, 1, 'one query has one answer')

  const small = new RecordCache(10)
  for (let lsn = 1; lsn <= 1000; lsn++) {
    small.set(lsn, null)
    t.equal(small.get(1), null, 'what is used stays')
  }
  t.ok(small.size <= 10)
  t.equal(small.get(2), undefined)
})

// ---- the pure rules ----

const arbitraryAgent = fc.integer({ min: 1, max: 4 }).map(key)
const said = <R>(record: fc.Arbitrary<R>): fc.Arbitrary<{ record: R, agent: Uint8Array, id: Uint8Array, hlc: Hlc }[]> => fc.array(
  fc.record({ record, agent: arbitraryAgent, hlc: fc.integer({ min: 0, max: 5 }).map((n) => hlcOf(NOW_MS + n * DAY_MS)) }), { maxLength: 25 },
).map((list) => list.map((one, i) => ({ ...one, id: key(i + 100) })))
/** The same set in another order, some of it twice. */
const shuffled = <S>(list: readonly S[], order: readonly number[], twice: readonly number[]): S[] => {
  const mixed = [...list, ...list.filter((_, i) => twice.includes(i))]
  return mixed.map((one, i) => ({ one, at: order[i % Math.max(1, order.length)]! * 31 + ((i * 17) % 7) })).sort((a, b) => a.at - b.at).map(({ one }) => one)
}
const order = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 30, maxLength: 60 })
const twice = fc.array(fc.integer({ min: 0, max: 24 }), { maxLength: 10 })
const POLICY: TrustPolicy = { halfLifeDays: 30, reporters: undefined }

t.test('any order of arrival and any duplication: the same to the last bit', async (t) => {
  const votes = said(fc.record({ kind: fc.constant('vote' as const), assertion: fc.constant(X), weight: fc.double({ min: -1, max: 1, noNaN: true }), isWithdrawn: fc.boolean() }))
  const outcomes = said(fc.record({
    kind: fc.constant('outcome' as const), subjectAgent: fc.constant(key(3)), accurate: fc.boolean(), judged: fc.option(fc.constantFrom(X, Y), { nil: undefined }), isWithdrawn: fc.boolean(),
  }))
  const epochs = said(fc.record({
    kind: fc.constant('epoch' as const), name: fc.constant('e'), supersedes: fc.constant(X), reason: fc.constant('r'),
    withdraws: fc.option(fc.integer({ min: 100, max: 125 }).map(key), { nil: undefined }), isWithdrawn: fc.constant(false),
  }).map((record) => ({ ...record, isWithdrawn: record.withdraws !== undefined })))
  const aliases = said(fc.record({ kind: fc.constant('alias' as const), subject: fc.constant('s'), alias: fc.constantFrom('a', 'b', 'c'), isWithdrawn: fc.boolean() }))
  fc.assert(fc.property(votes, order, twice, (list: Said<VoteRecord>[], by_, two) => {
    t.strictSame(tallyOf(standingVotes(shuffled(list, by_, two))), tallyOf(standingVotes(list)))
  }), { numRuns: 200 })
  fc.assert(fc.property(outcomes, order, twice, fc.integer({ min: 0, max: 400 }), (list: Said<OutcomeRecord>[], by_, two, days) => {
    const score = (of: Said<OutcomeRecord>[]): number => trustAt(standingOutcomes(of, POLICY), NOW_MS + days * DAY_MS, POLICY)
    t.equal(score(shuffled(list, by_, two)), score(list))
    t.ok(score(list) >= 0 && score(list) <= 1)
  }), { numRuns: 200 })
  fc.assert(fc.property(epochs, order, twice, (list: Said<EpochRecord>[], by_, two) => {
    t.strictSame(standingEpochs(shuffled(list, by_, two)).map(({ id }) => id), standingEpochs(list).map(({ id }) => id))
  }), { numRuns: 200 })
  fc.assert(fc.property(aliases, order, twice, (list: Said<AliasRecord>[], by_, two) => {
    t.strictSame(standingAliases(shuffled(list, by_, two)).map(({ id }) => id), standingAliases(list).map(({ id }) => id))
  }), { numRuns: 200 })
})

t.test('trust: any outcomes, against a plain walk', async (t) => {
  const outcomes = fc.array(fc.record({ reporter: fc.integer({ min: 1, max: 4 }), judged: fc.integer({ min: 0, max: 2 }), accurate: fc.boolean(), day: fc.integer({ min: 0, max: 90 }) }), { maxLength: 30 })
  fc.assert(fc.property(outcomes, fc.integer({ min: 90, max: 200 }), (list, nowDay) => {
    const records = list.map(({ reporter, judged, accurate, day }, i): Said<OutcomeRecord> => ({
      agent: key(reporter), id: key(i + 1), hlc: hlcOf(NOW_MS + day * DAY_MS, i),
      record: { kind: 'outcome', subjectAgent: key(3), accurate, judged: judged === 0 ? undefined : key(judged), isWithdrawn: false },
    }))
    let score = 0.5
    let day = 0
    const inOrder = [...records].sort((a, b) => (a.hlc < b.hlc ? -1 : 1))
    const counts = inOrder.filter((one, i) => one.agent[0] !== 3 && !inOrder.slice(i + 1).some((later) => toHex(later.agent) === toHex(one.agent) && toHex(later.record.judged ?? X) === toHex(one.record.judged ?? X)))
    for (const { record, hlc } of counts) {
      const then = (hlcWallMs(hlc) - NOW_MS) / DAY_MS
      score = 0.5 + (score - 0.5) / 2 ** ((then - day) / 30)
      day = then
      score = Math.max(0, Math.min(1, record.accurate ? score + 0.05 : score - 0.1))
    }
    score = 0.5 + (score - 0.5) / 2 ** ((nowDay - day) / 30)
    const actual = trustAt(standingOutcomes(records, POLICY), NOW_MS + nowDay * DAY_MS, POLICY)
    t.ok(Math.abs(actual - score) < 1e-9, `${actual} ${score}`)
  }), { numRuns: 200 })
})
