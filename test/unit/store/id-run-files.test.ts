import fc from 'fast-check'
import { createHash } from 'node:crypto'
import t from 'tap'
import type { Disk } from '../../../src/base/disk.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { IdHash } from '../../../src/store/id-hash.ts'
import { IdRunReader, IdRunWriter, MERGE_FAN_IN, fingerprintScan } from '../../../src/store/id-runs.ts'
import { ENTRY_BYTES, ENTRY_LSN_LO, ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID } from '../../../src/store/recent-ids.layout.ts'
import type { FinishedIds } from '../../../src/store/recent-ids.ts'
import { isFileRun } from '../../../src/store/run-file.layout.ts'
import { withRunFiles } from '../../../src/store/run-file-store.ts'
import { runFilesOf } from '../../../src/store/run-files.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import type { Store } from '../../../src/store/store.ts'
import { SimStore } from '../../sim/sim-store.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import type { MemoryDisk } from '../../support/memory-disk.ts'
import { Attempts, FullStore, newStoreDisk } from './full-store.ts'

// Runs of ids in files: what EntryRunWriter's are tested for in run-files.test.ts, for the other column.

const DIR = '/data/db/id-runs'
const key = new Uint8Array(createHash('sha256').update('key').digest())
const idOf = (n: number): Uint8Array => new Uint8Array(createHash('sha256').update(String(n)).digest())
const newWriter = (store: Store): IdRunWriter => new IdRunWriter(store, new IdHash(key))

const storeOn = (inner: Store, disk: Disk, entriesMin = 1): Store => withRunFiles(inner, runFilesOf(disk, '/data/db', entriesMin))

/** The ids `first..last`, as a generation of recent ids that is full; id n stands in segment n. */
function generation(first: number, last: number): FinishedIds {
  const count = last - first + 1
  const bytes = new Uint8Array(count * ENTRY_BYTES)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < count; i++) {
    const at = i * ENTRY_BYTES
    bytes.set(idOf(first + i), at)
    view.setUint32(at + ENTRY_LSN_LO, first + i, true)
    view.setUint32(at + ENTRY_SEGMENT_ID, first + i, true)
    view.setUint32(at + ENTRY_RECORD_OFFSET, 8 * (first + i), true)
  }
  return { count, firstLsn: first, lastLsn: last, words: new Uint32Array(bytes.buffer) }
}

function flush(store: Store, writer: IdRunWriter, finished: FinishedIds): void {
  const batch = store.batch()
  const adopt = writer.flush(finished, batch)
  batch.write()
  adopt()
}

const hash = new IdHash(key)
function findIn(reader: IdRunReader, n: number): number | undefined {
  hash.compute(idOf(n), 0)
  const found = reader.find(hash.hi, hash.lo)
  return found.find(({ segmentId, recordOffset }) => segmentId === n && recordOffset === 8 * n)?.segmentId
}

/** @throws {Error} where not just the ids `1..last` are found, by look-ups (of each `step`-th) and by a walk. */
function checkIds(store: Store, last: number, reader = new IdRunReader(store), step = 1): void {
  for (let n = last; n >= 1; n -= step) if (findIn(reader, n) !== n) throw new Error(`id ${n} of ${last} is not found`)
  for (let n = last + 1; n <= last + 5; n++) if (findIn(reader, n) !== undefined) throw new Error(`id ${n} is found, ${last} is the last`)
  const seen = new Set<string>()
  const scan = fingerprintScan(store, (hi, lo) => seen.add(`${hi}:${lo}`))
  while (scan.next(7) > 0) { /* all of them */ }
  scan.close()
  if (seen.size !== last) throw new Error(`a walk finds ${seen.size} of ${last}`)
}

const namesOf = (disk: MemoryDisk): string => disk.list(DIR).join()
const listedNames = (writer: IdRunWriter): string =>
  writer.list.runs.map(({ id }) => id).filter(isFileRun).map((id) => `${id.toString(16).padStart(8, '0')}.run`).sort().join()

t.test('runs of a generation and of merges, some of their pages without any id', async (t) => {
  const disk = newStoreDisk()
  const inner = new MemoryStore()
  const store = storeOn(inner, disk)
  const writer = newWriter(store)
  // 129 ids of a mean of 128 a page are in two pages; 16 times 3 in one, into which three fit many times.
  flush(store, writer, generation(1, 300))
  t.equal(writer.list.runs[0]!.pageBits, 2)
  let last = 300
  for (let i = 0; i < MERGE_FAN_IN; i++) flush(store, writer, generation(last + 1, last += i === 3 ? 700 : 1))
  checkIds(store, last)
  while (writer.mergeStep(50)) checkIds(store, last)
  checkIds(store, last)
  t.equal(writer.list.runs.length, 2)
  t.ok(writer.list.runs.every(({ id }) => isFileRun(id)))
  t.equal(namesOf(disk), listedNames(writer))
  const rows = inner.range('ids')
  t.equal(rows.next(100).length, 2, 'among the keys there is the list only')
  rows.close()
  checkIds(storeOn(inner, disk), last)
})

