import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { DbError, isDbError } from '../../../src/base/errors.ts'
import type { Hlc } from '../../../src/base/hlc.ts'
import type { AssertionReader, LatestRange } from '../../../src/query/candidate-source.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { LogRecords } from '../../../src/query/log-records.ts'
import type { ReadRange } from '../../../src/query/log-walker.ts'
import { decodePageCursor, encodePageCursor } from '../../../src/query/page-cursor.ts'
import { CLAIMS_READ_MAX } from '../../../src/query/execute.ts'
import { QUERY_LIST } from '../../../src/query/plan.ts'
import type { QueryExecutor } from '../../../src/query/execute.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, hashReady } from '../../../src/record/claim.ts'
import { recordReader } from '../../../src/query/record-reader.ts'
import { emptyRecordHeader, encodeRecordHeader } from '../../../src/wal/record.codec.ts'
import { RECORD_HEADER_BYTES, RECORD_KIND } from '../../../src/wal/record.layout.ts'
import { ask, clock, executorOver, pagesOf as allPagesOf, requestOf, type Ask, type Shown } from './ask.ts'
import { claim, TestLog } from './test-log.ts'

await hashReady

const AGENTS = [1, 2, 3].map((n) => new Uint8Array(32).fill(n))
const SUBJECTS = ['a', 'a/b', 'b']
const PAGES_MAX = 500

const stampOf = (log: TestLog, one: Assertion): Hlc => log.find(assertionIdOf(one), 0)!.hlc
let made = 0
const claimOf = (subject: string, agent: number, more: Partial<Assertion> = {}): Assertion =>
  claim({ subject, agent: AGENTS[agent]!, object: { kind: 'number', value: made++ }, ...more })

const pagesOf = (executor: QueryExecutor, query: Ask, between?: () => void): Shown[] => allPagesOf(executor, query, between, PAGES_MAX)

const listed = (pages: readonly Shown[]): string[] => pages.flatMap((page) => page.listed)
const answered = (pages: readonly Shown[]): string[] => pages.flatMap(({ answers }) => answers.map(({ subject, predicate, id, candidates }) => `${subject} ${predicate} ${id.slice(0, 8)} ${candidates}`))

/** An executor that counts what is read of the log and looked up in the index. */
function counted(log: TestLog): { executor: QueryExecutor, reads: () => { claims: number, ranges: number, logBytes: number } } {
  let [claims, ranges, logBytes] = [0, 0, 0]
  const source = new StoreSource({
    store: log.store, find: log.find, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1,
    readLog: (segmentId, offset, length, out) => {
      logBytes += length
      log.readRange(segmentId, offset, length, out)
    },
  })
  const entries = source.entries.bind(source)
  source.entries = (range) => {
    ranges++
    return entries(range)
  }
  const inner = new LogAssertionReader(log.readRange)
  const reader: AssertionReader = {
    read: (place) => {
      claims++
      return inner.read(place)
    },
  }
  const executor = executorOver(log, { source, reader, records: (asOfHlc) => recordReader({ source, reader, clock }, asOfHlc) })
  return {
    executor,
    reads: () => {
      const now = { claims, ranges, logBytes }
      claims = ranges = logBytes = 0
      return now
    },
  }
}

t.test('what an agent has said is found by its own LSNs, however much others say', async (t) => {
  const log = new TestLog()
  const own: Assertion[] = []
  for (let i = 0; i < 400; i++) {
    const others = Array.from({ length: 10 }, (_, n) => claimOf(`other/${i}/${n}`, 1))
    if (i % 100 === 7) own.push(claimOf(`own/${i}`, 0))
    log.append(i % 100 === 7 ? [...others.slice(0, 5), own.at(-1)!, ...others.slice(5)] : others)
  }
  const ids = own.map((one) => toHex(assertionIdOf(one))).reverse()
  const { executor, reads } = counted(log)

  const list = ask(executor, requestOf({ kind: QUERY_LIST, agent: AGENTS[0]! }))
  t.strictSame(list.listed, ids, 'the newest first')
  t.equal(list.cursor, undefined)
  const listReads = reads()
  t.equal(listReads.claims, 4, 'its claims and no other were read')
  t.equal(listReads.ranges, 0, 'nothing of the index by subject')
  t.ok(listReads.logBytes < 8 * 1024, `${listReads.logBytes} bytes of heads: a few for each of its records`)

  const { answers, cursor } = ask(executor, requestOf({ agent: AGENTS[0]! }))
  t.strictSame(answers.map(({ id }) => id), ids)
  t.equal(cursor, undefined)
  const { claims, ranges } = reads()
  t.equal(ranges, 4, 'one look at the index for each pair')
  t.ok(claims <= 8, `${claims} claims`)

  const page = ask(executor, requestOf({ kind: QUERY_LIST, agent: AGENTS[0]!, limit: 1, fromHlc: stampOf(log, own[1]!), untilHlc: stampOf(log, own[3]!) }))
  t.strictSame(page.listed, [ids[1]])
  t.equal(reads().claims, 1)
  t.strictSame(ask(executor, requestOf({ kind: QUERY_LIST, agent: new Uint8Array(32).fill(0xff) })).listed, [], 'who has said nothing, at the end of all keys')
})

