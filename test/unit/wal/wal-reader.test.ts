import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../../src/base/clock.ts'
import { nodeDisk } from '../../../src/base/disk-node.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { inspectWal, verifyWal, type VerifyReport } from '../../../src/wal/inspect.ts'
import { recoverWal } from '../../../src/wal/recovery.ts'
import { SegmentPreparer } from '../../../src/wal/segment-preparer.ts'
import { NEXT_NAME, NEXT_TMP_NAME } from '../../../src/wal/wal-files.ts'
import { WalReader } from '../../../src/wal/wal-reader.ts'
import { WalWriter } from '../../../src/wal/wal-writer.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { DIR, KiB, NODE_ID, codeOf, openWal, optionsWith, payloadOf, readAll, stage, thrown } from './kit.ts'

const pathOf = (id: number): string => `${DIR}/${String(id).padStart(10, '0')}.wal`

/** Segments of four pages with ten batches in each. */
function logOf(segments: number) {
  const memory = new MemoryDisk()
  memory.mkdir('/data')
  const disk = new FaultyDisk(memory)
  const { wal, recovered } = openWal(disk, { segmentBytes: 16 * KiB })
  const random = seededRandom(5)
  const places = []
  for (let segment = 1; segment <= segments; segment++) {
    if (segment > 1) wal.rotate()
    for (let i = 0; i < 10; i++) {
      const payload = payloadOf(random)
      places.push({ ...stage(wal, payload), payload })
      wal.commit()
    }
  }
  return { memory, disk, wal, recovered, places }
}

const reportOf = (disk: MemoryDisk): VerifyReport => {
  const verification = verifyWal(disk, DIR)
  for (let step = verification.next(); ; step = verification.next()) if (step.done === true) return step.value
}

t.test('a reader follows the durable position, over segments', (t) => {
  const { disk, wal, recovered } = logOf(1)
  const reader = new WalReader(disk, DIR, { nodeId: NODE_ID })
  reader.seek(recovered.first)
  let seen = 0
  const drain = (): void => {
    const until = wal.durablePosition
    while (reader.next(until)) t.equal(reader.header.lsnFirst, ++seen)
    t.notOk(reader.next(until), 'and stays at its end')
    t.equal(seen, wal.durableLsn)
  }
  drain()
  for (let i = 0; i < 60; i++) {
    if (wal.reserve(1, 700) !== 'ok') wal.rotate()
    stage(wal, payloadOf(seededRandom(i)))
    stage(wal, payloadOf(seededRandom(i)))
    wal.write()
    drain()
    wal.sync()
    if (i % 3 !== 0) drain()
  }
  drain()
  t.ok(wal.segmentId > 2)
  t.end()
})

t.test('reading on from any record', (t) => {
  const { disk, wal, places } = logOf(3)
  for (const [i, { segmentId, offset }] of places.entries()) {
    t.same(readAll(disk, { segmentId, offset }, wal.durablePosition).map((record) => record.lsnFirst),
      places.slice(i).map((place) => place.lsn))
  }
  t.same(readAll(disk, wal.durablePosition, wal.durablePosition), [])
  t.end()
})

t.test('ranges by place; files stay open within a bound', (t) => {
  const { disk, places } = logOf(6)
  const reader = new WalReader(disk, DIR, { nodeId: NODE_ID, openFilesMax: 2 })
  const opened = disk.count('open')
  for (const { segmentId, offset, payload } of places) {
    const out = new Uint8Array(payload.length + 3)
    reader.readRange(segmentId, offset + 64, payload.length, out, 3)
    t.same(out.subarray(3), payload)
  }
  t.equal(disk.count('open') - opened, 6, 'one opening a segment, when they come in order')
  reader.readRange(1, 0, 1, new Uint8Array(1))
  t.equal(disk.count('open') - opened, 7, 'the oldest was closed')
  reader.readRange(6, 0, 1, new Uint8Array(1))
  t.equal(disk.count('open') - opened, 7, 'the newest was not')
  t.equal(codeOf(thrown(() => reader.readRange(1, 16 * KiB - 4, 8, new Uint8Array(8)))), 'wal_corrupt', 'beyond the end')
  t.equal(codeOf(thrown(() => reader.readRange(9, 0, 1, new Uint8Array(1)))), 'wal_corrupt', 'no such segment')
  reader.close()
  t.end()
})

t.test('a reader notices damage, and a cut end of an earlier segment', (t) => {
  const { memory, wal, recovered, places } = logOf(2)
  const at = places[4]!
  memory.flip(pathOf(1), at.offset + 64, 1)
  t.match(thrown(() => readAll(memory, recovered.first, wal.durablePosition)),
    { code: 'wal_corrupt', details: { segmentId: 1, offset: at.offset, lsn: 5 } })
  memory.flip(pathOf(1), at.offset + 64, 1)
  const bytes = memory.readFile(pathOf(1))
  memory.writeFile(pathOf(1), bytes.slice().fill(0, places[8]!.offset))
  t.match(thrown(() => readAll(memory, recovered.first, wal.durablePosition)), { code: 'wal_corrupt', details: { segmentId: 2 } })
  memory.writeFile(pathOf(1), bytes)
  memory.writeFile(pathOf(2), memory.readFile(pathOf(2)).fill(0, places[19]!.offset))
  t.match(thrown(() => readAll(memory, recovered.first, wal.durablePosition)),
    { code: 'wal_corrupt', details: { segmentId: 2, offset: places[19]!.offset, lsn: 20 } }, 'zeros before the durable position')
  t.end()
})

