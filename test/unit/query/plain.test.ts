import fc from 'fast-check'
import t from 'tap'
import { hlcOf } from '../../../src/base/hlc.ts'
import { LENSES } from '../../../src/lens/registry.ts'
import type { CandidateSource } from '../../../src/query/candidate-source.ts'
import { ClaimCache } from '../../../src/query/claim-cache.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { CANDIDATES_MAX } from '../../../src/query/pairs.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import type { EntryReaderOptions } from '../../../src/store/entry-reader.ts'
import { PairLsns } from '../../../src/store/pair-lsns.ts'
import { LIFECYCLES, type Assertion } from '../../../src/record/assertion.ts'
import { initHash } from '../../../src/record/claim.ts'
import { ask, executorOver, requestOf, type Ask } from './ask.ts'
import { claim, NOW_MS, TestLog } from './test-log.ts'

await initHash()

const sourceOf = (log: TestLog, index: EntryReaderOptions = {}): StoreSource =>
  new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1, index })

/** Without the short way, which needs `pair`. */
const generalOf = (source: CandidateSource): CandidateSource =>
  ({ appliedLsn: () => source.appliedLsn(), appliedHlc: () => source.appliedHlc?.(), byId: (id) => source.byId(id), entries: (range) => source.entries(range), latest: (range) => source.latest(range) })

/** Counts who takes the long way. */
function countedOf(source: StoreSource): { source: CandidateSource, general: () => number } {
  let general = 0
  const counted: CandidateSource = {
    ...generalOf(source), pair: (prefix, out) => source.pair(prefix, out),
    entries: (range) => {
      general++
      return source.entries(range)
    },
  }
  return { source: counted, general: () => general }
}

const SUBJECTS = ['a', 'a/b', 'ab', 'a/bä', 'b']
const PREDICATES = ['p', 'pp', 'ä']

const anyClaim = fc.record({
  subject: fc.constantFrom(...SUBJECTS), predicate: fc.constantFrom(...PREDICATES),
  object: fc.oneof(
    fc.integer({ min: 0, max: 3 }).map((value) => ({ kind: 'number' as const, value })),
    fc.constantFrom('1 mg', '1000 ug', 'none').map((value) => ({ kind: 'text' as const, value })),
    fc.boolean().map((value) => ({ kind: 'boolean' as const, value })),
  ),
  confidence: fc.integer({ min: 0, max: 4 }).map((n) => n / 4), sourceClass: fc.constantFrom(0, 1, 2, 3, 4, 5),
  lifecycle: fc.constantFrom('proposed', 'proposed', 'proposed', 'approved', ...LIFECYCLES), assertedAtMs: fc.integer({ min: NOW_MS - 4e10, max: NOW_MS }),
  note: fc.option(fc.constantFrom('x', 'yä'), { nil: undefined }), sourceHash: fc.integer({ min: 0, max: 2 }).map((n) => new Uint8Array(32).fill(n)),
})

const anyBatch = fc.record({
  claims: fc.array(anyClaim, { minLength: 1, maxLength: 8 }), isSigned: fc.boolean(),
  /** Stamps that another batch has too. */
  isOld: fc.boolean(), hasParent: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
})

const anyAsk: fc.Arbitrary<Ask> = fc.record({
  subject: fc.constantFrom(...SUBJECTS, 'nobody', '', 'a\0p'), predicate: fc.constantFrom(...PREDICATES, 'q', ''),
  lens: fc.constantFrom(...LENSES.map(({ name }) => name), 'authority,recency', 'recency', 'recency', 'nothing', 'récency'),
  limit: fc.constantFrom(0, 1, 1000, 1001), minLsn: fc.constantFrom(0, 0, 0, 1, 1e6),
}).chain((plain) => fc.constantFrom<Ask>(plain, plain, plain, plain, { ...plain, explain: true }, { ...plain, tiers: 6 }, { ...plain, tolerance: 0.5 }, { ...plain, aliases: true }))

const shown = (_: string, value: unknown): unknown => typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value

