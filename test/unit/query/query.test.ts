import fc from 'fast-check'
import t from 'tap'
import { bytesEqual, toHex } from '../../../src/base/bytes.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { hlcOf, type Hlc } from '../../../src/base/hlc.ts'
import type { Candidate, Lens, Resolution } from '../../../src/lens/lens.ts'
import { lensOf } from '../../../src/lens/registry.ts'
import type { AssertionReader, CandidateSource, EntryCursor, EntryRange, IndexEntry, Place } from '../../../src/query/candidate-source.ts'
import { CANDIDATES_MAX, ENTRIES_READ_MAX, REPLY_BYTES_MIN, type QueryExecutor } from '../../../src/query/execute.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { QUERY_BY_ID, QUERY_LIST } from '../../../src/query/plan.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import type { Assertion, ObjectValue } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { sourceDrafts, sourceHashOf, voteDraft, type RecordDraft } from '../../../src/record/records.ts'
import { decodeAssertion, encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { layOutFound } from '../../../src/wire/found.codec.ts'
import { QUERY_KINDS } from '../../../src/wire/query-request.codec.ts'
import { ask, executorOver, requestOf, type Ask, type Shown } from './ask.ts'
import { NOW_MS, TestLog, agent, claim } from './test-log.ts'

await hashReady

const dose = (value: number, change: Partial<Assertion> = {}): Assertion => claim({ object: { kind: 'number', value }, ...change })

t.test('the latest of contradicting claims wins, and the answer says among how many', async (t) => {
  const log = new TestLog()
  log.append([dose(1), dose(2)], 'batch')
  log.append([dose(3), dose(9, { predicate: 'price' }), dose(8, { subject: 'drug/aspirin2' })], 'singly')
  const executor = executorOver(log)
  const { answers, seenLsn, truncated } = ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose' }))
  t.match(answers, [{ subject: 'drug/aspirin', predicate: 'dose', candidates: 3, lsn: 3, signedBy: 1, winner: { object: { value: 3 } } }])
  t.equal(answers.length, 1)
  t.equal(answers[0]?.id, toHex(assertionIdOf(dose(3))))
  t.match(answers[0]?.why, /^Accepted last, at 2027-01-15T08:00:00.003Z. There are 3 candidates.$/)
  t.match({ seenLsn, truncated }, { seenLsn: 5, truncated: false })

  t.match(ask(executor, requestOf({ subject: 'drug/aspirin' })).answers.map(({ predicate, candidates }) => [predicate, candidates]), [['dose', 3], ['price', 1]])
  t.match(ask(executor, requestOf({ subject: 'drug/asp', prefix: true })).answers.map(({ subject, predicate }) => `${subject} ${predicate}`),
    ['drug/aspirin dose', 'drug/aspirin price', 'drug/aspirin2 dose'])
  t.match(ask(executor, requestOf({ subject: 'drug/', prefix: true, predicate: 'dose' })).answers.map(({ subject, lsn }) => [subject, lsn]),
    [['drug/aspirin', 3], ['drug/aspirin2', 5]])
  t.equal(ask(executor, requestOf({ subject: '', prefix: true })).answers.length, 3, 'the empty prefix is everything')
  for (const nothing of [{ subject: 'drug/asp' }, { subject: 'drug/aspirin', predicate: 'dos' }, { subject: 'x', prefix: true }]) {
    t.match(ask(executor, requestOf(nothing)), { refused: '', answers: [], truncated: false, seenLsn: 5 })
  }
})

t.test('what an answer is to come without, by the short way and the long one', async (t) => {
  const log = new TestLog()
  log.append([dose(1), dose(1, { note: 'again' }), dose(2), dose(3)], 'batch')
  const executor = executorOver(log)
  for (const way of [{}, { tolerance: 1e-9 }]) {
    const sides = (leaveOut: number): unknown => {
      const [answer] = ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose', lens: 'skeptic', leaveOut, ...way })).answers
      t.match(answer, { candidates: 4, winner: { object: { value: 1 } }, status: 'contested' }, 'the answer has its winner')
      t.match(answer!.sides.map(({ label, candidates, share }) => [label, candidates, share]), [['1', 2, 0.5], ['3', 1, 0.25], ['2', 1, 0.25]])
      return { why: answer!.why !== '', sideWhy: answer!.sides.filter(({ why }) => why !== '').length, winners: answer!.sides.filter(({ id }) => id !== '').length }
    }
    t.same(sides(0), { why: true, sideWhy: 3, winners: 3 })
    t.same(sides(1), { why: true, sideWhy: 3, winners: 0 })
    t.same(sides(2), { why: false, sideWhy: 0, winners: 3 })
    t.same(sides(3), { why: false, sideWhy: 0, winners: 0 })
    t.match(ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose', leaveOut: 4, ...way })), { refused: 'parameter_invalid', detail: /leave_out/ })
  }
})

t.test('a moment that the node has given out is none of the future, whatever its clock says', async (t) => {
  const log = new TestLog()
  log.append([dose(1)])
  const at = (asOfHlc: Hlc): Shown => ask(executorOver(log), requestOf({ subject: 'drug/aspirin', predicate: 'dose', asOfHlc }))
  t.match(at(hlcOf(NOW_MS + 1)), { refused: '', answers: [{ candidates: 1 }] }, 'the clock stands at NOW_MS')
  t.match(at(hlcOf(NOW_MS, 0xffff)), { refused: '', answers: [] })
  t.match(at(hlcOf(NOW_MS + 2)), { refused: 'parameter_invalid', parameter: 'as_of', detail: /2027-01-15T08:00:00.002Z, which is in the future/ })
})

t.test('zero is asked for where it is given', async (t) => {
  const log = new TestLog()
  log.append([dose(100, { assertedAtMs: 5 }), dose(101, { confidence: 0, assertedAtMs: 0 }), dose(500)])
  const executor = executorOver(log, { lensSettings: { tolerance: 0.1 } })
  const asked = { subject: 'drug/aspirin', predicate: 'dose', lens: 'skeptic' }
  const sides = (more: Ask): number | undefined => ask(executor, requestOf({ ...asked, ...more })).answers[0]?.sides.length
  t.strictSame([sides({}), sides({ tolerance: 0 })], [2, 3], 'a tolerance of 0 goes before the setting')
  t.strictSame([sides({ assertedUntilMs: 1 }), sides({ assertedUntilMs: 0 })], [1, undefined], 'nothing was asserted before the begin of time')
  t.match(ask(executor, requestOf({ assertedUntilMs: 0 })), { refused: '', answers: [] }, 'which is enough to ask for')
  t.match(ask(executor, requestOf({ confidenceMin: 0 })), { refused: '', answers: { length: 1 } })
})

t.test('an object is found where a lens takes it for the same value', async (t) => {
  const log = new TestLog()
  const objects: ObjectValue[] = [0, 5, -3, 100, 101].map((value) => ({ kind: 'number', value }))
  log.append([...objects, ...['500 mg', '0.5 g', '500 s'].map((value): ObjectValue => ({ kind: 'text', value }))].map((object) => claim({ object })))
  const found = (object: ObjectValue, tolerance?: number, setting = 0): unknown[] => {
    const executor = executorOver(log, { lensSettings: { tolerance: setting } })
    const more = { object, ...tolerance !== undefined && { tolerance } }
    const { candidates } = ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose', ...more })).answers[0] ?? { candidates: 0 }
    t.equal(ask(executor, requestOf({ kind: QUERY_LIST, subject: 'drug/aspirin', ...more })).listed.length, candidates)
    return [candidates]
  }
  t.strictSame(found({ kind: 'number', value: 0 }, 1), [1], 'nothing but zero is zero')
  t.strictSame(found({ kind: 'number', value: 5 }, 1), [3], 'of one sign')
  t.strictSame(found({ kind: 'number', value: 100 }), [1])
  t.strictSame(found({ kind: 'number', value: 100 }, undefined, 0.01), [2], 'by the setting')
  t.strictSame(found({ kind: 'text', value: '0.5 g' }), [2], 'by the unit')
})

t.test('records are looked at where they are named', async (t) => {
  const log = new TestLog()
  const cited = new Uint8Array(32).fill(7)
  const said = (draft: RecordDraft): Assertion => ({ ...claim(), ...draft })
  log.append([dose(1, { sourceHash: cited }), ...sourceDrafts({ content: 'x'.repeat(100) }).map((draft) => said({ ...draft })), said(voteDraft(cited, 1)), claim({ subject: 'steme:/x' }), claim({ subject: 'zinc' })])
  const executor = executorOver(log)
  const named = { subject: 'steme://', prefix: true }
  const by: [Ask, number, number][] = [
    [{ agent: agent.publicKey }, 3, 3], [{ fromHlc: 1n }, 3, 3], [{ tiers: 0b10 }, 3, 3], [{ subject: '', prefix: true }, 3, 3], [{ subject: 's', prefix: true }, 1, 3], [{ predicate: 'vote' }, 0, 1],
    [{ source: sourceHashOf('x'.repeat(100)) }, 0, 2],
  ]
  for (const [what, claims, records] of by) {
    t.equal(ask(executor, requestOf({ ...what, limit: 100 })).answers.length, claims, Object.keys(what).join())
    t.equal(ask(executor, requestOf({ ...what, kind: QUERY_LIST })).listed.length, claims)
    t.equal(ask(executor, requestOf({ ...what, ...named, kind: QUERY_LIST })).listed.length, records, 'unless they are named')
  }
})

t.test('who signed: the assertion, its batch, nobody', async (t) => {
  const log = new TestLog()
  log.append([claim({ subject: 'a' })], 'not')
  log.append([claim({ subject: 'b' })], 'singly')
  log.append([claim({ subject: 'c' }), claim({ subject: 'd' })], 'batch')
  t.same(ask(executorOver(log), requestOf({ subject: '', prefix: true })).answers.map(({ signedBy }) => signedBy), [0, 1, 2, 2])
})

t.test('by id', async (t) => {
  const log = new TestLog()
  const [first] = log.append([dose(1)])
  const [, refused, second] = log.append([dose(2), dose(3), dose(4)], 'batch', [1])
  const executor = executorOver(log)
  for (const id of [first!, second!]) t.match(ask(executor, requestOf({ id })), { refused: '', found: toHex(id), seenLsn: 3 })
  t.match(ask(executor, requestOf({ id: refused! })), { refused: '', found: undefined }, 'a refused assertion is not there')
  t.match(ask(executor, requestOf({ id: new Uint8Array(32) })), { refused: '', found: undefined })
  t.match(ask(executorOver(log, {}, () => 2), requestOf({ id: second! })), { found: undefined }, 'nor one that is not durable yet')
})

t.test('limits are kept and said', async (t) => {
  const log = new TestLog()
  log.append(Array.from({ length: 150 }, (_, i) => claim({ subject: `s/${String(i).padStart(3, '0')}` })))
  const executor = executorOver(log, { limitMax: 140 })
  t.match(ask(executor, requestOf({ subject: 's/', prefix: true, limit: 7 })), { truncated: true, answers: { length: 7 } })
  t.match(ask(executor, requestOf({ subject: 's/', prefix: true })), { truncated: true, answers: { length: 100 } }, 'the default')
  t.match(ask(executor, requestOf({ subject: 's/00', prefix: true, limit: 10 })), { truncated: false, answers: { length: 10 } }, 'exactly as many')
  t.match(ask(executor, requestOf({ subject: 's/', prefix: true, limit: 141 })), { refused: 'parameter_invalid' })

  const small = executorOver(log, { replyBytesMax: REPLY_BYTES_MIN })
  const { answers, truncated } = ask(small, requestOf({ subject: 's/', prefix: true }))
  t.ok(truncated && answers.length > 2 && answers.length < 20, `${answers.length} answers fit`)
  t.ok(small.answer(requestOf({ subject: 's/', prefix: true })).length <= REPLY_BYTES_MIN)
  log.append([claim({ subject: 'big', note: 'n'.repeat(4000) })])
  t.match(ask(small, requestOf({ subject: 'big' })), { refused: 'frame_too_large' })
  t.match(ask(small, requestOf({ id: assertionIdOf(claim({ subject: 'big', note: 'n'.repeat(4000) })) })), { refused: 'frame_too_large' })
  t.match(ask(small, requestOf({ subject: 's/001' })), { refused: '', answers: { length: 1 } }, 'the next query is not affected')
})

t.test('bad requests are refused with a reason', async (t) => {
  const executor = executorOver(new TestLog())
  const cases: [Ask, string, RegExp][] = [
    [{ kind: 0, subject: 'a' }, 'parameter_invalid', /kind/], [{ kind: 99 }, 'parameter_invalid', /kind/],
    [{ kind: QUERY_BY_ID }, 'parameter_invalid', /id/], [{}, 'parameter_invalid', /subject is missing/],
    [{ subject: '' }, 'parameter_invalid', /subject is empty/], [{ subject: 'a', predicate: '' }, 'parameter_invalid', /predicate/],
    [{ subject: 'a\0dose' }, 'parameter_invalid', /zero/], [{ subject: 'a', predicate: 'b\0' }, 'parameter_invalid', /zero/],
    [{ subject: 'a'.repeat(1025) }, 'parameter_invalid', /1024/], [{ subject: 'a', predicate: 'a'.repeat(257) }, 'parameter_invalid', /256/],
    [{ subject: 'a', lens: 'nope' }, 'parameter_invalid', /recency/], [{ subject: 'a', lens: 'x'.repeat(9999) }, 'parameter_invalid', /lens/],
  ]
  for (const [request, refused, detail] of cases) t.match(ask(executor, requestOf(request)), { refused, detail })
  const parameters: [Ask, string][] = [
    [{ subject: 'a\0dose' }, 'subject'], [{ subject: 'a\0', prefix: true }, 'prefix'], [{ subject: 'a', lens: 'nope' }, 'lens'], [{ subject: 'a', prefix: true, aliases: true }, 'aliases'],
    [{ subject: 'a', kind: QUERY_LIST, explain: true }, 'explain'], [{ subject: 'a', kind: QUERY_LIST, leaveOut: 2 }, 'leave_out'], [{ subject: 'a', asOfHlc: hlcOf(NOW_MS + 1) }, 'as_of'],
    [{ kind: QUERY_KINDS.epochs, asOfHlc: hlcOf(NOW_MS + 1) }, 'as_of'], [{ subject: 'a', fromHlc: 2n, untilHlc: 2n }, 'until'], [{ subject: 'a', cursor: new Uint8Array(40) }, 'cursor'],
  ]
  for (const [request, parameter] of parameters) t.match(ask(executor, requestOf(request)), { refused: 'parameter_invalid', parameter })
  t.match(ask(executor, new Uint8Array(3)), { refused: 'malformed_frame', parameter: '' })
  const good = requestOf({ subject: 'drug/aspirin', predicate: 'dose', lens: 'recency', limit: 3 })
  for (let bit = 0; bit < good.length * 8; bit++) {
    good[bit >> 3]! ^= 1 << (bit & 7)
    executor.answer(good)
    good[bit >> 3]! ^= 1 << (bit & 7)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => { executor.answer(bytes) }), { numRuns: 500 })
})

t.test('a damaged log is never served: each bit of a record', async (t) => {
  const log = new TestLog()
  const claims = [dose(1), dose(2), dose(3)]
  const ids = log.append(claims, 'singly')
  const reader = new LogAssertionReader(log.readRange)
  const place = log.find(ids[1]!, 0)!
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => 3, durableLsn: () => 3 })
  const cursor = source.entries({ subject: new TextEncoder().encode('drug/aspirin'), subjectIsPrefix: false, predicate: undefined })
  const entries = [cursor.next()!, cursor.next()!, cursor.next()!]
  const entry = entries.find(({ lsn }) => lsn === 2)!
  const expected = reader.read(place)
  t.same(reader.read(entry), expected)
  t.same(expected.bytes, encodeAssertion(claims[1]!))
  const seen = new Map<string, number>()
  for (let bit = place.recordOffset * 8; bit < log.segment.length * 8 && log.segment.subarray(bit >> 3).some((b) => b !== 0); bit++) {
    log.segment[bit >> 3]! ^= 1 << (bit & 7)
    for (const at of [place, entry]) {
      let outcome = 'served'
      try {
        // A new reader: it has nothing of the record at hand.
        const read = new LogAssertionReader(log.readRange).read(at)
        if (!bytesEqual(read.id, ids[1]!) || !bytesEqual(assertionIdOf(decodeAssertion(read.bytes)), ids[1]!)) t.fail(`bit ${bit}: another claim`)
        // Padding and terminators are in no claim; the index entry's checksum covers them.
        if (at === entry && !bytesEqual(read.bytes, expected.bytes)) t.fail(`bit ${bit}: other bytes`)
      } catch (error) {
        outcome = isDbError(error) ? error.code : String(error)
      }
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
    }
    log.segment[bit >> 3]! ^= 1 << (bit & 7)
  }
  t.same([...seen.keys()].sort(), ['served', 'store_corrupt', 'wal_corrupt'], 'never anything else')
  t.ok(seen.get('store_corrupt')! > 1000 && seen.get('wal_corrupt')! > 500)
})

