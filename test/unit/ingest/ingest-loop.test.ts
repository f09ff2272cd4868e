import fc from 'fast-check'
import t from 'tap'
import { bytesEqual, toHex } from '../../../src/base/bytes.ts'
import { must } from '../../../src/base/assert.ts'
import { hlcOf } from '../../../src/base/hlc.ts'
import type { WalPosition } from '../../../src/base/lsn.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { LIFECYCLES } from '../../../src/record/assertion.ts'
import { initHash } from '../../../src/record/claim.ts'
import {
  agentRange, decodeAgentEntry, decodeLogHlcEntry, decodeLogPoint, decodeSpKey, decodeSpValue, logPointAtHlc, logPointAtLsn,
  spRange,
} from '../../../src/store/keyspace.codec.ts'
import type { FoundEntry } from '../../../src/store/entry-cursor.ts'
import { EntryReader } from '../../../src/store/entry-reader.ts'
import { META_APPLIED_KEY, STORE_FORMAT, STORE_FORMAT_OLDEST } from '../../../src/store/keyspace.layout.ts'
import { decodeApplied, openStoreMeta, raiseFormat } from '../../../src/store/store-meta.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import type { RangeBounds, Store } from '../../../src/store/store.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { FullStore } from '../store/full-store.ts'
import { LogBuilder, agentOf, seededSecrets, type Written } from './log-builder.ts'
import { NodeStore, dump, contentOf } from './node-store.ts'

await initHash()

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const newLog = (options?: ConstructorParameters<typeof LogBuilder>[2]): LogBuilder =>
  new LogBuilder(new MemoryDisk(), '/data/wal', options)

function rowsOf(store: Store, column: 'agent' | 'log', bounds: object): [Uint8Array, Uint8Array][] {
  const range = store.range(column, bounds)
  const rows = range.next(100_000)
  range.close()
  return Array.from({ length: rows.length / 2 }, (_, i) => [rows[2 * i]!, rows[2 * i + 1]!])
}

/** Entries of column `sp`, in order. */
function entriesOf(store: Store, bounds: RangeBounds = {}): FoundEntry[] {
  const cursor = new EntryReader(store).entries(bounds)
  const found: FoundEntry[] = []
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) found.push(entry)
  return found
}

/** Each assertion once in sp, in agent, reachable through log; and nothing else. */
function checkIndexes(store: Store, log: LogBuilder): void {
  const byLsn = new Map(log.written.filter((w) => w.lsn <= log.lastLsn).map((w) => [w.lsn, w]))
  const entries = entriesOf(store)
  const seen = new Set<number>()
  const file = log.reader()
  const reader = new LogAssertionReader((segmentId, offset, length, out) => file.readRange(segmentId, offset, length, out))
  for (const { key, value } of entries) {
    const place = decodeSpValue(value)
    const { subject, predicate, hlc, idPrefix } = decodeSpKey(key)
    const want = must(byLsn.get(place.lsn))
    const { id, bytes } = reader.read({ ...place, hlc, idPrefix })
    const ok = bytesEqual(subject, utf8(want.assertion.subject)) && bytesEqual(predicate, utf8(want.assertion.predicate)) &&
      hlc === want.hlc && bytesEqual(idPrefix, want.id.subarray(0, 8)) && bytesEqual(id, want.id) &&
      place.index === want.index && place.recordOffset === want.recordOffset &&
      place.sourceClass === want.assertion.sourceClass && LIFECYCLES[place.lifecycle - 1] === want.assertion.lifecycle &&
      place.objectKind === 1 && decodeAssertion(bytes).assertedAtMs === want.assertion.assertedAtMs
    if (!ok) throw new Error(`sp entry of LSN ${place.lsn}`)
    seen.add(place.lsn)
  }
  if (seen.size !== byLsn.size || entries.length !== byLsn.size) throw new Error(`${entries.length} sp entries for ${byLsn.size}`)
  let ofAgents = 0
  for (const [key, value] of rowsOf(store, 'agent', {})) {
    for (const range of decodeAgentEntry(key, value)) {
      for (let lsn = range.lsnFirst; lsn < range.lsnFirst + range.count; lsn++, ofAgents++) {
        const want = must(byLsn.get(lsn))
        if (!bytesEqual(want.assertion.agent, key.subarray(0, 32)) || want.recordOffset !== range.recordOffset ||
          want.segmentId !== range.segmentId) throw new Error(`agent entry of LSN ${lsn}`)
      }
    }
  }
  if (ofAgents !== byLsn.size) throw new Error(`${ofAgents} LSNs of agents for ${byLsn.size}`)
  file.close()
}

