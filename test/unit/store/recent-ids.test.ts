import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { IdHash } from '../../../src/store/id-hash.ts'
import { RecentIdSequence } from '../../../src/store/recent-id-sequence.ts'
import { RecentIds } from '../../../src/store/recent-ids.ts'
import { ENTRY_BYTES, recentIdsBytes, slotCountOf } from '../../../src/store/recent-ids.layout.ts'

const key = new Uint8Array(createHash('sha256').update('key').digest())
const idOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(String(n)).digest())

const hash = new IdHash(key)
const hiOf = (id: Uint8Array): number => { hash.compute(id, 0); return hash.hi }

const placeOf = (n: number): { lsn: number, hlc: bigint, segmentId: number, recordOffset: number, index: number } => ({
  lsn: n, hlc: (BigInt(n) << 40n) + 0xffff_0001n, segmentId: 0xffff_ffff - n, recordOffset: 0xf000_0000 + n, index: n % 65_535,
})
const insert = (recents: RecentIds, n: number): boolean => {
  const { lsn, hlc, segmentId, recordOffset, index } = placeOf(n)
  return recents.insert(idOf(n), 0, hiOf(idOf(n)), lsn, hlc, segmentId, recordOffset, index)
}

t.test('sizes', async (t) => {
  t.equal(slotCountOf(1024), 2048)
  t.equal(slotCountOf(1025), 4096)
  t.equal(recentIdsBytes(1024), 64 + 2 * (1024 * 64 + 2048 * 4))
  t.equal(ENTRY_BYTES, 64)
  t.throws(() => new RecentIds(new SharedArrayBuffer(100), 1024, new IdHash(key), () => 0))
})

/** Every id that no run has is in the sequence; what it has of others is right. */
function checkSequence(sequence: RecentIdSequence, flushedLsn: number, last: number, entriesMax: number): void {
  for (let from = Math.max(1, last - 3 * entriesMax); from <= last + 1; from++) {
    for (const [until, room] of [[last, 3], [from + 1, 8], [from - 1, 8]] as const) {
      const out = new Uint32Array(room * 8)
      const found = sequence.read(from, Math.min(until, last), out)
      if (found === undefined) {
        if (from > flushedLsn && from <= Math.min(until, last)) throw new Error(`ids from ${from} on are gone`)
        continue
      }
      const end = from + found.count - 1
      if (found.count < 1 || found.count > room || end > Math.min(until, last)) throw new Error(`${found.count} ids from ${from} on`)
      for (let n = from; n <= end; n++) {
        if (Buffer.compare(idOf(n), new Uint8Array(out.buffer, (n - from) * 32, 32)) !== 0) throw new Error(`id ${n} is another`)
      }
      const { segmentId, recordOffset } = placeOf(end)
      if (found.segmentId !== segmentId || found.recordOffset !== recordOffset) throw new Error(`id ${end} is elsewhere`)
    }
  }
}

t.test('is an exact table with room for two generations, against a Map', async () => {
  const operation = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('insert' as const), count: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const), appliedBehind: fc.integer({ min: 0, max: 3 }) }) },
  )
  fc.assert(fc.property(fc.array(operation, { maxLength: 60 }), fc.integer({ min: 1, max: 16 }), (operations, entriesMax) => {
    let flushedLsn = 0
    let last = 0
    const writer = RecentIds.create(entriesMax, new IdHash(key), () => flushedLsn)
    const reader = new RecentIds(writer.buffer, entriesMax, new IdHash(key), () => flushedLsn)
    const sequence = new RecentIdSequence(writer.buffer, entriesMax)
    for (const op of operations) {
      if (op.kind === 'insert') {
        // Full is when both generations hold what is not flushed.
        const room = writer.hasRoom(op.count)
        for (let n = 0; n < op.count; n++) {
          const inserted = insert(writer, last + 1)
          if (room && !inserted) throw new Error('no room where some was promised')
          if (!inserted) break
          last++
        }
      } else {
        const finished = reader.finished(last - op.appliedBehind)
        if (finished !== undefined) {
          if (finished.firstLsn !== flushedLsn + 1) throw new Error('a gap between flushes')
          if (finished.lastLsn > last - op.appliedBehind) throw new Error('flushed what is not applied')
          if (finished.count !== entriesMax || finished.lastLsn !== flushedLsn + entriesMax) throw new Error('not whole')
          flushedLsn = finished.lastLsn
        }
      }
      if (last - flushedLsn > 2 * entriesMax) throw new Error('more than two generations')
      for (let n = flushedLsn + 1; n <= last; n++) {
        const found = reader.find(idOf(n), 0)
        const want = placeOf(n)
        if (found === undefined || found.lsn !== n || found.hlc !== want.hlc || found.segmentId !== want.segmentId ||
          found.recordOffset !== want.recordOffset || found.index !== want.index) throw new Error(`id ${n} is gone`)
      }
      if (reader.find(idOf(last + 1), 0) !== undefined) throw new Error('an id that was never there')
      checkSequence(sequence, flushedLsn, last, entriesMax)
    }
    return true
  }), { numRuns: 200 })
})

