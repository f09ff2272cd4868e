import { crc32c } from '../base/crc32c.ts'
import { DbError } from '../base/errors.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import {
  RECORD_HEADER_BYTES, RECORD_HEADER_CRC_OFFSET, RECORD_KIND, RECORD_KIND_OFFSET, RECORD_MAGIC, RECORD_MAGIC_OFFSET,
  RECORD_PAYLOAD_BYTES_OFFSET,
} from '../wal/record.layout.ts'
import type { Place } from './candidate-source.ts'

/** Copies bytes of the log. @throws {DbError} `wal_corrupt`, `io_error` */
export type ReadRange = (segmentId: number, offset: number, length: number, out: Uint8Array) => void

/** Records whose tables are known, at most; then all are forgotten. */
const RECORDS_MAX = 8192
/** Offsets of a record are below it. */
const SEGMENT_BYTES_END = 2 ** 32

/** What all assertions of a record share; offsets as in {@link AssertionParts}. */
interface RecordParts {
  readonly end: number
  readonly batchCount: number
  readonly acceptedOffset: number
  readonly idsOffset: number
  readonly itemsOffset: number
  readonly batchSignatureOffset: number
}

type RecordAt = Pick<Place, 'segmentId' | 'recordOffset'>

/** Read at a time. Tables and vtables that belong together are mostly closer. */
const WINDOW_BYTES = 512

// Slots of fbs/log.fbs and fbs/batch.fbs.
const ENTRY_ACCEPTED = 0
const ENTRY_IDS = 1
const ENTRY_BATCH = 2
const BATCH_SIGNATURE = 3
const BATCH_ASSERTIONS = 4
const ITEM_ASSERTION = 0
const ITEM_SIGNATURE = 1

/** Where the parts of one assertion are, in bytes from the start of the segment's file; -1 where there is none. */
export interface AssertionParts {
  /** Ids of all assertions of its batch, refused ones too, in their order; and how many there are. */
  batchCount: number
  idsOffset: number
  idOffset: number
  assertionOffset: number
  assertionLength: number
  ownSignatureOffset: number
  batchSignatureOffset: number
}

/**
 * Finds one assertion in a record of the log without reading the record, which may be megabytes: a few small reads
 * follow the offsets. Their bytes are not covered by a checksum that was verified, so every step is checked to stay inside
 * of the record, and what is found has to be checked by its id.
 */
export class LogWalker {
  readonly #readRange: ReadRange
  readonly #window = new Uint8Array(WINDOW_BYTES)
  readonly #view = new DataView(this.#window.buffer)
  readonly #parts: AssertionParts =
    { batchCount: 0, idsOffset: 0, idOffset: 0, assertionOffset: 0, assertionLength: 0, ownSignatureOffset: 0, batchSignatureOffset: 0 }
  readonly #records = new Map<number, RecordParts>()
  #segmentId = 0
  #recordOffset = 0
  /** Bounds of the record's payload, and of what the window holds. */
  #start = 0
  #end = 0
  #windowStart = 0
  #windowEnd = 0

  constructor(readRange: ReadRange) {
    this.#readRange = readRange
  }

  /** Valid until the next call. @throws {DbError} `wal_corrupt`, `io_error` */
  find(place: Place): Readonly<AssertionParts> {
    const parts = this.#parts
    const record = this.#record(place)
    const { batchCount, idsOffset, itemsOffset } = record
    parts.batchCount = batchCount
    parts.idsOffset = idsOffset
    parts.batchSignatureOffset = record.batchSignatureOffset
    if (place.index >= batchCount) this.#damaged('its batch is shorter than the index says')
    const slot = itemsOffset + 4 * place.index
    const item = slot + this.#u32(slot)
    parts.idOffset = this.#inside(idsOffset + HASH_BYTES * place.index, HASH_BYTES)
    parts.assertionOffset = this.#vector(item, ITEM_ASSERTION)
    parts.assertionLength = this.#u32(parts.assertionOffset - 4)
    this.#inside(parts.assertionOffset, parts.assertionLength)
    parts.ownSignatureOffset = this.#struct(item, ITEM_SIGNATURE)
    return parts
  }

  /**
   * How many assertions the batch of a record has, and where the bits stand that say which were accepted (fbs/log.fbs).
   * @throws {DbError} `wal_corrupt`, `io_error`
   */
  accepted(segmentId: number, recordOffset: number): { readonly batchCount: number, readonly acceptedOffset: number } {
    return this.#record({ segmentId, recordOffset })
  }