t.test('inspect: records as people read them, within bounds', (t) => {
  const { memory, wal, places } = logOf(3)
  wal.mark()
  const all = [...inspectWal(memory, DIR, { limit: 1000 })]
  t.equal(all.length, 31)
  t.match(all[0], { segmentId: 1, offset: 512, kind: 'batch', count: 1, lsnFirst: 1, lsnLast: 1, payloadBytes: places[0]!.payload.length })
  t.match(all[30], { segmentId: 3, kind: 'mark', count: 0, lsnFirst: 31, lsnLast: undefined, durableLsn: 30, bytes: 512 })
  t.same([...inspectWal(memory, DIR, { fromLsn: 12, toLsn: 14, limit: 9 })].map((record) => record.lsnFirst), [12, 13, 14])
  t.same([...inspectWal(memory, DIR, { fromSegmentId: 3, limit: 2 })].map((record) => record.lsnFirst), [21, 22])
  t.doesNotThrow(() => JSON.stringify(all))
  memory.flip(pathOf(2), places[13]!.offset + 64, 8)
  const seen: number[] = []
  t.equal(codeOf(thrown(() => {
    for (const record of inspectWal(memory, DIR, { limit: 1000 })) seen.push(record.lsnFirst)
  })), 'wal_corrupt')
  t.equal(seen.length, 13, 'all before the damage were given')
  t.equal(codeOf(thrown(() => [...inspectWal(memory, '/data/none', { limit: 1 })])), 'not_found')
  t.end()
})

t.test('verify: counts of a whole log, the first damage of a bad one, torn bytes of an open one', (t) => {
  const { memory, wal, places } = logOf(3)
  wal.mark()
  const report = reportOf(memory)
  t.match(report, { ok: true, segments: 3, assertions: 30, lsnFirst: 1, lsnLast: 30, records: { batch: 30, mark: 1, seal: 0 }, tornBytes: 0, damage: undefined })
  stage(wal, payloadOf(seededRandom(1)))
  stage(wal, payloadOf(seededRandom(2)))
  const { offset } = wal.durablePosition
  wal.write()
  memory.flip(pathOf(3), offset + 64, 1)
  t.match(reportOf(memory), { ok: true, assertions: 30, damage: undefined })
  t.ok(reportOf(memory).tornBytes > 100)
  t.equal([...inspectWal(memory, DIR, { limit: 1000 })].length, 31, 'inspect ends before it')
  memory.flip(pathOf(2), places[15]!.offset + 64, 8)
  t.match(reportOf(memory), { ok: false, damage: { code: 'wal_corrupt', segmentId: 2, offset: places[15]!.offset, lsn: 16 } })
  memory.flip(pathOf(2), places[15]!.offset + 64, 8)
  memory.flip(pathOf(1), 16 * KiB - 1, 8)
  t.match(reportOf(memory), { ok: false, damage: { segmentId: 1 } }, 'a stray bit in a sealed segment\'s unused end')
  t.end()
})

const temporary = (t: Tap): string => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-wal-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}
type Tap = typeof t

/** The preparer's pauses keep no process alive; a node has its sockets for that. */
const alive = setInterval(() => undefined, 1000)
t.teardown(() => clearInterval(alive))

t.test('on real files: write, rotate into prepared segments, crash, recover, seal', async (t) => {
  const dir = join(temporary(t as Tap), 'wal')
  const options = optionsWith({ segmentBytes: 64 * KiB })
  const wal = WalWriter.open(nodeDisk, dir, recoverWal(nodeDisk, dir, options), options)
  const preparer = new SegmentPreparer(dir, { segmentBytes: 64 * KiB, reserveBytes: 0, clock: systemClock })
  t.equal(await preparer.prepare(), 'ready')
  t.equal(statSync(join(dir, NEXT_NAME)).size, 64 * KiB)
  t.equal(await preparer.prepare(), 'ready', 'never more than one')
  for (let i = 0; i < 100; i++) {
    if (wal.reserve(1, 2000) !== 'ok') {
      wal.rotate()
      t.notOk(readdirSync(dir).includes(NEXT_NAME), 'the prepared one was taken')
      t.equal(await preparer.prepare(), 'ready')
    }
    stage(wal, new Uint8Array(2000).fill(i))
    wal.commit()
  }
  wal.close()
  const recovered = recoverWal(nodeDisk, dir, options)
  t.match(recovered, { lastLsn: 100, truncatedBytes: 0, missingBytes: 0, cleanShutdown: false })
  const again = WalWriter.open(nodeDisk, dir, recovered, options)
  again.seal()
  t.match(recoverWal(nodeDisk, dir, options), { lastLsn: 100, cleanShutdown: true })
  t.equal(statSync(join(dir, 'MANIFEST')).mode & 0o777, 0o600)
})

t.test('the preparer: full, stopped, failing', async (t) => {
  const dir = temporary(t as Tap)
  const sizes = { segmentBytes: 64 * KiB, reserveBytes: 0, clock: systemClock }
  t.equal(await new SegmentPreparer(dir, { ...sizes, reserveBytes: Number.MAX_SAFE_INTEGER }).prepare(), 'disk_full')
  t.same(readdirSync(dir), [])
  const stopped = new SegmentPreparer(dir, { ...sizes, segmentBytes: 16 * 1024 * KiB, pauseMs: 20 })
  const running = stopped.prepare()
  t.equal(stopped.prepare(), running, 'one at a time')
  await stopped.stop()
  t.equal(await running, 'stopped')
  t.same(readdirSync(dir), [])
  writeFileSync(join(dir, NEXT_TMP_NAME), 'of an earlier process')
  t.equal(await new SegmentPreparer(dir, sizes).prepare(), 'ready')
  t.same(readdirSync(dir), [NEXT_NAME])
  await t.rejects(new SegmentPreparer(join(dir, 'none'), sizes).prepare(), { code: 'io_error', details: { errno: 'ENOENT' } })
})
