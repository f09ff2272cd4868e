import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import type { EntryArena } from '../store/entry-arena.ts'
import type { EntryRun } from '../store/entry-run-list.ts'
import type { EntryRunWriter } from '../store/entry-runs.ts'
import type { IdHash } from '../store/id-hash.ts'
import type { IdRun } from '../store/id-runs.codec.ts'
import type { IdRunWriter } from '../store/id-runs.ts'
import { META_APPLIED_KEY, META_IDS_FLUSHED_KEY } from '../store/keyspace.layout.ts'
import type { PreparedIds } from '../store/prepared-ids.ts'
import { ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID, ENTRY_WORDS } from '../store/recent-ids.layout.ts'
import type { FinishedIds } from '../store/recent-ids.ts'
import { encodeApplied, encodeIdsFlushed, endRebuilding, type AppliedMark, type IdsFlushedMark } from '../store/store-meta.ts'
import type { Store, StoreBatch } from '../store/store.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import { INGEST_ASSERTIONS_SOFT_MAX, IndexEntries, type LogRecord } from './index-entries.ts'

/** Payload bytes of one write batch. */
export const INGEST_BYTES_MAX = 24 * MiB
export const INGEST_RECORDS_MAX = 65_536
/** Entries that merges of runs may move for each assertion applied, so that merging keeps up: one a level. */
const MERGE_PER_ASSERTION = 5
const MERGE_ENTRIES_MIN = 4096
/** Runs of the index by subject and predicate that a replay leaves as they are: of some three million assertions. Each is one more that questions look into. */
const REPLAYED_RUNS_MAX = 48

/** What the loop needs of `WalReader`. */
export interface LogReader {
  readonly header: { readonly kind: number, readonly count: number, readonly lsnFirst: Lsn, readonly hlcFirst: Hlc }
  readonly payload: Uint8Array
  readonly segmentId: number
  readonly offset: number
  readonly nextOffset: number
  seek(position: WalPosition): void
  next(until: WalPosition): boolean
}

export interface IngestDependencies {
  readonly store: Store
  readonly log: LogReader
  /** This thread's own, by the store's key. */
  readonly hash: IdHash
  readonly runs: IdRunWriter
  readonly entryRuns: EntryRunWriter
  /** Gives the generation of recent ids that waits to become a run: `RecentIds.finished`. */
  readonly finishedIds: (appliedLsn: Lsn) => FinishedIds | undefined
  /** End of the durable log; it never moves back. */
  readonly durablePosition: () => WalPosition
  /** Where the log's first record begins. */
  readonly logStart: WalPosition
  readonly applied: AppliedMark
  readonly idsFlushed: IdsFlushedMark
  /** Set at a start: the loop fills the recent ids and the filter, until `endReplay`. */
  readonly replayedIds?: PreparedIds | undefined
  /** Told of the keys that were written, after they can be read and before `onApplied`. */
  readonly onWritten?: ((keys: EntryArena, lsn: Lsn) => void) | undefined
  readonly onApplied: (position: WalPosition, lsn: Lsn) => void
  readonly onIdsFlushed: (lsn: Lsn) => void
}

/**
 * Follows the durable log into the store. Running and recovery are the same code: what is applied, and up to where, is
 * one write batch, so a start goes on behind it. Applying a record again changes no answer: entries that stand twice are
 * read once, points of the log and ranges of agents say the same again.
 *
 * Each step writes at most one batch of records. Where a write fails, everything is kept and the next step writes it
 * again: a full disk heals by itself when there is space.
 */
export class IngestLoop {
  readonly #deps: IngestDependencies
  readonly #entries: IndexEntries
  readonly #batch: StoreBatch
  /** What to do when `#batch` is written. */
  #adopt: () => void = NOTHING
  readonly #flushBatch: StoreBatch
  #replayedIds: PreparedIds | undefined
  /** What the store has. */
  #applied: AppliedMark
  #idsFlushedLsn: Lsn
  /** What the collected records will make of it. */
  #next: AppliedMark
  #collectedRecords = 0
  #collectedBytes = 0
  /** The record that the log stands at has been read, but found no room among the recent ids. */
  #held = false
  /** LSN before the next record; -1 where any may come. */
  #readLsn: Lsn
  /** A fault in the log is final: the reader stands behind what was not applied. */
  #failure: { readonly error: unknown } | undefined