  /** What is durable never changes: what was found once need not be looked for again. */
  #record(place: RecordAt): RecordParts {
    const key = place.segmentId * SEGMENT_BYTES_END + place.recordOffset
    const known = this.#records.get(key)
    if (known !== undefined) {
      this.#lookAt(place, place.recordOffset + RECORD_HEADER_BYTES, known.end)
      return known
    }
    this.#open(place)
    const entry = this.#table(this.#start)
    const acceptedOffset = this.#vector(entry, ENTRY_ACCEPTED)
    const acceptedBytes = this.#u32(acceptedOffset - 4)
    this.#inside(acceptedOffset, acceptedBytes)
    const idsOffset = this.#vector(entry, ENTRY_IDS)
    const table = this.#table(this.#vector(entry, ENTRY_BATCH))
    const itemsOffset = this.#vector(table, BATCH_ASSERTIONS)
    const batchCount = this.#u32(itemsOffset - 4)
    if (acceptedBytes !== (batchCount + 7) >> 3) this.#damaged('it does not say of each assertion whether it was accepted')
    const record = { end: this.#end, batchCount, acceptedOffset, idsOffset, itemsOffset, batchSignatureOffset: this.#struct(table, BATCH_SIGNATURE) }
    if (this.#records.size >= RECORDS_MAX) this.#records.clear()
    this.#records.set(key, record)
    return record
  }

  /** Nothing is read but from `start` to `end`; the window is empty. */
  #lookAt({ segmentId, recordOffset }: RecordAt, start: number, end: number): void {
    this.#segmentId = segmentId
    this.#recordOffset = recordOffset
    this.#start = start
    this.#end = end
    this.#windowStart = 0
    this.#windowEnd = 0
  }

  /** The header's own checksum says how far the record reaches. */
  #open(place: RecordAt): void {
    const { recordOffset } = place
    this.#lookAt(place, recordOffset, recordOffset + RECORD_HEADER_BYTES)
    const header = this.#load(recordOffset, RECORD_HEADER_BYTES) - this.#windowStart
    const view = this.#view
    if (view.getUint32(header + RECORD_MAGIC_OFFSET, true) !== RECORD_MAGIC
      || view.getUint8(header + RECORD_KIND_OFFSET) !== RECORD_KIND.batch
      || crc32c(this.#window.subarray(header, header + RECORD_HEADER_CRC_OFFSET)) !== view.getUint32(header + RECORD_HEADER_CRC_OFFSET, true)) {
      this.#damaged('no record of a batch begins there')
    }
    this.#start = recordOffset + RECORD_HEADER_BYTES
    this.#end = this.#start + view.getUint32(header + RECORD_PAYLOAD_BYTES_OFFSET, true)
  }

  /** The root table of the buffer at `start`. */
  #table(start: number): number {
    return start + this.#u32(start)
  }

  /** Place of a field in its table, or -1. */
  #field(table: number, slot: number): number {
    const vtable = table - (this.#u32(table) | 0)
    const entry = 4 + 2 * slot
    if (entry >= this.#u16(vtable)) return -1
    const offset = this.#u16(vtable + entry)
    return offset === 0 ? -1 : table + offset
  }

  /** First element of the vector that a field points to; its length stands in the four bytes before. */
  #vector(table: number, slot: number): number {
    const field = this.#field(table, slot)
    if (field < 0) this.#damaged('a part of it is missing')
    return field + this.#u32(field) + 4
  }

  #struct(table: number, slot: number): number {
    const field = this.#field(table, slot)
    return field < 0 ? -1 : this.#inside(field, SIGNATURE_BYTES)
  }

  #u16(at: number): number {
    return this.#view.getUint16(this.#load(at, 2) - this.#windowStart, true)
  }

  #u32(at: number): number {
    return this.#view.getUint32(this.#load(at, 4) - this.#windowStart, true)
  }

  #inside(at: number, length: number): number {
    return at >= this.#start && at + length <= this.#end ? at : this.#damaged('an offset leads out of it')
  }

  /** Sees to it that the window holds these few bytes. Returns `at`. */
  #load(at: number, length: number): number {
    if (at >= this.#windowStart && at + length <= this.#windowEnd) return at
    this.#inside(at, length)
    const bytes = Math.min(WINDOW_BYTES, this.#end - at)
    this.#readRange(this.#segmentId, at, bytes, this.#window)
    this.#windowStart = at
    this.#windowEnd = at + bytes
    return at
  }

  #damaged(why: string): never {
    throw new DbError('wal_corrupt', `the record at offset ${this.#recordOffset} of WAL segment ${this.#segmentId} is damaged: ${why}`,
      { segmentId: this.#segmentId, offset: this.#recordOffset })
  }
}
