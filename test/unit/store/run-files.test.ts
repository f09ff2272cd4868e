import fc from 'fast-check'
import { join } from 'node:path'
import t from 'tap'
import { compareBytes, toHex } from '../../../src/base/bytes.ts'
import type { Disk } from '../../../src/base/disk.ts'
import { seededRandom, type Random } from '../../../src/base/random.ts'
import { nodeKey } from '../../../src/store/entry-node.codec.ts'
import { EntryReader } from '../../../src/store/entry-reader.ts'
import { EntryRunWriter } from '../../../src/store/entry-runs.ts'
import { nodeCounts } from '../../../src/store/entry-runs.layout.ts'
import { DIRECTORY_ENTRY_BYTES, FILE_RUN, FOOTER_BYTES, directoryStarts, isFileRun } from '../../../src/store/run-file.layout.ts'
import { withRunFiles } from '../../../src/store/run-file-store.ts'
import { runFilesOf, type ColumnRunFiles, type RunFiles } from '../../../src/store/run-files.ts'
import { MemoryStore } from '../../../src/store/store-memory.ts'
import type { Store } from '../../../src/store/store.ts'
import { SimStore } from '../../sim/sim-store.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import type { MemoryDisk } from '../../support/memory-disk.ts'
import { addKeys, keysFrom, scanStore } from './entries.ts'
import { Attempts, FullStore, newStoreDisk } from './full-store.ts'

const DIR = '/data/db/runs'
const filesOn = (disk: Disk, entriesMin = 1): ColumnRunFiles => runFilesOf(disk, '/data/db', entriesMin)

const namesOf = (disk: MemoryDisk): string[] => disk.list(DIR)
const fileRunsOf = (writer: EntryRunWriter): string[] =>
  writer.list.runs.map(({ id }) => id).filter(isFileRun).map((id) => `${id.toString(16).padStart(8, '0')}.run`).sort()

/** A run of nodes of some lengths, written through a store and sealed. */
function written(disk: MemoryDisk, pages: number, run = FILE_RUN + 7): { store: Store, files: RunFiles, nodes: Map<string, Uint8Array> } {
  const runFiles = filesOn(disk)
  const files = runFiles.sp
  files.list()
  const store = withRunFiles(new MemoryStore(), runFiles)
  const random = seededRandom(pages)
  const nodes = new Map<string, Uint8Array>()
  const batch = store.batch()
  nodeCounts(pages).forEach((count, level) => {
    for (let number = 0; number < count; number++) {
      const node = Uint8Array.from({ length: 4 * (1 + random.u32() % 9) }, () => random.u32())
      nodes.set(`${level}/${number}`, node)
      batch.put('sp', nodeKey(run, level, number), node)
    }
  })
  batch.write()
  files.seal(run, pages)
  return { store, files, nodes }
}

t.test('nodes come back by level and number, alone and many at a time, and those that are not there do not', async (t) => {
  const disk = newStoreDisk()
  const pages = 300
  const run = FILE_RUN + 7
  const { store, nodes } = written(disk, pages)
  t.same(nodeCounts(pages), [300, 3, 1])
  for (const reading of [store, withRunFiles(new MemoryStore(), filesOn(disk))]) {
    for (const [place, node] of nodes) {
      const [level, number] = place.split('/').map(Number) as [number, number]
      t.same(reading.get('sp', nodeKey(run, level, number)), node)
    }
    const keys = [nodeKey(run, 1, 2), ...Array.from({ length: 9 }, (_, i) => nodeKey(run, 0, 295 + i)), nodeKey(5, 0, 0), nodeKey(run, 2, 0), nodeKey(run + 1, 0, 0), nodeKey(run, 3, 0)]
    t.same(reading.multiGet('sp', keys), [
      nodes.get('1/2'), ...[295, 296, 297, 298, 299].map((n) => nodes.get(`0/${n}`)), undefined, undefined, undefined, undefined, undefined, nodes.get('2/0'), undefined, undefined,
    ])
  }
  store.clearRange('sp', nodeKey(run, 0, 0), nodeKey(run + 1, 0, 0))
  t.same(namesOf(disk), [])
  t.equal(store.get('sp', nodeKey(run, 0, 0)), undefined)
  t.equal(store.get('sp', Uint8Array.of(1)), undefined)
})

t.test('a file that is being removed is gone to who has it open, and not damaged', async (t) => {
  const disk = newStoreDisk()
  const { store, files } = written(disk, 5)
  const other = withRunFiles(new MemoryStore(), filesOn(disk))
  const key = nodeKey(FILE_RUN + 7, 0, 3)
  t.ok(other.get('sp', key))
  files.remove(FILE_RUN + 7)
  t.equal(other.get('sp', key), undefined)
  t.same(other.multiGet('sp', [key, nodeKey(FILE_RUN + 7, 0, 4)]), [undefined, undefined])
  t.equal(store.get('sp', key), undefined)
  // Cut, and not yet unlinked.
  const cut = newStoreDisk()
  written(cut, 5)
  cut.open(join(DIR, namesOf(cut)[0]!), 'write').truncate(0)
  t.equal(withRunFiles(new MemoryStore(), filesOn(cut)).get('sp', key), undefined)
})

