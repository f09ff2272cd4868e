import t from 'tap'
import { errnoOf, isDbError } from '../../../src/base/errors.ts'
import { seededRandom, type Random } from '../../../src/base/random.ts'
import type { Recovered } from '../../../src/wal/recovery.ts'
import { segmentBytesOf } from '../../../src/wal/segment.layout.ts'
import { NEXT_NAME, NEXT_TMP_NAME } from '../../../src/wal/wal-files.ts'
import type { WalWriter } from '../../../src/wal/wal-writer.ts'
import { FaultyDisk, ProcessDied, type DiskCallSeen, type Fault } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import {
  DIR, KiB, optionsWith, payloadOf, readAll, realModules, seededSecrets, stage, type WalModules,
} from './kit.ts'
import { loadMutant, type Mutation } from './mutant.ts'

/*
 * One trial is one node over several lives. Each life recovers, is held against what its predecessors promised, appends
 * at random, and ends by a kill at a random call to the disk; then either the page cache survives (kill -9) or the power
 * goes, by the model of memory-disk.ts. The promise: what was acked or seen after a recovery is there for ever, in order,
 * byte for byte; nothing is there that nobody attempted; no crash is taken for corruption.
 */

interface Mode {
  readonly modules: WalModules
  /** A bug of the caller: it acks when the group is written. */
  readonly acksEarly?: boolean
  /** A disk that takes syncs and does nothing. */
  readonly lies?: (call: DiskCallSeen) => boolean
}

interface Sometimes {
  torn: number
  rotations: number
  cleanStarts: number
  diedInRecovery: number
  powerCuts: number
  syncErrors: number
  fullStarts: number
  acked: number
}

class Broken extends Error {}

class Node {
  readonly #mode: Mode
  readonly #random: Random
  readonly #seed: number
  readonly #seen: Sometimes
  disk = new MemoryDisk()
  #renames = 0
  /** By LSN: what must be there. */
  readonly #promised = new Map<number, Buffer>()
  /** By LSN: all that was ever attempted for it. */
  readonly #attempted = new Map<number, Buffer[]>()

  constructor(mode: Mode, seed: number, seen: Sometimes) {
    this.#mode = mode
    this.#random = seededRandom(seed)
    this.#seed = seed
    this.#seen = seen
    this.disk.mkdir('/data')
    this.disk.syncDir('/')
  }

