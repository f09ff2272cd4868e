import { DbError } from '../base/errors.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { IdFilter } from '../store/id-filter.ts'
import type { IdHash } from '../store/id-hash.ts'
import { EntryRunWriter } from '../store/entry-runs.ts'
import { IdRunWriter, fingerprintScan } from '../store/id-runs.ts'
import { PreparedIds } from '../store/prepared-ids.ts'
import type { RecentIds } from '../store/recent-ids.ts'
import { raiseFormat, type StoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import { IngestLoop, type IngestDependencies, type LogReader } from './ingest-loop.ts'

/** Pages of ids that are read at a time when the filter is filled. */
const FILTER_PAGES = 1024

export interface IngestStartOptions {
  readonly store: Store
  /** As `openStoreMeta` gave it. */
  readonly meta: StoreMeta
  /** A reader of this loop's own. */
  readonly log: LogReader
  /** This thread's own, by the store's key; the same object that `recents` has. */
  readonly hash: IdHash
  readonly filter: IdFilter
  readonly recents: RecentIds
  /** What recovery found: the log's first record, the end of what is durable, and its last LSN. */
  readonly logStart: WalPosition
  readonly lastLsn: Lsn
  readonly durablePosition: () => WalPosition
  readonly onWritten?: IngestDependencies['onWritten']
  readonly onApplied: (position: WalPosition, lsn: Lsn) => void
  /** Told of the version of the list of runs of column `sp`, before what it names is applied. */
  readonly onEntryList?: (version: number) => void
  readonly onIdsFlushed: (lsn: Lsn) => void
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
}

export interface ReplayProgress {
  readonly appliedLsn: Lsn
  readonly lastLsn: Lsn
}

/**
 * Brings store, filter and recent ids up to the end of the log, and gives the loop that follows it from there. Nobody
 * may commit before it returns.
 * @throws {DbError} `wal_corrupt`, `store_corrupt`, `disk_full`, `io_error`
 */
export function startIngest(options: IngestStartOptions): IngestLoop {
  const { store, meta, hash, filter, recents, lastLsn } = options
  if (meta.applied.lsn > lastLsn) {
    throw new DbError('wal_corrupt', `the store has LSN ${meta.applied.lsn}, but the log ends at ${lastLsn}: it has lost its end`,
      { appliedLsn: meta.applied.lsn, lastLsn })
  }
  raiseFormat(store)
  options.onIdsFlushed(meta.idsFlushed.lsn)
  if (meta.applied.lsn > 0) options.onApplied(meta.applied.position, meta.applied.lsn)
  const runs = new IdRunWriter(store, hash)
  const scan = fingerprintScan(store, (hi, lo) => filter.add(hi, lo))
  while (scan.next(FILTER_PAGES) > 0) { /* all of them */ }
  scan.close()
  const loop = new IngestLoop({
    ...options, runs, entryRuns: new EntryRunWriter(store, options.onEntryList), applied: meta.applied, idsFlushed: meta.idsFlushed,
    finishedIds: (appliedLsn) => recents.finished(appliedLsn),
    replayedIds: new PreparedIds(hash, filter, recents),
  })
  while (loop.step() > 0) options.onProgress?.({ appliedLsn: loop.applied.lsn, lastLsn })
  if (loop.applied.lsn !== lastLsn) {
    throw new DbError('wal_corrupt', `replay ended at LSN ${loop.applied.lsn}, the log has ${lastLsn}`,
      { appliedLsn: loop.applied.lsn, lastLsn })
  }
  filter.markComplete()
  loop.endReplay()
  return loop
}
