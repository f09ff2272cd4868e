import t, { type Test } from 'tap'
import fc from 'fast-check'
import type { Clock } from '../../../src/base/clock.ts'
import type { Disk } from '../../../src/base/disk.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { noMetrics } from '../../../src/observe/thread-metrics.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { RingReader, RingWriter, createRing } from '../../../src/ring/ring.ts'
import { decodeManifest } from '../../../src/wal/manifest.codec.ts'
import { ScrubPace } from '../../../src/wal/scrub-pace.ts'
import { decodeScrubReport, encodeScrubReport, type ScrubReport } from '../../../src/wal/scrub-report.codec.ts'
import { ScrubStage } from '../../../src/wal/scrub-stage.ts'
import { Scrubber, type ScrubDamage, type ScrubRead } from '../../../src/wal/scrubber.ts'
import type { WalWriter } from '../../../src/wal/wal-writer.ts'
import { FaultyDisk } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { DIR, KiB, NODE_ID, openWal, payloadOf, stage } from './kit.ts'

const pathOf = (id: number): string => `${DIR}/${String(id).padStart(10, '0')}.wal`

/** A log with `sealed` sealed segments, and one that is open. */
function logOf(sealed: number): { readonly disk: MemoryDisk, readonly wal: WalWriter } {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  const { wal } = openWal(disk, { segmentBytes: 16 * KiB })
  for (let i = 0; i < sealed; i++) fillSegment(wal, i)
  return { disk, wal }
}

function fillSegment(wal: WalWriter, seed: number): void {
  const random = seededRandom(seed)
  for (;;) {
    const payload = payloadOf(random)
    if (wal.reserve(1, payload.length) !== 'ok') break
    stage(wal, payload)
    wal.commit()
  }
  wal.rotate()
}

const scrubberOf = (disk: Disk, seed = 1): Scrubber => new Scrubber(disk, DIR, NODE_ID, seededRandom(seed))

/** Reads until every segment had its turn once; what was found. */
function cycle(scrubber: Scrubber, pieceBytes = 1000): { readonly damages: ScrubDamage[], readonly reads: ScrubRead[] } {
  const reads: ScrubRead[] = []
  const before = scrubber.cyclesDone
  while (scrubber.cyclesDone === before) reads.push(scrubber.read(pieceBytes))
  scrubber.close()
  return { reads, damages: reads.flatMap((read) => (read.kind === 'checked' && read.damage !== undefined ? [read.damage] : [])) }
}

t.test('a cycle reads every sealed byte once, in pieces, and finds a whole log whole', async (t) => {
  const { disk } = logOf(5)
  const sealed = decodeManifest(disk.readFile(`${DIR}/MANIFEST`)).sealed
  const bytes = sealed.reduce((sum, { bytesUsed }) => sum + bytesUsed, 0)
  for (const seed of [1, 2, 3, 4]) {
    const scrubber = scrubberOf(disk, seed)
    const { reads, damages } = cycle(scrubber)
    t.same(damages, [])
    t.equal(scrubber.totalBytes, bytes)
    t.equal(reads.reduce((sum, read) => sum + (read.kind === 'nothing' ? 0 : read.bytes), 0), bytes, `seed ${seed}`)
    t.same(reads.flatMap((read) => (read.kind === 'checked' ? [read.segmentId] : [])).sort(), [1, 2, 3, 4, 5])
    t.ok(reads.every((read) => read.kind !== 'part' || read.bytes < 1000 + 2 * KiB), 'no piece is much larger than asked for')
  }
})

t.test('one bit flipped anywhere in a sealed segment is found within a cycle, with its place', async (t) => {
  const { disk } = logOf(3)
  const sealed = decodeManifest(disk.readFile(`${DIR}/MANIFEST`)).sealed
  const random = seededRandom(77)
  const scrubber = scrubberOf(disk)
  cycle(scrubber)
  let missed = 0
  const flips = 400
  for (let i = 0; i < flips; i++) {
    const { segmentId, bytesUsed } = sealed[random.u32() % sealed.length]!
    const offset = random.u32() % disk.readFile(pathOf(segmentId)).length
    const mask = 1 << (random.u32() % 8)
    disk.flip(pathOf(segmentId), offset, mask)
    const [damage, ...more] = cycle(scrubber).damages
    if (damage?.segmentId !== segmentId || damage.offset > offset || more.length > 0) missed++
    if (offset >= bytesUsed && damage?.offset !== bytesUsed) missed++
    disk.flip(pathOf(segmentId), offset, mask)
  }
  t.equal(missed, 0, `${flips} flips`)
  t.same(cycle(scrubber).damages, [], 'and a mended one is whole')
})

