import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { bytesEqual } from '../../../src/base/bytes.ts'
import type { Disk } from '../../../src/base/disk.ts'
import { isDbError } from '../../../src/base/errors.ts'
import type { Lsn, WalPosition } from '../../../src/base/lsn.ts'
import { seededRandom, type Random } from '../../../src/base/random.ts'
import type { LogReader } from '../../../src/ingest/ingest-loop.ts'
import * as realFollower from '../../../src/ingest/tlog-follower.ts'
import { parseCheckpoint } from '../../../src/merkle/checkpoint.ts'
import { TlogReader } from '../../../src/merkle/tlog-files.ts'
import { HEAD_SLOT_BYTES, HEAD_SLOT_STRIDE, decodeHeadSlot, type HeadSlot } from '../../../src/merkle/tlog-head.codec.ts'
import { tlogConsistencyProof, tlogRoot } from '../../../src/merkle/tlog-tiles.ts'
import { tlogLeafHash, tlogNodeHash, emptyTlogRoot, verifyTlogConsistency } from '../../../src/merkle/tlog.ts'
import { RECORD_KIND } from '../../../src/wal/record.layout.ts'
import { logEntryBytes, writeLogEntry } from '../../../src/wire/log-entry.codec.ts'
import { FaultyDisk, ProcessDied, type DiskCall, type Fault } from '../../support/faulty-disk.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { mutatedBuild, type Mutation } from '../../support/mutant.ts'
import { sha } from '../merkle/naive-tlog.ts'

/*
 * The log of proofs over a disk that fails, rots and loses its power, at any call, over several lives. The WAL it follows is whole and durable, as
 * it is in a node. Each head that anybody could see must be that of the log, go on from all before it, and be on the disk; and in a quiet life
 * the tree comes to the end of the log, with tiles that are right to the last.
 */

type Follower = typeof realFollower

const DIR = '/data/tlog'
const ORIGIN = 'stemedb/default/test'
const LEAVES = 1500
/** So that whole tiles come about now and then: then little stands at the edge that a start looks at. */
const RECORD_LEAVES = 32
const SYNC_LEAVES = 300
const LIVES = 5

const idOf = (index: number, salt = 0): Uint8Array => sha(Uint8Array.of(index & 255, index >> 8, salt))

interface TestLog {
  readonly ids: readonly Uint8Array[]
  /** By size. */
  readonly roots: readonly Uint8Array[]
  readonly payloads: readonly Uint8Array[]
}

function logOf(leaves: number, salt = 0): TestLog {
  const ids = Array.from({ length: leaves }, (_, index) => idOf(index, salt))
  const roots = [emptyTlogRoot()]
  const subtrees: { height: number, hash: Uint8Array }[] = []
  for (const id of ids) {
    let next = { height: 0, hash: tlogLeafHash(id) }
    while (subtrees.at(-1)?.height === next.height) next = { height: next.height + 1, hash: tlogNodeHash(subtrees.pop()!.hash, next.hash) }
    subtrees.push(next)
    roots.push(subtrees.map(({ hash }) => hash).reduceRight((right, left) => tlogNodeHash(left, right)))
  }
  const payloads: Uint8Array[] = []
  for (let first = 0; first < leaves; first += RECORD_LEAVES) {
    const some = ids.slice(first, first + RECORD_LEAVES)
    const payload = new Uint8Array(logEntryBytes(some.length, 0))
    writeLogEntry(payload, 0, { count: some.length, ids: Uint8Array.from(some.flatMap((id) => [...id])), codes: new Uint16Array(some.length) }, new Uint8Array(0))
    payloads.push(payload)
  }
  return { ids, roots, payloads }
}

/** The record with number n stands at offset n of segment 1; a position is a count of records. */
class TestReader implements LogReader {
  readonly segmentId = 1
  offset = 0
  nextOffset = 0
  readonly #log: TestLog

  constructor(log: TestLog) {
    this.#log = log
  }

