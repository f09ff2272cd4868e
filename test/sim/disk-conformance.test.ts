import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { seededRandom } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import { recordFault } from '../support/fault-record.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { LOOP_TOOLS, LoopFs } from '../support/loop-fs.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { requireRoot, requireTool } from '../support/tools.ts'
import { Bench, SCRIPTS, stateOf, type DiskScript } from './disk-scripts.ts'

// The simulated disk may be harsher than a real one and never kinder: whatever a power cut leaves on ext4 or xfs, it can
// leave, too; and what a sync has promised, it keeps, or the simulation would ask for the impossible.

t.setTimeout(500_000)

const CRASHES = 3000
const IMAGE_BYTES = 400 * MiB
const DIR = '/bench'
let realCuts = 0
let failures = 0

/** All that a cut may leave of the simulated disk. */
function simulatedOutcomes(script: DiskScript, newDisk = (): MemoryDisk => new MemoryDisk()): Set<string> {
  const disk = newDisk()
  disk.mkdir(DIR)
  disk.syncDir('/')
  const bench = new Bench(disk, DIR)
  script.before(bench)
  script.act(bench)
  bench.end()
  const random = seededRandom(1)
  return new Set(Array.from({ length: CRASHES }, () => stateOf(disk.crash(random), DIR)))
}

const simulated = new Map(SCRIPTS.map((script) => [script.name, simulatedOutcomes(script)]))

t.test('the simulated disk: what may be, and nothing that a sync forbids', async (t) => {
  for (const { name, outcomes, only } of SCRIPTS) {
    const seen = simulated.get(name)!
    t.strictSame(outcomes.filter((outcome) => !seen.has(outcome)), [], `${name}: all of ${outcomes.join(', ')}`)
    if (only === true) t.strictSame([...seen].filter((outcome) => !outcomes.includes(outcome)), [], `${name}: nothing else`)
  }
})

t.test('a failed sync: the next one claims success, the reader sees the new bytes, the disk has the old', async (t) => {
  const memory = new MemoryDisk()
  memory.mkdir(DIR)
  memory.syncDir('/')
  let failing = false
  const disk = new FaultyDisk(memory, ({ call }) => (failing && call === 'fsync' ? 'EIO' : undefined))
  const bench = new Bench(disk, DIR)
  bench.synced('f', 'AA')
  const file = bench.open('f')
  bench.write(file, 'BB')
  failing = true
  t.throws(() => file.fsync(), { code: 'EIO' })
  failing = false
  t.doesNotThrow(() => file.fsync())
  t.equal(stateOf(disk, DIR), 'f=BB', 'the page cache says so')
  const random = seededRandom(1)
  t.strictSame([...new Set(Array.from({ length: CRASHES }, () => stateOf(memory.crash(random), DIR)))], ['f=AA'], 'the disk does not')
  t.equal(stateOf(memory.durableView(), DIR), 'f=AA')
})

t.test('the view of what is durable is what a cut leaves that takes all it may', async (t) => {
  for (const script of SCRIPTS) {
    const disk = new MemoryDisk()
    disk.mkdir(DIR)
    disk.syncDir('/')
    const bench = new Bench(disk, DIR)
    script.before(bench)
    script.act(bench)
    const state = stateOf(disk.durableView(), DIR)
    t.ok(simulated.get(script.name)!.has(state), `${script.name}: ${state}`)
  }
})

t.test('tooth: a disk that is kinder than a real one is seen', async (t) => {
  /** Folders and new names are there at once: what the model must not be. */
  class KindDisk extends MemoryDisk {
    override open(path: string, mode: 'read' | 'write' | 'create'): ReturnType<MemoryDisk['open']> {
      const file = super.open(path, mode)
      if (mode === 'create') super.syncDir(DIR)
      return file
    }

    override rename(from: string, to: string): void {
      super.rename(from, to)
      super.syncDir(DIR)
    }
  }
  const missing = SCRIPTS.filter((script) => {
    const seen = simulatedOutcomes(script, () => new KindDisk())
    return script.outcomes.some((outcome) => !seen.has(outcome))
  })
  t.ok(missing.length >= 3, `${missing.length} scripts see it: ${missing.map(({ name }) => name).join('; ')}`)
})

for (const kind of ['ext4', 'xfs'] as const) {
  t.test(`${kind}: what a real cut leaves, the simulated one can leave`, async (t) => {
    if (!requireRoot(t) || !requireTool(t, ...LOOP_TOOLS)) return
    const fs = LoopFs.create(kind, IMAGE_BYTES)
    t.teardown(() => fs.remove())
    for (const [i, script] of SCRIPTS.entries()) {
      const dir = join(fs.mountDir, `bench${i}`)
      mkdirSync(dir)
      nodeDisk.syncDir(fs.mountDir)
      const bench = new Bench(nodeDisk, dir)
      script.before(bench)
      script.act(bench)
      fs.cutPower()
      bench.end()
      fs.unmount()
      fs.mount()
      const state = stateOf(nodeDisk, dir)
      realCuts++
      const isKnown = simulated.get(script.name)!.has(state)
      if (!isKnown) failures++
      t.ok(isKnown, `${script.name}: ${state}`)
    }
  })
}

t.test('the record', async () => {
  recordFault({
    id: 'SIM', title: 'power cuts of ext4 and xfs beside the simulated disk, which must be able to lose as much', trials: realCuts, unit: 'power cuts',
    failures, figures: { scripts: SCRIPTS.length, simulatedCrashes: SCRIPTS.length * CRASHES }, tooth: 'a disk whose new names are durable at once',
  })
})
