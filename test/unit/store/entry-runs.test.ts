import fc from 'fast-check'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { wordSum } from '../../../src/base/word-sum.ts'
import { EntryArena } from '../../../src/store/entry-arena.ts'
import { entryListMark } from '../../../src/ring/marks.ts'
import { EntryReader } from '../../../src/store/entry-reader.ts'
import { ENTRY_LIST_KEY, EntryNode, NodePacker, nodeKey } from '../../../src/store/entry-node.codec.ts'
import { ENTRY_VALUE_BYTES, NODE_CHILDREN, PAGE_ENTRIES, nodeCounts } from '../../../src/store/entry-runs.layout.ts'
import { ENTRY_FAN_IN, SMALL_ENTRIES, eagerMerge, isLarge, neededMerges, type MergeChoice } from '../../../src/store/entry-merge-policy.ts'
import type { EntryRun } from '../../../src/store/entry-run-list.ts'
import { EntryRunWriter } from '../../../src/store/entry-runs.ts'
import { YoungPages } from '../../../src/store/young-pages.ts'
import { KeySorter } from '../../../src/store/entry-sort.ts'
import { SP_KEY_BYTES_MAX } from '../../../src/store/keyspace.layout.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import { openRocksStore } from '../../../src/store/store-rocksdb.ts'
import type { Store } from '../../../src/store/store.ts'
import { addKeys, fill, keyOf, keysFrom, scanStore } from './entries.ts'
import { FullStore } from './full-store.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const sorter = new KeySorter()
const orderOf = (arena: EntryArena): Uint32Array => sorter.order(arena.bytes, arena.keyStarts, arena.keyEnds, arena.count).slice(0, arena.count)

/** Keys that share paths, end within one another, hold zeros. */
const keyArbitrary = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.tuple(fc.constantFrom('drug/', 'drug/aspirin/', 'drug/aspirin/safety', ''), fc.array(fc.constantFrom(0, 1, 97, 255), { maxLength: 9 }))
    .map(([path, rest]) => Uint8Array.of(...utf8(path), ...rest)),
)

t.test('the sorter orders as compareBytes does, whatever is known of the beginning', async (t) => {
  fc.assert(fc.property(fc.array(keyArbitrary, { maxLength: 300 }), fc.uint8Array({ maxLength: 30 }), (rests, shared) => {
    const keys = rests.map((rest) => Uint8Array.of(...shared, ...rest))
    const arena = fill(new EntryArena(), keys)
    const want = [...keys].sort(compareBytes).map(toHex).join()
    for (const known of [0, shared.length]) {
      const order = [...sorter.order(arena.bytes, arena.keyStarts, arena.keyEnds, arena.count, known).subarray(0, arena.count)]
      if (new Set(order).size !== keys.length || order.map((i) => toHex(keys[i]!)).join() !== want) return false
    }
    return true
  }), { numRuns: 300 })
  const random = seededRandom(7)
  const many = Array.from({ length: 5000 }, (_, i) => utf8(`load/0123/${(random.u32() % 300).toString(16)}\0${i % 7}\0${i}`))
  const sorted = [...orderOf(fill(new EntryArena(), many))].map((i) => toHex(many[i]!))
  t.same(sorted, [...many].sort(compareBytes).map(toHex), 'wide passes and groups')
  const same = [...orderOf(fill(new EntryArena(), Array.from({ length: 100 }, () => utf8('the same'))))]
  t.equal(new Set(same).size, 100, 'equal keys')
})