  #below(bound: number): number {
    return this.#random.u32() % bound
  }

  #options() {
    return optionsWith({ segmentBytes: 4 * KiB * (1 + this.#seed % 3), groupBytesMax: 2 * KiB, secrets: seededSecrets(this.#random.u32()) })
  }

  live(isLast: boolean): void {
    const isFull = !isLast && this.#below(5) === 0
    this.disk.capacityBytes = Number.MAX_SAFE_INTEGER
    if (isFull) this.disk.capacityBytes -= this.disk.freeBytes('/') - this.#below(20 * KiB)
    // Most deaths strike after some appending, some within recovery itself; the last life is undisturbed.
    const deathAt = isLast ? Infinity : 1 + this.#below(this.#below(3) === 0 ? 40 : 250)
    const fate = (['die-before', 'die-after', 'die-half', 'EIO'] as const)[this.#below(4)]!
    // Or around a change of names, which is rarer than appending.
    const renameAt = !isLast && this.#below(3) === 0 ? 1 + this.#below(8) : Infinity
    const disk = new FaultyDisk(this.disk, (call) => this.#fault(call, deathAt, renameAt, fate))
    let isRecovered = false
    try {
      const recovered = this.#mode.modules.recovery.recoverWal(disk, DIR, this.#options())
      this.#check(recovered)
      isRecovered = true
      this.#append(disk, recovered)
    } catch (error) {
      // An injected EIO ends the life as the real process would end: by a typed error, nothing acked behind it.
      const isInjected = fate === 'EIO' && (isDbError(error) ? error.details['errno'] === 'EIO' : errnoOf(error) === 'EIO')
      // After a failed sync a full disk takes no start.
      const isRefused = isFull && !isRecovered && isDbError(error) && error.code === 'disk_full'
      if (!(error instanceof ProcessDied) && !isInjected && !isRefused) throw error
      if (isInjected) this.#seen.syncErrors++
      if (!isRecovered) this.#seen.diedInRecovery++
    }
    if (this.#below(3) === 0) return
    this.#seen.powerCuts++
    this.disk = this.disk.crash(this.#random)
  }

  #fault(call: DiskCallSeen, deathAt: number, renameAt: number, fate: Fault): Fault | undefined {
    if (this.#mode.lies?.(call) === true) return 'skip'
    if (call.index === 1) this.#renames = 0
    if (call.call === 'rename' || call.call === 'syncDir') this.#renames++
    if (call.index !== deathAt && (this.#renames !== renameAt || (call.call !== 'rename' && call.call !== 'syncDir'))) return undefined
    // Reads that fail are another matter.
    return fate === 'EIO' && (call.call === 'pread' || call.call === 'list' || call.call === 'open') ? 'die-before' : fate
  }

  /** Everything promised is there; everything there was attempted, and is promised from now on. */
  #check(recovered: Recovered): void {
    if (recovered.truncatedBytes > 0) this.#seen.torn++
    if (recovered.cleanShutdown) this.#seen.cleanStarts++
    if (recovered.diskFull) this.#seen.fullStarts++
    let next = 1
    for (const record of readAll(this.disk, recovered.first, recovered.end, this.#mode.modules)) {
      if (record.kind !== 1) continue
      if (record.lsnFirst !== next) throw new Broken(`LSN ${record.lsnFirst} where ${next} should be`)
      next += record.count
      const promised = this.#promised.get(record.lsnFirst)
      const isKnown = promised === undefined
        ? this.#attempted.get(record.lsnFirst)?.some((payload) => payload.equals(record.payload)) ?? false
        : promised.equals(record.payload)
      if (!isKnown) throw new Broken(`LSN ${record.lsnFirst} holds what was not ${promised === undefined ? 'attempted' : 'acked'}`)
      this.#promised.set(record.lsnFirst, record.payload)
    }
    if (recovered.lastLsn !== next - 1) throw new Broken(`last LSN ${recovered.lastLsn}, records end at ${next - 1}`)
    for (const lsn of this.#promised.keys()) if (lsn >= next) throw new Broken(`LSN ${lsn} was acked and is lost`)
  }

  #append(disk: FaultyDisk, recovered: Recovered): void {
    const wal = this.#mode.modules.writer.WalWriter.open(disk, DIR, recovered, this.#options())
    const steps = this.#below(30)
    for (let step = 0; step < steps; step++) {
      this.#group(wal)
      if (this.#below(3) === 0) wal.mark()
      if (this.#below(4) === 0) this.#prepare(disk)
    }
    if (this.#below(3) === 0) wal.seal()
  }

  /** What the preparer does meanwhile. */
  #prepare(disk: FaultyDisk): void {
    const bytes = new Uint8Array(segmentBytesOf(this.#options().segmentBytes))
    if (disk.exists(`${DIR}/${NEXT_NAME}`) || disk.freeBytes(DIR) < bytes.length) return
    const tmp = `${DIR}/${NEXT_TMP_NAME}`
    if (disk.exists(tmp)) disk.unlink(tmp)
    const file = disk.open(tmp, 'create')
    file.pwrite(bytes, 0, bytes.length, 0)
    file.fdatasync()
    disk.rename(tmp, `${DIR}/${NEXT_NAME}`)
  }

  #group(wal: WalWriter): void {
    const staged = new Map<number, Buffer>()
    for (let i = this.#below(4); i >= 0; i--) {
      const payload = Buffer.from(payloadOf(this.#random, 900))
      const place = wal.reserve(1, payload.length)
      if (place === 'group_full') break
      if (place === 'disk_full' && this.#below(4) === 0) this.disk.capacityBytes = Infinity
      if (place === 'segment_full' || place === 'disk_full') {
        if (wal.rotate() === 'ok') this.#seen.rotations++
        return
      }
      const { lsn } = stage(wal, payload, 1 + this.#below(3))
      staged.set(lsn, payload)
      const before = this.#attempted.get(lsn)
      if (before === undefined) this.#attempted.set(lsn, [payload])
      else before.push(payload)
    }
    wal.write()
    if (this.#mode.acksEarly === true) this.#ack(staged)
    wal.sync()
    this.#ack(staged)
  }

  #ack(staged: ReadonlyMap<number, Buffer>): void {
    for (const [lsn, payload] of staged) this.#promised.set(lsn, payload)
    this.#seen.acked += staged.size
  }
}

const newSometimes = (): Sometimes => ({
  torn: 0, rotations: 0, cleanStarts: 0, diedInRecovery: 0, powerCuts: 0, syncErrors: 0, fullStarts: 0, acked: 0,
})

/** @returns what was found broken, or undefined. */
function trial(mode: Mode, seed: number, seen: Sometimes, lives = 6): string | undefined {
  const node = new Node(mode, seed, seen)
  try {
    for (let life = 1; life <= lives; life++) node.live(life === lives)
    node.live(true)
    const verification = mode.modules.inspect.verifyWal(node.disk, DIR)
    for (let step = verification.next(); ; step = verification.next()) {
      if (step.done !== true) continue
      return step.value.ok ? undefined : `verify: ${step.value.damage?.message}`
    }
  } catch (error) {
    return String(error)
  }
}

const SEEDS = 300
/** Some bugs take a rare crash. */
const SEEDS_OF_MUTANTS = 900

// Slow machines under load; the work is bounded by the seeds.
t.setTimeout(300_000)

t.test(`${SEEDS} nodes of 7 lives: what was acked is there, and no crash looks like corruption`, (t) => {
  const seen = newSometimes()
  let broken = 0
  for (let seed = 1; seed <= SEEDS; seed++) {
    const verdict = trial({ modules: realModules }, seed, seen)
    if (verdict === undefined) continue
    broken++
    t.fail(`seed ${seed}: ${verdict}`)
  }
  t.equal(broken, 0)
  t.comment(JSON.stringify(seen))
  // A run in which these never happened has shown nothing.
  for (const what of ['torn', 'rotations', 'cleanStarts', 'diedInRecovery', 'powerCuts', 'syncErrors', 'fullStarts'] as const) {
    t.ok(seen[what] > 20, `${what}: ${seen[what]}`)
  }
  t.ok(seen.acked > 10_000, `acked: ${seen.acked}`)
  t.end()
})

t.test('one seed, one run', (t) => {
  const [first, second] = [newSometimes(), newSometimes()]
  for (let seed = 1; seed <= 20; seed++) {
    trial({ modules: realModules }, seed, first)
    trial({ modules: realModules }, seed, second)
  }
  t.same(first, second)
  t.end()
})

/** The first seed that shows the bug, or undefined. */
function firstCaught(mode: Mode): { seed: number, verdict: string } | undefined {
  for (let seed = 1; seed <= SEEDS_OF_MUTANTS; seed++) {
    const verdict = trial(mode, seed, newSometimes())
    if (verdict !== undefined) return { seed, verdict }
  }
  return undefined
}

for (const [name, mode] of Object.entries({
  'the caller acks before the sync': { modules: realModules, acksEarly: true },
  'a disk whose fdatasync does nothing': { modules: realModules, lies: ({ call }: DiskCallSeen) => call === 'fdatasync' },
  'a disk whose fsync of files does nothing': { modules: realModules, lies: ({ call }: DiskCallSeen) => call === 'fsync' },
  'a disk whose fsync of folders does nothing': { modules: realModules, lies: ({ call }: DiskCallSeen) => call === 'syncDir' },
} satisfies Record<string, Mode>)) {
  t.test(`tooth: ${name}`, (t) => {
    const caught = firstCaught(mode)
    t.ok(caught, 'is caught')
    t.comment(JSON.stringify(caught))
    t.end()
  })
}

const MUTANTS: Readonly<Record<string, readonly Mutation[]>> = {
  'groups are not synced': [{ file: 'wal-writer.js', from: 'this.#file.fdatasync();', to: '' }],
  'the tail is rewritten without a sync': [{ file: 'segment-opening.js', from: 'to.fsync();', to: '' }],
  'the open segment is taken as it is found': [{ file: 'segment-opening.js', from: 'disk.rename(tmp, path);', to: '' }],
  'a new segment\'s name is not synced before the manifest names it':
    [{ file: 'segment-opening.js', from: 'disk.syncDir(dir);\n    publishManifest', to: 'publishManifest' }],
  'the manifest\'s name is not synced':
    [{ file: 'wal-files.js', from: 'join(dir, MANIFEST_NAME));\n    disk.syncDir(dir);', to: 'join(dir, MANIFEST_NAME));' }],
  'the manifest is not synced': [{ file: '../base/disk-files.js', from: 'file.fsync();', to: '' }],
  'the header of a new segment is not synced': [{ file: 'segment-opening.js', from: 'file.fdatasync();', to: '' }],
  'a failed sync is tried again': [{
    file: 'wal-writer.js', from: 'this.#file.fdatasync();',
    to: 'try { this.#file.fdatasync(); } catch (error) { if (error.code !== "EIO") throw error; this.#file.fdatasync(); }',
  }],
  'groups share sectors': [
    { file: 'wal-writer.js', from: 'if (padBytes === 0)', to: 'if (padBytes >= 0)' },
    { file: 'record.codec.js', from: 'header.durableOffset % GROUP_ALIGN_BYTES === 0 &&', to: '' },
  ],
  'a segment is rotated away before its group is synced': [
    { file: 'wal-writer.js', from: 'return this.sync();', to: 'this.#written = false; this.#durable = { ...this.#current }; return this.durablePosition;' },
  ],
}

for (const [name, mutations] of Object.entries(MUTANTS)) {
  t.test(`tooth: ${name}`, async (t) => {
    const mutant = await loadMutant(mutations)
    t.teardown(mutant.remove)
    const caught = firstCaught({ modules: mutant.modules })
    t.ok(caught, 'the mutant is caught')
    t.comment(JSON.stringify(caught))
  })
}

