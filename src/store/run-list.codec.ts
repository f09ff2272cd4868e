import { DbError } from '../base/errors.ts'
import { readLsn, writeLsn, type Lsn } from '../base/lsn.ts'

/**
 * The list of the sorted runs that a column consists of. Pages of a run that it does not name are leftovers of an
 * interrupted merge. Little-endian: a header, then one record a run.
 */
export const LIST_VERSION = 0
export const LIST_NEXT_RUN = LIST_VERSION + 8
export const LIST_COUNT = LIST_NEXT_RUN + 4
export const LIST_HEADER_BYTES = LIST_COUNT + 4

export const RUN_ID = 0
/** What the column needs to find a run's pages. */
export const RUN_SHAPE = RUN_ID + 4
export const RUN_ENTRIES = RUN_SHAPE + 4
export const RUN_FIRST_LSN = RUN_ENTRIES + 8
export const RUN_LAST_LSN = RUN_FIRST_LSN + 8
export const RUN_BYTES = RUN_LAST_LSN + 8

export interface ListedRun {
  readonly id: number
  readonly shape: number
  readonly entries: number
  readonly firstLsn: Lsn
  readonly lastLsn: Lsn
}

export interface RunList<Run extends { readonly id: number } = ListedRun> {
  /** Moves with each change. */
  readonly version: number
  readonly nextRun: number
  readonly runs: readonly Run[]
}

export const EMPTY_RUN_LIST: RunList<never> = { version: 0, nextRun: 1, runs: [] }

export function encodeRunList(list: RunList): Uint8Array {
  const bytes = new Uint8Array(LIST_HEADER_BYTES + list.runs.length * RUN_BYTES)
  const view = new DataView(bytes.buffer)
  writeLsn(view, LIST_VERSION, list.version)
  view.setUint32(LIST_NEXT_RUN, list.nextRun, true)
  view.setUint32(LIST_COUNT, list.runs.length, true)
  list.runs.forEach((run, i) => {
    const at = LIST_HEADER_BYTES + i * RUN_BYTES
    view.setUint32(at + RUN_ID, run.id, true)
    view.setUint32(at + RUN_SHAPE, run.shape, true)
    writeLsn(view, at + RUN_ENTRIES, run.entries)
    writeLsn(view, at + RUN_FIRST_LSN, run.firstLsn)
    writeLsn(view, at + RUN_LAST_LSN, run.lastLsn)
  })
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeRunList(bytes: Uint8Array): RunList {
  const view = viewOf(bytes)
  const count = bytes.length >= LIST_HEADER_BYTES ? view.getUint32(LIST_COUNT, true) : -1
  if (bytes.length !== LIST_HEADER_BYTES + count * RUN_BYTES) {
    throw wrongSize()
  }
  const runs = Array.from({ length: count }, (_, i): ListedRun => {
    const at = LIST_HEADER_BYTES + i * RUN_BYTES
    return {
      id: view.getUint32(at + RUN_ID, true),
      shape: view.getUint32(at + RUN_SHAPE, true),
      entries: readLsn(view, at + RUN_ENTRIES),
      firstLsn: readLsn(view, at + RUN_FIRST_LSN),
      lastLsn: readLsn(view, at + RUN_LAST_LSN),
    }
  })
  return { version: runListVersion(bytes), nextRun: view.getUint32(LIST_NEXT_RUN, true), runs }
}

/** The version alone, without decoding the rest. @throws {DbError} `store_corrupt` */
export function runListVersion(bytes: Uint8Array): number {
  if (bytes.length < LIST_HEADER_BYTES) throw wrongSize()
  return readLsn(viewOf(bytes), LIST_VERSION)
}

const wrongSize = (): DbError => new DbError('store_corrupt', 'a list of runs has a wrong size; run "stemedb store rebuild"')

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