t.test('damage becomes a refusal of the query that meets it', async (t) => {
  const log = new TestLog()
  log.append([dose(1)])
  log.append([claim({ subject: 'other' })])
  const at = Buffer.from(log.segment).indexOf('drug/aspirin')
  log.segment[at]! ^= 0x20
  const executor = executorOver(log)
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin' })), { refused: 'store_corrupt', detail: /LSN 1 .* checksum/, answers: [] })
  t.match(ask(executor, requestOf({ id: assertionIdOf(dose(1)) })), { refused: 'store_corrupt' })
  t.match(ask(executor, requestOf({ subject: 'other' })), { refused: '', answers: { length: 1 } })
})

/** A source without bytes, to reach the bounds quickly: `pairs` subjects with `versions` entries each. */
function wideSource(pairs: number, versions: number, counted: { steps: number, skips: number, closed: number }): CandidateSource {
  const subjects = Array.from({ length: pairs }, (_, i) => new TextEncoder().encode(`s/${String(i).padStart(6, '0')}`))
  const predicate = new TextEncoder().encode('p')
  return {
    appliedLsn: () => 5,
    byId: () => undefined,
    latest: () => t.fail('nobody asks for an agent or a time') as never,
    entries(_range: EntryRange): EntryCursor {
      let pair = 0
      let version = 0
      return {
        next(): IndexEntry | undefined {
          if (version === versions) {
            pair++
            version = 0
          }
          const subject = subjects[pair]
          if (subject === undefined) return undefined
          counted.steps++
          version++
          return {
            subject, predicate, idPrefix: new Uint8Array(8), lsn: 1, hlc: hlcOf(NOW_MS) - BigInt(version), segmentId: 1, recordOffset: 0, index: 0,
            assertionSum: 0, sourceClass: 0, lifecycle: 1, objectKind: 2, hasParent: false,
          }
        },
        skipPair() {
          counted.skips++
          version = versions
        },
        seek: () => t.fail('nobody seeks here'),
        close: () => void counted.closed++,
      }
    },
  }
}