t.test('insert says no until the older generation is flushed, and does nothing then', async (t) => {
  let flushedLsn = 0
  const recents = RecentIds.create(4, new IdHash(key), () => flushedLsn)
  t.equal(recents.finished(100), undefined, 'nothing yet')
  for (let n = 1; n <= 8; n++) t.equal(insert(recents, n), true)
  t.equal(recents.isFull, true)
  t.equal(recents.hasRoom(1), false)
  t.equal(insert(recents, 9), false)
  t.equal(recents.count, 8)
  t.equal(recents.finished(3), undefined, 'applied only in part')
  const finished = recents.finished(4)!
  t.match({ count: finished.count, first: finished.firstLsn, last: finished.lastLsn }, { count: 4, first: 1, last: 4 })
  flushedLsn = 4
  t.equal(recents.finished(8), undefined, 'flushed already, and the other is being written')
  t.equal(recents.hasRoom(4), true)
  t.equal(recents.hasRoom(5), false)
  const generation = recents.generation
  t.equal(insert(recents, 9), true)
  t.equal(recents.generation, generation + 1)
  t.equal(recents.find(idOf(1), 0), undefined, 'the flushed one is cleared')
  t.equal(recents.find(idOf(5), 0)?.lsn, 5)
  t.equal(new RecentIds(recents.buffer, 4, new IdHash(key), () => 4).finished(8)?.lastLsn, 8, 'for a thread that comes later')
})

t.test('inserts that the log dropped are taken back, over a turn of the generations too', async () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(40), fc.nat(9), (entriesMax, kept, dropped) => {
    let flushedLsn = 0
    const recents = RecentIds.create(entriesMax, new IdHash(key), () => flushedLsn)
    const flush = (): void => { flushedLsn = recents.finished(kept)?.lastLsn ?? flushedLsn }
    for (let n = 1; n <= kept; n++) {
      if (!insert(recents, n)) flush()
      if (recents.find(idOf(n), 0) === undefined && !insert(recents, n)) throw new Error('full')
    }
    flush()
    let last = kept
    while (last < kept + dropped && insert(recents, last + 1)) last++
    recents.forgetAfter(kept)
    for (let n = flushedLsn + 1; n <= kept; n++) if (recents.find(idOf(n), 0)?.lsn !== n) throw new Error(`id ${n} is gone`)
    for (let n = kept + 1; n <= last; n++) if (recents.find(idOf(n), 0) !== undefined) throw new Error(`id ${n} is there`)
    // And it goes on from there.
    for (let n = kept + 1; n <= last; n++) if (!insert(recents, n)) throw new Error('less room than before')
    for (let n = flushedLsn + 1; n <= last; n++) if (recents.find(idOf(n), 0)?.lsn !== n) throw new Error(`id ${n} is gone later`)
    return true
  }), { numRuns: 300 })
})

