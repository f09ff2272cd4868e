import type { Stamp } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { IdFilter } from './id-filter.ts'
import type { IdHash } from './id-hash.ts'
import { IdRunReader, type IdCandidate } from './id-runs.ts'
import { PreparedIds } from './prepared-ids.ts'
import type { IdPlace, RecentIds } from './recent-ids.ts'
import type { Store } from './store.ts'

/**
 * The stamp of the assertion at `place` where its id is the one at `ids[offset..offset + 32)`, undefined where it is
 * another's: fingerprints collide. Reads the record in the log.
 * @throws {DbError} `wal_corrupt` where the record can not be read.
 */
export type ConfirmId = (place: IdCandidate, ids: Uint8Array, offset: number) => Stamp | undefined

export interface IdLookupDependencies {
  readonly store: Store
  /** This thread's own, by the store's key; the same object that `recents` has. */
  readonly hash: IdHash
  readonly filter: IdFilter
  readonly recents: RecentIds
  readonly confirm: ConfirmId
}

/**
 * Which ids the node knows: filter, then recent ids, then runs confirmed against the log. One for each thread; reads
 * in all of them, `hasRoom` and `insert` in the commit thread only (and at a start in the one that replays).
 *
 * What a thread other than commit finds to be new may have become known meanwhile: commit asks `mayKnow` and `find`
 * again. What is found with an LSN above the durable LSN is not yet durable.
 */
export class IdLookup {
  readonly #hash: IdHash
  readonly #filter: IdFilter
  readonly #recents: RecentIds
  readonly #runs: IdRunReader
  readonly #confirm: ConfirmId
  readonly #prepared: PreparedIds
  /** Of the prepared ids only those that became known lately are looked for: where they stand in the filter; -1: all are. */
  #lateStage = -1

  constructor(deps: IdLookupDependencies) {
    this.#hash = deps.hash
    this.#filter = deps.filter
    this.#recents = deps.recents
    this.#runs = new IdRunReader(deps.store)
    this.#confirm = deps.confirm
    this.#prepared = new PreparedIds(deps.hash, deps.filter, deps.recents)
  }

  /**
   * Names the `count` ids (at most `PREPARED_IDS_MAX`) one behind the other from `offset` on that `mayKnow` and
   * `insert` are about to be asked of, by index. Their bytes must not change meanwhile.
   * @param knownLsn in the commit thread: somebody has looked for these ids among all up to this LSN and found none. What came since is
   * among the recent ids, mostly, and then costs no look-up in the runs, however often the filter is wrong.
   */
  prepare(ids: Uint8Array, offset: number, count: number, knownLsn?: Lsn): void {
    const isLate = knownLsn !== undefined && this.#recents.holdsAllAfter(knownLsn, count)
    this.#lateStage = isLate ? this.#filter.stageOfLast(2 * this.#recents.entriesMax) : -1
    this.#prepared.prepare(ids, offset, count, Math.max(0, this.#lateStage))
  }

  /** False: the prepared id `i` is certainly new. */
  mayKnow(i: number): boolean {
    const hi = this.#prepared.his[i]!
    const lo = this.#prepared.los[i]!
    return this.#lateStage < 0 ? this.#filter.mayContain(hi, lo) : this.#filter.mayContainFrom(this.#lateStage, hi, lo)
  }

  /** Where a known id stands; undefined where it is new. May read the store and the log. A prepared one is looked for among what `prepare` was told. */
  find(ids: Uint8Array, offset: number): IdPlace | undefined {
    if (this.#lateStage >= 0) return this.#recents.find(ids, offset)
    this.#hash.compute(ids, offset)
    const { hi, lo } = this.#hash
    if (!this.#filter.mayContain(hi, lo)) return undefined
    // Recent ids first: what leaves them is in the runs by then.
    const recent = this.#recents.find(ids, offset)
    if (recent !== undefined) return recent
    for (const candidate of this.#runs.find(hi, lo)) {
      const stamp = this.#confirm(candidate, ids, offset)
      if (stamp !== undefined) return { ...candidate, lsn: stamp.lsn, hlc: stamp.hlc }
    }
    return undefined
  }

  /** As `PreparedIds.hasRoom`. */
  hasRoom(count: number): boolean {
    return this.#prepared.hasRoom(count)
  }

  /** Makes the prepared id `i`, which is new, known. The caller has asked `hasRoom` and `find`. */
  insert(i: number, lsn: Lsn, hlc: bigint, position: WalPosition, index: number): void {
    this.#prepared.insert(i, lsn, hlc, position, index)
  }

  /** Takes back the inserts above `lsn`: the log dropped the group that they were in. The filter keeps their bits. */
  forgetAfter(lsn: Lsn): void {
    this.#recents.forgetAfter(lsn)
  }
}
