import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { seededRandom } from '../../../src/base/random.ts'
import * as cutting from '../../../src/wal/cut.ts'
import { verifyWal, type VerifyReport } from '../../../src/wal/inspect.ts'
import { recoverWal } from '../../../src/wal/recovery.ts'
import { segmentPath } from '../../../src/wal/wal-files.ts'
import { CHANGING_CALLS, FaultyDisk, ProcessDied, type Fault } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { mutatedBuild } from '../../support/mutant.ts'
import { DIR, KiB, codeOf, openWal, optionsWith, payloadOf, readAll, seededSecrets, stage, thrown, type ReadRecord } from './kit.ts'

t.setTimeout(300_000)

const SEGMENTS = 4
const MANIFEST = `${DIR}/MANIFEST`
const options = optionsWith({ segmentBytes: 16 * KiB })

interface Log {
  readonly disk: MemoryDisk
  readonly records: readonly ReadRecord[]
}

/** Four segments of five batches each, the last sealed or left open by a crash behind a mark. */
function logOf(isClean: boolean): Log {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  disk.syncDir('/')
  const { wal, recovered } = openWal(disk, { segmentBytes: 16 * KiB, secrets: seededSecrets(3) })
  const random = seededRandom(5)
  for (let segment = 1; segment <= SEGMENTS; segment++) {
    if (segment > 1) wal.rotate()
    for (let i = 0; i < 5; i++) {
      wal.reserve(2, 700)
      stage(wal, payloadOf(random), 2)
      if (i !== 2) wal.commit()
    }
  }
  if (isClean) wal.seal()
  else wal.mark()
  const records = readAll(disk, recovered.first, wal.durablePosition)
  wal.close()
  return { disk: disk.clone(), records }
}

const clean = logOf(true)
const crashed = logOf(false)
const recordsOf = ({ records }: Log, segmentId: number): ReadRecord[] => records.filter((record) => record.segmentId === segmentId)

interface Damage {
  readonly name: string
  readonly log: Log
  readonly at: cutting.CutPlace
  damage(disk: MemoryDisk): void
}

function flipped(name: string, log: Log, segmentId: number, index: number, byte: number): Damage {
  const { offset } = recordsOf(log, segmentId)[index]!
  return { name, log, at: { segmentId, offset }, damage: (disk) => disk.flip(segmentPath(DIR, segmentId), offset + byte, 1) }
}

const DAMAGES: readonly Damage[] = [
  flipped('a payload in a sealed segment', clean, 2, 3, 70),
  flipped('a payload within a group of two', clean, 2, 3, 64),
  flipped('the header of a record', clean, 3, 1, 20),
  flipped('the first record of a segment', clean, 2, 0, 100),
  flipped('the last record of a segment', clean, 2, 4, 100),
  flipped('the first record of all', clean, 1, 0, 100),
  { name: 'the header of a segment', log: clean, at: { segmentId: 2, offset: 0 }, damage: (disk) => disk.flip(segmentPath(DIR, 2), 20, 1) },
  { name: 'a segment that is gone', log: clean, at: { segmentId: 3, offset: 0 }, damage: (disk) => disk.unlink(segmentPath(DIR, 3)) },
  flipped('the last segment', clean, 4, 2, 90),
  flipped('a sealed segment of a node that was killed', crashed, 3, 2, 90),
  flipped('the open segment of a node that was killed', crashed, 4, 1, 90),
]

const lastLsnOf = (damage: Damage): number =>
  damage.log.records.filter((record) => isKept(damage, record)).reduce((last, { lsnFirst, count }) => Math.max(last, lsnFirst + count - 1), 0)

function damaged({ log, damage }: Damage): MemoryDisk {
  const disk = log.disk.clone()
  damage(disk)
  return disk.clone()
}

const isKept = ({ at }: Damage, record: ReadRecord): boolean =>
  record.segmentId < at.segmentId || record.segmentId === at.segmentId && record.offset < at.offset

