import t from 'tap'
import { seededRandom, type Random } from '../../../src/base/random.ts'
import { examineWal } from '../../../src/wal/recovery.ts'
import { recordFault } from '../../support/fault-record.ts'
import { trialCount, trialSeed } from '../../support/history.trial.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { DIR, KiB, NODE_ID, codeOf, openWal, optionsWith, payloadOf, realModules, seededSecrets, stage, thrown, type WalModules } from './kit.ts'
import { loadMutant } from './mutant.ts'

// What disks and people do to whole pages and files, at random places of a log: every case is found by a full read.

const TRIALS = trialCount(1500)
const PAGE = 4 * KiB
const SECTOR = 512
const SEGMENTS = 4
const GROUPS_PER_SEGMENT = 40
const options = { ...optionsWith(), verifyFromLsn: 1 }
const pathOf = (id: number): string => `${DIR}/${String(id).padStart(10, '0')}.wal`

const seed = trialSeed()

interface Log {
  readonly disk: MemoryDisk
  /** Contents of segments as they were at several moments, the newest last. */
  readonly moments: ReadonlyMap<number, readonly Uint8Array[]>
  /** End of the last record, by segment. */
  readonly ends: readonly number[]
}

/** Segments with many groups each; the last one is open and ends with a mark. */
function logOf(logSeed: number, nodeId = NODE_ID): Log {
  const disk = new MemoryDisk()
  disk.mkdir('/data')
  const { wal } = openWal(disk, { segmentBytes: 64 * KiB, secrets: seededSecrets(logSeed), nodeId })
  const random = seededRandom(logSeed)
  const moments = new Map<number, Uint8Array[]>()
  const ends = [0]
  for (let segmentId = 1; segmentId <= SEGMENTS; segmentId++) {
    if (segmentId > 1) wal.rotate()
    for (let group = 0; group < GROUPS_PER_SEGMENT; group++) {
      stage(wal, payloadOf(random, 900))
      wal.commit()
      if (group % 8 === 3) moments.set(segmentId, [...moments.get(segmentId) ?? [], disk.readFile(pathOf(segmentId)).slice()])
    }
    wal.mark()
    ends.push(wal.durablePosition.offset)
  }
  wal.close()
  return { disk, moments, ends }
}

const pick = (random: Random, count: number): number => random.u32() % count

/** A page with records in it. Of the open segment not the last one: see the test of the pure suffix. */
function somePage(random: Random, { ends }: Log): { segmentId: number, at: number } {
  const segmentId = 1 + pick(random, SEGMENTS)
  const pages = Math.ceil(ends[segmentId]! / PAGE) - (segmentId === SEGMENTS ? 1 : 0)
  return { segmentId, at: pick(random, pages) * PAGE }
}

function patch(disk: MemoryDisk, segmentId: number, at: number, bytes: Uint8Array): void {
  disk.open(pathOf(segmentId), 'write').pwrite(bytes, 0, bytes.length, at)
}

/** The kinds of damage; each changes a copy of the log's disk. False: nothing came to be different. */
const KINDS: Readonly<Record<string, (disk: MemoryDisk, log: Log, random: Random, others: readonly Log[]) => boolean>> = {
  'zeroed page': (disk, log, random) => {
    const { segmentId, at } = somePage(random, log)
    patch(disk, segmentId, at, new Uint8Array(PAGE))
    return true
  },
  'stale page': (disk, log, random) => {
    const { segmentId, at } = somePage(random, log)
    const moments = log.moments.get(segmentId)!
    const old = moments[pick(random, moments.length)]!.subarray(at, at + PAGE)
    if (Buffer.compare(old, disk.readFile(pathOf(segmentId)).subarray(at, at + PAGE)) === 0) return false
    patch(disk, segmentId, at, old)
    return true
  },
  'swapped pages': (disk, log, random) => {
    const [a, b] = [somePage(random, log), somePage(random, log)]
    const bytesOf = ({ segmentId, at }: typeof a): Uint8Array => disk.readFile(pathOf(segmentId)).slice(at, at + PAGE)
    const [inA, inB] = [bytesOf(a), bytesOf(b)]
    if (Buffer.compare(inA, inB) === 0) return false
    patch(disk, a.segmentId, a.at, inB)
    patch(disk, b.segmentId, b.at, inA)
    return true
  },
  'misdirected sector': (disk, log, random) => {
    const [from, to] = [somePage(random, log), somePage(random, log)]
    const sectorOf = ({ at }: typeof from): number => at + SECTOR * pick(random, PAGE / SECTOR)
    const [source, target] = [sectorOf(from), sectorOf(to)]
    // It was meant for `source`, which keeps what it had before the segment was used, and hit `target`.
    const written = disk.readFile(pathOf(from.segmentId)).slice(source, source + SECTOR)
    const hit = disk.readFile(pathOf(to.segmentId)).slice(target, target + SECTOR)
    if (Buffer.compare(written, hit) === 0 || source >= log.ends[from.segmentId]! || target >= log.ends[to.segmentId]!) return false
    patch(disk, from.segmentId, source, new Uint8Array(SECTOR))
    patch(disk, to.segmentId, target, written)
    return true
  },
  'segment of another life of the node, or of another node': (disk, _log, random, others) => {
    const segmentId = 1 + pick(random, SEGMENTS)
    disk.writeFile(pathOf(segmentId), others[pick(random, others.length)]!.disk.readFile(pathOf(segmentId)))
    return true
  },
  'page of another life of the node': (disk, log, random, others) => {
    const { segmentId, at } = somePage(random, log)
    patch(disk, segmentId, at, others[0]!.disk.readFile(pathOf(segmentId)).subarray(at, at + PAGE))
    return true
  },
  'missing segment': (disk, _log, random) => {
    disk.unlink(pathOf(1 + pick(random, SEGMENTS)))
    return true
  },
  'segment in the place of another': (disk, _log, random) => {
    const [from, to] = [1 + pick(random, SEGMENTS), 1 + pick(random, SEGMENTS)]
    if (from === to) return false
    disk.writeFile(pathOf(to), disk.readFile(pathOf(from)))
    return true
  },
}