t.test('every assertion is in each index, with its place', async (t) => {
  const log = newLog()
  log.append(10, (index) => index % 3 === 1)
  log.append(1)
  log.append(40, undefined, agentOf(77))
  log.commit()
  log.mark()
  const node = new NodeStore(new MemoryStore(), log)
  t.equal(node.appliedLsn, log.lastLsn)
  t.same(node.appliedPosition, log.durablePosition, 'no lag after a mark either')
  checkIndexes(node.store, log)
  node.checkIds()
  t.equal(node.loop.step(), 0, 'idle')
  const applied = decodeApplied(node.store.get('meta', META_APPLIED_KEY)!)
  t.match(applied, { lsn: log.lastLsn, hlc: log.written.at(-1)!.hlc, assertions: log.written.length, records: 3 })
  t.equal(dump(node.store, 'agent').filter((line) => line.startsWith(toHex(agentOf(77)))).length, 1, 'one entry an agent and batch')
})

t.test('by subject and predicate, newest first, by prefix, as of a time', async (t) => {
  const log = newLog()
  for (let n = 0; n < 30; n++) log.append(10)
  log.commit()
  const { store } = new NodeStore(new MemoryStore(), log)
  const lsns = (bounds: object): number[] => entriesOf(store, bounds).map(({ value }) => decodeSpValue(value).lsn)
  const want = (match: (w: Written) => boolean): number[] => log.written.filter(match).map((w) => w.lsn).reverse()
  const subject = 'debian/package-1'
  t.same(lsns(spRange(utf8(subject), utf8('v'))), want((w) => w.assertion.subject === subject && w.assertion.predicate === 'v'))
  const middle = log.written[150]!
  t.same(lsns(spRange(utf8(middle.assertion.subject), utf8(middle.assertion.predicate), { asOf: middle.hlc })),
    want((w) => w.assertion.subject === middle.assertion.subject && w.assertion.predicate === middle.assertion.predicate && w.hlc <= middle.hlc))
  t.same(new Set(lsns(spRange(utf8(subject)))), new Set(want((w) => w.assertion.subject === subject)),
    'not package-10, though it begins like it')
  t.same(new Set(lsns(spRange(utf8(subject), undefined, { subjectIsPrefix: true }))),
    new Set(want((w) => w.assertion.subject.startsWith(subject))))
  const agent = agentOf(2)
  t.same(rowsOf(store, 'agent', agentRange(agent)).flatMap(([key, value]) => decodeAgentEntry(key, value))
    .flatMap((range) => Array.from({ length: range.count }, (_, i) => range.lsnFirst + i)),
  want((w) => bytesEqual(w.assertion.agent, agent)).reverse(), 'by agent, ascending')
})

t.test('by LSN and by time: the point before it, from which the log is walked', async (t) => {
  const log = newLog({ segmentBytes: 2 ** 15 })
  const node = new NodeStore(new MemoryStore(), log)
  for (let n = 0; n < 60; n++) {
    log.append(1 + n % 9)
    node.commit()
    node.settle()
  }
  t.ok(log.durablePosition.segmentId > 1, 'over several segments')
  const reader = log.reader()
  for (const want of log.written) {
    const [key, value] = must(rowsOf(node.store, 'log', logPointAtLsn(want.lsn))[0])
    const point = decodeLogPoint(key, value)
    const timed = must(rowsOf(node.store, 'log', logPointAtHlc(want.hlc))[0])
    t.same(decodeLogHlcEntry(...timed), { hlc: point.hlcFirst, lsn: point.lsnFirst })
    if (want.lsn < point.lsnFirst || want.lsn >= point.lsnFirst + point.count) t.fail(`LSN ${want.lsn} is not behind its point`)
    reader.seek(point.position)
    while (reader.next(log.durablePosition) && reader.header.lsnFirst + reader.header.count <= want.lsn) { /* walk */ }
    if (reader.offset !== want.recordOffset || reader.segmentId !== want.segmentId) t.fail(`LSN ${want.lsn} is elsewhere`)
  }
  t.same(rowsOf(node.store, 'log', logPointAtLsn(0)), [])
  t.equal(rowsOf(node.store, 'log', logPointAtHlc(2n ** 64n - 1n)).length, 60)
})

