import { ENTRY_SEGMENT_ID } from '../store/entry-runs.layout.ts'
import { AGENT_RANGE_BYTES } from '../store/keyspace.layout.ts'
import { decodeAgentEntry } from '../store/keyspace.codec.ts'
import type { ColumnName, StoreBatch } from '../store/store.ts'

/** Columns whose entries say in which segment their assertion is. */
export const SUMMED_COLUMNS = ['sp', 'agent', 'ids'] as const
export type SummedColumn = (typeof SUMMED_COLUMNS)[number]

export interface SegmentSum {
  count: number
  a: number
  b: number
}

/**
 * Sums of 64-bit hashes of entries, for each column and segment: two sets of entries are equal where their sums are,
 * in whatever order and however they are batched. So the log and the store are compared in one pass over each, with
 * memory for the segments only.
 */
export class EntrySums {
  readonly #sums = new Map<SummedColumn, Map<number, SegmentSum>>(
    SUMMED_COLUMNS.map((column) => [column, new Map<number, SegmentSum>()]))
  readonly #unit = new Uint8Array(48)
  readonly #unitView = new DataView(this.#unit.buffer)
  #a = 0
  #b = 0

  segments(column: SummedColumn): ReadonlyMap<number, SegmentSum> {
    return this.#sums.get(column)!
  }

  addSp(key: Uint8Array, value: Uint8Array): void {
    this.#begin()
    this.#feed(key)
    this.#feed(value)
    this.#sum('sp', u32(value, ENTRY_SEGMENT_ID))
  }

  /** Each LSN of the entry by itself, since entries differ with the ingest batches that they came in. */
  addAgent(key: Uint8Array, value: Uint8Array): void {
    for (const range of decodeAgentEntry(key, value)) {
      this.#unit.set(key.subarray(0, 32))
      this.#unitView.setUint32(32, range.segmentId)
      this.#unitView.setUint32(36, range.recordOffset)
      for (let lsn = range.lsnFirst; lsn < range.lsnFirst + range.count; lsn++) {
        this.#unitView.setFloat64(40, lsn)
        this.#begin()
        this.#feed(this.#unit)
        this.#sum('agent', range.segmentId)
      }
    }
  }

  addId(hi: number, lo: number, segmentId: number, recordOffset: number, index: number): void {
    this.#begin()
    for (const word of [hi, lo, segmentId, recordOffset, index]) {
      this.#unitView.setUint32(0, word >>> 0)
      this.#feed(this.#unit.subarray(0, 4))
    }
    this.#sum('ids', segmentId)
  }

  #begin(): void {
    this.#a = 0x811c9dc5 | 0
    this.#b = 0x2545f491
  }

  /** Two FNV-1a-like hashes with different primes: errors are found, forgeries need not be. */
  #feed(bytes: Uint8Array): void {
    let a = this.#a
    let b = this.#b
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i]!, 0x01000193)
      b = Math.imul(b ^ bytes[i]!, 0x85ebca6b)
      b ^= b >>> 15
    }
    this.#a = a
    this.#b = b
  }

  #sum(column: SummedColumn, segmentId: number): void {
    const sums = this.#sums.get(column)!
    let sum = sums.get(segmentId)
    if (sum === undefined) sums.set(segmentId, sum = { count: 0, a: 0, b: 0 })
    sum.count++
    sum.a = (sum.a + this.#a) | 0
    sum.b = (sum.b + this.#b) | 0
  }
}

/** A write batch that sums what is put into `agent`, and writes nothing. */
export class SummingBatch implements StoreBatch {
  readonly count = 0
  readonly bytes = 0
  readonly #sums: EntrySums

  constructor(sums: EntrySums) {
    this.#sums = sums
  }

  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void {
    if (column === 'agent') this.#sums.addAgent(key, value)
  }

  del(): void {}
  clear(): void {}
  write(): void {}
}

/** Whether an entry of column `agent` has a shape that `addAgent` can take. */
export const isAgentEntry = (key: Uint8Array, value: Uint8Array): boolean =>
  key.length === 40 && value.length > 0 && value.length % AGENT_RANGE_BYTES === 0

const u32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
