import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { IdFilter } from '../../../src/store/id-filter.ts'
import { IdHash } from '../../../src/store/id-hash.ts'
import { IdLookup } from '../../../src/store/id-lookup.ts'
import { FingerprintSorter } from '../../../src/store/id-sort.ts'
import { PAGE_ENTRIES_MEAN, pageBitsOf } from '../../../src/store/id-runs.layout.ts'
import { IdEntries, IdPage, ID_ENTRY_WORDS, ID_LIST_KEY, decodeIdRunList, encodeIdRunList, pageKey, pageOf, parsePageKey } from '../../../src/store/id-runs.codec.ts'
import { IdRunReader, IdRunWriter, MERGE_FAN_IN, fingerprintScan } from '../../../src/store/id-runs.ts'
import { RecentIds } from '../../../src/store/recent-ids.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import { openRocksStore } from '../../../src/store/store-rocksdb.ts'
import type { Store } from '../../../src/store/store.ts'
import { FullStore } from './full-store.ts'

const key = new Uint8Array(createHash('sha256').update('key').digest())
const idOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(String(n)).digest())

/** A node's id directory without its log: the position of LSN n is (n, n * 8, n % 7). */
class Directory {
  flushedLsn = 0
  last = 0
  /** Questions that needed no runs. */
  lateCount = 0
  readonly hash = new IdHash(key)
  readonly recents: RecentIds
  readonly filter = IdFilter.create(4096)
  readonly lookup: IdLookup
  writer: IdRunWriter
  readonly store: Store

  constructor(store: Store, entriesMax: number) {
    this.store = store
    this.recents = RecentIds.create(entriesMax, this.hash, () => this.flushedLsn)
    this.writer = new IdRunWriter(store, new IdHash(key))
    this.lookup = new IdLookup({
      store, hash: this.hash, filter: this.filter, recents: this.recents,
      confirm: (place, ids, offset) =>
        compareBytes(idOf(place.segmentId), ids.subarray(offset, offset + 32)) === 0
          ? { lsn: place.segmentId, hlc: BigInt(place.segmentId) } : undefined,
    })
    this.filter.markComplete()
  }

  insert(): boolean {
    if (!this.lookup.hasRoom(1)) return false
    const n = ++this.last
    this.lookup.prepare(idOf(n), 0, 1)
    this.lookup.insert(0, n, BigInt(n), { segmentId: n, offset: n * 8 }, n % 7)
    return true
  }

  flush(): boolean {
    const finished = this.recents.finished(this.last)
    if (finished === undefined) return false
    const batch = this.store.batch()
    const adopt = this.writer.flush(finished, batch)
    batch.write()
    adopt()
    this.flushedLsn = finished.lastLsn
    return true
  }

  check(): void {
    for (let n = 1; n <= this.last; n++) {
      const found = this.lookup.find(idOf(n), 0)
      if (found?.lsn !== n || found.recordOffset !== n * 8 || found.index !== n % 7 || found.hlc !== BigInt(n)) {
        throw new Error(`id ${n} of ${this.last}: ${JSON.stringify(found?.lsn)}`)
      }
    }
    for (let n = 0; n < 20; n++) if (this.lookup.find(idOf(-1 - n), 0) !== undefined) throw new Error('an unknown id')
    this.checkLate()
  }

  /** What commit asks: an id that somebody has looked for, up to some LSN. */
  checkLate(): void {
    const findAfter = (known: number, n: number): number | undefined => {
      this.lookup.prepare(idOf(n), 0, 1, known)
      return this.lookup.mayKnow(0) ? this.lookup.find(idOf(n), 0)?.lsn : undefined
    }
    for (const known of [0, this.last >> 1, this.last - 4, this.last - 2, this.last - 1, this.last].filter((lsn) => lsn >= 0)) {
      if (this.recents.holdsAllAfter(known, 1)) this.lateCount++
      for (let n = known + 1; n <= this.last; n++) if (findAfter(known, n) !== n) throw new Error(`id ${n} of ${this.last}, asked above ${known}`)
      if (findAfter(known, -1) !== undefined) throw new Error('an unknown id')
    }
    this.lookup.prepare(idOf(1), 0, 1)
  }

  /** Entries of the column that belong to no valid run. */
  leftovers(): number {
    const valid = new Set(this.writer.list.runs.map((run) => run.id))
    const range = this.store.range('ids', { gte: pageKey(0, 0) })
    let count = 0
    for (let rows = range.next(1000); rows.length > 0; rows = range.next(1000)) {
      for (let i = 0; i < rows.length; i += 2) if (!valid.has(parsePageKey(rows[i]!)?.run ?? -1)) count++
    }
    range.close()
    return count
  }
}