t.test('the short way answers what the long way does, whatever is stored and asked', async (t) => {
  let short = 0
  let asked = 0
  fc.assert(fc.property(fc.array(anyBatch, { maxLength: 6 }), fc.array(anyAsk, { minLength: 20, maxLength: 20 }), (batches, asks) => {
    const log = new TestLog()
    const pairLsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
    log.onWritten = (keys, lsn) => pairLsns.written(keys, lsn)
    let last: Uint8Array | undefined
    for (const { claims, isSigned, isOld, hasParent } of batches) {
      log.nextHlc = isOld ? hlcOf(NOW_MS) : undefined
      const made: Assertion[] = claims.map(({ note, ...rest }) => claim({ ...rest, ...note !== undefined && { note } }))
      if (hasParent && last !== undefined) made[0] = { ...made[0]!, parent: last }
      last = log.append(made, isSigned ? 'batch' : 'not')[0]
    }
    const counted = countedOf(sourceOf(log))
    const leavesRunsAlone = sourceOf(log, { lastLsn: (pair) => pairLsns.lastLsn(pair, 0, () => log.nextLsn - 1) })
    const lensSettings = { halfLifeDays: [Infinity, 730, 365, 180, 90, 30], escalationCount: 2 }
    const cached = new ClaimCache(new LogAssertionReader(log.readRange), 20_000)
    const shortWay = executorOver(log, { source: counted.source, lensSettings })
    const keepsClaims = executorOver(log, { source: leavesRunsAlone, reader: cached, lensSettings })
    const longWay = executorOver(log, { source: generalOf(sourceOf(log)), lensSettings })
    for (const one of asks) {
      const request = requestOf(one)
      const before = counted.general()
      const answer = JSON.stringify(ask(shortWay, request), shown)
      if (counted.general() === before) short++
      asked++
      const want = JSON.stringify(ask(longWay, request), shown)
      if (answer !== want) throw new Error(`${JSON.stringify(one)}: ${answer}, not ${want}`)
      if (JSON.stringify(ask(keepsClaims, request), shown) !== want) throw new Error(`${JSON.stringify(one)}: another answer where claims are kept and runs left alone`)
    }
  }), { numRuns: 150, includeErrorInReport: true })
  t.ok(short / asked > 0.4, `${short} of ${asked} took the short way`)
})

t.test('more candidates than a lens is given: the long way cuts them', async (t) => {
  const log = new TestLog()
  for (let n = 0; n < 5; n++) log.append(Array.from({ length: 250 }, (_, i) => claim({ object: { kind: 'number', value: n * 250 + i } })))
  const counted = countedOf(sourceOf(log))
  const executor = executorOver(log, { source: counted.source })
  t.match(ask(executor, requestOf({ subject: 'drug/aspirin', predicate: 'dose' })), { answers: [{ candidates: CANDIDATES_MAX, winner: { object: { value: 1249 } } }] })
  t.equal(counted.general(), 1)
})

t.test('kept claims: read once as long as there is room, and given to nobody who names another place or checksum', async (t) => {
  const log = new TestLog()
  const ids = log.append(Array.from({ length: 50 }, (_, i) => claim({ object: { kind: 'number', value: i } })))
  const places = ids.map((id) => log.find(id, 0)!)
  let reads = 0
  const inner = new LogAssertionReader(log.readRange)
  const cache = new ClaimCache({
    read: (place) => {
      reads++
      return inner.read(place)
    },
  }, 1e6)
  for (let round = 0; round < 3; round++) for (const [i, place] of places.entries()) t.same(cache.read(place).id, ids[i])
  t.equal(reads, 50)
  t.same(cache.read({ ...places[1]!, lsn: places[0]!.lsn }).id, ids[1], 'of two places with one LSN each is read')
  const idPrefix = ids[3]!.subarray(0, 8)
  const { assertionSum } = cache.read(places[3]!)
  t.same(cache.read({ ...places[3]!, idPrefix, assertionSum }).id, ids[3])
  t.throws(() => cache.read({ ...places[3]!, idPrefix, assertionSum: assertionSum + 1 }), { code: 'store_corrupt' }, 'another checksum')
  t.throws(() => cache.read({ ...places[2]!, lsn: 1000, idPrefix, assertionSum: cache.read(places[2]!).assertionSum }), { code: 'store_corrupt' }, 'another id')
  reads = 0
  const small = new ClaimCache({
    read: (place) => {
      reads++
      return inner.read(place)
    },
  }, 10_000)
  for (let round = 0; round < 2; round++) for (const place of places) small.read(place)
  t.equal(reads, 100, 'there was room for a few only')
  reads = 0
  for (let round = 0; round < 5; round++) small.read(places[49]!)
  t.equal(reads, 0, 'the last one is there')
})

t.test('the LSN of a pair: never below its last entry, whatever the low 32 bits', (t) => {
  const lsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
  const pair = Uint8Array.of(97, 0, 98, 0)
  const keys = { count: 1, bytes: new Uint8Array(20), keyStarts: Uint32Array.of(0), keyEnds: Uint32Array.of(20) }
  keys.bytes.set(pair)
  t.equal(lsns.lastLsn(pair, 7, () => 100), 7, 'nothing since the start')
  for (const lsn of [8, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 40 + 2 ** 31]) {
    lsns.written(keys, lsn)
    for (const later of [0, 1, 2 ** 31, 2 ** 32 - 1]) t.equal(lsns.lastLsn(pair, 7, () => lsn + later), lsn)
    t.equal(lsns.lastLsn(pair, 7, () => lsn + 2 ** 32), lsn + 2 ** 32, 'long ago: taken to be newer')
  }
  for (const lsn of [2 ** 32, 2 ** 33]) {
    lsns.written(keys, lsn)
    t.ok(lsns.lastLsn(pair, 7, () => lsn + 10) >= lsn, 'low bits that are zero')
  }
  t.equal(lsns.lastLsn(Uint8Array.of(98, 0, 98, 0), 7, () => 2 ** 34), 7, 'another pair')
  t.end()
})