t.test('a time range reads that part of the log', async (t) => {
  const log = new TestLog()
  const all: Assertion[] = []
  for (let i = 0; i < 500; i++) {
    all.push(claimOf(`s/${i}`, i % 3))
    log.append([all[i]!])
  }
  const { executor, reads } = counted(log)
  const range: Ask = { fromHlc: stampOf(log, all[100]!), untilHlc: stampOf(log, all[110]!) }
  const ids = all.slice(100, 110).map((one) => toHex(assertionIdOf(one))).reverse()
  t.strictSame(ask(executor, requestOf({ kind: QUERY_LIST, ...range })).listed, ids)
  t.equal(reads().claims, 10)
  t.strictSame(ask(executor, requestOf(range)).answers.map(({ id }) => id), ids)
  t.equal(reads().ranges, 10)
  t.strictSame(listed(pagesOf(executor, { kind: QUERY_LIST, ...range, limit: 3 })), ids)
  t.equal(ask(executor, requestOf({ kind: QUERY_LIST, fromHlc: range.fromHlc!, limit: 5 })).listed[0], toHex(assertionIdOf(all[499]!)), 'an open end begins with the newest')
  reads()
  t.strictSame(ask(executor, requestOf({ kind: QUERY_LIST, fromHlc: stampOf(log, all[499]!) + 1n })).listed, [], 'a range of the future')
  t.equal(reads().claims, 0)
  t.strictSame(ask(executor, requestOf({ kind: QUERY_LIST, untilHlc: 5n })).listed, [], 'a range before all')
  t.equal(reads().claims, 0)
})

t.test('an empty prefix asks for the order of the index', async (t) => {
  const log = new TestLog()
  for (const subject of ['b', 'a', 'c']) log.append([claimOf(subject, 0)])
  const executor = executorOver(log)
  const subjects = (query: Ask): string[] => ask(executor, requestOf(query)).answers.map(({ subject }) => subject)
  t.strictSame(subjects({ agent: AGENTS[0]! }), ['c', 'a', 'b'])
  t.strictSame(subjects({ agent: AGENTS[0]!, subject: '', prefix: true }), ['a', 'b', 'c'])
})

t.test('refused assertions of a batch have no LSN, and shift nobody else\'s', async (t) => {
  const log = new TestLog()
  const batch = Array.from({ length: 20 }, (_, i) => claimOf(`s/${i}`, i % 2))
  const refused = [0, 3, 4, 11, 19]
  log.append(batch, 'not', refused)
  const wanted = (agent?: number): string[] => batch.filter((_, i) => !refused.includes(i) && (agent === undefined || i % 2 === agent))
    .map((one) => toHex(assertionIdOf(one))).reverse()
  const executor = executorOver(log)
  for (const agent of [0, 1]) t.strictSame(listed(pagesOf(executor, { kind: QUERY_LIST, agent: AGENTS[agent]!, limit: 4 })), wanted(agent))
  t.strictSame(listed(pagesOf(executor, { kind: QUERY_LIST, fromHlc: 1n, limit: 7 })), wanted())
})

t.test('a pair is answered once, where its newest candidate stands, on whatever page', async (t) => {
  const log = new TestLog()
  const said = ['x', 'y', 'x', 'z', 'y', 'x'].map((subject) => claimOf(subject, 0))
  for (const one of said) log.append([one])
  // The newest of z is taken back, the one of x by another agent is no candidate.
  const again = claimOf('z', 0)
  log.append([again])
  log.append([claimOf('z', 0, { lifecycle: 'retracted', parent: assertionIdOf(again) })])
  log.append([claimOf('x', 1)])
  const executor = executorOver(log)
  const whole = answered([ask(executor, requestOf({ agent: AGENTS[0]! }))])
  t.strictSame(whole.map((text) => text.replace(/ [0-9a-f]{8} /, ' ')), ['x dose 3', 'y dose 2', 'z dose 1'])
  for (const limit of [1, 2, 3]) t.strictSame(answered(pagesOf(executor, { agent: AGENTS[0]!, limit })), whole, `pages of ${limit}`)
  const explained = pagesOf(executor, { agent: AGENTS[0]!, lifecycles: 0b100, explain: true, limit: 1 })
  t.strictSame(answered(explained), [], 'nothing was ever under review')
})