t.test('a file that is not there, though the list has it, is no run without ids', async (t) => {
  const disk = newStoreDisk()
  const store = storeOn(new MemoryStore(), disk)
  const writer = newWriter(store)
  flush(store, writer, generation(1, 10))
  const reader = new IdRunReader(store)
  t.equal(findIn(reader, 3), 3)
  store.runFiles!.ids.remove(writer.list.runs[0]!.id)
  t.throws(() => findIn(reader, 3), { code: 'store_corrupt' })
  t.throws(() => findIn(new IdRunReader(store), 11), { code: 'store_corrupt' })
  const scan = fingerprintScan(store, () => {})
  t.throws(() => scan.next(10), { code: 'store_corrupt' })
})

t.test('a full disk: what was not written is written by the next attempt, at any call and at any write of the store', async (t) => {
  const attempts = new Attempts()
  for (let at = 0; ; at++) {
    const memory = newStoreDisk()
    const disk = new FaultyDisk(memory, ({ index, call }) => (index === at && ['open', 'pwrite', 'syncDir', 'unlink', 'truncate'].includes(call) ? 'ENOSPC' : undefined))
    const inner = new FullStore((write) => write === at)
    const store = storeOn(inner, disk, 2)
    const writer = attempts.of(() => newWriter(store))
    let last = 0
    for (let i = 0; i < MERGE_FAN_IN; i++) {
      const finished = generation(last + 1, last += i === 5 ? 140 : 1 + i % 3)
      attempts.of(() => flush(store, writer, finished))
    }
    while (attempts.of(() => writer.mergeStep(100))) { /* to the end */ }
    attempts.of(() => checkIds(store, last))
    t.equal(namesOf(memory), listedNames(writer), `call ${at}`)
    t.equal(writer.list.runs.length, 1)
    if (at > disk.calls.length && at > inner.writes) break
  }
  t.ok(attempts.failed > 20, `${attempts.failed} failed calls`)
})

t.test('power cuts and ends at any moment: a store has the ids of some first part of its writes, with every file that it names', async (t) => {
  const operation = fc.oneof(
    { weight: 12, arbitrary: fc.record({ kind: fc.constant('add' as const), count: fc.constantFrom(1, 2, 3, 5, 140) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('merge' as const), entries: fc.integer({ min: 1, max: 300 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('start' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('powerCut' as const) }) },
  )
  let [cuts, files, merges] = [0, 0, 0]
  fc.assert(fc.property(fc.array(operation, { minLength: 40, maxLength: 90 }), fc.nat(), (ops, seed) => {
    const random = seededRandom(seed + 1)
    const inner = new SimStore()
    let disk = newStoreDisk()
    const open = (): { store: Store, writer: IdRunWriter, reader: IdRunReader } => {
      const store = storeOn(inner, disk, 3)
      return { store, writer: newWriter(store), reader: new IdRunReader(store) }
    }
    let { store, writer, reader } = open()
    /** LSNs at which writes of ids ended. */
    let ends = [0]
    for (const op of ops) {
      if (op.kind === 'add') {
        const last = ends.at(-1)!
        flush(store, writer, generation(last + 1, last + op.count))
        ends.push(last + op.count)
      } else if (op.kind === 'merge') {
        if (writer.mergeStep(op.entries)) merges++
      } else {
        if (op.kind === 'powerCut') {
          disk = disk.crash(random)
          inner.powerCut(random)
          cuts++
        }
        ;({ store, writer, reader } = open())
        if (namesOf(disk) !== listedNames(writer)) throw new Error(`files ${namesOf(disk)}, listed ${listedNames(writer)}`)
        if (listedNames(writer) !== '') files++
        const last = Math.max(0, ...writer.list.runs.map(({ lastLsn }) => lastLsn))
        if (!ends.includes(last) || (op.kind === 'start' && last !== ends.at(-1))) throw new Error(`${last} after writes up to ${ends.join()}`)
        ends = ends.filter((end) => end <= last)
      }
      checkIds(store, ends.at(-1)!, reader, 37)
    }
    while (writer.mergeStep(1000)) merges++
    checkIds(store, ends.at(-1)!, reader)
    return namesOf(disk) === listedNames(writer)
  }), { numRuns: 60 })
  t.ok(cuts > 30 && files > 20 && merges > 20, `${cuts} power cuts, ${files} starts with files, ${merges} merges`)
})
