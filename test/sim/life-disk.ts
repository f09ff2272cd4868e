import { must } from '../../src/base/assert.ts'
import { TRUSTED_NAME } from '../../src/wal/wal-files.ts'
import { FaultyDisk, type DiskCall, type DiskCallSeen, type Fault } from '../support/faulty-disk.ts'
import { Violation } from './oracle.ts'
import { DATA_DIR } from './swarm.ts'
import type { World } from './world.ts'

/** What the disk does to one life: at the n-th call of these. */
export interface Trouble {
  readonly calls: ReadonlySet<DiskCall>
  readonly nth: number
  readonly fault: Fault
}

/** `ids`, `level-1` and on; not `head`. */
const TLOG_TILES = /\/tlog\/(ids|level-\d)$/

const SYNCS: ReadonlySet<DiskCall> = new Set(['fdatasync', 'fsync', 'syncDir'])
const NAMES: ReadonlySet<DiskCall> = new Set(['mkdir', 'rename', 'syncDir'])
const CHANGES: ReadonlySet<DiskCall> = new Set([...SYNCS, 'mkdir', 'pwrite', 'rename', 'unlink', 'truncate'])

/** Milliseconds that a call takes on a disk of our time. */
const LATENCY_MS: Readonly<Partial<Record<DiskCall, number>>> = { pread: 0.01, pwrite: 0.05, fdatasync: 0.5, fsync: 0.8, syncDir: 0.8 }
/** One call in so many of a slow disk takes as long as this. */
const SLOW_EVERY = 20
const SLOW_MS = 400

/** Mostly while it runs, sometimes while it recovers, now and then at the very first. */
const when = (world: World, sparsest: number): number => 1 + world.below(world.rarely(8) ? 4 : world.rarely(3) ? 25 : sparsest)

/** What this life's disk will do, if anything. */
export function drawTroubles(world: World): Trouble[] {
  return [drawTrouble(world), world.rarely(4) ? drawTrouble(world) : undefined].filter((trouble) => trouble !== undefined)
}

function drawTrouble(world: World): Trouble | undefined {
  const kind = world.swarm.faultyCalls ? world.below(9) : 9
  switch (kind) {
    case 0: return { calls: CHANGES, nth: when(world, 250), fault: 'die-before' }
    case 1: return { calls: CHANGES, nth: when(world, 250), fault: 'die-after' }
    case 2: return { calls: new Set(['pwrite']), nth: when(world, 100), fault: 'die-half' }
    case 3: return { calls: SYNCS, nth: when(world, 100), fault: 'EIO' }
    case 4: return { calls: new Set(['pwrite']), nth: when(world, 100), fault: world.rarely(2) ? 'half-ENOSPC' : 'ENOSPC' }
    case 5: return { calls: new Set(['pread']), nth: when(world, 400), fault: 'EIO' }
    case 6: return { calls: new Set(['fdatasync']), nth: when(world, 60), fault: 'EIO' }
    // Between a change of names and the sync of its folder, which is rarer than anything else.
    case 7: return { calls: NAMES, nth: 1 + world.below(16), fault: world.rarely(2) ? 'die-before' : 'die-after' }
    default: return undefined
  }
}

/** The disk as the process of one life sees it: calls take time, in which others go on, and one of them may fail. */
export class LifeDisk {
  readonly disk: FaultyDisk
  readonly #world: World
  readonly #others: (turnsMax: number) => void
  /** What it has not done yet, with how many calls of its kind there were. */
  readonly #ahead: { readonly trouble: Trouble, matched: number }[]
  #syncsUnderWay = 0
  /** It has done something to a call; the call did not come back, or failed. */
  hasStruck = false
  hasFailed = false
  /** Files whose sync failed: they must not be synced again. */
  readonly #lost = new Set<string>()

  constructor(world: World, troubles: readonly Trouble[], others: (turnsMax: number) => void) {
    this.#world = world
    this.#ahead = troubles.map((trouble) => ({ trouble, matched: 0 }))
    this.#others = others
    this.disk = new FaultyDisk(world.disk, (call) => this.#plan(call))
  }

  get isSyncing(): boolean {
    return this.#syncsUnderWay > 0
  }

  #plan(seen: DiskCallSeen): Fault | undefined {
    const { clock, swarm, trace } = this.#world
    const { call, path } = seen
    // Nobody is killed in between a sync that fails and what follows at once.
    if (call === 'unlink' && path.endsWith(TRUSTED_NAME)) return undefined
    trace.note(`${call} ${path}`)
    clock.advance(LATENCY_MS[call] ?? 0.02)
    if (swarm.slowDisk && !this.#world.isCalm && SYNCS.has(call) && this.#world.rarely(SLOW_EVERY)) clock.advance(SLOW_MS)
    if (SYNCS.has(call)) this.#othersWithinSync()
    else if (call === 'rename') this.#others(swarm.othersMax)
    else if (this.#world.rarely(4)) this.#others(Math.min(2, swarm.othersMax))
    this.#checkFinal(call, path)
    return this.#strike(seen)
  }

  #othersWithinSync(): void {
    this.#syncsUnderWay++
    try {
      this.#others(this.#world.swarm.othersMax)
    } finally {
      this.#syncsUnderWay--
    }
  }

  #strike(seen: DiskCallSeen): Fault | undefined {
    if (this.#world.isCalm) return undefined
    const index = this.#ahead.findIndex((ahead) => ahead.trouble.calls.has(seen.call) && ++ahead.matched >= ahead.trouble.nth)
    if (index < 0) return undefined
    const { fault } = must(this.#ahead.splice(index, 1)[0]).trouble
    this.hasStruck = true
    this.#world.trace.note(`! ${fault}`)
    if (fault.startsWith('die')) {
      this.#world.count('deathsWithinCalls')
      return fault
    }
    this.hasFailed = true
    if (SYNCS.has(seen.call)) {
      this.#world.count('failedSyncs')
      this.#lost.add(seen.path)
      this.#world.hasLostPages = true
    } else this.#world.count(seen.call === 'pread' ? 'failedReads' : 'failedWrites')
    return fault
  }

  /** A failed sync is final: nobody knows what it left, and the next one may lie. */
  #checkFinal(call: DiskCall, path: string): void {
    // Another file has the name now, or none.
    if (call === 'unlink' || call === 'rename') this.#lost.delete(path)
    // Whoever opens the tiles anew cuts them to what was synced before, and writes again what was not.
    if (call === 'open' && TLOG_TILES.test(path)) this.#lost.delete(path)
    // A folder's sync that fails is one of the journal, and those stay failed: what the log of proofs tries again does not lie.
    if (call === 'syncDir' && (path === DATA_DIR || path === `${DATA_DIR}/tlog`)) return
    if (this.#lost.has(path) && SYNCS.has(call)) throw new Violation(`${call} of ${path} after one that failed`)
  }
}