const step = fc.record({ subject: fc.constantFrom(...SUBJECTS), agent: fc.integer({ min: 0, max: 2 }), count: fc.integer({ min: 1, max: 4 }), refuses: fc.boolean() })
const history = fc.array(step, { minLength: 1, maxLength: 14 })

t.test('pages are the whole, whatever their size and whatever is written meanwhile', async () => {
  fc.assert(fc.property(history, history, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 1, max: 4 }), (before, meanwhile, agent, limit) => {
    const log = new TestLog()
    const append = ({ subject, agent: by, count, refuses }: typeof before[number]): void => {
      const claims = Array.from({ length: count }, () => claimOf(subject, by))
      log.append(claims, 'not', refuses && count > 1 ? [made % count] : [])
    }
    for (const one of before) append(one)
    const executor = executorOver(log)
    const query: Ask = agent === 3 ? { fromHlc: 1n } : { agent: AGENTS[agent]! }
    const rest = [...meanwhile]
    const write = (): void => {
      const one = rest.shift()
      if (one !== undefined) append(one)
    }
    const whole = answered([ask(executor, requestOf({ ...query, limit: 1000 }))])
    if (answered(pagesOf(executor, { ...query, limit }, write)).join() !== whole.join()) throw new Error('answers')
    const list = listed([ask(executor, requestOf({ ...query, kind: QUERY_LIST, limit: 1000 }))])
    if (listed(pagesOf(executor, { ...query, kind: QUERY_LIST, limit }, write)).join() !== list.join()) throw new Error('a list')
    const inIndexOrder = listed([ask(executor, requestOf({ ...query, kind: QUERY_LIST, limit: 1000, subject: '', prefix: true }))])
    const listNow = listed([ask(executor, requestOf({ ...query, kind: QUERY_LIST, limit: 1000 }))])
    if ([...inIndexOrder].sort().join() !== [...listNow].sort().join()) throw new Error('the two orders have not the same')
  }), { numRuns: 80 })
})

t.test('work is bounded: a page ends where so many claims were read, and goes on there', async (t) => {
  const log = new TestLog()
  const batch = 2000
  const first = claimOf('needle', 0, { confidence: 1 })
  log.append([first])
  for (let n = 0; n < (CLAIMS_READ_MAX + batch) / batch; n++) log.append(Array.from({ length: batch }, () => claimOf('hay', 0)))
  const { executor, reads } = counted(log)
  for (const query of [{ kind: QUERY_LIST, agent: AGENTS[0]!, confidenceMin: 0.9 }, { agent: AGENTS[0]!, confidenceMin: 0.9 }, { kind: QUERY_LIST, fromHlc: 1n, confidenceMin: 0.9 }] satisfies Ask[]) {
    const page = ask(executor, requestOf(query))
    t.match(page, { refused: '', truncated: true, listed: [], answers: [] })
    t.equal(reads().claims, CLAIMS_READ_MAX)
    const next = ask(executor, requestOf({ ...query, cursor: page.cursor! }))
    t.equal(next.truncated, false)
    t.strictSame([...next.listed, ...next.answers.map(({ id }) => id)], [toHex(assertionIdOf(first))])
    reads()
  }
})

t.test('a cursor of one order is none of the other, and a forged one is no danger', async (t) => {
  const log = new TestLog()
  for (let i = 0; i < 5; i++) log.append([claimOf(`s/${i}`, 0)])
  const executor = executorOver(log)
  const query: Ask = { agent: AGENTS[0]!, limit: 2 }
  const { cursor } = ask(executor, requestOf(query))
  const fingerprint = new DataView(cursor!.buffer, cursor!.byteOffset).getBigUint64(8, true)
  t.match(decodePageCursor(cursor!, fingerprint).position, { belowLsn: 4 })
  t.match(ask(executor, requestOf({ ...query, subject: '', prefix: true, cursor: cursor! })), { refused: 'parameter_invalid', detail: /cursor/ })
  t.match(ask(executor, requestOf({ ...query, agent: AGENTS[1]!, cursor: cursor! })), { refused: 'parameter_invalid', detail: /cursor/ })
  const forge = (position: Parameters<typeof encodePageCursor>[0]['position'], asOf = 2n ** 64n - 1n): Uint8Array => encodePageCursor({ fingerprint, asOf, nowMs: 0, position })
  const utf8 = new TextEncoder()
  t.match(ask(executor, requestOf({ ...query, cursor: forge({ subject: utf8.encode('s'), predicate: utf8.encode('p') }) })), { refused: 'parameter_invalid', detail: /cursor/ })
  t.match(ask(executor, requestOf({ ...query, cursor: forge({ belowLsn: Number.MAX_SAFE_INTEGER }) })), { refused: '', answers: { length: 2 } })
  t.match(ask(executor, requestOf({ ...query, cursor: forge({ belowLsn: 0 }) })), { refused: '', answers: [] })
  t.match(ask(executor, requestOf({ ...query, cursor: forge({ belowLsn: 3 }, 0n) })), { refused: '', answers: [] })
  for (let bit = 0; bit < cursor!.length * 8; bit++) {
    const damaged = cursor!.slice()
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    const { refused } = ask(executor, requestOf({ ...query, cursor: damaged }))
    if (refused !== 'parameter_invalid') t.fail(`bit ${bit}: ${refused}`)
  }
})

