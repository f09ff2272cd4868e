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

// Words of an entry in memory. The upper half comes first, then the lower: `id-sort.ts` goes by them.
const HI = 0
const LO = 1
const SEGMENT_ID = 2
const RECORD_OFFSET = 3
const INDEX = 4
/** 32-bit words of an entry of {@link IdEntries}. */
export const ID_ENTRY_WORDS = 5

/** Entries in memory, to be sorted and packed: one behind the other, as whoever packs them comes by in an order that is none of theirs. */
export class IdEntries {
  count = 0
  words: Uint32Array

  constructor(capacity: number) {
    this.words = new Uint32Array(capacity * ID_ENTRY_WORDS)
  }

  push(hi: number, lo: number, segmentId: number, recordOffset: number, index: number): void {
    const at = this.count++ * ID_ENTRY_WORDS
    if (at === this.words.length) this.#grow()
    const { words } = this
    words[at + HI] = hi
    words[at + LO] = lo
    words[at + SEGMENT_ID] = segmentId
    words[at + RECORD_OFFSET] = recordOffset
    words[at + INDEX] = index
  }

  hi(i: number): number {
    return this.words[i * ID_ENTRY_WORDS + HI]!
  }

  /** Writes entry `i` at `offset` of a page. */
  pack(i: number, view: DataView, offset: number): void {
    const { words } = this
    const at = i * ID_ENTRY_WORDS
    view.setUint32(offset + RUN_ENTRY_HI, words[at + HI]!, true)
    view.setUint32(offset + RUN_ENTRY_LO, words[at + LO]!, true)
    view.setUint32(offset + RUN_ENTRY_SEGMENT_ID, words[at + SEGMENT_ID]!, true)
    view.setUint32(offset + RUN_ENTRY_RECORD_OFFSET, words[at + RECORD_OFFSET]!, true)
    view.setUint16(offset + RUN_ENTRY_INDEX, words[at + INDEX]!, true)
  }

  #grow(): void {
    const words = new Uint32Array(Math.max(1024 * ID_ENTRY_WORDS, this.words.length * 2))
    words.set(this.words)
    this.words = words
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