t.test('HLCs that carry into their upper half within a record', async (t) => {
  const log = newLog({ hlcFirst: hlcOf(1_700_000_000_000) | 0xffff_fff0n })
  log.append(60)
  log.commit()
  const node = new NodeStore(new MemoryStore(), log)
  t.ok(log.written.some((w) => (w.hlc & 0xffff_ffffn) === 0n))
  checkIndexes(node.store, log)
})

t.test('any mixture of commits, steps, starts and failed writes ends in the same content', async (t) => {
  const operation = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 30 }), refuse: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('step' as const), times: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('start' as const), recentIdsMax: fc.integer({ min: 30, max: 60 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('mark' as const) }) },
  )
  fc.assert(fc.property(fc.array(operation, { minLength: 5, maxLength: 40 }), fc.infiniteStream(fc.nat(9)), (ops, luck) => {
    const log = newLog({ segmentBytes: 2 ** 18 })
    const store = new FullStore()
    const calm = (work: () => void): void => {
      const { isFull } = store
      store.isFull = () => false
      work()
      store.isFull = isFull
    }
    store.isFull = () => luck.next().value === 0
    const tryTo = (work: () => void): void => { try { work() } catch { /* the write failed */ } }
    let node!: NodeStore
    calm(() => { node = new NodeStore(store, log, 40) })
    for (const op of ops) {
      if (op.kind === 'append') {
        log.append(op.count, (index) => index % op.refuse === op.refuse - 1)
        calm(() => node.commit())
      }
      if (op.kind === 'mark') log.mark()
      if (op.kind === 'step') for (let n = 0; n < op.times; n++) tryTo(() => node.loop.step())
      if (op.kind === 'start') calm(() => { node = new NodeStore(store, log, op.recentIdsMax) })
    }
    calm(() => node.settle())
    if (node.appliedLsn !== log.lastLsn) throw new Error('not all applied')
    checkIndexes(store, log)
    node.checkIds()
    const again = new MemoryStore()
    const fresh = new NodeStore(again, log, 40)
    fresh.checkIds()
    const entries = (of: Store): string => contentOf(of).filter((line) => line.startsWith('sp')).join()
    return entries(store) === entries(again)
  }), { numRuns: 40 })
  t.pass()
})

t.test('a crash between any two writes, and a start behind it: the same content as without', async (t) => {
  const log = newLog()
  const reference = new MemoryStore()
  for (let n = 0; n < 12; n++) log.append(20)
  log.commit()
  new NodeStore(reference, log, 50).settle()
  const writes = new FullStore()
  new NodeStore(writes, log, 50).settle()
  for (let failAt = 0; failAt < writes.writes; failAt++) {
    const store = new FullStore()
    store.isFull = (write) => write === failAt
    t.throws(() => new NodeStore(store, log, 50).settle())
    // What a start finds is what had been written before.
    new NodeStore(store, log, 50).settle()
    t.ok(contentOf(store).join() === contentOf(reference).join(), `write ${failAt} of ${writes.writes}`)
  }
  t.ok(writes.writes > 5)
})

t.test('a replay leaves merging to the time after it, but for runs beyond a bound', async (t) => {
  for (const records of [30, 300]) {
    const log = newLog()
    const ends: WalPosition[] = []
    for (let n = 0; n < records; n++) {
      log.append(3)
      log.commit()
      ends.push(log.durablePosition)
    }
    // A record a step.
    let asked = 0
    const node = new NodeStore(new MemoryStore(), log, 64, () => ends[Math.min(asked++ >> 1, records - 1)]!)
    const runs = node.loop.indexRuns.length
    if (records === 30) t.equal(runs, records, 'nothing is merged while somebody waits')
    else t.ok(runs >= 40 && runs <= 48, `${runs} runs of ${records} steps`)
    checkIndexes(node.store, log)
    node.settle()
    t.ok(node.loop.indexRuns.length < 20, `${node.loop.indexRuns.length} runs when there was time`)
    checkIndexes(node.store, log)
    node.checkIds()
  }
})