t.test('a node gives back what was packed, and says so where it is damaged', async (t) => {
  fc.assert(fc.property(fc.uniqueArray(keyArbitrary, { minLength: 1, maxLength: NODE_CHILDREN, selector: toHex }), keyArbitrary, (keys, probe) => {
    const arena = fill(new EntryArena(), keys, (key) => key.length * 31 + (key[0] ?? 0))
    const node = new EntryNode(new NodePacker().pack(arena, orderOf(arena), 0, keys.length).slice())
    const sorted = [...keys].sort(compareBytes)
    const copy = new EntryArena()
    node.copyTo(copy, 0, node.count)
    return node.count === keys.length && sorted.every((key, i) => compareBytes(node.key(i), key) === 0 && compareBytes(copy.key(i), key) === 0
      && compareBytes(node.value(i), copy.value(i)) === 0 && node.value(i)[0] === ((key.length * 31 + (key[0] ?? 0)) & 255))
      && node.rank(probe, false) === sorted.filter((key) => compareBytes(key, probe) < 0).length
      && node.rank(probe, true) === sorted.filter((key) => compareBytes(key, probe) <= 0).length
  }))
  const long = new EntryArena(1)
  const bytes = new NodePacker().pack(fill(long, [new Uint8Array(SP_KEY_BYTES_MAX).fill(7)]), Uint32Array.of(0), 0, 1)
  t.equal(new EntryNode(bytes).key(0).length, SP_KEY_BYTES_MAX)
  const small = new NodePacker().pack(fill(long, [utf8('a/b'), utf8('a/c')]), Uint32Array.of(0, 1), 0, 2).slice()
  const shifted = new Uint8Array(small.length + 1)
  shifted.set(small, 1)
  t.same(new EntryNode(shifted.subarray(1)).key(1), utf8('a/c'), 'wherever it lies in memory')
  for (let length = 0; length < small.length; length++) t.throws(() => new EntryNode(small.slice(0, length)), { code: 'store_corrupt' })
  for (let bit = 0; bit < small.length * 8; bit++) {
    const flipped = small.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    // A changed value or key is another entry; what must not happen is a read outside, or an error that is none of ours.
    try {
      const node = new EntryNode(flipped)
      for (let i = 0; i < node.count; i++) if (node.value(i).length !== ENTRY_VALUE_BYTES) t.fail(`bit ${bit}`)
    } catch (error) {
      if ((error as { code?: string }).code !== 'store_corrupt') t.fail(`bit ${bit}: ${String(error)}`)
    }
  }
})

const settle = (writer: EntryRunWriter, eager: boolean): void => { while (writer.mergeStep(500, eager)) { /* until there is nothing to merge */ } }
/** Nodes in the column that belong to no listed run. */
const leftovers = (store: Store, writer: EntryRunWriter): number => {
  const range = store.range('sp')
  const rows = range.next(1_000_000)
  range.close()
  const listed = writer.list.runs.reduce((sum, run) => sum + nodeCounts(run.pages).reduce((a, b) => a + b), 0)
  return rows.length / 2 - 1 - listed
}

t.test('any mixture of additions, merges, failed writes and starts holds the same entries', async (t) => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), count: fc.constantFrom(1, 2, 5, 63, 64, 65, 300) }),
    fc.record({ kind: fc.constant('merge' as const), entries: fc.integer({ min: 1, max: 600 }), eager: fc.boolean() }),
    fc.record({ kind: fc.constant('start' as const) }),
  )
  fc.assert(fc.property(fc.array(operation, { minLength: 5, maxLength: 60 }), fc.infiniteStream(fc.nat(11)), fc.constantFrom(SMALL_ENTRIES, 1), (ops, luck, smallEntries) => {
    const store = new FullStore()
    const start = (): EntryRunWriter => new EntryRunWriter(store, undefined, smallEntries)
    let writer = start()
    store.isFull = () => luck.next().value === 0
    const keys: Uint8Array[] = []
    for (const op of ops) {
      const fresh = op.kind === 'add' ? keysFrom(keys.length, op.count) : []
      try {
        if (op.kind === 'add') addKeys(writer, store, fresh)
        if (op.kind === 'merge') writer.mergeStep(op.entries, op.eager)
        if (op.kind === 'start') writer = start()
        keys.push(...fresh)
      } catch (error) {
        if (!isDbError(error) || error.code !== 'disk_full') throw error
      }
    }
    const want = [...keys].sort(compareBytes).map(toHex).join()
    const got = (): string => scanStore(store).map(({ key }) => toHex(key)).join()
    if (got() !== want) throw new Error('other entries before the last merges')
    store.isFull = () => false
    writer = start()
    settle(writer, true)
    return got() === want && (keys.length === 0 || leftovers(store, writer) === 0)
  }), { numRuns: 60 })
  t.pass()
})