t.test('damage does not hide what is behind it', async (t) => {
  const { disk } = logOf(4)
  disk.flip(pathOf(1), 700, 1)
  disk.unlink(pathOf(3))
  disk.writeFile(pathOf(4), disk.readFile(pathOf(2)))
  const { damages } = cycle(scrubberOf(disk))
  t.same(damages.map(({ segmentId }) => segmentId).sort(), [1, 3, 4])
  t.match(damages.find(({ segmentId }) => segmentId === 3), { reason: /missing/, lsn: Number })
  t.match(damages.find(({ segmentId }) => segmentId === 4), { reason: /holds segment 2/, offset: 0 })
})

t.test('what is sealed meanwhile has its turn; an empty log has nothing', async (t) => {
  const empty = logOf(0)
  const scrubber = scrubberOf(empty.disk)
  t.same(scrubber.read(1000), { kind: 'nothing' })
  fillSegment(empty.wal, 1)
  fillSegment(empty.wal, 2)
  cycle(scrubber)
  fillSegment(empty.wal, 3)
  empty.disk.flip(pathOf(3), 600, 1)
  t.match(cycle(scrubber).damages, [{ segmentId: 3 }])
})

t.test('a damaged manifest is found, too', async (t) => {
  const { disk } = logOf(2)
  const scrubber = scrubberOf(disk)
  cycle(scrubber)
  const size = disk.readFile(`${DIR}/MANIFEST`).length
  for (let offset = 0; offset < size; offset++) {
    disk.flip(`${DIR}/MANIFEST`, offset, 1)
    t.match(scrubber.read(1), { kind: 'checked', segmentId: 0, damage: { reason: String } }, String(offset))
    disk.flip(`${DIR}/MANIFEST`, offset, 1)
  }
  t.same(cycle(scrubber).damages, [])
})

t.test('a disk that can not read is damage; a system that has no file left is not', async (t) => {
  const { disk } = logOf(2)
  let errno: 'EIO' | 'EMFILE' = 'EIO'
  const faulty = new FaultyDisk(disk, ({ call, path }) => (call === 'open' && path === pathOf(2) ? errno : undefined))
  t.match(cycle(scrubberOf(faulty)).damages, [{ segmentId: 2, reason: /can not read it \(EIO\)/ }])
  errno = 'EMFILE'
  const { reads, damages } = cycle(scrubberOf(faulty))
  t.same(damages, [])
  t.match(reads.filter(({ kind }) => kind === 'unread'), [{ errno: 'EMFILE' }])
})

t.test('pace: a cycle takes its time and no more, whatever the sizes', async (t) => {
  const sizes = fc.integer({ min: 1, max: 50 })
  fc.assert(fc.property(sizes, fc.integer({ min: 1, max: 200 }), fc.integer({ min: 2, max: 400 }), (pieces, kib, cycleSeconds) => {
    const total = pieces * kib * KiB
    const cycleMs = cycleSeconds * 1000
    let nowMs = 5
    const pace = new ScrubPace({ cycleMs, bytesPerSecondMax: Number.MAX_SAFE_INTEGER }, nowMs)
    nowMs += pace.waitMs(nowMs)
    const startMs = nowMs
    for (let i = 0; i < pieces; i++) {
      pace.noteRead(kib * KiB, total, nowMs)
      nowMs += pace.waitMs(nowMs)
    }
    const tookMs = nowMs - startMs
    return tookMs <= cycleMs && tookMs >= Math.min(cycleMs * 0.89, pieces * 60_000 * 0.99)
  }))
  const slow = new ScrubPace({ cycleMs: 1000, bytesPerSecondMax: 64 * KiB }, 0)
  slow.noteRead(64 * KiB, 2 ** 40, 0)
  t.ok(slow.waitMs(0) >= 1000, 'the limit goes before the cycle')
  const slept = new ScrubPace({ cycleMs: 86_400_000, bytesPerSecondMax: 2 ** 30 }, 0)
  let burst = 0
  for (; slept.waitMs(3_600_000) === 0; burst++) slept.noteRead(128 * KiB, 2 ** 40, 3_600_000)
  t.ok(burst < 200, `${burst} pieces after an hour's sleep`)
})

