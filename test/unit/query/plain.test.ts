import fc from 'fast-check'
import t from 'tap'
import { hlcOf } from '../../../src/base/hlc.ts'
import { LENSES } from '../../../src/lens/registry.ts'
import type { CandidateSource } from '../../../src/query/candidate-source.ts'
import { ClaimCache } from '../../../src/query/claim-cache.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { CANDIDATES_MAX } from '../../../src/query/pair-bounds.ts'
import { StoreSource, type StoreSourceDependencies } from '../../../src/query/store-source.ts'
import { PairLsns } from '../../../src/store/pair-lsns.ts'
import { LIFECYCLES, type Assertion } from '../../../src/record/assertion.ts'
import { initHash } from '../../../src/record/claim.ts'
import { ask, executorOver, requestOf, type Ask } from './ask.ts'
import { claim, NOW_MS, TestLog } from './test-log.ts'

await initHash()

const sourceOf = (log: TestLog, keep: Pick<StoreSourceDependencies, 'keep'> = {}): StoreSource =>
  new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1, ...keep })

/** Without the short way, which needs `pair`. */
const generalOf = (source: CandidateSource): CandidateSource =>
  ({ appliedLsn: () => source.appliedLsn(), appliedHlc: () => source.appliedHlc?.(), byId: (id) => source.byId(id), entries: (range) => source.entries(range), latest: (range) => source.latest(range) })

/** Counts who takes the long way. */
function countedOf(source: StoreSource): { source: CandidateSource, general: () => number } {
  let general = 0
  const counted: CandidateSource = {
    ...generalOf(source), pair: (key, length) => source.pair(key, length),
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
  subject: fc.constantFrom(...SUBJECTS, ...SUBJECTS, 'nobody', '', 'a\0p'), predicate: fc.constantFrom(...PREDICATES, ...PREDICATES, 'q', ''),
  lens: fc.constantFrom(...LENSES.map(({ name }) => name), 'authority,recency', 'recency', 'recency', 'nothing', 'récency'),
  limit: fc.constantFrom(0, 0, 0, 0, 1, 1000, 1001), minLsn: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, 1e6),
}).chain((plain) => fc.constantFrom<Ask>(plain, plain, plain, plain, plain, plain, plain, plain, { ...plain, explain: true }, { ...plain, tiers: 6 }, { ...plain, tolerance: 0.5 }, { ...plain, aliases: true },
  { ...plain, leaveOut: 1 }, { ...plain, leaveOut: 2 }, { ...plain, leaveOut: 3 }, { ...plain, leaveOut: 4 }))

const anyAsks = fc.array(anyAsk, { minLength: 4, maxLength: 6 })

const shown = (_: string, value: unknown): unknown => typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value

