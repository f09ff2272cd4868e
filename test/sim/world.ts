import type { Disk } from '../../src/base/disk.ts'
import { seededRandom, type Random, type Secrets } from '../../src/base/random.ts'
import { keyPairOfSeed, type KeyPair } from '../../src/verify/keys.ts'
import { NODE_ID_BYTES } from '../../src/wal/segment.layout.ts'
import type { FaultyDisk } from '../support/faulty-disk.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { Heads } from './heads.ts'
import { Oracle } from './oracle.ts'
import { SimClock } from './sim-clock.ts'
import { SimStore } from './sim-store.ts'
import { DATA_DIR, swarmOf, type Swarm } from './swarm.ts'
import type { Trace } from './trace.ts'

/** What must have happened somewhere among the seeds of a run, or the run has shown nothing. */
export const SOMETIMES = [
  'acked', 'duplicates', 'duplicatesOfEarlierLives', 'reads', 'readsNotFound', 'receipts', 'resets', 'resends', 'overloads', 'stalls',
  'kills', 'powerCuts', 'storeWritesLost', 'deathsInRecovery', 'deathsWithinCalls', 'tornTails', 'orderlyStops', 'cleanStarts',
  'failedSyncs', 'failedWrites', 'failedReads', 'unknownOutcomes', 'diskFullAnswers', 'diskFullStarts', 'clockSetBack',
  'rotations', 'preparedSegments', 'idsFlushed', 'groupsOfSeveral', 'rests', 'readsWithinSyncs',
  'fullStartsRefused',
  'heads', 'headsOfEarlierLives', 'tlogErrors', 'tlogFilesFound',
] as const
export type Sometimes = (typeof SOMETIMES)[number]
export type Counts = Record<Sometimes, number>

export const newCounts = (): Counts => Object.fromEntries(SOMETIMES.map((name) => [name, 0])) as Counts

function seededSecrets(random: Random): Secrets {
  return { bytes: (count) => Uint8Array.from({ length: count }, () => random.u32() & 0xff) }
}

/** What outlives a process: the machine, its disk, its clock, and who knows what was promised. */
export class World {
  readonly seed: number
  readonly swarm: Swarm
  readonly random: Random
  readonly trace: Trace
  readonly counts: Counts
  readonly clock = new SimClock()
  readonly secrets: Secrets
  readonly identity: KeyPair
  readonly walDir = `${DATA_DIR}/wal`
  readonly store = new SimStore()
  readonly oracle: Oracle
  /** Tree heads that anybody could see. */
  readonly heads = new Heads()
  disk = new MemoryDisk()
  /** No more trouble: the node has to come to rest. */
  isCalm = false
  /** A sync has failed, and the kernel still shows what the disk does not have. */
  hasLostPages = false

  constructor(seed: number, counts: Counts, trace: Trace) {
    this.seed = seed
    this.counts = counts
    this.trace = trace
    const root = seededRandom(seed)
    this.swarm = swarmOf(root.fork('swarm'))
    this.random = root.fork('schedule')
    this.secrets = seededSecrets(root.fork('secrets'))
    this.identity = keyPairOfSeed(this.secrets.bytes(32))
    this.oracle = new Oracle(this.walDir, this.walNodeId)
    // The store's folder, whose name a node syncs with the data directory's: a sync in each life would hide that somebody else's is missing.
    this.disk.mkdir(`${DATA_DIR}/db`)
    this.disk.syncDir(DATA_DIR)
    this.disk.syncDir('/')
    this.store.isFull = () => !this.isCalm && this.disk.freeBytes('/') === 0 && this.below(2) === 0
  }

  get walNodeId(): Uint8Array {
    return this.identity.publicKey.slice(0, NODE_ID_BYTES)
  }

  below(bound: number): number {
    return this.random.u32() % bound
  }

  /** True once in `times`. */
  rarely(times: number): boolean {
    return this.below(times) === 0
  }

  count(what: Sometimes, by = 1): void {
    this.counts[what] += by
  }
}

/** A disk as an object of its own, as the node takes it apart and puts it together again. */
export function plainDisk(disk: FaultyDisk): Disk {
  return {
    open: (path, mode) => disk.open(path, mode), rename: (from, to) => disk.rename(from, to), unlink: (path) => disk.unlink(path),
    mkdir: (path) => disk.mkdir(path), list: (path) => disk.list(path), exists: (path) => disk.exists(path),
    syncDir: (path) => disk.syncDir(path), freeBytes: (path) => disk.freeBytes(path),
  }
}