t.test('three levels: every key is found, every range is whole', async (t) => {
  const store = new MemoryStore()
  const writer = new EntryRunWriter(store)
  const count = (NODE_CHILDREN + 3) * PAGE_ENTRIES + 5
  const keys = keysFrom(0, count).sort(compareBytes)
  addKeys(writer, store, keys)
  t.same(nodeCounts(writer.list.runs[0]!.pages), [NODE_CHILDREN + 4, 2, 1])
  const reader = new EntryReader(store)
  for (let i = 0; i < count; i += 97) {
    const found = scanStore(store, { gte: keys[i]!, lt: keys[Math.min(i + 3, count - 1)]! }, reader)
    t.same(found.map(({ key }) => toHex(key)), keys.slice(i, Math.min(i + 3, count - 1)).map(toHex))
  }
  t.equal(scanStore(store, {}, reader).length, count)
  t.same(scanStore(store, { gte: utf8('zzz') }, reader), [])
  t.same(scanStore(store, { lt: utf8('a') }, reader), [])
  // A page and an inner node at a time: whatever is at hand, a look-up comes to its end.
  const tight = new EntryReader(store, { pageCacheBytes: 1 })
  for (let n = 0; n < 20; n++) addKeys(writer, store, [keyOf(count + n)])
  const own = scanStore(store, {}, tight)
  t.same([own.length, scanStore(store, {}, reader).length], [count + 20, count + 20])
  for (let i = 0; i < count; i += 997) t.same(scanStore(store, { gte: keys[i]!, lt: keys[Math.min(i + 1, count - 1)]! }, tight).some(({ key }) => compareBytes(key, keys[i]!) === 0), i < count - 1)
  const cursor = reader.entries({})
  cursor.seek(keys[5000]!)
  t.same(cursor.next()?.key, keys[5000])
  cursor.seek(keys[10]!)
  t.same(cursor.next()?.key, keys[10], 'back')
})

t.test('runs that are merged away before the mark of the list has moved: no reader takes that for damage', (t) => {
  const store = new MemoryStore()
  let mark = 0
  let isHeld = false
  const writer = new EntryRunWriter(store, (version) => { if (!isHeld) mark = entryListMark(version) })
  for (let n = 0; n < 6; n++) addKeys(writer, store, keysFrom(1000 * n, 1000))
  const all = Array.from({ length: 6 }, (_, n) => keysFrom(1000 * n, 1000)).flat().sort(compareBytes)
  const reader = new EntryReader(store, { listMark: () => mark })
  const seek = (key: Uint8Array): Uint8Array | undefined => reader.entries({ gte: key }).next()?.key
  t.same(seek(all[0]!), all[0], 'the list is at hand, and of the pages a few')
  const cursor = reader.entries({})
  const seen = [cursor.next()!]
  isHeld = true
  settle(writer, true)
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) seen.push(entry)
  t.same(seen.map(({ key }) => toHex(key)), all.map(toHex), 'a walk that began before')
  t.ok(writer.list.runs.length < 6, 'runs were merged')
  for (let i = 0; i < all.length; i += 71) if (Buffer.compare(seek(all[i]!)!, all[i]!) !== 0) t.fail(`entry ${i}`)
  t.equal(scanStore(store, {}, reader).length, all.length)
  t.end()
})

t.test('an entry that was applied twice is read once, also after a merge', async (t) => {
  const store = new MemoryStore()
  const writer = new EntryRunWriter(store)
  for (let n = 0; n < 4; n++) addKeys(writer, store, keysFrom(0, 100))
  t.equal(scanStore(store).length, 100)
  settle(writer, true)
  t.equal(writer.list.runs.length, 1)
  t.equal(scanStore(store).length, 100)
})

