import { assert } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import { wordSum } from '../base/word-sum.ts'
import { BATCH_ASSERTIONS_MAX, HASH_BYTES } from '../record/limits.ts'
import type { IdHash } from '../store/id-hash.ts'
import { EntryArena } from '../store/entry-arena.ts'
import {
  ENTRY_ASSERTION_SUM, ENTRY_HAS_PARENT, ENTRY_INDEX, ENTRY_KEY, ENTRY_KEY_BYTES, ENTRY_LIFECYCLE_KIND, ENTRY_LSN, ENTRY_LSN_END,
  ENTRY_OBJECT_KIND_SHIFT, ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID, ENTRY_SOURCE_CLASS,
} from '../store/entry-runs.layout.ts'
import { encodeLogHlcValue, encodeLogPoint, logHlcKey, logLsnKey } from '../store/keyspace.codec.ts'
import { SP_SEPARATOR } from '../store/keyspace.layout.ts'
import { PREPARED_IDS_MAX, type PreparedIds } from '../store/prepared-ids.ts'
import type { StoreBatch } from '../store/store.ts'
import { IndexedFieldsView } from '../wire/assertion-view.ts'
import { BatchView } from '../wire/batch.codec.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import { AgentRanges } from './agent-ranges.ts'

/** Assertions that one ingest batch may hold before another record is not taken in; the last one may go beyond. */
export const INGEST_ASSERTIONS_SOFT_MAX = 65_536
/** Payload bytes behind a point of the log before the next: how far a reader by LSN or time has to walk. */
export const LOG_POINT_BYTES = 1 * MiB
const ASSERTIONS_MAX = INGEST_ASSERTIONS_SOFT_MAX + BATCH_ASSERTIONS_MAX

/** A record of kind `batch`, its payload verified by its checksum. */
export interface LogRecord extends WalPosition {
  readonly lsnFirst: Lsn
  readonly hlcFirst: Hlc
  /** Accepted assertions. */
  readonly count: number
  readonly payload: Uint8Array
}

/** Called for each accepted assertion of a record; the id is `ids[idOffset..idOffset + 32)`. */
export type OnId = (ids: Uint8Array, idOffset: number, lsn: Lsn, hlc: Hlc, record: WalPosition, index: number) => void

// Words of an entry.
const SEGMENT_ID = ENTRY_SEGMENT_ID / 4
const RECORD_OFFSET = ENTRY_RECORD_OFFSET / 4
const LSN_LOW = ENTRY_LSN / 4
const LSN_HIGH_INDEX = LSN_LOW + 1
const ASSERTION_SUM = ENTRY_ASSERTION_SUM / 4
const CLASS_LIFECYCLE = ENTRY_SOURCE_CLASS / 4

assert(ENTRY_INDEX === ENTRY_LSN + 6 && ENTRY_LIFECYCLE_KIND === ENTRY_SOURCE_CLASS + 1 && ENTRY_KEY_BYTES === ENTRY_SOURCE_CLASS + 2,
  'which fields share a word')

/**
 * Turns records into entries of the columns `sp`, `agent` and `log`: pure. Buffers are kept, so that an assertion costs no
 * memory.
 */
export class IndexEntries {
  readonly #entry = new LogEntryView()
  readonly #batchView = new BatchView()
  readonly #assertion = new IndexedFieldsView()
  readonly #agents: AgentRanges
  /** The entries of column `sp` of all records since `clear`. */
  readonly arena = new EntryArena()
  /** Points of the log among the records since `clear`. */
  readonly #points: { readonly record: Omit<LogRecord, 'payload'>, readonly assertionsBefore: number }[] = []
  #pointBytes = 0

  /** @param hash this thread's own, by the store's key. */
  constructor(hash: IdHash) {
    this.#agents = new AgentRanges(ASSERTIONS_MAX, hash)
  }

  /** Forgets what was collected; the store's batch is the caller's to clear. */
  clear(): void {
    this.#agents.clear()
    this.arena.clear()
    this.#points.length = 0
  }

