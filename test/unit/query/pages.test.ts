import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { hlcOf, type Hlc } from '../../../src/base/hlc.ts'
import { decodePageCursor, encodePageCursor } from '../../../src/query/page-cursor.ts'
import { QUERY_LIST } from '../../../src/query/plan.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { ask, executorOver, pagesOf, requestOf, type Ask, type Shown } from './ask.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

const pairsOf = (pages: readonly Shown[]): string[] => pages.flatMap(({ answers }) => answers.map(({ subject, predicate, id, candidates }) => `${subject} ${predicate} ${id} ${candidates}`))
const listOf = (pages: readonly Shown[]): string[] => pages.flatMap(({ listed }) => listed)

const SUBJECTS = ['a', 'a/b', 'a/b/c', 'ab', 'b', 'b/x']
const step = fc.record({ subject: fc.constantFrom(...SUBJECTS), predicate: fc.constantFrom('p', 'pq', 'q'), count: fc.integer({ min: 1, max: 5 }) })
const history = fc.array(step, { maxLength: 14 })

let made = 0
const claimsOf = ({ subject, predicate, count }: { subject: string, predicate: string, count: number }): Assertion[] =>
  Array.from({ length: count }, () => claim({ subject, predicate, object: { kind: 'number', value: made++ } }))

const QUERIES: Ask[] = [
  { subject: '', prefix: true }, { subject: 'a', prefix: true }, { subject: 'a', prefix: true, predicate: 'pq' }, { subject: 'a/b' }, { predicate: 'p' },
]

t.test('pages are the whole, whatever their size and whatever is written meanwhile', async () => {
  fc.assert(fc.property(history, history, fc.constantFrom(...QUERIES), fc.integer({ min: 1, max: 4 }), (before, meanwhile, query, limit) => {
    const log = new TestLog()
    for (const one of before) log.append(claimsOf(one))
    const executor = executorOver(log)
    const whole = pairsOf([ask(executor, requestOf({ ...query, limit: 1000 }))])
    const wholeList = listOf([ask(executor, requestOf({ ...query, kind: QUERY_LIST, limit: 1000 }))])
    const write = (page: number): void => {
      const one = meanwhile[page - 1]
      if (one !== undefined) log.append(claimsOf(one))
    }
    const paged = pairsOf(pagesOf(executor, { ...query, limit }, write))
    if (paged.join('|') !== whole.join('|')) throw new Error(`pages give ${paged.join('|')}\nthe whole is ${whole.join('|')}`)
    for (const one of meanwhile) log.append(claimsOf(one))
    // The list's moment is that of its first page, which is now.
    const listNow = listOf([ask(executor, requestOf({ ...query, kind: QUERY_LIST, limit: 1000 }))])
    const listPaged = listOf(pagesOf(executor, { ...query, kind: QUERY_LIST, limit }, write))
    if (listPaged.join() !== listNow.join() || !wholeList.every((id) => listNow.includes(id))) throw new Error('a list lost or repeated something')
  }), { numRuns: 60 })
})

t.test('a list is everything that matches, newest first in each pair', async (t) => {
  const log = new TestLog()
  const ids: string[] = []
  for (let i = 0; i < 20; i++) for (const id of log.append([claim({ object: { kind: 'number', value: i }, lifecycle: i % 5 === 0 ? 'retracted' : 'proposed' })])) ids.push(toHex(id))
  const executor = executorOver(log)
  const list = (more: Ask = {}): string[] => listOf(pagesOf(executor, { kind: QUERY_LIST, subject: 'drug/aspirin', limit: 3, ...more }))
  t.same(list(), [...ids].reverse())
  t.same(list({ lifecycles: 1 << 6 }), [15, 10, 5, 0].map((i) => ids[i]))
  t.same(list({ object: { kind: 'number', value: 7 } }), [ids[7]])
  t.same(list({ object: { kind: 'number', value: 10 }, tolerance: 0.1 }), [11, 10, 9].map((i) => ids[i]))
  t.same(list({ object: { kind: 'text', value: '7' } }), [])
  t.same(list({ predicate: 'dos' }), [])
})

