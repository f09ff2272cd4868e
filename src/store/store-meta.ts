import { bytesEqual } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn, type Lsn, type WalPosition } from '../base/lsn.ts'
import type { Secrets } from '../base/random.ts'
import { ID_HASH_KEY_BYTES } from './id-hash.ts'
import {
  APPLIED_ASSERTIONS, APPLIED_BYTES, APPLIED_HLC, APPLIED_LSN, APPLIED_OFFSET, APPLIED_RECORDS, APPLIED_SEGMENT_ID,
  IDS_FLUSHED_BYTES, IDS_FLUSHED_LSN, IDS_FLUSHED_OFFSET, IDS_FLUSHED_SEGMENT_ID, META_APPLIED_KEY, META_FORMAT_KEY,
  META_ID_HASH_KEY, META_IDS_FLUSHED_KEY, META_REBUILDING_KEY, STORE_FORMAT, STORE_FORMAT_OLDEST,
} from './keyspace.layout.ts'
import type { Store } from './store.ts'

/** How far the log has been applied; in the same write batch as what it describes. */
export interface AppliedMark {
  readonly lsn: Lsn
  /** Of that LSN. */
  readonly hlc: Hlc
  /** Where the next record begins; segment 0: at the start of the log. */
  readonly position: WalPosition
  /** Totals since the first LSN. */
  readonly assertions: number
  readonly records: number
}

/** Up to where ids stand in runs; in the same write batch as the run. */
export interface IdsFlushedMark {
  readonly lsn: Lsn
  /** The record of that LSN, from which a start reads on to rebuild the recent ids; segment 0: none yet. */
  readonly position: WalPosition
}

export interface StoreMeta {
  readonly applied: AppliedMark
  readonly idsFlushed: IdsFlushedMark
  /** Secret of this store, for IdHash. */
  readonly idHashKey: Uint8Array
}

const LOG_START: WalPosition = Object.freeze({ segmentId: 0, offset: 0 })
const NOTHING_APPLIED: AppliedMark = { lsn: 0, hlc: 0n, position: LOG_START, assertions: 0, records: 0 }

/**
 * What the store says of itself; a new, empty one is set up first.
 * @throws {DbError} `format_unsupported`, `store_corrupt`, and as the store does.
 */
export function openStoreMeta(store: Store, secrets: Secrets): StoreMeta {
  const format = store.get('meta', META_FORMAT_KEY)
  if (format === undefined) initialise(store, secrets)
  else checkFormat(format)
  const idHashKey = store.get('meta', META_ID_HASH_KEY)
  if (idHashKey?.length !== ID_HASH_KEY_BYTES) throw corrupt('the key of its id hash is missing')
  const applied = store.get('meta', META_APPLIED_KEY)
  const idsFlushed = store.get('meta', META_IDS_FLUSHED_KEY)
  return {
    applied: applied === undefined ? NOTHING_APPLIED : decodeApplied(applied),
    idsFlushed: idsFlushed === undefined ? { lsn: 0, position: LOG_START } : decodeIdsFlushed(idsFlushed),
    idHashKey,
  }
}

/** Synced, so that a store whose first bytes are gone is seen as empty and not as one with another key. */
function initialise(store: Store, secrets: Secrets): void {
  const batch = store.batch()
  batch.put('meta', META_FORMAT_KEY, encodeFormat())
  batch.put('meta', META_ID_HASH_KEY, secrets.bytes(ID_HASH_KEY_BYTES))
  batch.write({ sync: true })
}

/** Before anything is written that an older version could not read: it refuses the store from then on. */
export function raiseFormat(store: Store): void {
  const format = encodeFormat()
  if (bytesEqual(store.get('meta', META_FORMAT_KEY) ?? format, format)) return
  const batch = store.batch()
  batch.put('meta', META_FORMAT_KEY, format)
  batch.write({ sync: true })
}