function stageOf(t: Test, disk: Disk): { readonly clock: Clock & { nowMs: number }, readonly scrub: ScrubStage, reports(): ScrubReport[] } {
  const clock = { nowMs: 0, wallMs: () => 0, monoMs: () => clock.nowMs, timer: () => () => {} }
  const ring = createRing(4096)
  const reader = new RingReader(ring)
  const scrub = new ScrubStage({
    scrubber: scrubberOf(disk), reports: new RingWriter(ring, Bell.create()), bell: Bell.create(), clock, metrics: noMetrics,
    cycleMs: 60_000, bytesPerSecondMax: 2 ** 30,
  })
  t.teardown(() => scrub.finish())
  return {
    clock, scrub,
    reports() {
      const reports: ScrubReport[] = []
      while (reader.peek()) {
        reports.push(decodeScrubReport(reader.frame()))
        reader.release()
      }
      return reports
    },
  }
}

t.test('the stage reads when it is due, and says once what is damaged and what is whole again', async (t) => {
  const { disk } = logOf(4)
  const { clock, scrub, reports } = stageOf(t, disk)
  const run = (ms: number): void => {
    for (const end = clock.nowMs + ms; clock.nowMs < end; clock.nowMs += Math.max(1, scrub.idleMs())) {
      t.equal(scrub.step(), 'idle')
    }
  }
  t.ok(scrub.idleMs() > 0, 'not at once')
  disk.flip(pathOf(2), 800, 4)
  run(70_000)
  t.match(reports(), [{ segmentId: 2, damage: { segmentId: 2, lsn: Number, reason: /checksum/ } }])
  disk.flip(pathOf(2), 800, 4)
  run(130_000)
  t.same(reports(), [{ segmentId: 2, damage: undefined }])
  disk.flip(`${DIR}/MANIFEST`, 3, 1)
  run(70_000)
  t.match(reports()[0], { segmentId: 0, damage: { reason: 'not a manifest' } })
  disk.flip(`${DIR}/MANIFEST`, 3, 1)
  run(70_000)
  t.same(reports(), [{ segmentId: 0, damage: undefined }])
})

t.test('bits that flip at random, at any moment of a cycle and while the log grows, are reported within one cycle', async (t) => {
  const cycleMs = 60_000
  const { disk, wal } = logOf(3)
  const { clock, scrub, reports } = stageOf(t, disk)
  const random = seededRandom(2026)
  const below = (bound: number): number => random.u32() % bound
  const step = (): void => {
    t.equal(scrub.step(), 'idle')
    clock.nowMs += Math.max(1, scrub.idleMs())
  }
  for (const endMs = clock.nowMs + 2 * cycleMs; clock.nowMs < endMs;) step()
  const missed: string[] = []
  let latestMs = 0
  const flips = 60
  for (let n = 0; n < flips; n++) {
    if (below(10) === 0) fillSegment(wal, 100 + n)
    for (let steps = below(8); steps > 0; steps--) step()
    t.same(reports(), [], 'nothing is said of a log that is whole')
    const sealed = decodeManifest(disk.readFile(`${DIR}/MANIFEST`)).sealed
    const { segmentId } = sealed[below(sealed.length)]!
    const offset = below(disk.readFile(pathOf(segmentId)).length)
    const mask = 1 << below(8)
    const flippedMs = clock.nowMs
    disk.flip(pathOf(segmentId), offset, mask)
    let found: ScrubReport[] = []
    while (found.length === 0 && clock.nowMs - flippedMs <= cycleMs) {
      step()
      found = reports()
    }
    if (found.length !== 1 || found[0]!.segmentId !== segmentId || found[0]!.damage === undefined) missed.push(`${segmentId}:${offset}`)
    latestMs = Math.max(latestMs, clock.nowMs - flippedMs)
    disk.flip(pathOf(segmentId), offset, mask)
    for (const endMs = clock.nowMs + cycleMs; reports().length === 0 && clock.nowMs < endMs;) step()
  }
  t.same(missed, [], `${flips} flips, the last one found after ${latestMs} ms of ${cycleMs}`)
})

t.test('reports survive the crossing', async (t) => {
  const damage = { segmentId: 4_000_000_000, offset: 1_000_000_000, lsn: 2 ** 50, reason: 'ü'.repeat(400) }
  const crossed = decodeScrubReport(encodeScrubReport({ segmentId: damage.segmentId, damage }))
  t.match(crossed, { segmentId: damage.segmentId, damage: { ...damage, reason: /^ü{256}/ } })
  t.same(decodeScrubReport(encodeScrubReport({ segmentId: 3, damage: undefined })), { segmentId: 3, damage: undefined })
})