t.test('ids that share a prefix, and LSNs beyond 32 bits', async (t) => {
  const recents = RecentIds.create(64, new IdHash(key), () => 0)
  const same = (n: number): Uint8Array => { const id = idOf(0); id[31] = n; return id }
  for (let n = 0; n < 50; n++) t.equal(recents.insert(same(n), 0, hiOf(same(n)), 2 ** 40 + n, 2n ** 63n + BigInt(n), 1, 2, 3), true)
  for (let n = 0; n < 50; n++) {
    t.match(recents.find(same(n), 0), { lsn: 2 ** 40 + n, hlc: 2n ** 63n + BigInt(n) })
  }
  t.equal(recents.find(same(51), 0), undefined)
})

t.test('a reader in another thread finds every id or finds it flushed, and never a wrong place', async (t) => {
  const entriesMax = 256
  const shared = new BigUint64Array(new SharedArrayBuffer(32))
  const [FLUSHED, LAST, STOP, ENOUGH] = [0, 1, 2, 3]
  const recents = RecentIds.create(entriesMax, new IdHash(key), () => Number(Atomics.load(shared, FLUSHED)))
  const worker = new Worker(`
    const { workerData, parentPort } = require('node:worker_threads')
    const { root, buffer, key, entriesMax, shared } = workerData
    Promise.all([import(root + 'recent-ids.js'), import(root + 'id-hash.js'), import(root + 'recent-id-sequence.js')]).then(([{ RecentIds }, { IdHash }, { RecentIdSequence }]) => {
      const load = (index) => Number(Atomics.load(shared, index))
      const recents = new RecentIds(buffer, entriesMax, new IdHash(key), () => load(0))
      const id = new Uint8Array(32)
      const words = new Uint32Array(id.buffer)
      const sequence = new RecentIdSequence(buffer, entriesMax)
      const out = new Uint32Array(8 * 40)
      const seen = { wrong: 0, hits: 0, lost: 0, sequences: 0 }
      parentPort.postMessage('ready')
      for (let n = 0; load(2) === 0; n++) {
        const last = load(1)
        const lsn = last - (n % (2 * entriesMax))
        if (lsn < 1) continue
        words.fill(lsn)
        const found = recents.find(id, 0)
        if (found !== undefined) {
          seen.hits++
          if (found.lsn !== lsn || found.index !== lsn % 65535 || found.recordOffset !== lsn || found.hlc !== BigInt(lsn)) seen.wrong++
        } else if (lsn > load(0)) seen.lost++
        const some = sequence.read(lsn, last, out)
        if (some === undefined) continue
        seen.sequences++
        for (let i = 0; i < some.count * 8; i++) if (out[i] !== lsn + (i >> 3)) seen.wrong++
        if (some.recordOffset !== lsn + some.count - 1) seen.wrong++
        if (seen.hits > 1000 && seen.sequences > 1000) Atomics.store(shared, 3, 1n)
      }
      parentPort.postMessage(seen)
    })`, {
    eval: true,
    workerData: { root: new URL('../../../src/store/', import.meta.url).href, buffer: recents.buffer, key, entriesMax, shared },
  })
  const message = (): Promise<{ wrong: number, hits: number, lost: number, sequences: number }> =>
    new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await message()
  const id = new Uint8Array(32)
  const words = new Uint32Array(id.buffer)
  // Goes on while the reader, which may get little of the cores, has not seen enough.
  for (let lsn = 1; lsn <= 300_000 || (Atomics.load(shared, ENOUGH) === 0n && lsn <= 30_000_000); lsn++) {
    words.fill(lsn)
    if (!recents.insert(id, 0, hiOf(id), lsn, BigInt(lsn), 1, lsn, lsn % 65_535)) throw new Error('full')
    Atomics.store(shared, LAST, BigInt(lsn))
    const finished = recents.finished(lsn)
    if (finished !== undefined) Atomics.store(shared, FLUSHED, BigInt(finished.lastLsn))
  }
  const result = message()
  Atomics.store(shared, STOP, 1n)
  const seen = await result
  t.equal(seen.wrong, 0)
  t.equal(seen.lost, 0)
  t.ok(seen.hits > 1000, `${seen.hits} hits`)
  t.ok(seen.sequences > 1000, `${seen.sequences} sequences`)
  await new Promise((resolve) => worker.once('exit', resolve))
})
