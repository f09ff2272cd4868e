import { DbError } from '../base/errors.ts'
import { readLsn, writeLsn, type Lsn } from '../base/lsn.ts'
import {
  IDS_MANIFEST, IDS_PAGE, MANIFEST_COUNT, MANIFEST_HEADER_BYTES, MANIFEST_NEXT_RUN, MANIFEST_VERSION, PAGE_KEY_BYTES,
  PAGE_KEY_PAGE, PAGE_KEY_RUN, RUN_BYTES, RUN_ENTRIES, RUN_ENTRY_BYTES, RUN_ENTRY_HI, RUN_ENTRY_INDEX, RUN_ENTRY_LO,
  RUN_ENTRY_RECORD_OFFSET, RUN_ENTRY_SEGMENT_ID, RUN_FIRST_LSN, RUN_ID, RUN_LAST_LSN, RUN_LEVEL, RUN_PAGE_BITS,
} from './id-runs.layout.ts'

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

/** Which runs are valid; any page of another run is a leftover. */
export interface IdManifest {
  /** Moves with each change. */
  readonly version: number
  readonly nextRun: number
  readonly runs: readonly IdRun[]
}

export const EMPTY_MANIFEST: IdManifest = { version: 0, nextRun: 1, runs: [] }

export const MANIFEST_KEY: Uint8Array = Uint8Array.of(IDS_MANIFEST)

export function encodeManifest(manifest: IdManifest): Uint8Array {
  const bytes = new Uint8Array(MANIFEST_HEADER_BYTES + manifest.runs.length * RUN_BYTES)
  const view = new DataView(bytes.buffer)
  writeLsn(view, MANIFEST_VERSION, manifest.version)
  view.setUint32(MANIFEST_NEXT_RUN, manifest.nextRun, true)
  view.setUint32(MANIFEST_COUNT, manifest.runs.length, true)
  manifest.runs.forEach((run, i) => {
    const at = MANIFEST_HEADER_BYTES + i * RUN_BYTES
    view.setUint32(at + RUN_ID, run.id, true)
    view.setUint8(at + RUN_LEVEL, run.level)
    view.setUint8(at + RUN_PAGE_BITS, run.pageBits)
    writeLsn(view, at + RUN_ENTRIES, run.entries)
    writeLsn(view, at + RUN_FIRST_LSN, run.firstLsn)
    writeLsn(view, at + RUN_LAST_LSN, run.lastLsn)
  })
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeManifest(bytes: Uint8Array): IdManifest {
  const view = viewOf(bytes)
  const count = bytes.length >= MANIFEST_HEADER_BYTES ? view.getUint32(MANIFEST_COUNT, true) : -1
  if (bytes.length !== MANIFEST_HEADER_BYTES + count * RUN_BYTES) {
    throw new DbError('store_corrupt', 'the list of id runs has a wrong size; run "stemedb store rebuild"')
  }
  const runs = Array.from({ length: count }, (_, i): IdRun => {
    const at = MANIFEST_HEADER_BYTES + i * RUN_BYTES
    return {
      id: view.getUint32(at + RUN_ID, true),
      level: view.getUint8(at + RUN_LEVEL),
      pageBits: view.getUint8(at + RUN_PAGE_BITS),
      entries: readLsn(view, at + RUN_ENTRIES),
      firstLsn: readLsn(view, at + RUN_FIRST_LSN),
      lastLsn: readLsn(view, at + RUN_LAST_LSN),
    }
  })
  return { version: manifestVersion(bytes), nextRun: view.getUint32(MANIFEST_NEXT_RUN, true), runs }
}

/** The version alone, without decoding the rest. */
export function manifestVersion(bytes: Uint8Array): number {
  return readLsn(viewOf(bytes), MANIFEST_VERSION)
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

function writeU32Be(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
