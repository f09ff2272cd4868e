import type { Clock } from '../base/clock.ts'
import type { ThreadKind } from '../base/thread-kinds.ts'
import { WalConfirm } from '../ingest/wal-confirm.ts'
import { threadMetrics, type ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { IdFilter } from '../store/id-filter.ts'
import { IdHash } from '../store/id-hash.ts'
import { IdLookup } from '../store/id-lookup.ts'
import { withRunFiles } from '../store/run-file-store.ts'
import { runFilesOf } from '../store/run-files.ts'
import { RecentIds } from '../store/recent-ids.ts'
import { openStoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import type { Stage } from '../thread/stage.ts'
import { WalReader } from '../wal/wal-reader.ts'
import type { Machine } from './machine.ts'
import type { NodeMemory } from './memory.ts'
import type { ThreadStart } from './thread.messages.ts'
import { storeDirOf, walDirOf, walNodeIdOf } from './wal-place.ts'

/** A stage with the bell that it sleeps on. */
export interface HostedStage {
  readonly stage: Stage
  readonly bell: Bell
}

/** Bytes of one read where single records are wanted, not the whole log. */
export const RECORD_READ_BYTES = 128 * 1024

/** What the builders of one thread share; the inline mode makes one for all. */
export class Workplace {
  readonly start: ThreadStart
  readonly machine: Machine
  readonly marks: Marks
  readonly store: Store

  constructor(start: ThreadStart, machine: Machine) {
    this.start = start
    this.machine = machine
    this.marks = new Marks(start.memory.marks)
    const { config, storeHandle } = start
    this.store = withRunFiles(machine.attachStore(storeHandle), runFilesOf(machine.disk, storeDirOf(config), config.indexFileEntriesMin))
  }

  get clock(): Clock {
    return this.machine.clock
  }

  get memory(): NodeMemory {
    return this.start.memory
  }

  metrics(kind: ThreadKind): ThreadMetrics {
    return threadMetrics(this.memory.metrics[kind][this.start.index]!)
  }

  reader(chunkBytes?: number): WalReader {
    const { config, nodeId } = this.start
    return new WalReader(this.machine.disk, walDirOf(config), { nodeId: walNodeIdOf(nodeId), ...(chunkBytes === undefined ? {} : { chunkBytes }) })
  }

  /** The id directory as this thread sees it. */
  ids(): { readonly lookup: IdLookup, readonly recents: RecentIds, readonly hash: IdHash, readonly filter: IdFilter } {
    const { machine, marks, memory, store, start: { config } } = this
    const hash = new IdHash(openStoreMeta(store, machine.secrets).idHashKey)
    const filter = new IdFilter(memory.idFilter)
    const recents = new RecentIds(memory.recentIds, config.recentIdsMax, hash, () => marks.idsFlushedLsn)
    const confirm = new WalConfirm(this.reader(RECORD_READ_BYTES), () => marks.durablePosition).confirm
    return { hash, filter, recents, lookup: new IdLookup({ store, hash, filter, recents, confirm }) }
  }
}
