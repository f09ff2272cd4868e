import { bytesEqual } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { BATCH_ASSERTIONS_MAX, HASH_BYTES } from '../record/limits.ts'
import type { Place } from './candidate-source.ts'
import { LogWalker, type ReadRange } from './log-walker.ts'

/** Ids of all assertions of one batch, refused ones too, in their order: what the batch's signature is over. */
export class BatchIdReader {
  readonly #readRange: ReadRange
  readonly #walker: LogWalker

  constructor(readRange: ReadRange) {
    this.#readRange = readRange
    this.#walker = new LogWalker(readRange)
  }

  /**
   * @param id of the assertion at `place`: the ids are read without their record's checksum, and this one must be among them
   * @throws {DbError} `wal_corrupt`, `io_error`
   */
  read(place: Place, id: Uint8Array): Uint8Array {
    const { idsOffset, batchCount } = this.#walker.find(place)
    const { segmentId, index, lsn } = place
    const ids = new Uint8Array(batchCount <= BATCH_ASSERTIONS_MAX ? batchCount * HASH_BYTES : 0)
    this.#readRange(segmentId, idsOffset, ids.length, ids)
    if (!bytesEqual(ids.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES), id)) {
      throw new DbError('wal_corrupt', `the batch of the assertion with LSN ${lsn} is damaged: its ids are not those of its assertions`, { segmentId, lsn })
    }
    return ids
  }
}