function verified(disk: MemoryDisk): VerifyReport {
  const steps = verifyWal(disk, DIR)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/** Every byte that there was before the cut is in some file. */
function nothingDestroyed(before: MemoryDisk, after: MemoryDisk, what: string): void {
  const files = (disk: MemoryDisk): Buffer[] => disk.list(DIR).map((name) => Buffer.from(disk.readFile(`${DIR}/${name}`)))
  const there = files(after)
  for (const name of before.list(DIR).filter((file) => file === 'MANIFEST' || /^\d+\.wal$/.test(file))) {
    const bytes = Buffer.from(before.readFile(`${DIR}/${name}`))
    if (!there.some((file) => file.equals(bytes))) throw new Error(`${what}: ${name} is nowhere`)
  }
}

/** The log is whole, has what was before the damage and no more, and goes on. */
function isCut(t: Test, damage: Damage, disk: MemoryDisk, what: string): void {
  const wanted = damage.log.records.filter((record) => isKept(damage, record))
  const { recovered, wal } = openWal(disk, options)
  const lastLsn = lastLsnOf(damage)
  if (recovered.lastLsn !== lastLsn || recovered.cleanShutdown || recovered.truncatedBytes !== 0) t.fail(`${what}: recovered ${recovered.lastLsn} of ${lastLsn}`)
  wal.reserve(1, 8)
  if (stage(wal, new Uint8Array(8)).lsn !== lastLsn + 1) t.fail(`${what}: the log goes on elsewhere`)
  wal.commit()
  const found = readAll(disk, recovered.first, wal.durablePosition)
  t.same(found.slice(0, -1), wanted, what)
  wal.seal()
  wal.close()
  t.match(verified(disk), { ok: true, clean: true, lsnLast: lastLsn + 1 }, what)
}

for (const damage of DAMAGES) {
  t.test(`cut at ${damage.name}`, async (t) => {
    const { at } = damage
    const disk = damaged(damage)
    const before = disk.clone()
    t.match(verified(disk).damage, { code: 'wal_corrupt', ...at }, 'it is where wal verify says')
    const plan = cutting.planCut(disk, DIR, at)
    const kept = damage.log.records.filter((record) => isKept(damage, record) && record.count > 0)
    t.match(plan, { place: at, lsnKept: kept.length * 2, lsnLost: damage.log === crashed && at.segmentId === SEGMENTS ? undefined : Number })
    for (const wrong of [{ ...at, offset: at.offset + 512 }, { ...at, segmentId: at.segmentId + 1 }]) {
      t.match(thrown(() => cutting.planCut(disk, DIR, wrong)), { code: 'parameter_invalid', message: new RegExp(`at ${at.segmentId}:${at.offset} `) }, 'nowhere else')
    }
    t.same(disk.list(DIR), before.list(DIR), 'so far nothing was changed')
    const aside = cutting.applyCut(disk, DIR, plan)
    t.ok(aside.includes('MANIFEST.cut-1'))
    nothingDestroyed(before, disk, 'after the cut')
    t.match(thrown(() => cutting.planCut(disk, DIR, at)), { code: 'parameter_invalid', message: /nothing to cut/ }, 'once')
    isCut(t, damage, disk, 'after the cut')
  })
}

t.test('a log that is whole, and one that is none, are not cut', async (t) => {
  for (const log of [clean, crashed]) {
    t.match(thrown(() => cutting.planCut(log.disk, DIR, { segmentId: 2, offset: 512 })), { code: 'parameter_invalid', message: /nothing to cut/ })
  }
  const disk = clean.disk.clone()
  disk.unlink(MANIFEST)
  t.match(thrown(() => cutting.planCut(disk, DIR, { segmentId: 2, offset: 512 })), { code: 'not_found' })
})

t.test('a second damage is cut under another name', async (t) => {
  const first = DAMAGES[0]!
  const disk = damaged(first)
  cutting.applyCut(disk, DIR, cutting.planCut(disk, DIR, first.at))
  openWal(disk, options).wal.close()
  disk.flip(segmentPath(DIR, 1), 600, 1)
  const aside = cutting.applyCut(disk, DIR, cutting.planCut(disk, DIR, { segmentId: 1, offset: 512 }))
  t.same(aside, ['0000000001.wal.cut-2', '0000000002.wal.cut-2', '0000000003.wal.cut-2', 'MANIFEST.cut-2'])
  t.ok(disk.exists(`${segmentPath(DIR, 4)}.cut-1`))
  t.equal(openWal(disk, options).recovered.lastLsn, 0)
})

t.test('no space for the copy: nothing is out of its place', async (t) => {
  const damage = DAMAGES[0]!
  const disk = damaged(damage)
  const plan = cutting.planCut(disk, DIR, damage.at)
  disk.capacityBytes = Number.MAX_SAFE_INTEGER
  disk.capacityBytes -= disk.freeBytes('/') - KiB
  t.equal(codeOf(thrown(() => cutting.applyCut(disk, DIR, plan))), 'disk_full')
  t.same(disk.list(DIR).filter((name) => name.endsWith('.wal')), damaged(damage).list(DIR).filter((name) => name.endsWith('.wal')))
  disk.capacityBytes = Infinity
  cutting.applyCut(disk, DIR, cutting.planCut(disk, DIR, damage.at))
  isCut(t, damage, disk, 'with space again')
})

const textOf = (error: unknown): string => error instanceof Error ? error.message : 'no error'

interface Trials { interrupted: number, wrong: number }

/** Ends the cut at each of its calls, by a kill and by a power cut, starts a node on what is left, and cuts again. */
function interruptEverywhere(t: Test, damage: Damage, modules: typeof cutting): Trials {
  const trials = { interrupted: 0, wrong: 0 }
  const before = damaged(damage)
  for (const fault of ['die-before', 'die-after', 'die-half'] as const satisfies readonly Fault[]) {
    for (let n = 1; ; n++) {
      const disk = before.clone()
      const faulty = new FaultyDisk(disk, ({ index, call }) => (index === n && CHANGING_CALLS.has(call) ? fault : undefined))
      const plan = modules.planCut(disk, DIR, damage.at)
      const death = thrown(() => modules.applyCut(faulty, DIR, plan))
      if (death === undefined && faulty.calls.length < n) break
      if (death === undefined) continue
      if (!(death instanceof ProcessDied)) t.fail(textOf(death))
      for (let seed = 0; seed < 6; seed++) {
        trials.interrupted++
        const left = seed === 0 ? disk.clone() : disk.crash(seededRandom(n * 100 + seed))
        const lost = thrown(() => afterDeath(damage, before, left, modules))
        if (lost !== undefined) trials.wrong++
        if (lost !== undefined && modules === cutting) t.fail(`${fault} at ${n}, seed ${seed}: ${textOf(lost)}`)
      }
    }
  }
  return trials
}

function afterDeath(damage: Damage, before: MemoryDisk, left: MemoryDisk, modules: typeof cutting): void {
  const lastLsn = lastLsnOf(damage)
  nothingDestroyed(before, left, 'at the end of the process')
  const started = left.clone()
  const refused = thrown(() => {
    const found = recoverWal(started, DIR, options).lastLsn
    // A start looks at the ends of sealed segments: it may miss the damage as long as nothing was moved.
    const isUntouched = !left.list(DIR).some((name) => name.includes('.wal.cut-'))
    if (found !== lastLsn && !isUntouched) throw new Error(`a start between gives ${found} of ${lastLsn}`)
  })
  if (refused !== undefined && codeOf(refused) !== 'wal_corrupt') throw new Error(textOf(refused))
  const done = thrown(() => modules.applyCut(left, DIR, modules.planCut(left, DIR, damage.at)))
  if (done !== undefined && (codeOf(done) !== 'parameter_invalid' || !/nothing to cut/.test(textOf(done)))) throw new Error(textOf(done))
  nothingDestroyed(before, left, 'at the end')
  const found = recoverWal(left, DIR, options).lastLsn
  if (found !== lastLsn) throw new Error(`${found} of ${lastLsn}`)
}

for (const damage of DAMAGES.filter((_, i) => [0, 3, 6, 7, 9, 10].includes(i))) {
  t.test(`killed, or without power, at each call of a cut at ${damage.name}: nothing is lost, and run again it is done`, async (t) => {
    const { interrupted, wrong } = interruptEverywhere(t, damage, cutting)
    t.ok(interrupted > 100, `${interrupted} times`)
    t.equal(wrong, 0)
  })
}

t.test('the tooth: a cut that does not wait for the names is caught', async (t) => {
  const { root, remove } = mutatedBuild(['src/base', 'src/wal'], [{
    file: 'src/wal/cut.js', from: 'disk.syncDir(dir);\n        if (kept !== undefined && !isInPlace)', to: 'if (kept !== undefined && !isInPlace)',
  }])
  t.teardown(remove)
  const mutant = await import(pathToFileURL(join(root, 'src', 'wal', 'cut.js')).href) as typeof cutting
  t.ok(interruptEverywhere(t, DAMAGES[0]!, mutant).wrong > 0)
})
