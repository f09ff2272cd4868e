import { crc32c } from '@node-rs/crc32'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { BATCH_ASSERTIONS_MAX } from '../record/limits.ts'
import type { IdHash } from '../store/id-hash.ts'
import { encodeLogHlcValue, encodeLogPoint, logHlcKey, logLsnKey } from '../store/keyspace.codec.ts'
import {
  SP_ASSERTION_CRC, SP_ASSERTION_LENGTH, SP_ASSERTION_OFFSET, SP_ID_OFFSET, SP_INDEX, SP_KEY_BYTES_MAX, SP_LIFECYCLE,
  SP_LSN, SP_OBJECT_KIND, SP_RECORD_OFFSET, SP_SEGMENT_ID, SP_SEPARATOR, SP_SOURCE_CLASS, SP_VALUE_BYTES,
} from '../store/keyspace.layout.ts'
import type { StoreBatch } from '../store/store.ts'
import { RECORD_HEADER_BYTES } from '../wal/record.layout.ts'
import { AssertionView } from '../wire/assertion-view.ts'
import { BatchView } from '../wire/batch.codec.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import { AgentRanges } from './agent-ranges.ts'

/** Assertions that one ingest batch may hold before another record is not taken in; the last one may go beyond. */
export const INGEST_ASSERTIONS_SOFT_MAX = 8192
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

/**
 * Turns records into entries of the columns `sp`, `agent` and `log`: pure but for the batch it fills. Buffers are kept,
 * so that an assertion costs no memory but what the checksum and the binding ask for.
 */
export class IndexEntries {
  readonly #entry = new LogEntryView()
  readonly #batchView = new BatchView()
  readonly #assertion = new AssertionView()
  readonly #agents: AgentRanges
  readonly #key = new Uint8Array(SP_KEY_BYTES_MAX)
  /** One view of the key's buffer for each length. */
  readonly #keyViews: (Uint8Array | undefined)[] = []
  readonly #value = new Uint8Array(SP_VALUE_BYTES)
  readonly #valueView = new DataView(this.#value.buffer)
  /** Where this batch of records begins. */
  #first: LogRecord | undefined
  #assertions = 0

  /** @param hash this thread's own, by the store's key. */
  constructor(hash: IdHash) {
    this.#agents = new AgentRanges(ASSERTIONS_MAX, hash)
  }

  /** Forgets what was collected; the store's batch is the caller's to clear. */
  clear(): void {
    this.#agents.clear()
    this.#first = undefined
    this.#assertions = 0
  }

  /**
   * Puts the `sp` entries of a record's accepted assertions, and collects what `finish` puts.
   * @throws {DbError} `wal_corrupt` where the payload is not what its checksum promised.
   */
  add(record: LogRecord, batch: StoreBatch): void {
    const entry = this.#open(record)
    const batchBytes = this.#batchView.reset(entry.batch)
    const fileOffset = record.offset + RECORD_HEADER_BYTES
    // The HLC as two halves: a bigint for each assertion would be garbage.
    const hlcHigh = Number(record.hlcFirst >> 32n)
    const hlcLow = Number(record.hlcFirst & 0xffff_ffffn)
    let accepted = 0
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      const low = hlcLow + accepted
      const carry = low >= 0x1_0000_0000 ? 1 : 0
      this.#putAssertion(record, batchBytes, index, record.lsnFirst + accepted, hlcHigh + carry, low, fileOffset, batch)
      accepted++
    }
    if (accepted !== record.count) this.#damaged(record, `it accepts ${accepted} assertions, its header says ${record.count}`)
    this.#first ??= { ...record, payload: EMPTY }
    this.#assertions += accepted
  }

  /** Puts what stands for all records since `clear`: an entry for each agent, and a point of the log. */
  finish(batch: StoreBatch): void {
    const first = this.#first
    if (first === undefined) return
    this.#agents.put(batch)
    const { lsnFirst, hlcFirst, segmentId, offset } = first
    batch.put('log', logLsnKey(lsnFirst),
      encodeLogPoint({ lsnFirst, hlcFirst, count: this.#assertions, position: { segmentId, offset } }))
    batch.put('log', logHlcKey(hlcFirst), encodeLogHlcValue(lsnFirst))
  }

  /** The ids of a record's accepted assertions, in order. @throws {DbError} `wal_corrupt` */
  forEachId(record: LogRecord, onId: OnId): void {
    const entry = this.#open(record)
    let accepted = 0
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      onId(entry.bytes, entry.idsOffset + index * 32, record.lsnFirst + accepted, record.hlcFirst + BigInt(accepted),
        record, index)
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
    fileOffset: number, batch: StoreBatch,
  ): void {
    const entry = this.#entry
    const start = batchView.itemOffset(index)
    const length = batchView.itemLength(index)
    const { bytes } = batchView
    const assertion = this.#assertion.reset(bytes, start, length)
    const idOffset = entry.idsOffset + index * 32
    const value = this.#valueView
    value.setUint32(SP_SEGMENT_ID, record.segmentId, true)
    value.setUint32(SP_RECORD_OFFSET, record.offset, true)
    value.setUint32(SP_ASSERTION_OFFSET, fileOffset + entry.batchOffset + start, true)
    value.setUint32(SP_ASSERTION_LENGTH, length, true)
    value.setUint32(SP_ASSERTION_CRC, crc32c(bytes.subarray(start, start + length)), true)
    value.setUint32(SP_ID_OFFSET, fileOffset + idOffset, true)
    value.setUint16(SP_INDEX, index, true)
    value.setUint8(SP_SOURCE_CLASS, assertion.sourceClass)
    value.setUint8(SP_LIFECYCLE, assertion.lifecycle)
    value.setUint8(SP_OBJECT_KIND, assertion.objectKind)
    value.setUint32(SP_LSN, lsn >>> 0, true)
    value.setUint32(SP_LSN + 4, Math.floor(lsn / 0x1_0000_0000), true)
    batch.put('sp', this.#spKey(assertion, ~hlcHigh, ~hlcLow, entry.bytes, idOffset), this.#value)
    this.#agents.add(bytes, assertion.agentStart, lsn, record.segmentId, record.offset)
  }

  /** @param notHigh @param notLow halves of the inverted HLC */
  #spKey(assertion: AssertionView, notHigh: number, notLow: number, ids: Uint8Array, idOffset: number): Uint8Array {
    const key = this.#key
    const { bytes, subjectStart, subjectLength, predicateStart, predicateLength } = assertion
    let at = 0
    for (let i = 0; i < subjectLength; i++) key[at++] = bytes[subjectStart + i]!
    key[at++] = SP_SEPARATOR
    for (let i = 0; i < predicateLength; i++) key[at++] = bytes[predicateStart + i]!
    key[at++] = SP_SEPARATOR
    for (let shift = 24; shift >= 0; shift -= 8) key[at++] = notHigh >>> shift
    for (let shift = 24; shift >= 0; shift -= 8) key[at++] = notLow >>> shift
    for (let i = 0; i < 8; i++) key[at++] = ids[idOffset + i]!
    return this.#keyViews[at] ??= key.subarray(0, at)
  }

  #damaged(record: LogRecord, why: string): never {
    throw new DbError('wal_corrupt',
      `the record at offset ${record.offset} of WAL segment ${record.segmentId} has a right checksum and a wrong payload: ${why}`,
      { segmentId: record.segmentId, offset: record.offset, lsn: record.lsnFirst })
  }
}

const EMPTY = new Uint8Array(0)
