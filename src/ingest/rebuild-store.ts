import { basename, dirname, join } from 'node:path'
import type { Disk } from '../base/disk.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { Secrets } from '../base/random.ts'
import { IdFilter } from '../store/id-filter.ts'
import { IdHash } from '../store/id-hash.ts'
import { RecentIds } from '../store/recent-ids.ts'
import { isRebuilding, markRebuilding, openStoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import type { LogReader } from './ingest-loop.ts'
import { startIngest, type ReplayProgress } from './ingest-start.ts'

export interface RebuildStoreOptions {
  readonly disk: Disk
  /** Folder of the store, `<data directory>/db`. */
  readonly path: string
  /** Opens or makes the store at a path: `openRocksStore`. */
  readonly openStore: (path: string) => Promise<Store>
  readonly log: LogReader
  readonly logStart: WalPosition
  readonly lastLsn: Lsn
  readonly durablePosition: () => WalPosition
  readonly secrets: Secrets
  readonly recentIdsMax: number
  /** Reads the whole log and throws where it is damaged. Called before the old store is moved: a new one would be of no use then. */
  readonly checkLog: () => void
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
}

export interface RebuildReport {
  readonly assertions: number
  readonly records: number
  /** Where the old store is now; undefined where there was none. Remove it when the new one has proved itself. */
  readonly movedTo: string | undefined
  /** An interrupted rebuild was completed. */
  readonly resumed: boolean
}

/**
 * Makes the store anew from the log. The old one is moved aside to `db.broken-<n>`; the new one is an empty store that
 * replays, like any start does, so it may be killed at any time: `stemedb serve` or another rebuild goes on from there.
 * @throws {DbError} `data_dir_locked` where a node runs on it; `wal_corrupt`, `disk_full`, `io_error`.
 */
export async function rebuildStore(options: RebuildStoreOptions): Promise<RebuildReport> {
  const { disk, path, openStore } = options
  const unfinished = await openUnfinished(options)
  if (unfinished === undefined) options.checkLog()
  const movedTo = unfinished === undefined ? moveAside(disk, path) : undefined
  try {
    return await fillStore(options, unfinished ?? await openStore(path), movedTo, unfinished !== undefined)
  } catch (error) {
    if (movedTo === undefined || !isDbError(error)) throw error
    throw new DbError(error.code, `${error.message}; the old store is in ${movedTo}, and another rebuild goes on from here`, { ...error.details, movedTo }, { cause: error })
  }
}

async function fillStore(options: RebuildStoreOptions, store: Store, movedTo: string | undefined, resumed: boolean): Promise<RebuildReport> {
  try {
    const meta = openStoreMeta(store, options.secrets)
    markRebuilding(store)
    const hash = new IdHash(meta.idHashKey)
    let flushedLsn = 0
    const { applied } = startIngest({
      ...options, store, meta, hash,
      // Nobody asks the filter here.
      filter: IdFilter.create(64),
      recents: RecentIds.create(options.recentIdsMax, hash, () => flushedLsn),
      onApplied: () => {},
      onIdsFlushed: (lsn) => { flushedLsn = lsn },
    })
    return { assertions: applied.assertions, records: applied.records, movedTo, resumed }
  } finally {
    await store.close()
  }
}

/** The store of a rebuild that was interrupted. A store in use is refused; a damaged one is what we are here for. */
async function openUnfinished({ disk, path, openStore }: RebuildStoreOptions): Promise<Store | undefined> {
  if (!disk.exists(path)) return undefined
  let store: Store
  try {
    store = await openStore(path)
  } catch (error) {
    if (isDbError(error) && error.code === 'store_corrupt') return undefined
    throw error
  }
  if (isRebuilding(store)) return store
  await store.close()
  return undefined
}

/** Gives a store that nobody has open the name `<path>.broken-<n>`, the first that is free, durably. @returns it; undefined where there is no store */
export function moveAside(disk: Disk, path: string): string | undefined {
  if (!disk.exists(path)) return undefined
  let n = 1
  const asideOf = (number: number): string => join(dirname(path), `${basename(path)}.broken-${number}`)
  while (disk.exists(asideOf(n))) n++
  disk.rename(path, asideOf(n))
  disk.syncDir(dirname(path))
  return asideOf(n)
}