function isFound(disk: MemoryDisk, modules: WalModules = realModules): boolean {
  return codeOf(thrown(() => modules.recovery.examineWal(disk, DIR, options))) === 'wal_corrupt'
}

function run(trials: number, modules: WalModules): { readonly tried: Map<string, number>, readonly missed: string[] } {
  const random = seededRandom(seed)
  const log = logOf(11)
  const others = [logOf(12), logOf(13, Uint8Array.from(NODE_ID, (byte) => byte + 1))]
  const tried = new Map<string, number>()
  const missed: string[] = []
  const names = Object.keys(KINDS)
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  for (let trial = 0; trial < trials;) {
    const name = names[trial % names.length]!
    const disk = log.disk.clone()
    if (!KINDS[name]!(disk, log, random, others)) continue
    trial++
    tried.set(name, (tried.get(name) ?? 0) + 1)
    if (!isFound(disk, modules)) missed.push(`${name}, trial ${trial}`)
  }
  Error.stackTraceLimit = stackTraceLimit
  return { tried, missed }
}

t.test(`C3: ${TRIALS} damaged pages, sectors and files are all found`, async (t) => {
  t.comment(`seed ${seed}`)
  t.notOk(isFound(logOf(11).disk), 'the log itself is whole')
  const { tried, missed } = run(TRIALS, realModules)
  t.same(missed, [], [...tried].map(([name, count]) => `${name} ${count}`).join(', '))
  // The chain is what tells pages of the same segment and its own past apart; the checksums tell the rest.
  const mutant = await loadMutant([
    { file: 'segment-cursor.js', from: '!== header.payloadCrc)', to: '=== -1)' },
    { file: 'record.codec.js', from: '!== headerCrc)', to: '=== -1)' },
    { file: 'tail.js', from: 'header.durableOffset > end', to: 'false' },
  ])
  t.teardown(mutant.remove)
  const unseen = run(200, mutant.modules).missed.length
  t.ok(unseen > 0, `the tooth: without checksums and proofs ${unseen} of 200 go unnoticed`)
  recordFault({
    id: 'C3', title: 'pages zeroed, stale, swapped; sectors misdirected; segments foreign, of another life, missing, in each other\'s place',
    trials: TRIALS, unit: 'damages', failures: missed.length, seed, tooth: `without checksums and proofs ${unseen} of 200 go unnoticed`,
  })
})

t.test('C3: what no single log can tell: its last groups never came to the disk, and nothing of them', async (t) => {
  const log = logOf(11)
  const moments = log.moments.get(SEGMENTS)!
  const disk = log.disk.clone()
  disk.writeFile(pathOf(SEGMENTS), moments.at(-1)!)
  const found = examineWal(disk, DIR, options)
  t.equal(found.truncatedBytes + found.missingBytes, 0)
  t.ok(found.tail!.sealed.lsnLast < SEGMENTS * GROUPS_PER_SEGMENT, 'it is a whole log, and shorter: the store, or a peer, knows more')
})
