import { must } from '../base/assert.ts'
import { bytesEqual } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { AssertionReader, Place } from './candidate-source.ts'

/**
 * Ids of all assertions of one batch, refused ones too, in their order, 32 bytes each: what the batch's signature is over.
 * @param id of the assertion at `place`: the ids are read without their record's checksum, and this one must be among them
 * @throws {DbError} `wal_corrupt`, `store_corrupt`, `io_error`
 */
export function idsOfBatch(reader: AssertionReader, place: Place, id: Uint8Array): Uint8Array {
  const { segmentId, index, lsn } = place
  const ids = must(reader.batchIds?.(place), 'the ids of a batch')
  if (bytesEqual(ids.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES), id)) return ids
  throw new DbError('wal_corrupt', `the batch of the assertion with LSN ${lsn} is damaged: its ids are not those of its assertions`, { segmentId, lsn })
}