const bytes = encodeAssertion(dose(1))
function foundOf({ lsn, hlc }: Place): Uint8Array {
  const found = layOutFound(lsn, hlc, bytes.length, false, 0)
  found.assertion.set(bytes)
  return found.bytes
}
const fixedReader: AssertionReader = {
  read: (place) => ({ ...place, id: new Uint8Array(32), bytes, assertion: dose(1), assertionSum: 0, signature: undefined, signedBy: 0, found: foundOf(place) }),
}

t.test('work is bounded whatever is stored', async (t) => {
  const counted = { steps: 0, skips: 0, closed: 0 }
  const over = (pairs: number, versions: number): QueryExecutor => executorOver(new TestLog(),
    { source: wideSource(pairs, versions, counted), reader: fixedReader, limitMax: 1000, replyBytesMax: 1 << 24 })
  const hot = ask(over(2, 1_000_000), requestOf({ subject: 's/', prefix: true }))
  t.match(hot.answers.map(({ candidates }) => candidates), [CANDIDATES_MAX, CANDIDATES_MAX])
  t.match(hot.answers[0]?.why, /Only the newest 1000 candidates/)
  t.match({ truncated: hot.truncated, ...counted }, { truncated: false, skips: 2, closed: 1 })
  t.ok(counted.steps <= 2 * (CANDIDATES_MAX + 1))

  counted.steps = 0
  const many = ask(over(1000, 500), requestOf({ subject: 's/', prefix: true, limit: 1000 }))
  t.equal(many.truncated, true)
  t.ok(counted.steps <= ENTRIES_READ_MAX && many.answers.length === ENTRIES_READ_MAX / 500 - 1, 'the last pair that was begun is left to the next page')

  counted.steps = 0
  const filtered = ask(over(300_000, 1), requestOf({ subject: 's/', prefix: true, predicate: 'q' }))
  t.match(filtered, { truncated: true, answers: [] }, 'a predicate that nobody uses')
  t.equal(counted.steps, ENTRIES_READ_MAX)
  t.equal(counted.closed, 3, 'cursors are closed')
})