t.test('a merge takes pages that are held in memory, and writes what it would have written without', async (t) => {
  const merged = (isHeld: boolean): { fetched: number, rows: string[] } => {
    const store = new MemoryStore()
    let fetched = 0
    const counting: Store = Object.assign(Object.create(store) as Store, {
      multiGet: (...[column, keys]: Parameters<Store['multiGet']>) => {
        fetched += keys.length
        return store.multiGet(column, keys)
      },
      batch: () => store.batch(), range: store.range.bind(store), get: store.get.bind(store), clearRange: store.clearRange.bind(store),
    })
    let writer = new EntryRunWriter(counting)
    for (let n = 0; n < 5; n++) addKeys(writer, store, keysFrom(700 * n, 1000))
    if (!isHeld) writer = new EntryRunWriter(counting)
    settle(writer, true)
    const range = store.range('sp')
    const rows = range.next(1_000_000).map(toHex)
    range.close()
    return { fetched, rows }
  }
  const held = merged(true)
  const read = merged(false)
  t.equal(held.fetched, 0)
  t.ok(read.fetched > 50, `${read.fetched} pages were fetched`)
  t.same(held.rows, read.rows)
})

t.test('young pages are bounded, and those of a run are held together or not at all', (t) => {
  const young = new YoungPages(100)
  const run = (id: number): EntryRun => ({ id, pages: 2, entries: 2, firstLsn: 1, lastLsn: 1 })
  const pages = (bytes: number): Uint8Array[] => [new Uint8Array(bytes), new Uint8Array(bytes)]
  young.hold(run(1), pages(25))
  young.hold(run(2), pages(30))
  t.equal(young.page(1, 1)?.length, 25)
  t.equal(young.page(2, 0), undefined, 'there was no room for both')
  young.drop(1)
  young.drop(2)
  young.hold(run(3), pages(50))
  t.equal(young.page(1, 0), undefined)
  t.equal(young.page(3, 1)?.length, 50)
  t.equal(young.page(3, 2), undefined)
  t.end()
})

t.test('which runs are merged', async (t) => {
  const runs = (...entries: number[]): EntryRun[] => entries.map((n, id) => ({ id, pages: 1, entries: n, firstLsn: 1, lastLsn: 1 }))
  const sizes = (choice: MergeChoice | undefined): number[] | undefined => choice?.runs.map((run) => run.entries)
  const needed = (...entries: number[]): (readonly [readonly number[], number])[] =>
    neededMerges(runs(...entries), SMALL_ENTRIES).map((choice) => [sizes(choice)!, choice.sizeClass])
  const times = (count: number, entries: number): number[] => Array.from({ length: count }, () => entries)
  t.same(needed(), [])
  t.same(needed(...times(ENTRY_FAN_IN - 1, 5)), [], 'not yet')
  t.same(needed(9000, ...times(ENTRY_FAN_IN, 5), 400), [[times(ENTRY_FAN_IN, 5), 0]], 'the smallest of a size')
  t.same(needed(...times(ENTRY_FAN_IN, 9000), ...times(ENTRY_FAN_IN, 5)), [[times(ENTRY_FAN_IN, 5), 0], [times(ENTRY_FAN_IN, 9000), 3]], 'of each size')
  t.same(neededMerges(runs(...times(ENTRY_FAN_IN, 9000), ...times(ENTRY_FAN_IN, 200_000)), SMALL_ENTRIES).map(isLarge), [false, true])
  const eager = (...entries: number[]): number[] | undefined => sizes(eagerMerge(runs(...entries), SMALL_ENTRIES))
  t.equal(eager(), undefined)
  t.equal(eager(5), undefined)
  t.same(eager(100, 100, 1_000_000), [100, 100], 'a large one is left alone')
  t.same(eager(100, 200, 400), [100, 200, 400])
  t.equal(eager(100, 300), undefined)
  // What a quiet index comes to, and what it costs.
  let written = 0
  let sized: number[] = []
  for (let n = 0; n < 2000; n++) {
    sized.push(10)
    written += 10
    for (;;) {
      const all = runs(...sized)
      const merge = (neededMerges(all, SMALL_ENTRIES)[0] ?? eagerMerge(all, SMALL_ENTRIES))?.runs
      if (merge === undefined) break
      const gone = new Set(merge.map(({ id }) => id))
      const sum = merge.reduce((total, run) => total + run.entries, 0)
      sized = [...sized.filter((_, id) => !gone.has(id)), sum]
      written += sum
    }
  }
  t.ok(sized.length <= 8, `runs: ${sized.join()}`)
  t.ok(written / 20_000 < 12, `each entry is written ${(written / 20_000).toFixed(1)} times`)
})