  /** @throws {DbError} `wal_corrupt`, `io_error` where the log can not be read from where the store needs it. */
  constructor(deps: IngestDependencies) {
    const { applied, idsFlushed, logStart } = deps
    this.#deps = deps
    this.#entries = new IndexEntries(deps.hash)
    this.#batch = deps.store.batch()
    this.#flushBatch = deps.store.batch()
    this.#replayedIds = deps.replayedIds
    this.#applied = applied
    this.#next = applied
    this.#idsFlushedLsn = idsFlushed.lsn
    // Ids above the flushed mark are in nobody's memory after a start, though their assertions may be applied.
    const from = deps.replayedIds !== undefined && idsFlushed.lsn < applied.lsn ? idsFlushed : applied
    this.#readLsn = from === applied ? applied.lsn : -1
    deps.log.seek(from.lsn === 0 ? logStart : from.position)
  }

  get applied(): AppliedMark {
    return this.#applied
  }

  /** Runs of the index by subject and predicate. */
  get indexRuns(): readonly EntryRun[] {
    return this.#deps.entryRuns.list.runs
  }

  get idRuns(): readonly IdRun[] {
    return this.#deps.runs.list.runs
  }

  get idsFlushedLsn(): Lsn {
    return this.#idsFlushedLsn
  }

