import type { Stamp } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'

/**
 * Which ids the node knows. The commit stage is the only writer; verify threads read ahead of it, so that the costly
 * look-ups of known ids happen there.
 */
export interface IdDirectory {
  /**
   * Names the ids, one behind the other from `offset` on, that `mayKnow`, `find` and `insert` are about to be asked of.
   * @param knownLsn commit only: up to this LSN somebody has looked for these ids and found none, so that only later ones need be looked for
   */
  prepare(ids: Uint8Array, offset: number, count: number, knownLsn?: Lsn): void
  /** False: the prepared id `i` is certainly new. Costs nanoseconds. */
  mayKnow(i: number): boolean
  /** The stamp of a prepared id that is known; undefined where it is new. May read the store. */
  find(ids: Uint8Array, offset: number): Stamp | undefined
  /** Whether `count` more ids fit before ingest has flushed what is there. */
  hasRoom(count: number): boolean
  /** Makes the prepared id `i` known. */
  insert(i: number, lsn: Lsn, hlc: bigint, position: WalPosition, index: number): void
}