t.test('the short way answers what the long way does, whatever is stored and asked', async (t) => {
  let short = 0
  let asked = 0
  let kept = 0
  fc.assert(fc.property(fc.array(fc.tuple(anyBatch, anyAsks), { maxLength: 6 }), anyAsks, fc.constantFrom(4000, 20_000, 1e6), (steps, first, bytesMax) => {
    const log = new TestLog()
    const pairLsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
    log.onWritten = (keys, lsn) => pairLsns.written(keys, lsn)
    const counted = countedOf(sourceOf(log))
    const keeping = sourceOf(log, { keep: { pairLsns, startLsn: 0, bytesMax } })
    const lensSettings = { halfLifeDays: [Infinity, 730, 365, 180, 90, 30], escalationCount: 2 }
    const cached = new ClaimCache(new LogAssertionReader(log.readRange), bytesMax)
    const shortWay = executorOver(log, { source: counted.source, lensSettings })
    const keepsAll = executorOver(log, { source: keeping, reader: cached, lensSettings })
    const longWay = executorOver(log, { source: generalOf(sourceOf(log)), lensSettings })
    const compare = (one: Ask): void => {
      const request = requestOf(one)
      const before = counted.general()
      const answer = JSON.stringify(ask(shortWay, request), shown)
      if (counted.general() === before) short++
      asked++
      const want = JSON.stringify(ask(longWay, request), shown)
      if (answer !== want) throw new Error(`${JSON.stringify(one)}: ${answer}, not ${want}`)
      if (JSON.stringify(ask(keepsAll, request), shown) !== want) throw new Error(`${JSON.stringify(one)}: another answer where pairs and claims are kept and runs left alone`)
    }
    const compareTwice = (asks: Ask[]): void => { [...asks, ...asks].forEach(compare) }
    compareTwice(first)
    let last: Uint8Array | undefined
    for (const [{ claims, isSigned, isOld, hasParent }, asks] of steps) {
      log.nextHlc = isOld ? hlcOf(NOW_MS) : undefined
      const made: Assertion[] = claims.map(({ note, ...rest }) => claim({ ...rest, ...note !== undefined && { note } }))
      if (hasParent && last !== undefined) made[0] = { ...made[0]!, parent: last }
      last = log.append(made, isSigned ? 'batch' : 'not')[0]
      compareTwice(asks)
    }
    kept += keeping.takeLookups().pairs.kept
  }), { numRuns: 150, includeErrorInReport: true })
  t.ok(short / asked > 0.4, `${short} of ${asked} took the short way`)
  t.ok(kept / asked > 0.08, `${kept} of ${asked} were answered from pairs that were kept`)
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

t.test('kept pairs: read again when something of them was written, and as long as there is room only', async (t) => {
  const log = new TestLog()
  const pairLsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
  log.onWritten = (keys, lsn) => pairLsns.written(keys, lsn)
  const subject = (n: number): string => `s/${n}`
  for (let n = 0; n < 100; n++) log.append(Array.from({ length: 5 }, (_, i) => claim({ subject: subject(n), object: { kind: 'number', value: i } })))
  const asked = (source: StoreSource, lens: string, subjects: readonly number[]): { kept: number, read: number } => {
    const executor = executorOver(log, { source })
    for (const n of subjects) t.equal(ask(executor, requestOf({ subject: subject(n), predicate: 'dose', lens })).answers.length, 1)
    return source.takeLookups().pairs
  }
  const all = Array.from({ length: 100 }, (_, n) => n)
  const roomy = sourceOf(log, { keep: { pairLsns, startLsn: 0, bytesMax: 1e7 } })
  t.same(asked(roomy, 'recency', all), { kept: 0, read: 100 })
  t.same(asked(roomy, 'consensus', all), { kept: 100, read: 0 }, 'for every lens')
  log.append([claim({ subject: subject(7) }), claim({ subject: subject(9), predicate: 'another' })])
  t.same(asked(roomy, 'consensus', all), { kept: 99, read: 1 })
  // A pair with its five claims takes about 8 KB, with its winner alone about 3 KB; half of the room is for what is new.
  const small = sourceOf(log, { keep: { pairLsns, startLsn: 0, bytesMax: 100_000 } })
  asked(small, 'consensus', all)
  const { kept } = asked(small, 'consensus', all.toReversed())
  t.ok(kept >= 5 && kept <= 14, `${kept} pairs fit`)
  asked(small, 'recency', all)
  t.ok(asked(small, 'recency', all.toReversed()).kept > 1.5 * kept, 'without claims that nobody asked for')
  const none = sourceOf(log, { keep: { pairLsns, startLsn: 0, bytesMax: 0 } })
  asked(none, 'recency', all)
  t.same(asked(none, 'recency', all), { kept: 0, read: 100 })
})

t.test('the LSN of a pair: never below its last entry, whatever the low 32 bits', (t) => {
  const lsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
  const pair = Uint8Array.of(97, 0, 98, 0)
  const lastLsn = (key: Uint8Array, durable: number): number => lsns.lastLsn(lsns.value(lsns.indexOf(lsns.hashOf(key, key.length))), 7, () => durable)
  const keys = { count: 1, bytes: new Uint8Array(20), keyStarts: Uint32Array.of(0), keyEnds: Uint32Array.of(20) }
  keys.bytes.set(pair)
  t.equal(lastLsn(pair, 100), 7, 'nothing since the start')
  for (const lsn of [8, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 40 + 2 ** 31]) {
    lsns.written(keys, lsn)
    for (const later of [0, 1, 2 ** 31, 2 ** 32 - 1]) t.equal(lastLsn(pair, lsn + later), lsn)
    t.equal(lastLsn(pair, lsn + 2 ** 32), lsn + 2 ** 32, 'long ago: taken to be newer')
  }
  for (const lsn of [2 ** 32, 2 ** 33]) {
    lsns.written(keys, lsn)
    t.ok(lastLsn(pair, lsn + 10) >= lsn, 'low bits that are zero')
  }
  t.equal(lastLsn(Uint8Array.of(98, 0, 98, 0), 2 ** 34), 7, 'another pair')
  t.end()
})