  /** From now on another thread makes ids known: call it when `step` has returned 0, before that thread starts. */
  endReplay(): void {
    this.#replayedIds = undefined
    endRebuilding(this.#deps.store)
  }

  /**
   * Flushes a finished generation of ids, applies what is durable, merges runs a little. In a replay, which somebody waits for, up to
   * {@link REPLAYED_RUNS_MAX} runs of the index stay unmerged until the node serves.
   * @param quiet nothing has come for a while: merge whatever costs little for its size
   * @returns units of work done; 0 where there was none.
   * @throws {DbError} `disk_full`: call again later. `io_error`, `wal_corrupt`, `store_corrupt`: final.
   */
  step(quiet = false): number {
    if (this.#failure !== undefined) throw this.#failure.error
    const flushed = this.#flushIds()
    const before = this.#applied.assertions
    const records = this.#applyNext()
    const budget = Math.max(MERGE_ENTRIES_MIN, MERGE_PER_ASSERTION * (this.#applied.assertions - before))
    const merged = this.#merge(budget, quiet && flushed + records === 0)
    if (flushed + records + merged === 0 && this.#held) this.#refuseStuck()
    return flushed + records + merged
  }

  /** How many kinds of runs there was something to merge of. */
  #merge(entriesMax: number, eager: boolean): number {
    const { runs, entryRuns } = this.#deps
    const ids = runs.mergeStep(entriesMax) ? 1 : 0
    if (this.#replayedIds !== undefined && entryRuns.list.runs.length < REPLAYED_RUNS_MAX) return ids
    return ids + (entryRuns.mergeStep(entriesMax, eager) ? 1 : 0)
  }

  #applyNext(): number {
    // Otherwise a failed write is tried again.
    if (this.#collectedRecords === 0) {
      if (this.#deps.entryRuns.mustMerge) return 0
      this.#collect()
    }
    const records = this.#collectedRecords
    if (records === 0) return 0
    if (this.#batch.count > 0) this.#batch.write()
    this.#adopt()
    this.#adopt = NOTHING
    this.#deps.onWritten?.(this.#entries.arena, this.#next.lsn)
    this.#entries.clear()
    this.#collectedRecords = 0
    this.#collectedBytes = 0
    this.#applied = this.#next
    this.#deps.onApplied(this.#applied.position, this.#applied.lsn)
    return records
  }

  #collect(): void {
    try {
      while (!this.#isFull() && this.#readOne() && this.#collectOne()) { /* until full or at the end */ }
      const { arena, lsnFirst } = this.#entries
      if (arena.count === 0) return
      this.#adopt = this.#deps.entryRuns.add(arena, lsnFirst, this.#next.lsn, this.#batch)
      this.#entries.finish(this.#batch)
      this.#batch.put('meta', META_APPLIED_KEY, encodeApplied(this.#next))
    } catch (error) {
      this.#batch.clear()
      this.#entries.clear()
      this.#collectedRecords = 0
      this.#collectedBytes = 0
      this.#next = this.#applied
      this.#failure = { error }
      throw error
    }
  }

  #isFull(): boolean {
    return this.#collectedBytes >= INGEST_BYTES_MAX || this.#collectedRecords >= INGEST_RECORDS_MAX ||
      this.#next.assertions - this.#applied.assertions >= INGEST_ASSERTIONS_SOFT_MAX
  }

  /** Has a record to look at. A fault in the log is reported only when what stands before it has been applied. */
  #readOne(): boolean {
    if (this.#held) return true
    try {
      return this.#deps.log.next(this.#deps.durablePosition())
    } catch (error) {
      if (this.#collectedRecords > 0) return false
      throw error
    }
  }

  /** False where the record has to wait for room among the recent ids. */
  #collectOne(): boolean {
    const { header, payload, segmentId, offset, nextOffset } = this.#deps.log
    const isBatch = header.kind === RECORD_KIND.batch
    const record: LogRecord = { segmentId, offset, lsnFirst: header.lsnFirst, hlcFirst: header.hlcFirst, count: header.count, payload }
    if (isBatch && !this.#held) this.#checkFollows(record)
    this.#held = isBatch && !this.#replayIds(record)
    if (this.#held) return false
    const isNew = header.lsnFirst > this.#next.lsn
    if (isBatch && isNew) this.#entries.add(record)
    this.#collectedRecords++
    this.#collectedBytes += payload.length
    if (!isNew) return true
    this.#next = {
      lsn: isBatch ? header.lsnFirst + header.count - 1 : this.#next.lsn,
      hlc: isBatch ? header.hlcFirst + BigInt(header.count - 1) : this.#next.hlc,
      position: { segmentId, offset: nextOffset },
      assertions: this.#next.assertions + (isBatch ? header.count : 0),
      records: this.#next.records + (isBatch ? 1 : 0),
    }
    return true
  }

  #checkFollows(record: LogRecord): void {
    const follows = this.#readLsn >= 0 ? record.lsnFirst === this.#readLsn + 1 : record.lsnFirst <= this.#idsFlushedLsn + 1
    if (!follows) {
      const needed = (this.#readLsn >= 0 ? this.#readLsn : this.#idsFlushedLsn) + 1
      throw new DbError('wal_corrupt', `the store needs the log from LSN ${needed}, the log has LSN ${record.lsnFirst} there`,
        { segmentId: record.segmentId, offset: record.offset, lsn: record.lsnFirst, needed })
    }
    this.#readLsn = record.lsnFirst + record.count - 1
  }

  /** Makes the record's ids known, where that is this loop's to do; false where there is no room yet. */
  #replayIds(record: LogRecord): boolean {
    const ids = this.#replayedIds
    if (ids === undefined || record.lsnFirst + record.count - 1 <= this.#idsFlushedLsn) return true
    if (!ids.hasRoom(record.count)) return false
    this.#entries.makeKnown(record, ids, this.#idsFlushedLsn)
    return true
  }

  #flushIds(): number {
    const { finishedIds, runs, onIdsFlushed } = this.#deps
    const finished = finishedIds(this.#applied.lsn)
    if (finished === undefined) return 0
    if (runs.mustMerge && runs.mergeStep(INGEST_ASSERTIONS_SOFT_MAX * MERGE_PER_ASSERTION)) return 1
    const last = (finished.count - 1) * ENTRY_WORDS
    const position = {
      segmentId: finished.words[last + ENTRY_SEGMENT_ID / 4]!, offset: finished.words[last + ENTRY_RECORD_OFFSET / 4]!,
    }
    this.#flushBatch.clear()
    const adopt = runs.flush(finished, this.#flushBatch)
    this.#flushBatch.put('meta', META_IDS_FLUSHED_KEY, encodeIdsFlushed({ lsn: finished.lastLsn, position }))
    this.#flushBatch.write()
    adopt()
    this.#idsFlushedLsn = finished.lastLsn
    onIdsFlushed(finished.lastLsn)
    return 1
  }

  /** All before it is applied and flushed, and still it has no room: it never will. */
  #refuseStuck(): never {
    const { header } = this.#deps.log
    throw new DbError('config_invalid',
      `a record of ${header.count} assertions does not fit among the recent ids: raise recentIdsMax to at least that`,
      { setting: 'recentIdsMax', count: header.count })
  }
}

const NOTHING = (): void => {}
