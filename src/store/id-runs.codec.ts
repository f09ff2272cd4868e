import { writeU32Be } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import {
  IDS_LIST, IDS_PAGE, PAGE_KEY_BYTES, PAGE_KEY_PAGE, PAGE_KEY_RUN, RUN_ENTRY_BYTES, RUN_ENTRY_HI, RUN_ENTRY_INDEX,
  RUN_ENTRY_LO, RUN_ENTRY_RECORD_OFFSET, RUN_ENTRY_SEGMENT_ID, SHAPE_BYTE, SHAPE_PAGE_BITS_SHIFT,
} from './id-runs.layout.ts'
import { decodeRunList, encodeRunList, type RunList } from './run-list.codec.ts'

/** A sorted set of packed pages: page `p` holds the fingerprints whose leading `pageBits` bits are `p`. */
export interface IdRun {
  readonly id: number
  /** 0: one generation of recent ids. n + 1: merged from runs of level n. */
  readonly level: number
  readonly pageBits: number
  readonly entries: number
  readonly firstLsn: Lsn
  readonly lastLsn: Lsn
}

export type IdRunList = RunList<IdRun>

export const ID_LIST_KEY: Uint8Array = Uint8Array.of(IDS_LIST)

export function encodeIdRunList(list: IdRunList): Uint8Array {
  return encodeRunList({
    ...list, runs: list.runs.map(({ level, pageBits, ...run }) => ({ ...run, shape: level | pageBits << SHAPE_PAGE_BITS_SHIFT })),
  })
}

/** @throws {DbError} `store_corrupt` */
export function decodeIdRunList(bytes: Uint8Array): IdRunList {
  const list = decodeRunList(bytes)
  return {
    ...list,
    runs: list.runs.map(({ shape, ...run }) =>
      ({ ...run, level: shape & SHAPE_BYTE, pageBits: (shape >>> SHAPE_PAGE_BITS_SHIFT) & SHAPE_BYTE })),
  }
}

export function pageKey(run: number, page: number, key: Uint8Array = new Uint8Array(PAGE_KEY_BYTES)): Uint8Array {
  key[0] = IDS_PAGE
  writeU32Be(key, PAGE_KEY_RUN, run)
  writeU32Be(key, PAGE_KEY_PAGE, page)
  return key
}

/** Run and page of a key, undefined where it is no page's. */
export function parsePageKey(key: Uint8Array): { run: number, page: number } | undefined {
  if (key.length !== PAGE_KEY_BYTES || key[0] !== IDS_PAGE) return undefined
  const view = viewOf(key)
  return { run: view.getUint32(PAGE_KEY_RUN), page: view.getUint32(PAGE_KEY_PAGE) }
}

/** Page of a fingerprint's upper half. A shift by 32 would be one by 0. */
export const pageOf = (hi: number, pageBits: number): number => pageBits === 0 ? 0 : hi >>> (32 - pageBits)

/** Entries in arrays by column, to be sorted and packed. */
export class IdColumns {
  count = 0
  hi: Uint32Array
  lo: Uint32Array
  segmentId: Uint32Array
  recordOffset: Uint32Array
  index: Uint16Array

  constructor(capacity: number) {
    this.hi = new Uint32Array(capacity)
    this.lo = new Uint32Array(capacity)
    this.segmentId = new Uint32Array(capacity)
    this.recordOffset = new Uint32Array(capacity)
    this.index = new Uint16Array(capacity)
  }

  push(hi: number, lo: number, segmentId: number, recordOffset: number, index: number): void {
    if (this.count === this.hi.length) this.#grow()
    const i = this.count++
    this.hi[i] = hi
    this.lo[i] = lo
    this.segmentId[i] = segmentId
    this.recordOffset[i] = recordOffset
    this.index[i] = index
  }

  /** Writes entry `i` at `offset` of a page. */
  pack(i: number, view: DataView, offset: number): void {
    view.setUint32(offset + RUN_ENTRY_HI, this.hi[i]!, true)
    view.setUint32(offset + RUN_ENTRY_LO, this.lo[i]!, true)
    view.setUint32(offset + RUN_ENTRY_SEGMENT_ID, this.segmentId[i]!, true)
    view.setUint32(offset + RUN_ENTRY_RECORD_OFFSET, this.recordOffset[i]!, true)
    view.setUint16(offset + RUN_ENTRY_INDEX, this.index[i]!, true)
  }

  #grow(): void {
    const capacity = Math.max(1024, this.hi.length * 2)
    const grown = <A extends Uint32Array | Uint16Array>(to: A, from: A): A => { to.set(from); return to }
    this.hi = grown(new Uint32Array(capacity), this.hi)
    this.lo = grown(new Uint32Array(capacity), this.lo)
    this.segmentId = grown(new Uint32Array(capacity), this.segmentId)
    this.recordOffset = grown(new Uint32Array(capacity), this.recordOffset)
    this.index = grown(new Uint16Array(capacity), this.index)
  }
}

/** A page as it lies in the store. */
export class IdPage {
  readonly count: number
  readonly #view: DataView

  /** @throws {DbError} `store_corrupt` where it is no whole number of entries. */
  constructor(bytes: Uint8Array) {
    if (bytes.length % RUN_ENTRY_BYTES !== 0) {
      throw new DbError('store_corrupt', 'a page of ids has a wrong size; run "stemedb store rebuild"')
    }
    this.count = bytes.length / RUN_ENTRY_BYTES
    this.#view = viewOf(bytes)
  }

  hi(i: number): number { return this.#view.getUint32(i * RUN_ENTRY_BYTES + RUN_ENTRY_HI, true) }
  lo(i: number): number { return this.#view.getUint32(i * RUN_ENTRY_BYTES + RUN_ENTRY_LO, true) }
  segmentId(i: number): number { return this.#view.getUint32(i * RUN_ENTRY_BYTES + RUN_ENTRY_SEGMENT_ID, true) }
  recordOffset(i: number): number { return this.#view.getUint32(i * RUN_ENTRY_BYTES + RUN_ENTRY_RECORD_OFFSET, true) }
  index(i: number): number { return this.#view.getUint16(i * RUN_ENTRY_BYTES + RUN_ENTRY_INDEX, true) }

  /** Index of the first entry that is not below the fingerprint; `count` where all are. */
  lowerBound(hi: number, lo: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      const h = this.hi(middle)
      if (h < hi || (h === hi && this.lo(middle) < lo)) low = middle + 1
      else high = middle
    }
    return low
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
