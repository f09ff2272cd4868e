import type { Lsn } from '../base/lsn.ts'
import { EMPTY_RUN_LIST, decodeRunList, encodeRunList, type RunList } from './run-list.codec.ts'

/** A sorted set of entries of the index by subject and predicate, in pages under a static B-tree. */
export interface EntryRun {
  readonly id: number
  readonly pages: number
  readonly entries: number
  readonly firstLsn: Lsn
  readonly lastLsn: Lsn
}

export type EntryRunList = RunList<EntryRun>

export const encodeEntryRunList = (list: EntryRunList): Uint8Array =>
  encodeRunList({ ...list, runs: list.runs.map(({ pages, ...run }) => ({ ...run, shape: pages })) })

/** @throws {DbError} `store_corrupt` */
export function decodeEntryRunList(bytes: Uint8Array | undefined): EntryRunList {
  if (bytes === undefined) return EMPTY_RUN_LIST
  const list = decodeRunList(bytes)
  return { ...list, runs: list.runs.map(({ shape, ...run }) => ({ ...run, pages: shape })) }
}