t.test('every filter, alone and by what it lets pass', async (t) => {
  const log = new TestLog()
  const hash = (n: number): Uint8Array => new Uint8Array(32).fill(n)
  const claims = Array.from({ length: 24 }, (_, i) => claim({
    subject: `s/${i % 4}`, object: i % 2 === 0 ? { kind: 'boolean', value: i % 4 === 0 } : { kind: 'reference', value: `r/${i % 3}` }, confidence: i / 24,
    sourceClass: i % 6 as 0, sourceHash: hash(i % 3), assertedAtMs: NOW_MS + i, note: String(i), ...i % 5 === 0 && { epoch: hash(9) },
  }))
  for (const one of claims) log.append([one])
  const stamp = (i: number): Hlc => log.find(assertionIdOf(claims[i]!), 0)!.hlc
  const cases: [Ask, (one: Assertion, i: number) => boolean][] = [
    [{ tiers: 0b101 }, ({ sourceClass }) => sourceClass === 0 || sourceClass === 2],
    [{ source: hash(2) }, (_, i) => i % 3 === 2], [{ epoch: hash(9) }, (_, i) => i % 5 === 0], [{ agent: claims[0]!.agent }, () => true], [{ agent: hash(1) }, () => false],
    [{ fromHlc: stamp(7) }, (_, i) => i >= 7], [{ untilHlc: stamp(7) }, (_, i) => i < 7], [{ fromHlc: stamp(3), untilHlc: stamp(9) }, (_, i) => i >= 3 && i < 9],
    [{ assertedFromMs: NOW_MS + 20 }, (_, i) => i >= 20], [{ assertedUntilMs: NOW_MS + 2 }, (_, i) => i < 2], [{ confidenceMin: 0.5 }, (_, i) => i >= 12],
    [{ object: { kind: 'boolean', value: true } }, (_, i) => i % 4 === 0], [{ object: { kind: 'reference', value: 'r/1' } }, (_, i) => i % 2 === 1 && i % 3 === 1],
    [{ asOfHlc: stamp(5) }, (_, i) => i <= 5],
  ]
  for (const [filter, passes] of cases) {
    const scan = filter.asOfHlc === undefined ? {} : { subject: '', prefix: true }
    const listed = listOf(pagesOf(executorOver(log), { kind: QUERY_LIST, limit: 5, ...scan, ...filter }))
    t.same([...listed].sort(), claims.filter(passes).map((one) => toHex(assertionIdOf(one))).sort(), JSON.stringify(Object.keys(filter)))
  }
})

t.test('a cursor is taken by the query that it is of, and by no other', async (t) => {
  const log = new TestLog()
  for (const subject of SUBJECTS) log.append([claim({ subject }), claim({ subject, predicate: 'p' })])
  const executor = executorOver(log)
  const query: Ask = { subject: 'a', prefix: true, limit: 2 }
  const { cursor } = ask(executor, requestOf(query))
  t.ok(cursor)
  t.match(ask(executor, requestOf({ ...query, cursor: cursor!, limit: 3, explain: true })), { refused: '' }, 'another size of page, an explanation')
  const others: Ask[] = [
    { ...query, subject: 'b' }, { ...query, subject: 'a', prefix: false }, { ...query, predicate: 'p' }, { ...query, tiers: 1 }, { ...query, lens: 'consensus' },
    { ...query, kind: QUERY_LIST }, { ...query, confidenceMin: 0.1 }, { ...query, asOfHlc: hlcOf(5) },
  ]
  for (const other of others) t.match(ask(executor, requestOf({ ...other, cursor: cursor! })), { refused: 'parameter_invalid', detail: /cursor/ })
  for (let bit = 0; bit < cursor!.length * 8; bit++) {
    const forged = cursor!.slice()
    forged[bit >> 3]! ^= 1 << (bit & 7)
    const { refused } = ask(executor, requestOf({ ...query, cursor: forged }))
    if (refused !== 'parameter_invalid') t.fail(`bit ${bit}: ${refused}`)
  }
  for (const length of [1, 31, 32, 2000]) t.match(ask(executor, requestOf({ ...query, cursor: new Uint8Array(length).fill(1) })), { refused: 'parameter_invalid' })
  const position = { subject: new Uint8Array([0x7a]), predicate: new Uint8Array([0x70]) }
  const { fingerprint } = decodePageCursor(cursor!, new DataView(cursor!.buffer, cursor!.byteOffset).getBigUint64(8, true))
  const forged = encodePageCursor({ fingerprint, asOf: 2n ** 64n - 1n, nowMs: 0, position })
  t.match(ask(executor, requestOf({ ...query, cursor: forged })), { refused: '', answers: [], truncated: false }, 'a position behind the range gives nothing of another one')
})