t.test('a lens that looks at claims gets them', async (t) => {
  const log = new TestLog()
  log.append([dose(5), dose(9), dose(7)], 'batch')
  const greatest: Lens = {
    name: 'greatest', description: 'The greatest number wins.', reads: 'claims',
    resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
      const value = ({ assertion }: C): number => assertion?.object.kind === 'number' ? assertion.object.value : -1
      const [winner] = [...candidates].sort((a, b) => value(b) - value(a))
      return { answers: winner === undefined ? [] : [{ label: '', winner, supporters: [winner], why: 'It is the greatest.' }] }
    },
  }
  const executor = executorOver(log, { lensOf: (name) => name === 'greatest' ? greatest : lensOf(name) })
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', lens: 'greatest' })).answers, [{ candidates: 3, lsn: 2, winner: { object: { value: 9 } } }])
})

t.test('cursors over the store skip and group as a plain list does', async (t) => {
  const log = new TestLog()
  const subjects = ['a', 'a/b', 'a/b/c', 'ab', 'a\u0001', 'b']
  for (let i = 0; i < 120; i++) log.append([claim({ subject: subjects[i % 4 === 0 ? 0 : i % 6]!.replace('\u0001', '~'), predicate: i % 3 === 0 ? 'p' : 'pq', object: { kind: 'number', value: i } })])
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => 0, durableLsn: () => 0 })
  const text = (part: Uint8Array): string => Buffer.from(part).toString()
  const list = (range: EntryRange, skipAfter = Infinity): string[] => {
    const cursor = source.entries(range)
    const seen: string[] = []
    let last = ''
    let inPair = 0
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      const pair = `${text(entry.subject)} ${text(entry.predicate)}`
      inPair = pair === last ? inPair + 1 : 1
      last = pair
      seen.push(`${pair} ${entry.lsn}`)
      if (inPair >= skipAfter) cursor.skipPair()
    }
    cursor.close()
    return seen
  }
  const prefix = { subject: new TextEncoder().encode('a'), subjectIsPrefix: true, predicate: undefined }
  const all = list(prefix)
  t.ok(all.length > 80)
  for (const skipAfter of [1, 2, 5, 17, 40]) {
    const counts = new Map<string, number>()
    const expected = all.filter((line) => {
      const pair = line.slice(0, line.lastIndexOf(' '))
      counts.set(pair, (counts.get(pair) ?? 0) + 1)
      return counts.get(pair)! <= skipAfter
    })
    t.same(list(prefix, skipAfter), expected, `at most ${skipAfter} of each`)
  }
  const pair = { subject: new TextEncoder().encode('a'), subjectIsPrefix: false, predicate: new TextEncoder().encode('p') }
  t.same(list(pair), all.filter((line) => line.startsWith('a p ')))
  t.same(list(pair, 1).length, 1)
})