t.test('every flipped bit is found where it is read, or changes nothing; a file that is cut is damaged', async (t) => {
  const pages = 4
  const run = FILE_RUN + 7
  const whole = newStoreDisk()
  const { nodes } = written(whole, pages)
  const path = join(DIR, namesOf(whole)[0]!)
  const file = whole.open(path, 'write')
  const bytes = new Uint8Array(file.size())
  file.pread(bytes, 0, bytes.length, 0)
  const readAll = (): number => {
    const store = withRunFiles(new MemoryStore(), filesOn(whole))
    let read = 0
    for (const [place, node] of nodes) {
      const [level, number] = place.split('/').map(Number) as [number, number]
      const found = store.get('sp', nodeKey(run, level, number))
      if (found !== undefined && compareBytes(found, node) === 0) read++
      else t.fail(`node ${place} is another`)
    }
    return read
  }
  t.equal(readAll(), nodes.size)
  t.equal(bytes.length, [...nodes.values()].reduce((sum, node) => sum + node.length, 0) + directoryStarts(nodeCounts(pages)).at(-1)! * DIRECTORY_ENTRY_BYTES + FOOTER_BYTES)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    file.pwrite(flipped, bit >> 3, 1, bit >> 3)
    try {
      readAll()
      t.fail(`bit ${bit} is not noticed`)
    } catch (error) {
      if (!['store_corrupt', 'format_unsupported'].includes((error as { code: string }).code)) t.fail(`bit ${bit}: ${String(error)}`)
    }
    file.pwrite(bytes, bit >> 3, 1, bit >> 3)
  }
  for (let length = bytes.length - 1; length > 0; length--) {
    file.truncate(length)
    t.throws(readAll, { code: 'store_corrupt' })
  }
})

t.test('a full disk: what was not written is written by the next attempt, at any call and at any write of the store', async (t) => {
  const keys = keysFrom(0, 3000).sort(compareBytes)
  const attempts = new Attempts()
  for (let at = 0; ; at++) {
    const memory = newStoreDisk()
    const disk = new FaultyDisk(memory, ({ index, call }) => (index === at && ['open', 'pwrite', 'syncDir', 'unlink', 'truncate'].includes(call) ? 'ENOSPC' : undefined))
    let isAdding = true
    const inner = new FullStore((write) => write === at && !isAdding)
    const store = withRunFiles(inner, filesOn(disk))
    const writer = attempts.of(() => new EntryRunWriter(store))
    for (let i = 0; i < 3; i++) addKeys(writer, store, keys.slice(i * 1000, (i + 1) * 1000))
    isAdding = false
    while (attempts.of(() => writer.mergeStep(100, true))) { /* to the end */ }
    t.same(namesOf(memory), fileRunsOf(writer), `call ${at}`)
    t.equal(namesOf(memory).length, 1)
    t.same(attempts.of(() => scanStore(store)).map(({ key }) => toHex(key)), keys.map(toHex))
    if (at > disk.calls.length && at > inner.writes) break
  }
  t.ok(attempts.failed > 4, `${attempts.failed} failed calls`)
})

t.test('power cuts and ends at any moment: a store has what some first part of its writes made, with every file that it names', async (t) => {
  const operation = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('add' as const), count: fc.constantFrom(1, 5, 64, 130) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('merge' as const), entries: fc.integer({ min: 1, max: 3000 }), eager: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('start' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('powerCut' as const) }) },
  )
  let cuts = 0
  let files = 0
  fc.assert(fc.property(fc.array(operation, { minLength: 10, maxLength: 60 }), fc.nat(), (ops, seed) => {
    const random: Random = seededRandom(seed + 1)
    const inner = new SimStore()
    let disk = newStoreDisk()
    const open = (): { store: Store, writer: EntryRunWriter } => {
      const store = withRunFiles(inner, filesOn(disk, 3))
      return { store, writer: new EntryRunWriter(store, undefined, 1) }
    }
    let { store, writer } = open()
    let adds: Uint8Array[][] = []
    let next = 0
    for (const op of ops) {
      if (op.kind === 'add') {
        const keys = keysFrom(next, op.count)
        next += op.count
        adds.push(keys)
        addKeys(writer, store, keys)
      } else if (op.kind === 'merge') writer.mergeStep(op.entries, op.eager)
      else {
        if (op.kind === 'powerCut') {
          disk = disk.crash(random)
          inner.powerCut(random)
          cuts++
        }
        ({ store, writer } = open())
        files += fileRunsOf(writer).length
        if (namesOf(disk).join() !== fileRunsOf(writer).join()) throw new Error(`files ${namesOf(disk).join()}, listed ${fileRunsOf(writer).join()} of ${writer.list.nextRun}`)
        const found = scanStore(store).map(({ key }) => toHex(key))
        while (adds.length > 0 && adds.reduce((sum, keys) => sum + keys.length, 0) > found.length) adds = op.kind === 'powerCut' ? adds.slice(0, -1) : fail()
      }
      if (scanStore(store).map(({ key }) => toHex(key)).join() !== adds.flat().sort(compareBytes).map(toHex).join()) throw new Error(`other entries after ${op.kind}: ${scanStore(store).length} for ${adds.flat().length}, ${writer.list.runs.map((r) => [r.id.toString(16), r.entries]).join(' ')}`)
    }
    while (writer.mergeStep(1000, true)) { /* to the end */ }
    return namesOf(disk).join() === fileRunsOf(writer).join() && scanStore(store, {}, new EntryReader(store)).length === adds.flat().length
  }), { numRuns: 150 })
  t.ok(cuts > 100 && files > 20, `${cuts} power cuts, ${files} files in use after a start`)
})

function fail(): never {
  throw new Error('an end without a power cut has lost something')
}