t.test('a damaged log is refused, not served, and nothing is thrown but that', async (t) => {
  const log = new TestLog()
  log.append([claimOf('a', 0), claimOf('b', 0)], 'not', [0])
  log.append([claimOf('a', 0), claimOf('b', 1), claimOf('c', 0)])
  const end = log.segment.findLastIndex((byte) => byte !== 0) + 1
  const placesOf = (range: LatestRange): string => {
    const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1 })
    const cursor = source.latest(range)
    const places: string[] = []
    for (let place = cursor.next(); place !== undefined; place = cursor.next()) places.push(`${place.lsn} ${place.recordOffset} ${place.index} ${place.hlc}`)
    return places.join()
  }
  for (const range of [{ agent: undefined, lastHlc: undefined }, { agent: AGENTS[0]!, lastHlc: undefined }]) {
    const sound = placesOf(range)
    const seen = { same: 0, refused: 0 }
    for (let bit = 512 * 8; bit < end * 8; bit++) {
      log.segment[bit >> 3]! ^= 1 << (bit & 7)
      try {
        if (placesOf(range) === sound) seen.same++
        else t.fail(`bit ${bit}: other places`)
      } catch (error) {
        if (!isDbError(error) || error.code !== 'wal_corrupt') throw error
        seen.refused++
      }
      log.segment[bit >> 3]! ^= 1 << (bit & 7)
    }
    t.ok(seen.same > 0 && seen.refused > 512, JSON.stringify(seen))
  }
})

t.test('the log goes on behind marks, padding and the end of a segment', async (t) => {
  const segments = new Map([3, 4, 5].map((id) => [id, new Uint8Array(4096)]))
  const put = (segmentId: number, offset: number, kind: number, lsnFirst: number, count: number, padBytes = 0): void => {
    const bytes = segments.get(segmentId)!.subarray(offset, offset + RECORD_HEADER_BYTES)
    const header = { ...emptyRecordHeader(), kind, lsnFirst, count, padBytes, payloadBytes: kind === RECORD_KIND.batch ? 100 : 0, hlcFirst: BigInt(lsnFirst), tagLo: segmentId }
    encodeRecordHeader(header, bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length))
  }
  const { batch, mark, seal } = RECORD_KIND
  put(3, 512, batch, 1, 2, 344)
  put(3, 1024, mark, 3, 0, 448)
  put(3, 1536, batch, 3, 5)
  put(4, 512, batch, 8, 1, 344)
  put(4, 1024, seal, 9, 0, 448)
  // The file of segment 4 ends behind its seal.
  segments.set(4, segments.get(4)!.slice(0, 1536))
  put(5, 512, batch, 9, 3)
  const readRange: ReadRange = (segmentId, offset, length, out) => {
    const bytes = segments.get(segmentId)
    if (bytes === undefined || offset + length > bytes.length) throw new DbError('wal_corrupt', 'nothing is there')
    out.set(bytes.subarray(offset, offset + length))
  }
  const records = new LogRecords(readRange)
  const found = (lsnEnd: number): unknown[] => records.upTo({ segmentId: 3, offset: 512 }, lsnEnd).map(({ segmentId, offset, lsnFirst, count }) => [segmentId, offset, lsnFirst, count])
  t.strictSame(found(3), [[3, 512, 1, 2]])
  t.strictSame(found(4), [[3, 512, 1, 2], [3, 1536, 3, 5]])
  t.strictSame(found(12), [[3, 512, 1, 2], [3, 1536, 3, 5], [4, 512, 8, 1], [5, 512, 9, 3]])
  t.throws(() => found(13), { code: 'wal_corrupt' }, 'an LSN that the log has not')
  put(5, 512, batch, 10, 3)
  t.throws(() => found(12), { code: 'wal_corrupt' }, 'an LSN is missing')
  t.throws(() => records.at({ segmentId: 3, offset: 1024 }), { code: 'wal_corrupt' }, 'a mark is no batch')
})
