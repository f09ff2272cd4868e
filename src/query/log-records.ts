import { DbError, isDbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { bodyBytesOf, emptyRecordHeader, parseRecordHeader } from '../wal/record.codec.ts'
import { RECORD_HEADER_BYTES, RECORD_KIND, RECORD_TAG_OFFSET } from '../wal/record.layout.ts'
import { SEGMENT_RECORDS_OFFSET } from '../wal/segment.layout.ts'
import { LogWalker, type ReadRange } from './log-walker.ts'

/** A record of the log that holds assertions; its payload is not read. */
export interface LogRecordHead extends WalPosition {
  readonly lsnFirst: Lsn
  readonly hlcFirst: Hlc
  /** Assertions that were accepted: they have `lsnFirst + k` and `hlcFirst + k`. */
  readonly count: number
}

/**
 * Reads heads of records, and which assertions of a record its LSNs are of. A head is covered by its own checksum; bits say which
 * of a batch's assertions were accepted, and their number must be the head's. What an assertion says is checked by who reads it.
 */
export class LogRecords {
  readonly #readRange: ReadRange
  readonly #walker: LogWalker
  readonly #bytes = new Uint8Array(RECORD_HEADER_BYTES)
  readonly #view = new DataView(this.#bytes.buffer)
  readonly #header = emptyRecordHeader()
  /** Of the record looked at last: places in its batch by place among the accepted ones; undefined where all were. */
  #indexes: Uint16Array | undefined
  #indexesOf: LogRecordHead | undefined

  constructor(readRange: ReadRange) {
    this.#readRange = readRange
    this.#walker = new LogWalker(readRange)
  }

  /** The record that begins at `position`. @throws {DbError} `wal_corrupt`, `io_error` */
  at({ segmentId, offset }: WalPosition): LogRecordHead {
    return this.#read(segmentId, offset) && this.#header.kind === RECORD_KIND.batch ? this.#head(segmentId, offset)
      : damaged(segmentId, offset, 'no record of a batch begins there')
  }

  /**
   * Records by ascending LSN, from the one at `position` up to the one that holds the LSN before `lsnEnd`, which the log has.
   * @throws {DbError} `wal_corrupt` where an LSN is missing, `io_error`
   */
  upTo(position: WalPosition, lsnEnd: Lsn): LogRecordHead[] {
    const records = [this.at(position)]
    let last = records[0]!
    let { segmentId, offset } = last
    while (last.lsnFirst + last.count < lsnEnd) {
      offset += RECORD_HEADER_BYTES + bodyBytesOf(this.#header)
      if (!this.#read(segmentId, offset)) {
        // Nothing follows in this segment: the next one must go on.
        segmentId++
        offset = SEGMENT_RECORDS_OFFSET
        if (!this.#read(segmentId, offset)) return damaged(segmentId, offset, 'no record is where the log goes on')
      }
      if (this.#header.kind !== RECORD_KIND.batch) continue
      const next = this.#head(segmentId, offset)
      if (next.lsnFirst !== last.lsnFirst + last.count) return damaged(segmentId, offset, `it begins with LSN ${next.lsnFirst}`)
      records.push(last = next)
    }
    return records
  }

  /** Place in its batch of the assertion that was accepted as number `k` of the record, from 0 on. @throws {DbError} as `at` does */
  indexOf(record: LogRecordHead, k: number): number {
    if (record !== this.#indexesOf) {
      this.#indexes = this.#readIndexes(record)
      this.#indexesOf = record
    }
    return this.#indexes === undefined ? k : this.#indexes[k]!
  }

  #head(segmentId: number, offset: number): LogRecordHead {
    const { lsnFirst, hlcFirst, count } = this.#header
    return { segmentId, offset, lsnFirst, hlcFirst, count }
  }

  /** Whether a record begins there; it is in `#header` then. */
  #read(segmentId: number, offset: number): boolean {
    try {
      this.#readRange(segmentId, offset, RECORD_HEADER_BYTES, this.#bytes)
    } catch (error) {
      // The segment's file ends before.
      if (isDbError(error) && error.code === 'wal_corrupt') return false
      throw error
    }
    const view = this.#view
    const [tagLo, tagHi] = [view.getUint32(RECORD_TAG_OFFSET, true), view.getUint32(RECORD_TAG_OFFSET + 4, true)]
    return parseRecordHeader(this.#bytes, view, 0, tagLo, tagHi, this.#header) === undefined
  }

  #readIndexes(record: LogRecordHead): Uint16Array | undefined {
    const { segmentId, offset, count } = record
    const { batchCount, acceptedOffset } = this.#walker.accepted(segmentId, offset)
    if (batchCount === count) return undefined
    const bits = new Uint8Array((batchCount + 7) >> 3)
    this.#readRange(segmentId, acceptedOffset, bits.length, bits)
    const indexes = new Uint16Array(count)
    let accepted = 0
    for (let index = 0; index < batchCount; index++) {
      if ((bits[index >> 3]! >> (index & 7) & 1) === 1) indexes[accepted++] = index
    }
    return accepted === count ? indexes : damaged(segmentId, offset, `it accepts ${accepted} assertions, its header says ${count}`)
  }
}

function damaged(segmentId: number, offset: number, why: string): never {
  throw new DbError('wal_corrupt', `the record at offset ${offset} of WAL segment ${segmentId} is damaged: ${why}`, { segmentId, offset })
}
