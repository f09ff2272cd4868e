import { readLsn } from '../base/lsn.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { LIST_ITEMS_MAX, ListView, fieldAt, isQueriesFrame } from './queries.codec.ts'

// Slots of fbs/query.fbs.
const REQUEST_ID = 0
const ID = 2
const MIN_LSN = 23

/**
 * Places in `view` of the fields that change between two requests which ask the same; -1 where they are absent. Safe for any bytes.
 * @param start where the request stands in it
 */
export function volatileFieldsOf(view: DataView, start = 0): { readonly requestId: number, readonly minLsn: number } {
  const table = tableAt(view, start)
  return { requestId: fieldAt(view, table, REQUEST_ID, 8), minLsn: fieldAt(view, table, MIN_LSN, 8) }
}

/** Place in `view` of the 32 bytes of the id that a request at `start` asks for; -1 where it is absent. Safe for any bytes. */
export const idPlaceOf = (view: DataView, start = 0): number => fieldAt(view, tableAt(view, start), ID, HASH_BYTES)

/** Outside, where there is none. */
const tableAt = (view: DataView, start: number): number => view.byteLength < start + 8 ? view.byteLength : start + view.getUint32(start, true)

const list = new ListView()

/** How many queries a frame ("SQRQ" or "SQRS") has to have answered, at least 1. Safe for any bytes. */
export function peekQueryCount(frame: Uint8Array): number {
  return isQueriesFrame(frame) ? Math.max(1, list.reset(frame).count) : 1
}

/** The greatest `min_lsn` of a frame's queries; 0 where none names one. Safe for any bytes, right for those that verify. */
export function peekMinLsn(frame: Uint8Array): number {
  if (!isQueriesFrame(frame)) return minLsnAt(new DataView(frame.buffer, frame.byteOffset, frame.length), 0)
  let most = 0
  list.reset(frame)
  for (let i = 0; i < Math.min(list.count, LIST_ITEMS_MAX); i++) {
    const start = list.start(i)
    if (start >= 0) most = Math.max(most, minLsnAt(list.view, start))
  }
  return most
}

function minLsnAt(view: DataView, start: number): number {
  const at = fieldAt(view, tableAt(view, start), MIN_LSN, 8)
  return at < 0 ? 0 : readLsn(view, at)
}

/** The request ids of a frame's queries, in order; 0 for one that is too broken to have one. Safe for any bytes. */
export function peekRequestIds(frame: Uint8Array): bigint[] {
  if (!isQueriesFrame(frame)) return [requestIdOf(frame)]
  const view = new ListView().reset(frame)
  return view.count === 0 ? [0n] : Array.from({ length: Math.min(view.count, LIST_ITEMS_MAX) }, (_, i) => requestIdOf(view.item(i)))
}

function requestIdOf(request: Uint8Array): bigint {
  const view = new DataView(request.buffer, request.byteOffset, request.length)
  const { requestId } = volatileFieldsOf(view)
  return requestId < 0 ? 0n : view.getBigUint64(requestId, true)
}