t.test('as of any moment, the answer is that of the moment, and so are its pages', async (t) => {
  const log = new TestLog()
  const executor = executorOver(log, { durableHlc: () => hlcOf(NOW_MS + log.nextLsn) })
  const seen: { asOfHlc: Hlc, whole: string[], one: string[], list: string[] }[] = []
  const all = (more: Ask): Ask => ({ subject: '', prefix: true, limit: 1000, ...more })
  for (let i = 0; i < 60; i++) {
    const parent = i % 7 === 6 ? log.append(claimsOf({ subject: SUBJECTS[i % 6]!, predicate: 'p', count: 1 }))[0] : undefined
    log.append(parent === undefined ? claimsOf({ subject: SUBJECTS[i * 5 % 6]!, predicate: i % 2 === 0 ? 'p' : 'q', count: 1 + i % 3 })
      : [claim({ subject: SUBJECTS[i % 6]!, predicate: 'p', lifecycle: 'retracted', parent })])
    seen.push({
      asOfHlc: hlcOf(NOW_MS + log.nextLsn - 1, 0xffff), whole: pairsOf([ask(executor, requestOf(all({})))]),
      one: pairsOf([ask(executor, requestOf({ subject: 'a', predicate: 'p' }))]), list: listOf([ask(executor, requestOf(all({ kind: QUERY_LIST })))]),
    })
  }
  for (const { asOfHlc, whole, one, list } of seen) {
    t.strictSame(pairsOf([ask(executor, requestOf(all({ asOfHlc })))]), whole)
    t.strictSame(pairsOf(pagesOf(executor, all({ asOfHlc, limit: 3 }))), whole)
    t.strictSame(pairsOf([ask(executor, requestOf({ subject: 'a', predicate: 'p', asOfHlc }))]), one)
    t.strictSame(listOf(pagesOf(executor, all({ kind: QUERY_LIST, asOfHlc, limit: 7 }))), list)
  }
  t.match(ask(executor, requestOf(all({ asOfHlc: hlcOf(5) }))), { answers: [], truncated: false })
})

t.test('an LSN that is not there yet is refused', async (t) => {
  const log = new TestLog()
  log.append([claim()])
  const executor = executorOver(log)
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', minLsn: 1 })), { refused: '', answers: { length: 1 } })
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', minLsn: 2 })), { refused: 'lsn_not_reached' })
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', minLsn: 2n ** 63n })), { refused: 'parameter_invalid', detail: /min_lsn/ })
})

t.test('what can not be asked', async (t) => {
  const executor = executorOver(new TestLog())
  const cases: [Ask, RegExp][] = [
    [{ subject: 'a', tiers: 1 << 6 }, /tier/], [{ subject: 'a', lifecycles: 1 }, /lifecycle/], [{ subject: 'a', confidenceMin: 1.5 }, /confidence_min/],
    [{ subject: 'a', confidenceMin: NaN }, /confidence_min/], [{ subject: 'a', tolerance: -1 }, /tolerance/], [{ subject: 'a', fromHlc: 5n, untilHlc: 5n }, /until/],
    [{ subject: 'a', assertedFromMs: 9, assertedUntilMs: 3 }, /asserted_until/], [{ subject: 'a', prefix: true, aliases: true }, /aliases/],
    [{ subject: 'a', object: { kind: 'number', value: Infinity } }, /object/], [{ kind: QUERY_LIST }, /subject/], [{ lens: 'recency' }, /subject/],
  ]
  for (const [query, detail] of cases) t.match(ask(executor, requestOf(query)), { refused: 'parameter_invalid', detail })
})

t.test('aliases: claims about the other names count, in one answer under the name that was asked', async (t) => {
  const log = new TestLog()
  for (const subject of ['rfc/1', 'code/1', 'other']) log.append([claim({ subject }), claim({ subject, predicate: subject }), claim({ subject, predicate: 'zz' })])
  const aliases = ['rfc/1', 'code/1']
  const executor = executorOver(log, {
    records: (asOfHlc) => ({
      asOfHlc, votesOf: () => ({ agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 }), trustOf: () => 0.5, isSuperseded: () => false,
      aliasesOf: (subject) => [subject, ...aliases.filter((one) => one !== subject)],
    }),
  })
  const query: Ask = { subject: 'rfc/1', aliases: true }
  const expected = [['rfc/1', 'code/1', 1], ['rfc/1', 'dose', 2], ['rfc/1', 'rfc/1', 1], ['rfc/1', 'zz', 2]]
  const shown = (pages: readonly Shown[]): unknown[] => pages.flatMap(({ answers }) => answers.map(({ subject, predicate, candidates }) => [subject, predicate, candidates]))
  t.strictSame(shown([ask(executor, requestOf(query))]), expected)
  for (const limit of [1, 2, 3]) t.strictSame(shown(pagesOf(executor, { ...query, limit })), expected)
  t.equal(listOf(pagesOf(executor, { ...query, kind: QUERY_LIST, limit: 2 })).length, 6)
  t.match(ask(executor, requestOf({ ...query, predicate: 'dose' })).answers, [{ candidates: 2, winner: { subject: 'code/1' } }])
})

t.test('constraints: what is demanded and what is forbidden are looked at together', async (t) => {
  const log = new TestLog()
  const rule = (predicate: string, value: string, more: Partial<Assertion> = {}): Assertion => claim({ subject: 'ctx', predicate, object: { kind: 'text', value }, ...more })
  log.append([rule('must_use', 'axios'), rule('forbidden', 'requests'), rule('forbidden', 'axios', { sourceClass: 5 }), rule('note', 'no rule')])
  const { answers } = ask(executorOver(log), requestOf({ subject: 'ctx', lens: 'constraints' }))
  t.match(answers, [{ subject: 'ctx', predicate: '', candidates: 3, conflict: 0.5, status: 'contested', sides: { length: 2 } }])
})
