import { assert } from '../base/assert.ts'
import type { Stamp } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { IdFilter } from './id-filter.ts'
import type { IdHash } from './id-hash.ts'
import { IdRunReader, type IdCandidate } from './id-runs.ts'
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

  constructor(deps: IdLookupDependencies) {
    this.#hash = deps.hash
    this.#filter = deps.filter
    this.#recents = deps.recents
    this.#runs = new IdRunReader(deps.store)
    this.#confirm = deps.confirm
  }

  /** False: the id is certainly new. Costs tens of nanoseconds. */
  mayKnow(ids: Uint8Array, offset: number): boolean {
    this.#hash.compute(ids, offset)
    return this.#filter.mayContain(this.#hash.hi, this.#hash.lo)
  }

  /** Where a known id stands; undefined where it is new. May read the store and the log. */
  find(ids: Uint8Array, offset: number): IdPlace | undefined {
    if (!this.mayKnow(ids, offset)) return undefined
    const { hi, lo } = this.#hash
    // Recent ids first: what leaves them is in the runs by then.
    const recent = this.#recents.find(ids, offset)
    if (recent !== undefined) return recent
    for (const candidate of this.#runs.find(hi, lo)) {
      const stamp = this.#confirm(candidate, ids, offset)
      if (stamp !== undefined) return { ...candidate, lsn: stamp.lsn, hlc: stamp.hlc }
    }
    return undefined
  }

  /** Whether `count` inserts will succeed now; where not, ingest has to flush a generation first. */
  hasRoom(count: number): boolean {
    return this.#recents.hasRoom(count)
  }

  /** Makes a new id known. The caller has asked `hasRoom` and `find`. */
  insert(ids: Uint8Array, offset: number, lsn: Lsn, hlc: bigint, position: WalPosition, index: number): void {
    this.#hash.compute(ids, offset)
    const { hi, lo } = this.#hash
    this.#filter.add(hi, lo)
    const inserted = this.#recents.insert(ids, offset, hi, lsn, hlc, position.segmentId, position.offset, index)
    assert(inserted, 'no room among the recent ids')
  }

  /** Takes back the inserts above `lsn`: the log dropped the group that they were in. The filter keeps their bits. */
  forgetAfter(lsn: Lsn): void {
    this.#recents.forgetAfter(lsn)
  }
}