  get payload(): Uint8Array { return this.#log.payloads[this.offset]! }
  get header() {
    const first = this.offset * RECORD_LEAVES
    return { kind: RECORD_KIND.batch, count: Math.min(RECORD_LEAVES, this.#log.ids.length - first), lsnFirst: first + 1, hlcFirst: 0n }
  }

  seek({ offset }: WalPosition): void { this.nextOffset = offset }

  next(until: WalPosition): boolean {
    if (this.nextOffset >= until.offset) return false
    this.offset = this.nextOffset++
    return true
  }

  close(): void { /* nothing is open */ }
}

type RecentIds = realFollower.TlogFollowerOptions['recentIds']

const NOTHING_RECENT: RecentIds = () => undefined

/** The newest `held` ids of the records so far, at most `most` at a time: a step may end within a record. */
const recentIdsOf = (log: TestLog, records: () => number, held: number, most: () => number): RecentIds => (fromLsn, untilLsn, out) => {
  const leaves = leavesOf(log, records())
  if (fromLsn > Math.min(leaves, untilLsn) || fromLsn <= leaves - held) return undefined
  const end = Math.min(leaves, untilLsn, fromLsn - 1 + Math.min(out.length / 8, most()))
  const bytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
  for (let index = fromLsn - 1, to = 0; index < end; index++, to += 32) bytes.set(log.ids[index]!, to)
  return { count: end - fromLsn + 1, segmentId: 1, recordOffset: Math.floor((end - 1) / RECORD_LEAVES) }
}

const leavesOf = (log: TestLog, records: number): number => Math.min(log.ids.length, records * RECORD_LEAVES)

const followerOf = (
  { TlogFollower }: Follower, disk: Disk, log: TestLog, recentIds = NOTHING_RECENT,
): realFollower.TlogFollower => new TlogFollower({
  disk, dir: DIR, log: new TestReader(log), recentIds, origin: ORIGIN, publicKey: new Uint8Array(32), sign: () => new Uint8Array(64), syncLeaves: SYNC_LEAVES,
  // The segment of a leaf begins some records before it.
  placeOf: (lsn) => ({ segmentId: 1, offset: Math.max(0, Math.floor((lsn - 1) / RECORD_LEAVES) - 3) }),
})

/** What a follower is told to read up to. */
const until = (records: number): [WalPosition, Lsn] => [{ segmentId: 1, offset: records }, leavesOf(LOG, records)]

class Broken extends Error {}

interface Sometimes { heads: number, deaths: number, cuts: number, reopened: number, flips: number, rebuilds: number, kept: number, recent: number }
const newSometimes = (): Sometimes => ({ heads: 0, deaths: 0, cuts: 0, reopened: 0, flips: 0, rebuilds: 0, kept: 0, recent: 0 })

const FAULTS: readonly { calls: readonly DiskCall[], fault: Fault }[] = [
  { calls: ['pwrite', 'fdatasync', 'fsync', 'rename', 'syncDir', 'truncate', 'open', 'unlink', 'mkdir'], fault: 'die-before' },
  { calls: ['pwrite', 'fdatasync', 'fsync', 'rename', 'syncDir', 'truncate', 'open', 'unlink', 'mkdir'], fault: 'die-after' },
  { calls: ['pwrite'], fault: 'die-half' },
  { calls: ['fdatasync', 'fsync'], fault: 'EIO' },
  { calls: ['pwrite'], fault: 'half-ENOSPC' },
  { calls: ['pread'], fault: 'EIO' },
]

class Node {
  readonly #follower: Follower
  readonly #log: TestLog
  readonly #random: Random
  readonly #seen: Sometimes
  #disk = new MemoryDisk()
  /** Records that the WAL has. */
  #records = 0
  #shown = 0
  #flipped = false

  constructor(follower: Follower, log: TestLog, seed: number, seen: Sometimes) {
    this.#follower = follower
    this.#log = log
    this.#random = seededRandom(seed)
    this.#seen = seen
    this.#disk.mkdir('/data')
    this.#disk.syncDir('/')
  }

  #below(bound: number): number {
    return this.#random.u32() % bound
  }

  run(): void {
    for (let life = 0; life < LIVES; life++) {
      this.#live()
      if (this.#below(3) > 0) {
        this.#seen.cuts++
        this.#disk = this.#disk.crash(this.#random)
      }
      if (this.#below(4) === 0) this.#rot()
    }
    this.#rest()
  }

  #live(): void {
    const { calls, fault } = FAULTS[this.#below(FAULTS.length)]!
    let left = 1 + this.#below(this.#below(3) === 0 ? 12 : 60)
    const disk = new FaultyDisk(this.#disk, ({ call }) => (calls.includes(call) && --left === 0 ? fault : undefined))
    try {
      let follower: realFollower.TlogFollower | undefined
      for (let turn = 5 + this.#below(20); turn > 0; turn--) {
        try {
          follower ??= followerOf(this.#follower, disk, this.#log, this.#recentIds())
          this.#turn(follower)
        } catch (error) {
          if (!isDbError(error) || error.code === 'proof_log_diverged') throw error
          this.#seen.reopened++
          follower?.close()
          follower = undefined
        }
      }
      follower?.sync()
    } catch (error) {
      if (isDbError(error) && error.code !== 'proof_log_diverged') return
      if (!(error instanceof ProcessDied)) throw error
      this.#seen.deaths++
    }
  }

  /** Of a process that has held more or less of the log since it began. */
  #recentIds(): RecentIds {
    const most = (): number => {
      this.#seen.recent++
      return 1 + this.#below(100)
    }
    return recentIdsOf(this.#log, () => this.#records, this.#below(3) * this.#below(400), most)
  }

  #turn(follower: realFollower.TlogFollower): void {
    this.#records = Math.min(this.#log.payloads.length, this.#records + this.#below(6))
    // A step of the stage takes as much, and no more.
    const before = follower.size
    const more = follower.read(...until(Math.max(0, this.#records - this.#below(2) * this.#below(4))))
    if (follower.size < before || before === 0) this.#flipped = false
    this.#show(follower)
    if (this.#below(2) === 0 && follower.sign()) this.#show(follower)
    if (!more && (follower.size % 256 === 0 || this.#below(8) === 0)) follower.sync()
    this.#checkDurable()
  }

  /** What the stage would publish now. */
  #show({ head }: realFollower.TlogFollower): void {
    if (head === undefined || head.size === this.#shown) return
    const { size, root } = parseCheckpoint(head.text)!
    if (size < this.#shown) throw new Broken(`a head of ${size} after one of ${this.#shown}`)
    if (size > this.#records * RECORD_LEAVES) throw new Broken(`a head of ${size}, the log has ${this.#records * RECORD_LEAVES}`)
    if (!bytesEqual(root, this.#log.roots[size]!)) throw new Broken(`the head of ${size} is of another log`)
    const durable = durableHead(this.#disk)
    if (durable < size) throw new Broken(`a head of ${size} is shown, a power cut leaves one of ${durable}`)
    this.#shown = size
    this.#seen.heads++
  }

  /** What is said to be durable is, unless it rots. */
  #checkDurable(): void {
    const view = this.#disk.durableView()
    const [slot] = slotsOf(view).sort((a, b) => b.sequence - a.sequence)
    if (this.#flipped || slot === undefined || slot.filesSize === 0) return
    const { filesSize } = slot
    const tiles = new TlogReader(view, DIR)
    for (let first = 0; first < filesSize; first += 256) {
      const count = Math.min(256, filesSize - first)
      if (!bytesEqual(tiles.ids(first, count), ALL_IDS.subarray(first * 32, (first + count) * 32))) throw new Broken(`of ${filesSize} leaves some are not durable`)
    }
    if (!bytesEqual(tlogRoot(tiles, filesSize), this.#log.roots[filesSize]!)) throw new Broken(`of ${filesSize} leaves some tiles are not durable`)
  }

  /** One bit of the tiles is another one; nobody is told. */
  #rot(): void {
    const path = `${DIR}/${['ids', 'level-1'][this.#below(2)]}`
    if (!this.#disk.exists(path) || this.#disk.readFile(path).length === 0) return
    const { length } = this.#disk.readFile(path)
    // Mostly among the last: a start reads these.
    const offset = this.#below(3) === 0 ? this.#below(length) : length - 1 - this.#below(Math.min(length, 128 * 32))
    this.#disk.flip(path, offset, 1 << this.#below(8))
    this.#seen.flips++
    this.#flipped = true
  }

  /** No more trouble. */
  #rest(): void {
    this.#records = this.#log.payloads.length
    const follower = followerOf(this.#follower, this.#disk, this.#log)
    if (follower.size > 0) this.#seen.kept++
    this.#catchUp(follower)
    if (!this.#tilesAreRight()) {
      // What a reader of proofs says then.
      if (!this.#flipped) throw new Broken('tiles that nobody has spoilt are not those of the head')
      this.#seen.rebuilds++
      follower.rebuild()
      this.#catchUp(follower)
      if (!this.#tilesAreRight()) throw new Broken('tiles that were made again are wrong')
    }
    follower.close()
  }

  #catchUp(follower: realFollower.TlogFollower): void {
    for (let step = 0; follower.read(...until(this.#records)); step++) if (step > 1000) throw new Broken('it reads for ever')
    follower.sign()
    this.#show(follower)
    if (follower.head?.size !== LEAVES) throw new Broken(`the head is that of ${follower.head?.size}`)
  }

  #tilesAreRight(): boolean {
    const tiles = new TlogReader(this.#disk, DIR)
    const root = this.#log.roots[LEAVES]!
    for (let first = 0; first < LEAVES; first += 256) {
      const count = Math.min(256, LEAVES - first)
      if (!bytesEqual(tiles.ids(first, count), ALL_IDS.subarray(first * 32, (first + count) * 32))) return false
    }
    for (let from = 0; from <= LEAVES; from += 111) {
      if (!verifyTlogConsistency(from, this.#log.roots[from]!, LEAVES, root, tlogConsistencyProof(tiles, from, LEAVES))) return false
    }
    return bytesEqual(tlogRoot(tiles, LEAVES), root)
  }
}

/** Size of the head that no power cut can take. */
function durableHead(disk: MemoryDisk): number {
  return Math.max(-1, ...slotsOf(disk.durableView()).map(({ checkpoint }) => parseCheckpoint(checkpoint)?.size ?? -1))
}

function slotsOf(disk: Disk): HeadSlot[] {
  if (!disk.exists(`${DIR}/head`)) return []
  const file = disk.open(`${DIR}/head`, 'read')
  return [0, HEAD_SLOT_STRIDE].flatMap((at) => {
    const bytes = new Uint8Array(HEAD_SLOT_BYTES)
    file.pread(bytes, 0, bytes.length, at)
    return decodeHeadSlot(bytes) ?? []
  })
}

const LOG = logOf(LEAVES)
const ALL_IDS = Buffer.concat(LOG.ids)

/** The first seed that breaks something. */
function firstBroken(follower: Follower, seeds: number, seen = newSometimes()): { seed: number, why: string } | undefined {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      new Node(follower, LOG, seed, seen).run()
    } catch (error) {
      return { seed, why: String(error instanceof Error ? error.stack : error) }
    }
  }
  return undefined
}

const SEEDS = 200
t.setTimeout(300_000)

t.test(`${SEEDS} logs of proofs over failing, rotting and dying disks`, async (t) => {
  const seen = newSometimes()
  t.equal(firstBroken(realFollower, SEEDS, seen), undefined)
  t.strictSame(Object.entries(seen).filter(([, count]) => count === 0), [], JSON.stringify(seen))
})

const FILES = 'src/merkle/tlog-files.js'
const FOLLOWER = 'src/ingest/tlog-follower.js'
const MUTANTS: Readonly<Record<string, readonly Mutation[]>> = {
  'a head is shown before its sync': [{ file: FILES, from: 'head.fdatasync();', to: '' }],
  'the next head is written over the last': [{ file: FILES, from: '(next.sequence % 2) * HEAD_SLOT_STRIDE', to: '0' }],
  'a start shows what the page cache has': [{
    file: FILES, from: 'function renewHead(disk, dir, slot) {',
    to: 'function renewHead(disk, dir, slot) {\n    if (disk.exists(`${dir}/${HEAD_NAME}`)) return { head: disk.open(`${dir}/${HEAD_NAME}`, "write"), slot };',
  }],
  'names are not synced': [{ file: FILES, from: 'disk.rename(tmp, path);\n    disk.syncDir(dir);', to: 'disk.rename(tmp, path);' }],
  'tiles are said to be durable before they are': [{ file: FILES, from: 'this.#levels[level].fdatasync();', to: '' }],
  'tiles that were damaged count as durable while they are made again': [{ file: FILES, from: 'isWhole ? slot : { ...slot, ...NO_LEAVES }', to: 'slot' }],
  'tiles that are made again pass for those that were': [{ file: FILES, from: 'this.#writeSlot({ ...this.#slot, ...NO_LEAVES });', to: '' }],
  'tiles are taken as they are': [{ file: FILES, from: 'const isWhole = this.#restores(slot);', to: 'const isWhole = this.#restores(slot) || true;' }],
  'recent ids are taken from one leaf too early': [{ file: FOLLOWER, from: 'recentIds(this.size + 1,', to: 'recentIds(this.size,' }],
  'the log is read again from behind recent ids': [{ file: FOLLOWER, from: 'offset: found.recordOffset }', to: 'offset: found.recordOffset + 1 }' }],
  'a head is signed before the tree has come to the last': [{ file: FOLLOWER, from: '|| this.#promised !== undefined ', to: '' }],
}

for (const [name, mutations] of Object.entries(MUTANTS)) {
  t.test(`tooth: ${name}`, async (t) => {
    const { root, remove } = mutatedBuild(['src'], mutations)
    t.teardown(remove)
    const broken = firstBroken(await import(pathToFileURL(join(root, FOLLOWER)).href) as Follower, SEEDS)
    t.ok(broken !== undefined, broken === undefined ? 'not found' : `seed ${broken.seed}: ${broken.why.split('\n')[0]}`)
  })
}

/** Files of one log, and another one in which all that they do not have is recent. */
function rootOverOtherFiles(follower: Follower): Uint8Array {
  const part = { ...LOG, ids: LOG.ids.slice(0, 608), payloads: LOG.payloads.slice(0, 19) }
  const other = logOf(LEAVES, 1)
  const recent = recentIdsOf(other, () => other.payloads.length, LEAVES - 608, () => LEAVES)
  const follow = followerOf(follower, stopped(part, 0), other, recent)
  while (follow.read(...until(other.payloads.length))) { /* to the end */ }
  follow.sign()
  return parseCheckpoint(follow.head!.text)!.root
}

t.test('recent ids do not go on from files that were not held against the log', async (t) => {
  const { roots } = logOf(LEAVES, 1)
  t.same(rootOverOtherFiles(realFollower), roots[LEAVES])
  const { root, remove } = mutatedBuild(['src'], [{ file: FOLLOWER, from: 'if (!this.#hasMetLog)\n            return undefined;', to: '' }])
  t.teardown(remove)
  t.notSame(rootOverOtherFiles(await import(pathToFileURL(join(root, FOLLOWER)).href) as Follower), roots[LEAVES], 'tooth')
})

/** A log of proofs over all of `log`, with or without a head, stopped in order. */
function stopped(log: TestLog, signAt: number): MemoryDisk {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  const follower = followerOf(realFollower, disk, log)
  follower.read(...until(signAt / RECORD_LEAVES))
  if (signAt > 0) follower.sign()
  while (follower.read(...until(log.payloads.length))) { /* to the end */ }
  follower.sync()
  follower.close()
  return disk
}

t.test('files that go on where the log ends are of another log: no head is signed over them', async (t) => {
  const disk = stopped(LOG, 416)
  const older = { ...LOG, ids: LOG.ids.slice(0, 608), payloads: LOG.payloads.slice(0, 19) }
  const follower = followerOf(realFollower, disk, older)
  t.equal(follower.size, LEAVES)
  while (follower.read(...until(19))) follower.sign()
  follower.sign()
  t.equal(follower.head?.size, 608)
  t.same(parseCheckpoint(follower.head!.text)!.root, LOG.roots[608])
})

t.test('another log\'s files, of which no head is known, are not signed before they met the log', async (t) => {
  const disk = stopped(LOG, 0)
  const other = logOf(LEAVES, 1)
  const follower = followerOf(realFollower, disk, other)
  t.equal(follower.size, LEAVES)
  t.notOk(follower.sign(), 'not before it has read the log')
  while (follower.read(...until(other.payloads.length))) follower.sign()
  t.ok(follower.sign())
  t.same(parseCheckpoint(follower.head!.text)!.root, other.roots[LEAVES])
})

t.test('a log that is not what was signed is refused for ever', async (t) => {
  const disk = stopped(LOG, 416)
  const follower = followerOf(realFollower, disk, logOf(LEAVES, 1))
  t.throws(() => { while (follower.read(...until(LOG.payloads.length))) { /* to the end */ } }, { code: 'proof_log_diverged' })
  t.equal(follower.head, undefined)
  t.notOk(follower.sign())
})