t.test('the sorter orders by both halves as unsigned numbers', async (t) => {
  const sorter = new FingerprintSorter()
  const word = fc.oneof(
    fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0xffff_fff0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 0xffff_ffff }),
  )
  fc.assert(fc.property(fc.array(fc.tuple(word, word), { maxLength: 200 }), (pairs) => {
    const entries = new IdEntries(0)
    for (const [hi, lo] of pairs) entries.push(hi, lo, 1, 2, 3)
    const order = [...sorter.order(entries.words, pairs.length).subarray(0, pairs.length)]
    const got = order.map((i) => pairs[i]!.join())
    const want = [...pairs].sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((p) => p.join())
    return got.join(';') === want.join(';') && new Set(order).size === pairs.length
  }))
  // As many as there are buckets for, and more; of a part of all fingerprints too, as a merge has them.
  const random = seededRandom(1)
  for (const [count, shift] of [[1000, 0], [300_000, 0], [300_000, 12], [5000, 31]] as const) {
    const entries = new IdEntries(count)
    for (let i = 0; i < count; i++) entries.push(random.u32() >>> shift, random.u32(), 1, 2, 3)
    const order = sorter.order(entries.words, count).subarray(0, count)
    const value = (i: number): bigint => (BigInt(entries.hi(i)) << 32n) | BigInt(entries.words[i * ID_ENTRY_WORDS + 1]!)
    let ascends = new Set(order).size === count
    for (let n = 1; n < count; n++) ascends &&= value(order[n - 1]!) <= value(order[n]!)
    t.ok(ascends, `${count} entries, ${shift} bits less`)
  }
  t.pass()
})

t.test('codecs: list, page keys, pages', async (t) => {
  const list = {
    version: 2 ** 40, nextRun: 77,
    runs: [{ id: 76, level: 3, pageBits: 20, entries: 2 ** 33, firstLsn: 5, lastLsn: 2 ** 52 }],
  }
  t.same(decodeIdRunList(encodeIdRunList(list)), list)
  for (const length of [0, 15, 17, 47]) {
    t.throws(() => decodeIdRunList(encodeIdRunList(list).slice(0, length)), { code: 'store_corrupt' })
  }
  t.same(parsePageKey(pageKey(0xffff_fffe, 0xdead_beef)), { run: 0xffff_fffe, page: 0xdead_beef })
  t.equal(parsePageKey(ID_LIST_KEY), undefined)
  t.throws(() => new IdPage(new Uint8Array(19)), { code: 'store_corrupt' })
  t.equal(pageOf(-1, 0), 0)
  t.equal(pageOf(-1, 4), 15)
  t.equal(pageBitsOf(1), 0)
  t.equal(pageBitsOf(PAGE_ENTRIES_MEAN * 2), 1)
  t.equal(pageBitsOf(2 ** 40), 26)
})