  /**
   * Collects what is said of a record's accepted assertions.
   * @throws {DbError} `wal_corrupt` where the payload is not what its checksum promised.
   */
  add(record: LogRecord): void {
    this.#addPoint(record)
    const entry = this.#open(record)
    const batchBytes = this.#batchView.reset(entry.batch)
    // The HLC as two halves: a bigint for each assertion would be garbage.
    const hlcHigh = Number(record.hlcFirst >> 32n)
    const hlcLow = Number(record.hlcFirst & 0xffff_ffffn)
    assert(record.lsnFirst + record.count < ENTRY_LSN_END, 'an LSN fits into an entry')
    let accepted = 0
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      const low = hlcLow + accepted
      const carry = low >= 0x1_0000_0000 ? 1 : 0
      this.#putAssertion(record, batchBytes, index, record.lsnFirst + accepted, hlcHigh + carry, low)
      accepted++
    }
    if (accepted !== record.count) this.#damaged(record, `it accepts ${accepted} assertions, its header says ${record.count}`)
  }

  /** LSN of the first assertion since `clear`; 0 where there is none. */
  get lsnFirst(): Lsn {
    return this.#points[0]?.record.lsnFirst ?? 0
  }

  /** Puts what stands for all records since `clear`: an entry for each agent, and points of the log. `arena` is the caller's to write. */
  finish(batch: StoreBatch): void {
    if (this.#points.length === 0) return
    this.#agents.put(batch)
    this.#points.forEach(({ record, assertionsBefore }, i) => {
      const { lsnFirst, hlcFirst, segmentId, offset } = record
      const count = (this.#points[i + 1]?.assertionsBefore ?? this.arena.count) - assertionsBefore
      batch.put('log', logLsnKey(lsnFirst), encodeLogPoint({ lsnFirst, hlcFirst, count, position: { segmentId, offset } }))
      batch.put('log', logHlcKey(hlcFirst), encodeLogHlcValue(lsnFirst))
    })
  }

  #addPoint({ payload, ...record }: LogRecord): void {
    if (this.#points.length === 0 || this.#pointBytes >= LOG_POINT_BYTES) {
      this.#points.push({ record, assertionsBefore: this.arena.count })
      this.#pointBytes = 0
    }
    this.#pointBytes += payload.length
  }

  /** The ids of a record's accepted assertions, in order. @throws {DbError} `wal_corrupt` */
  forEachId(record: LogRecord, onId: OnId): void {
    const entry = this.#open(record)
    let accepted = 0
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      onId(entry.bytes, entry.idsOffset + index * HASH_BYTES, record.lsnFirst + accepted, record.hlcFirst + BigInt(accepted),
        record, index)
      accepted++
    }
  }

  /** Puts the ids of a record's accepted assertions above `flushedLsn` among those that are known; there is room. @throws {DbError} `wal_corrupt` */
  makeKnown(record: LogRecord, known: PreparedIds, flushedLsn: Lsn): void {
    const entry = this.#open(record)
    let accepted = 0
    for (let index = 0; index < entry.count; index++) {
      const i = index % PREPARED_IDS_MAX
      if (i === 0) known.prepare(entry.bytes, entry.idsOffset + index * HASH_BYTES, Math.min(PREPARED_IDS_MAX, entry.count - index))
      if (!entry.accepted(index)) continue
      const lsn = record.lsnFirst + accepted
      if (lsn > flushedLsn) known.insert(i, lsn, record.hlcFirst + BigInt(accepted), record, index)
      accepted++
    }
  }

  #open(record: LogRecord): LogEntryView {
    try {
      return this.#entry.reset(record.payload)
    } catch (error) {
      return this.#damaged(record, error instanceof Error ? error.message : String(error))
    }
  }

  #putAssertion(
    record: LogRecord, batchView: BatchView, index: number, lsn: Lsn, hlcHigh: number, hlcLow: number,
  ): void {
    const { bytes, view } = batchView
    const assertion = this.#assertion.reset(view, batchView.itemOffset(index), batchView.itemLength(index))
    const { arena } = this
    arena.room()
    const { words } = arena
    const at = arena.end >>> 2
    words[at + SEGMENT_ID] = record.segmentId
    words[at + RECORD_OFFSET] = record.offset
    words[at + LSN_LOW] = lsn
    words[at + LSN_HIGH_INDEX] = lsn / 0x1_0000_0000 | index << 16
    words[at + ASSERTION_SUM] = wordSum(view, assertion.start, assertion.length)
    const parent = assertion.parentStart < 0 ? 0 : ENTRY_HAS_PARENT
    words[at + CLASS_LIFECYCLE] = assertion.sourceClass | (assertion.lifecycle | parent | assertion.objectKind << ENTRY_OBJECT_KIND_SHIFT) << 8
    const { bytes: ids, idsOffset } = this.#entry
    arena.added(this.#writeKey(assertion, bytes, view, ~hlcHigh, ~hlcLow, ids, idsOffset + index * HASH_BYTES))
    this.#agents.add(bytes, view, assertion.agentStart, lsn, record.segmentId, record.offset)
  }

  /** @param source what `view` shows, too @param notHigh @param notLow halves of the inverted HLC. @returns the key's bytes */
  #writeKey(
    assertion: IndexedFieldsView, source: Uint8Array, view: DataView, notHigh: number, notLow: number, ids: Uint8Array, idOffset: number,
  ): number {
    const { bytes: key, end } = this.arena
    const start = end + ENTRY_KEY
    this.#writeText(view, source, assertion.subjectStart, assertion.subjectLength, start)
    let at = start + assertion.subjectLength
    key[at++] = SP_SEPARATOR
    for (let i = 0, from = assertion.predicateStart; i < assertion.predicateLength; i++) key[at++] = source[from + i]!
    key[at++] = SP_SEPARATOR
    for (let shift = 24; shift >= 0; shift -= 8) key[at++] = notHigh >>> shift
    for (let shift = 24; shift >= 0; shift -= 8) key[at++] = notLow >>> shift
    for (let i = 0; i < 8; i++) key[at++] = ids[idOffset + i]!
    return at - start
  }

  /** A text to a place that is a multiple of 4: four bytes at a time, as far as they go. */
  #writeText(view: DataView, bytes: Uint8Array, from: number, length: number, to: number): void {
    const { words, bytes: out } = this.arena
    const whole = length & ~3
    for (let i = 0, word = to >>> 2; i < whole; i += 4) words[word++] = view.getUint32(from + i, true)
    for (let i = whole; i < length; i++) out[to + i] = bytes[from + i]!
  }

  #damaged(record: LogRecord, why: string): never {
    throw new DbError('wal_corrupt',
      `the record at offset ${record.offset} of WAL segment ${record.segmentId} has a right checksum and a wrong payload: ${why}`,
      { segmentId: record.segmentId, offset: record.offset, lsn: record.lsnFirst })
  }
}