t.test('applying a log twice changes nothing', async (t) => {
  const log = newLog()
  for (let n = 0; n < 5; n++) log.append(20)
  log.commit()
  const store = new MemoryStore()
  new NodeStore(store, log, 50).settle()
  const before = contentOf(store)
  const batch = store.batch()
  batch.del('meta', META_APPLIED_KEY)
  batch.write()
  new NodeStore(store, log, 50).settle()
  t.ok(contentOf(store).join() === before.join())
})

t.test('a failed write is written again by the next step, and nothing is read meanwhile', async (t) => {
  const log = newLog()
  const store = new FullStore()
  const node = new NodeStore(store, log)
  log.append(5)
  node.commit()
  store.isFull = () => true
  for (let n = 0; n < 3; n++) t.throws(() => node.loop.step(), { code: 'disk_full' })
  t.equal(node.appliedLsn, 0)
  log.append(5)
  node.commit()
  store.isFull = () => false
  t.equal(node.loop.step(), 1, 'the batch that waited')
  t.equal(node.appliedLsn, 5)
  node.settle()
  checkIndexes(store, log)
})

t.test('a damaged record is reported when all before it is applied, and again at each step', async (t) => {
  const log = newLog()
  const store = new MemoryStore()
  const node = new NodeStore(store, log)
  log.append(5)
  log.append(5)
  node.commit()
  const file = log.disk.open('/data/wal/0000000001.wal', 'write')
  file.pwrite(Uint8Array.of(0xff), 0, 1, log.written[5]!.recordOffset + 200)
  t.equal(node.loop.step(), 1)
  t.equal(node.appliedLsn, 5)
  t.throws(() => node.loop.step(), { code: 'wal_corrupt' })
  t.throws(() => node.loop.step(), { code: 'wal_corrupt' })
  t.equal(node.appliedLsn, 5)
})

t.test('store and log that do not belong together are refused', async (t) => {
  const log = newLog()
  for (let n = 0; n < 5; n++) log.append(5)
  log.commit()
  const store = new MemoryStore()
  new NodeStore(store, log)
  t.throws(() => new NodeStore(store, newLog()), { code: 'wal_corrupt', message: /lost its end/ })
  const small = newLog()
  small.append(70)
  small.commit()
  t.throws(() => new NodeStore(new MemoryStore(), small, 20), { code: 'config_invalid', details: { setting: 'recentIdsMax' } })
})

t.test('what the store says of itself', async (t) => {
  const store = new MemoryStore()
  const meta = openStoreMeta(store, seededSecrets(1))
  t.same(openStoreMeta(store, seededSecrets(2)), meta, 'the key is made once')
  const put = (key: string, value: Uint8Array): void => { const b = store.batch(); b.put('meta', utf8(key), value); b.write() }
  put('format', Uint8Array.of(STORE_FORMAT_OLDEST, 0, 0, 0))
  t.same(openStoreMeta(store, seededSecrets(1)), meta, 'of a version without run files')
  raiseFormat(store)
  t.same(store.get('meta', utf8('format')), Uint8Array.of(STORE_FORMAT, 0, 0, 0), 'which opens it no more once it is written to')
  put('applied', new Uint8Array(3))
  t.throws(() => openStoreMeta(store, seededSecrets(1)), { code: 'store_corrupt' })
  put('id_hash_key', new Uint8Array(3))
  t.throws(() => openStoreMeta(store, seededSecrets(1)), { code: 'store_corrupt' })
  put('format', Uint8Array.of(STORE_FORMAT + 1, 0, 0, 0))
  t.throws(() => openStoreMeta(store, seededSecrets(1)), { code: 'format_unsupported' })
  put('format', Uint8Array.of(1, 0, 0, 0))
  t.throws(() => openStoreMeta(store, seededSecrets(1)), { code: 'store_corrupt' })
  put('format', Uint8Array.of(0))
  t.throws(() => openStoreMeta(store, seededSecrets(1)), { code: 'store_corrupt' })
  for (const decode of [() => decodeSpKey(utf8('short')), () => decodeSpValue(new Uint8Array(21)),
    () => decodeAgentEntry(new Uint8Array(40), new Uint8Array(15)), () => decodeAgentEntry(new Uint8Array(4), new Uint8Array(16)),
    () => decodeLogPoint(new Uint8Array(9), new Uint8Array(1)), () => decodeLogHlcEntry(new Uint8Array(1), new Uint8Array(8))]) {
    t.throws(decode, { code: 'store_corrupt' })
  }
})