t.test('merges of several sizes go on side by side: a large one holds up no other, and one that nobody needs waits', async (t) => {
  const store = new MemoryStore()
  // Classes of size: 1, 16, 256, 4,096 entries; an output of more is a large one.
  const writer = new EntryRunWriter(store, undefined, 1)
  let keys = 0
  const grow = (count: number, each: number): void => {
    for (let n = 0; n < count; n++) addKeys(writer, store, keysFrom((keys += each) - each, each))
  }
  const sizes = (): number[] => writer.list.runs.map(({ entries }) => entries)
  grow(ENTRY_FAN_IN, 2000)
  t.ok(writer.mergeStep(1000, false), 'the large one has begun')
  t.equal(sizes().length, ENTRY_FAN_IN)
  grow(ENTRY_FAN_IN, 20)
  for (let steps = 0; sizes().includes(20); steps++) {
    t.ok(writer.mergeStep(1000, false))
    if (steps > 3) return t.fail('a small merge waits for a large one')
  }
  t.ok(sizes().includes(2000), 'and is done before it')
  let steps = 0
  for (; sizes().includes(2000); steps++) if (!writer.mergeStep(1000, false) || steps > 200) return t.fail('a large merge stands still')
  t.ok(steps > 32_000 / 1000, `${steps} steps: it has moved less than it might in each`)
  t.same(sizes().sort((a, b) => a - b), [320, 32_000])

  grow(1, 320)
  t.ok(writer.mergeStep(64, true), 'a merge that nobody needs has begun')
  t.notOk(writer.mergeStep(1000, false), 'it waits while there is other work')
  grow(ENTRY_FAN_IN, 1)
  for (let steps = 0; sizes().includes(1); steps++) if (!writer.mergeStep(100, false) || steps > 10) return t.fail('a needed merge waits, too')
  t.same(sizes().sort((a, b) => a - b), [16, 320, 320, 32_000])
  while (writer.mergeStep(1000, true)) { /* nothing else to do */ }
  t.same(sizes().sort((a, b) => a - b), [16, 640, 32_000])
  t.equal(scanStore(store).length, keys, 'each entry once')
  return undefined
})

t.test('so many runs that new entries wait: whatever their sizes, something is merged', async (t) => {
  const store = new MemoryStore()
  const writer = new EntryRunWriter(store, undefined, 1)
  const random = seededRandom(5)
  let keys = 0
  for (let n = 0; n < 500; n++) {
    if (writer.mustMerge) {
      const runs = writer.list.runs.length
      for (let steps = 0; writer.list.runs.length >= runs; steps++) if (!writer.mergeStep(10_000, false) || steps > 100) return t.fail('stuck')
    }
    const count = 16 ** (random.u32() % 3)
    addKeys(writer, store, keysFrom(keys, count))
    keys += count
  }
  t.equal(writer.list.runs.reduce((sum, { entries }) => sum + entries, 0), keys)
  return undefined
})

