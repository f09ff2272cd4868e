import { crc32c } from '../base/crc32c.ts'
import { assert } from '../base/assert.ts'
import type { DiskFile } from '../base/disk.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import { bodyBytesOf, emptyRecordHeader, parseRecordHeader, type HeaderFault, type RecordHeader } from './record.codec.ts'
import { RECORD_HEADER_BYTES } from './record.layout.ts'
import type { SegmentHeader } from './segment.codec.ts'

/** What a record must follow on. */
export interface Chain {
  nextLsn: Lsn
  hlcLast: Hlc
  headerCrc: number
}

/** Where the chain of a segment begins. */
export const chainOf = (segment: SegmentHeader): Chain =>
  ({ nextLsn: segment.lsnFirst, hlcLast: segment.hlcBefore, headerCrc: segment.headerCrc })

export const CHUNK_BYTES = MiB

const FAULTS: Readonly<Record<HeaderFault, string>> = {
  zero: 'no record where one must be',
  magic: 'no record header where one must be',
  checksum: 'checksum of the record header differs',
  foreign: 'the record belongs to another segment',
  version: 'the record is of a newer format version',
  kind: 'the record is of an unknown kind',
  shape: 'the record header contradicts itself',
}

/**
 * Steps through the records of one segment, verifying header, payload and chain. Reads chunks into a buffer of its own,
 * which grows up to `chunkBytes`, or to the largest record, which the segment's size bounds. After `record`, `header` and `payload`
 * describe it until the next step.
 */
export class SegmentCursor {
  readonly header: RecordHeader = emptyRecordHeader()
  /** Where the current record begins and ends; after another outcome, the place that was looked at. */
  offset = 0
  nextOffset = 0
  payload: Uint8Array = new Uint8Array(0)
  /** Why the last step found damage. */
  fault = ''
  #file: DiskFile | undefined
  #segment: SegmentHeader | undefined
  #chain: Chain | undefined
  #limit = 0
  readonly #chunkBytes: number
  #buffer: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(this.#buffer.buffer)
  #bufferStart = 0
  #bufferEnd = 0

  constructor(chunkBytes = CHUNK_BYTES) {
    this.#chunkBytes = Math.max(chunkBytes, RECORD_HEADER_BYTES)
  }

  /**
   * @param limit nothing at or behind it is read: the durable position, or the end of the file.
   * @param chain what the first record must follow on; undefined where reading starts in the middle.
   */
  begin(file: DiskFile, segment: SegmentHeader, offset: number, limit: number, chain?: Chain): void {
    this.#file = file
    this.#segment = segment
    this.#chain = chain === undefined ? undefined : { ...chain }
    this.#limit = limit
    this.offset = offset
    this.nextOffset = offset
    this.#bufferStart = 0
    this.#bufferEnd = 0
  }

  /** Allows more of the same segment; what was read stays. */
  extend(limit: number): void {
    assert(limit >= this.#limit, 'the end of a log does not move back')
    this.#limit = limit
  }

  get limit(): number {
    return this.#limit
  }

  /** What a record at `nextOffset` must follow on; undefined before the first of a start in the middle. */
  get chain(): Readonly<Chain> | undefined {
    return this.#chain
  }

  /**
   * @returns 'end' where nothing but zeros or no room is left for a header; 'damaged' with `fault` set.
   * @throws {DbError} `format_unsupported` where an intact record is of a newer program. @throws the disk's errors.
   */
  step(): 'record' | 'end' | 'damaged' {
    const at = this.nextOffset
    this.offset = at
    if (at + RECORD_HEADER_BYTES > this.#limit || !this.#load(at, RECORD_HEADER_BYTES)) return this.#restIsZero(at)
    const segment = this.#segment!
    const { header } = this
    const fault = parseRecordHeader(this.#buffer, this.#view, at - this.#bufferStart, segment.tagLo, segment.tagHi, header)
    if (fault === 'zero') return 'end'
    if (fault === 'version' || fault === 'kind') {
      throw new DbError('format_unsupported', `WAL segment ${segment.segmentId} at offset ${at}: ${FAULTS[fault]}`,
        { segmentId: segment.segmentId, offset: at })
    }
    if (fault !== undefined) return this.#damaged(FAULTS[fault])
    return this.#body(at)
  }

  #body(at: number): 'record' | 'damaged' {
    const { header } = this
    const bodyBytes = bodyBytesOf(header)
    const end = at + RECORD_HEADER_BYTES + bodyBytes
    if (header.durableOffset > at) return this.#damaged('the record claims to be behind itself')
    if (end > this.#limit || !this.#load(at, RECORD_HEADER_BYTES + bodyBytes)) return this.#damaged('the record is cut off')
    const start = at - this.#bufferStart + RECORD_HEADER_BYTES
    if (crc32c(this.#buffer.subarray(start, start + bodyBytes)) !== header.payloadCrc) {
      return this.#damaged('checksum of the payload differs')
    }
    if (!this.#follows()) return this.#damaged('the record does not follow on the one before it')
    this.payload = this.#buffer.subarray(start, start + header.payloadBytes)
    this.nextOffset = end
    return 'record'
  }

  /** Checks the chain and moves it on. */
  #follows(): boolean {
    const { header } = this
    const chain = this.#chain ??= { nextLsn: header.lsnFirst, hlcLast: header.hlcFirst - 1n, headerCrc: header.prevHeaderCrc }
    if (header.prevHeaderCrc !== chain.headerCrc) return false
    if (header.lsnFirst !== chain.nextLsn || header.hlcFirst <= chain.hlcLast) return false
    chain.headerCrc = header.headerCrc
    chain.nextLsn = header.lsnFirst + header.count
    chain.hlcLast = header.hlcFirst + BigInt(header.count) - 1n
    return true
  }

  #damaged(fault: string): 'damaged' {
    this.fault = fault
    return 'damaged'
  }

  /** Fewer bytes than a header are left: padding of the file, or a header that was cut off. */
  #restIsZero(at: number): 'end' | 'damaged' {
    const bytes = new Uint8Array(Math.max(0, Math.min(RECORD_HEADER_BYTES, this.#limit - at)))
    const count = this.#file!.pread(bytes, 0, bytes.length, at)
    return bytes.subarray(0, count).every((byte) => byte === 0) ? 'end' : this.#damaged('the record is cut off')
  }

  /** Has `length` bytes from `at` in the buffer. False where the file ends before. */
  #load(at: number, length: number): boolean {
    if (at >= this.#bufferStart && at + length <= this.#bufferEnd) return true
    const wanted = Math.max(length, Math.min(this.#chunkBytes, this.#limit - at))
    if (wanted > this.#buffer.length) {
      this.#buffer = new Uint8Array(Math.max(wanted, Math.min(this.#chunkBytes, this.#buffer.length * 2)))
      this.#view = new DataView(this.#buffer.buffer)
    }
    const count = this.#file!.pread(this.#buffer, 0, wanted, at)
    this.#bufferStart = at
    this.#bufferEnd = at + count
    return count >= length
  }
}
