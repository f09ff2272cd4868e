import { mkdtempSync, readdirSync, rmSync, writeFileSync, readFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { MiB } from '../../../src/base/units.ts'
import { attachRocksStore, openRocksStore } from '../../../src/store/store-rocksdb.ts'
import type { Store } from '../../../src/store/store.ts'
import { storeConformance } from './store-conformance.ts'

const root = mkdtempSync(join(tmpdir(), 'stemedb-store-'))
t.teardown(() => rmSync(root, { recursive: true, force: true }))

let nextFolder = 0
const folder = (): string => {
  const path = join(root, String(nextFolder++))
  mkdirSync(path)
  return path
}
const open = (path: string, createIfMissing = true): Promise<Store> =>
  openRocksStore({ path, createIfMissing, memtableBytes: 4 * MiB, blockCacheBytes: 2 * MiB, parallelism: 1 })

storeConformance(t, () => open(folder()))

t.test('what was written is there after a reopen', async (t) => {
  const path = folder()
  const first = await open(path)
  const batch = first.batch()
  batch.put('agent', Uint8Array.of(1), Uint8Array.of(2))
  batch.write()
  await first.close()
  const second = await open(path)
  t.same(second.get('agent', Uint8Array.of(1)), Uint8Array.of(2))
  await second.close()
  await second.close()
})

t.test('a second owner is refused, a missing store is said', async (t) => {
  const path = folder()
  const first = await open(path)
  await t.rejects(open(path), { code: 'data_dir_locked' })
  await first.close()
  await (await open(path)).close()
  await t.rejects(open(join(root, 'nothing'), false), { code: 'not_found' })
})

t.test('another thread reads and writes through the handle', async (t) => {
  const store = await open(folder())
  const module = new URL('../../../src/store/store-rocksdb.js', import.meta.url).href
  const worker = new Worker(`
    const { workerData, parentPort } = require('node:worker_threads')
    import(workerData.module).then(({ attachRocksStore }) => {
      const store = attachRocksStore(workerData.handle)
      const batch = store.batch()
      batch.put('sp', Uint8Array.of(1), Uint8Array.of(42))
      batch.write()
      parentPort.postMessage(store.get('sp', Uint8Array.of(1))[0])
    })`, { eval: true, workerData: { module, handle: store.handle } })
  const seen = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await new Promise((resolve) => worker.once('exit', resolve))
  t.equal(seen, 42)
  t.same(store.get('sp', Uint8Array.of(1)), Uint8Array.of(42))
  const attached = attachRocksStore(store.handle!)
  await attached.close()
  t.same(store.get('sp', Uint8Array.of(1)), Uint8Array.of(42), 'an attached one closes nothing')
  t.not(store.property('rocksdb.total-sst-files-size'), undefined)
  t.equal(store.property('rocksdb.no-such-thing'), undefined)
  await store.close()
})

t.test('what is read once need not take the place of what is read often', async (t) => {
  const store = await open(folder())
  const keysOf = (first: number): Uint8Array[] => Array.from({ length: 256 }, (_, i) => Uint8Array.of(first, i))
  const pages = keysOf(2)
  const batch = store.batch()
  // Far more than memtables hold: what is looked for lies in tables.
  for (const key of [2, 3, 4, 5, 6, 7, 8, 9].flatMap(keysOf)) {
    batch.put('sp', key, new Uint8Array(4096).fill(key[0]!))
    if (batch.count === 64) batch.write()
  }
  const isBusy = (): boolean => ['rocksdb.num-running-flushes', 'rocksdb.num-running-compactions', 'rocksdb.mem-table-flush-pending', 'rocksdb.compaction-pending'].some((name) => store.property(name) !== '0')
  while (isBusy()) await new Promise((resolve) => setTimeout(resolve, 20))
  const cached = (): number => Number(store.property('rocksdb.block-cache-usage'))
  const before = cached()
  store.multiGet('sp', pages, { fillCache: false })
  t.equal(cached(), before)
  t.same(store.multiGet('sp', pages.slice(0, 1)), store.multiGet('sp', pages.slice(0, 1), { fillCache: false }))
  store.multiGet('sp', pages)
  t.ok(cached() > before, `${cached()} bytes are cached`)
  await store.close()
})

t.test('a multiGet sees one state while another thread writes', async (t) => {
  const store = await open(folder())
  const module = new URL('../../../src/store/store-rocksdb.js', import.meta.url).href
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(`
    const { workerData } = require('node:worker_threads')
    import(workerData.module).then(({ attachRocksStore }) => {
      const store = attachRocksStore(workerData.handle)
      const batch = store.batch()
      const value = new Uint8Array(600)
      const view = new DataView(value.buffer)
      for (let n = 1; Atomics.load(workerData.stop, 0) === 0; n++) {
        view.setUint32(0, n)
        for (let k = 0; k < 16; k++) batch.put('ids', Uint8Array.of(k), value)
        batch.write()
        if (n === 1) Atomics.notify(workerData.stop, 0)
      }
    })`, { eval: true, workerData: { module, handle: store.handle, stop } })
  const keys = Array.from({ length: 16 }, (_, k) => Uint8Array.of(k))
  while (store.get('ids', keys[0]!) === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  let mixed = 0
  const seen = new Set<number>()
  for (let i = 0; i < 5000; i++) {
    const numbers = store.multiGet('ids', keys).map((value) => Buffer.from(value!).readUInt32BE(0))
    if (numbers.some((n) => n !== numbers[0])) mixed++
    seen.add(numbers[0]!)
  }
  Atomics.store(stop, 0, 1)
  await new Promise((resolve) => worker.once('exit', resolve))
  t.equal(mixed, 0)
  t.ok(seen.size > 10, `the writer wrote meanwhile (${seen.size} states seen)`)
  await store.close()
})

t.test('damage is store_corrupt, with what mends it', async (t) => {
  const filled = async (): Promise<string> => {
    const path = folder()
    const store = await open(path)
    const batch = store.batch()
    for (let n = 0; n < 30_000; n++) {
      batch.put('sp', Buffer.from(`key ${n}`), Buffer.alloc(100, n))
      if (batch.count === 1000) batch.write()
    }
    await store.close()
    // A reopen turns the log into table files.
    await (await open(path)).close()
    return path
  }
  const damage: Record<string, (path: string) => void> = {
    'CURRENT overwritten': (path) => writeFileSync(join(path, 'CURRENT'), 'nonsense'),
    'MANIFEST missing': (path) => rmSync(join(path, readFileSync(join(path, 'CURRENT'), 'utf8').trim())),
    'MANIFEST zeroed': (path) =>
      writeFileSync(join(path, readFileSync(join(path, 'CURRENT'), 'utf8').trim()), Buffer.alloc(512)),
    'table missing': (path) => rmSync(join(path, readdirSync(path).find((name) => name.endsWith('.sst'))!)),
  }
  for (const [name, spoil] of Object.entries(damage)) {
    const path = await filled()
    spoil(path)
    await t.rejects(open(path), { code: 'store_corrupt', message: /stemedb store rebuild/ }, name)
  }
  const path = await filled()
  for (const name of readdirSync(path).filter((file) => file.endsWith('.sst'))) {
    const bytes = readFileSync(join(path, name))
    for (let at = 0; at < bytes.length / 2; at += 512) bytes[at]! ^= 0x10
    writeFileSync(join(path, name), bytes)
  }
  await t.rejects(async () => {
    const store = await open(path)
    try {
      const range = store.range('sp')
      while (range.next(1000).length > 0) { /* read all */ }
    } finally {
      await store.close()
    }
  }, { code: 'store_corrupt' }, 'table with flipped bits')
})