t.test('a missing or damaged page is an error of the store, and never an answer', async (t) => {
  const spoiled = (spoil: (store: Store) => void): Store => {
    const store = new MemoryStore()
    addKeys(new EntryRunWriter(store), store, keysFrom(0, 1000))
    spoil(store)
    return store
  }
  const put = (store: Store, key: Uint8Array, value: Uint8Array | undefined): void => {
    const batch = store.batch()
    if (value === undefined) batch.del('sp', key)
    else batch.put('sp', key, value)
    batch.write()
  }
  for (const key of [nodeKey(1, 0, 3), nodeKey(1, 1, 0)]) {
    t.throws(() => scanStore(spoiled((store) => put(store, key, undefined))), { code: 'store_corrupt' })
    t.throws(() => scanStore(spoiled((store) => put(store, key, Uint8Array.of(1, 2, 3, 4)))), { code: 'store_corrupt' })
  }
  t.throws(() => scanStore(spoiled((store) => put(store, ENTRY_LIST_KEY, Uint8Array.of(1)))), { code: 'store_corrupt' })
})

t.test('a reader on another thread misses nothing while runs are merged and dropped', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-entries-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const store = await openRocksStore({ path: join(dir, 'db'), createIfMissing: true, memtableBytes: 2 ** 20, blockCacheBytes: 2 ** 20, parallelism: 1 })
  // Entries written; the end; whole scans; mark of the list.
  const progress = new Int32Array(new SharedArrayBuffer(16))
  const writer = new EntryRunWriter(store, (version) => void Atomics.store(progress, 3, entryListMark(version)))
  const worker = new Worker(`
    const { parentPort, workerData } = require('node:worker_threads')
    Promise.all([import(workerData.store), import(workerData.reader)]).then(([{ attachRocksStore }, { EntryReader }]) => {
      const { progress } = workerData
      const reader = new EntryReader(attachRocksStore(workerData.handle), { listMark: () => Atomics.load(progress, 3) })
      let scans = 0
      for (let done = false; !done;) {
        done = Atomics.load(progress, 1) === 1
        const least = Atomics.load(progress, 0)
        const cursor = reader.entries({})
        let count = 0
        let before = Buffer.alloc(0)
        for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
          if (Buffer.compare(before, entry.key) >= 0) throw new Error('out of order, or twice')
          before = entry.key
          count++
        }
        if (count < least) throw new Error('saw ' + count + ' of ' + least)
        Atomics.store(progress, 2, ++scans)
      }
      parentPort.postMessage(scans)
    }).catch((error) => { throw error })
  `, {
    eval: true,
    workerData: {
      handle: store.handle, progress,
      store: new URL('../../../src/store/store-rocksdb.js', import.meta.url).href, reader: new URL('../../../src/store/entry-reader.js', import.meta.url).href,
    },
  })
  const scans = new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  let count = 0
  for (let n = 0; n < 150 || (Atomics.load(progress, 2) < 3 && n < 3000); n++) {
    addKeys(writer, store, keysFrom(count, 1 + n % 200))
    count += 1 + n % 200
    Atomics.store(progress, 0, count)
    writer.mergeStep(2000, n % 3 === 0)
    await new Promise((resolve) => setImmediate(resolve))
  }
  settle(writer, true)
  Atomics.store(progress, 1, 1)
  t.ok(await scans > 1)
  t.equal(scanStore(store).length, count)
  await store.close()
})

t.test('the checksum of words finds every change within a word, at any length and place', async (t) => {
  const random = seededRandom(3)
  for (const length of [0, 1, 3, 4, 15, 16, 17, 63, 300]) {
    const bytes = Uint8Array.from({ length: length + 5 }, () => random.u32())
    const view = new DataView(bytes.buffer)
    const sum = wordSum(view, 5, length)
    t.ok(sum >= 0 && sum < 2 ** 32)
    for (let bit = 0; bit < length * 8; bit++) {
      bytes[5 + (bit >> 3)]! ^= 1 << (bit & 7)
      if (wordSum(view, 5, length) === sum) t.fail(`bit ${bit} of ${length} bytes`)
      bytes[5 + (bit >> 3)]! ^= 1 << (bit & 7)
    }
    t.equal(wordSum(new DataView(bytes.slice(5).buffer), 0, length), sum, 'wherever it lies')
    if (length > 0) t.not(wordSum(view, 5, length - 1), sum, 'the length counts')
  }
})