t.test('every id is found through flushes, merges and restarts, no other ever', async (t) => {
  const operation = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('insert' as const), count: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('merge' as const), entries: fc.integer({ min: 1, max: 300 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  )
  const operations = fc.array(operation, { minLength: 20, maxLength: 150 })
  let merges = 0
  let late = 0
  fc.assert(fc.property(operations, fc.integer({ min: 2, max: 12 }), (ops, entriesMax) => {
    const directory = new Directory(new MemoryStore(), entriesMax)
    for (const op of ops) {
      if (op.kind === 'insert') for (let n = 0; n < op.count && (directory.insert() || directory.flush()); n++) { /* go on */ }
      if (op.kind === 'flush') directory.flush()
      if (op.kind === 'merge') directory.writer.mergeStep(op.entries)
      // What a crash leaves of a merge is cleared, and what was flushed stays.
      if (op.kind === 'restart') directory.writer = new IdRunWriter(directory.store, new IdHash(key))
    }
    directory.check()
    while (directory.writer.mergeStep(1000)) merges++
    directory.check()
    late += directory.lateCount
    const { runs } = directory.writer.list
    if (runs.some((run) => runs.filter((other) => other.level === run.level).length >= MERGE_FAN_IN)) throw new Error('unmerged')
    if (directory.leftovers() !== 0) throw new Error('leftovers')
    if (runs.reduce((sum, run) => sum + run.entries, 0) !== directory.flushedLsn) throw new Error('entries')
    return true
  }), { numRuns: 25 })
  t.ok(merges > 0, 'and some were merged')
  t.ok(late > 20, `${late} times the recent ids were enough`)
})

t.test('three levels, page by page, with many pages a run', async (t) => {
  const directory = new Directory(new MemoryStore(), 300)
  while (directory.last < 300 * (MERGE_FAN_IN + 3)) {
    if (directory.insert()) continue
    t.ok(directory.flush())
    while (directory.writer.mergeStep(500)) { /* to the end */ }
  }
  t.same(directory.writer.list.runs.map((run) => run.level), [0, 1])
  t.equal(directory.writer.list.runs.at(-1)?.pageBits, pageBitsOf(300 * MERGE_FAN_IN))
  directory.check()
  const seen = new Set<string>()
  const scan = fingerprintScan(directory.store, (hi, lo) => seen.add(`${hi >>> 0}:${lo >>> 0}`))
  while (scan.next(3) > 0) { /* to the end */ }
  scan.close()
  t.equal(seen.size, directory.flushedLsn)
  directory.hash.compute(idOf(1), 0)
  t.ok(seen.has(`${directory.hash.hi >>> 0}:${directory.hash.lo >>> 0}`))
})

t.test('ids with one fingerprint are told apart by their records', async (t) => {
  const directory = new Directory(new MemoryStore(), 4)
  for (let n = 0; n < 5; n++) directory.insert()
  t.ok(directory.flush())
  // Same first 16 bytes, so the same fingerprint.
  const twin = idOf(1)
  twin[31]! ^= 1
  directory.lookup.prepare(twin, 0, 1)
  t.ok(directory.lookup.mayKnow(0))
  t.equal(directory.lookup.find(twin, 0), undefined)
  t.equal(new IdRunReader(directory.store).find(...fingerprint(twin)).length, 1)
})

const fingerprint = (id: Uint8Array): [number, number] => {
  const hash = new IdHash(key)
  hash.compute(id, 0)
  return [hash.hi, hash.lo]
}

t.test('a failed write at any point of a merge is repeated or restarted without harm', async (t) => {
  for (const restart of [false, true]) {
    for (let failAt = 0; failAt < 45; failAt++) {
      const store = new FullStore()
      const directory = new Directory(store, 20)
      while (directory.writer.list.runs.length < MERGE_FAN_IN) if (!directory.insert()) directory.flush()
      const from = store.writes + failAt
      store.isFull = (write) => write >= from
      for (let n = 0; n < 60; n++) {
        try {
          if (!directory.writer.mergeStep(1)) break
        } catch {
          store.isFull = () => false
          directory.check()
          if (restart) directory.writer = new IdRunWriter(store, new IdHash(key))
        }
      }
      store.isFull = () => false
      directory.check()
      while (directory.writer.mergeStep(100)) { /* to the end */ }
      directory.check()
      t.same(directory.writer.list.runs.map((run) => run.level), [1])
      directory.writer = new IdRunWriter(store, new IdHash(key))
      t.equal(directory.leftovers(), 0, toHex(Uint8Array.of(failAt)))
    }
  }
})

t.test('a damaged list or page is store_corrupt', async (t) => {
  const directory = new Directory(new MemoryStore(), 4)
  for (let n = 0; n < 5; n++) directory.insert()
  directory.flush()
  const batch = directory.store.batch()
  batch.put('ids', pageKey(1, 0), new Uint8Array(5))
  batch.write()
  t.throws(() => new IdRunReader(directory.store).find(...fingerprint(idOf(1))), { code: 'store_corrupt' })
  batch.put('ids', ID_LIST_KEY, new Uint8Array(3))
  batch.write()
  t.throws(() => new IdRunWriter(directory.store, directory.hash), { code: 'store_corrupt' })
})

t.test('a reader in another thread misses no id while runs are merged and dropped', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'stemedb-runs-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const store = await openRocksStore({ path, createIfMissing: true, memtableBytes: 2 ** 20, blockCacheBytes: 2 ** 20, parallelism: 1 })
  const directory = new Directory(store, 64)
  const shared = new Int32Array(new SharedArrayBuffer(8))
  const [FLUSHED, STOP] = [0, 1]
  const worker = new Worker(`
    const { workerData, parentPort } = require('node:worker_threads')
    const { createHash } = require('node:crypto')
    const { root, handle, key, shared } = workerData
    Promise.all(['store-rocksdb.js', 'id-runs.js', 'id-hash.js'].map((name) => import(root + name)))
      .then(([{ attachRocksStore }, { IdRunReader }, { IdHash }]) => {
        const reader = new IdRunReader(attachRocksStore(handle))
        const hash = new IdHash(key)
        const seen = { lost: 0, found: 0 }
        parentPort.postMessage('ready')
        for (let n = 0; Atomics.load(shared, 1) === 0; n++) {
          const flushed = Atomics.load(shared, 0)
          if (flushed === 0) continue
          const lsn = n * 37 % flushed + 1
          hash.compute(new Uint8Array(createHash('sha256').update(String(lsn)).digest()), 0)
          if (reader.find(hash.hi, hash.lo).some((place) => place.segmentId === lsn)) seen.found++
          else seen.lost++
        }
        parentPort.postMessage(seen)
      })`, { eval: true, workerData: { root: new URL('../../../src/store/', import.meta.url).href, handle: store.handle, key, shared } })
  const message = (): Promise<{ lost: number, found: number }> =>
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await message()
  let merges = 0
  while (directory.last < 64 * 200) {
    if (directory.insert()) continue
    directory.flush()
    Atomics.store(shared, FLUSHED, directory.flushedLsn)
    while (directory.writer.mergeStep(50)) merges++
  }
  const result = message()
  // Listened for before it may end.
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  Atomics.store(shared, STOP, 1)
  const seen = await result
  await ended
  t.equal(seen.lost, 0)
  t.ok(seen.found > 100, `${seen.found} found`)
  t.ok(merges >= 10, `${merges} merge steps`)
  await store.close()
})
