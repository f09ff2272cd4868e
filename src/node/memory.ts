import { THREAD_KINDS, type ThreadKind } from '../base/thread-kinds.ts'
import type { Config } from '../config/options.ts'
import { TlogBoard } from '../merkle/tlog-board.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { createRing } from '../ring/ring.ts'
import { IdFilter } from '../store/id-filter.ts'
import { PairLsns } from '../store/pair-lsns.ts'
import { recentIdsBytes } from '../store/recent-ids.layout.ts'
import { ThreadControl } from '../thread/control.ts'

/** Requests are small; replies may hold many assertions and share the size of the other rings. */
const QUERY_RING_BYTES = 1024 * 1024
/** Reports of damage: a few, hopefully none. */
const SCRUB_RING_BYTES = 16 * 1024

/** How many threads of each kind a node has. */
export const threadCounts = (config: Config): Record<ThreadKind, number> => ({
  ingest: 1,
  wal: 1,
  verify: config.verifyThreads,
  merkle: config.merkleThreads,
  lens: config.lensThreads,
  feed: config.subscriptionsMax === 0 ? 0 : 1,
  scrub: config.scrubCycleSeconds === 0 ? 0 : 1,
  tlog: config.tlogEnabled === 'on' ? 1 : 0,
})

/**
 * All memory that the threads of a node share: it goes to every thread as it is. Rings are named by what crosses them,
 * with one for each thread of the side that has several.
 */
export interface NodeMemory {
  readonly marks: SharedArrayBuffer
  readonly idFilter: SharedArrayBuffer
  readonly recentIds: SharedArrayBuffer
  /** By which lens threads know what of the index a pair is not in, and what their kept answers depend on (store/pair-lsns.ts). */
  readonly pairLsns: SharedArrayBuffer
  /** The last signed tree head. */
  readonly tlogBoard: SharedArrayBuffer
  readonly controls: Readonly<Record<ThreadKind, SharedArrayBuffer>>
  /** One block a thread. */
  readonly metrics: Readonly<Record<ThreadKind, readonly SharedArrayBuffer[]>>
  readonly bells: {
    readonly front: SharedArrayBuffer
    readonly commit: SharedArrayBuffer
    readonly scrub: SharedArrayBuffer
    readonly tlog: SharedArrayBuffer
    readonly verify: readonly SharedArrayBuffer[]
    readonly merkle: readonly SharedArrayBuffer[]
    readonly lens: readonly SharedArrayBuffer[]
  }
  readonly rings: {
    /** front → verify */
    readonly submitted: readonly SharedArrayBuffer[]
    /** verify → commit */
    readonly verified: readonly SharedArrayBuffer[]
    /** commit → front */
    readonly acks: SharedArrayBuffer
    /** commit → merkle */
    readonly receiptRequests: readonly SharedArrayBuffer[]
    /** merkle → front */
    readonly receipts: readonly SharedArrayBuffer[]
    /** front → lens */
    readonly queries: readonly SharedArrayBuffer[]
    /** lens → front */
    readonly replies: readonly SharedArrayBuffer[]
    /** front → feed */
    readonly feedCommands: SharedArrayBuffer
    /** feed → front */
    readonly feedMessages: SharedArrayBuffer
    /** scrub → front */
    readonly scrubReports: SharedArrayBuffer
  }
}

/** @param newBlock makes a thread's block of metrics. */
export function createMemory(config: Config, newBlock: () => SharedArrayBuffer): NodeMemory {
  const counts = threadCounts(config)
  const each = <T>(kind: ThreadKind, make: () => T): T[] => Array.from({ length: counts[kind] }, make)
  const ofKinds = <T>(make: (kind: ThreadKind) => T): Record<ThreadKind, T> =>
    Object.fromEntries(THREAD_KINDS.map((kind) => [kind, make(kind)])) as Record<ThreadKind, T>
  const bell = (): SharedArrayBuffer => Bell.create().buffer
  const ring = (): SharedArrayBuffer => createRing(config.ringBytes)
  return {
    marks: new Marks().buffer,
    idFilter: IdFilter.create(config.idFilterBytes, config.idFilterBytesMax).buffer,
    recentIds: new SharedArrayBuffer(recentIdsBytes(config.recentIdsMax)),
    pairLsns: new SharedArrayBuffer(PairLsns.BYTES),
    tlogBoard: new TlogBoard().buffer,
    controls: ofKinds(() => new ThreadControl().buffer),
    metrics: ofKinds((kind) => each(kind, newBlock)),
    bells: {
      front: bell(), commit: bell(), scrub: bell(), tlog: bell(), verify: each('verify', bell), merkle: each('merkle', bell), lens: each('lens', bell),
    },
    rings: {
      submitted: each('verify', ring),
      verified: each('verify', ring),
      acks: ring(),
      receiptRequests: each('merkle', () => createRing(QUERY_RING_BYTES)),
      receipts: each('merkle', () => createRing(4 * QUERY_RING_BYTES)),
      queries: each('lens', () => createRing(QUERY_RING_BYTES)),
      replies: each('lens', ring),
      feedCommands: createRing(QUERY_RING_BYTES),
      feedMessages: ring(),
      scrubReports: createRing(SCRUB_RING_BYTES),
    },
  }
}
