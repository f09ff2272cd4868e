import { assert } from '../base/assert.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { IdFilter } from './id-filter.ts'
import type { IdHash } from './id-hash.ts'
import type { RecentIds } from './recent-ids.ts'

/** Most ids that are prepared at a time: what they touch stays in the nearest caches until it is asked for. */
export const PREPARED_IDS_MAX = 256

/** The fingerprints of ids that are about to be looked for or made known, and what that touches of filter and recent ids at hand. */
export class PreparedIds {
  /** Upper halves of the fingerprints, by the index of the id. */
  readonly his = new Int32Array(PREPARED_IDS_MAX)
  readonly los = new Int32Array(PREPARED_IDS_MAX)
  readonly #hash: IdHash
  readonly #filter: IdFilter
  readonly #recents: RecentIds
  #ids: Uint8Array = new Uint8Array(0)
  #offset = 0
  /** Nobody reads it: it keeps the reads of `touch` alive. */
  touched = 0

  /** @param hash this thread's own, by the store's key; the same object that `recents` has */
  constructor(hash: IdHash, filter: IdFilter, recents: RecentIds) {
    this.#hash = hash
    this.#filter = filter
    this.#recents = recents
  }

  /**
   * Names the `count` ids (at most {@link PREPARED_IDS_MAX}) one behind the other from `offset` on. Their bytes must not change while they are asked for.
   * @param firstStage of the filter that is looked at; what is inserted goes into the last one
   */
  prepare(ids: Uint8Array, offset: number, count: number, firstStage = this.#filter.stageCount - 1): void {
    assert(count <= PREPARED_IDS_MAX, 'too many ids at a time')
    this.#ids = ids
    this.#offset = offset
    this.#hash.computeMany(new DataView(ids.buffer, ids.byteOffset, ids.length), offset, count, this.his, this.los)
    this.touched = this.#filter.touch(this.his, count, firstStage) ^ this.#recents.touch(this.his, count)
  }

  /** Whether `count` inserts will succeed now; where not, ingest has to flush a generation first. */
  hasRoom(count: number): boolean {
    return this.#recents.hasRoom(count)
  }

  /** Makes the id `i`, which is new, known. The writer only: the commit thread, at a start whoever replays; it has asked `hasRoom`. */
  insert(i: number, lsn: Lsn, hlc: bigint, position: WalPosition, index: number): void {
    const hi = this.his[i]!
    this.#filter.add(hi, this.los[i]!)
    const inserted = this.#recents.insert(this.#ids, this.#offset + i * HASH_BYTES, hi, lsn, hlc, position.segmentId, position.offset, index)
    assert(inserted, 'no room among the recent ids')
  }
}