function encodeFormat(): Uint8Array {
  const format = new Uint8Array(4)
  new DataView(format.buffer).setUint32(0, STORE_FORMAT, true)
  return format
}

function checkFormat(bytes: Uint8Array): void {
  if (bytes.length !== 4) throw corrupt('its format is no number')
  const format = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
  if (format > STORE_FORMAT) {
    throw new DbError('format_unsupported', `the store has format ${format}, this version knows ${STORE_FORMAT}`, { format })
  }
  if (format < STORE_FORMAT_OLDEST) throw corrupt(`it has format ${format} of an older version`)
}

/** HLC up to which the log is applied, as of this call; undefined in a new store. @throws {DbError} `store_corrupt` */
export const readAppliedHlc = (store: Store): Hlc | undefined => readApplied(store)?.hlc

/** The applied mark as readers on other threads see it; undefined in a new store. */
export function readApplied(store: Store): AppliedMark | undefined {
  const applied = store.get('meta', META_APPLIED_KEY)
  return applied === undefined ? undefined : decodeApplied(applied)
}

export function encodeApplied(mark: AppliedMark): Uint8Array {
  const bytes = new Uint8Array(APPLIED_BYTES)
  const view = new DataView(bytes.buffer)
  writeLsn(view, APPLIED_LSN, mark.lsn)
  view.setBigUint64(APPLIED_HLC, mark.hlc, true)
  view.setUint32(APPLIED_SEGMENT_ID, mark.position.segmentId, true)
  view.setUint32(APPLIED_OFFSET, mark.position.offset, true)
  writeLsn(view, APPLIED_ASSERTIONS, mark.assertions)
  writeLsn(view, APPLIED_RECORDS, mark.records)
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeApplied(bytes: Uint8Array): AppliedMark {
  if (bytes.length !== APPLIED_BYTES) throw corrupt('its applied mark has a wrong size')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    lsn: readLsn(view, APPLIED_LSN),
    hlc: view.getBigUint64(APPLIED_HLC, true),
    position: { segmentId: view.getUint32(APPLIED_SEGMENT_ID, true), offset: view.getUint32(APPLIED_OFFSET, true) },
    assertions: readLsn(view, APPLIED_ASSERTIONS),
    records: readLsn(view, APPLIED_RECORDS),
  }
}

export function encodeIdsFlushed(mark: IdsFlushedMark): Uint8Array {
  const bytes = new Uint8Array(IDS_FLUSHED_BYTES)
  const view = new DataView(bytes.buffer)
  writeLsn(view, IDS_FLUSHED_LSN, mark.lsn)
  view.setUint32(IDS_FLUSHED_SEGMENT_ID, mark.position.segmentId, true)
  view.setUint32(IDS_FLUSHED_OFFSET, mark.position.offset, true)
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeIdsFlushed(bytes: Uint8Array): IdsFlushedMark {
  if (bytes.length !== IDS_FLUSHED_BYTES) throw corrupt('its flushed mark has a wrong size')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    lsn: readLsn(view, IDS_FLUSHED_LSN),
    position: { segmentId: view.getUint32(IDS_FLUSHED_SEGMENT_ID, true), offset: view.getUint32(IDS_FLUSHED_OFFSET, true) },
  }
}

/** Whether a rebuild of this store has begun and not ended. */
export const isRebuilding = (store: Store): boolean => store.get('meta', META_REBUILDING_KEY) !== undefined

export function markRebuilding(store: Store): void {
  const batch = store.batch()
  batch.put('meta', META_REBUILDING_KEY, Uint8Array.of(1))
  batch.write({ sync: true })
}

/** The store has caught up with its log, by whomever. */
export function endRebuilding(store: Store): void {
  if (!isRebuilding(store)) return
  const batch = store.batch()
  batch.del('meta', META_REBUILDING_KEY)
  batch.write({ sync: true })
}

function corrupt(why: string): DbError {
  return new DbError('store_corrupt', `the store is damaged: ${why}; run "stemedb store rebuild"`)
}
