import { bytesEqual } from '../base/bytes.ts'
import { wordSum } from '../base/word-sum.ts'
import { DbError } from '../base/errors.ts'
import { ASSERTION_BYTES_MAX, BATCH_ASSERTIONS_MAX, HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { AssertionView } from '../wire/assertion-view.ts'
import { claimIdInto } from '../wire/claim-id.ts'
import { verifyBuffer } from '../wire/verifier.ts'
import {
  SIGNED_BY_AGENT, SIGNED_BY_BATCH, SIGNED_BY_NOBODY, type AssertionReader, type IndexEntry, type Place, type StoredAssertion,
} from './candidate-source.ts'
import { LogWalker, type ReadRange } from './log-walker.ts'

/**
 * Reads assertions from the log's files. Nothing is served that was not checked now: the checksum of the index entry, where there is
 * one, the buffer's structure, and that the id in the log is the one that follows from the claim.
 */
export class LogAssertionReader implements AssertionReader {
  readonly #readRange: ReadRange
  readonly #walker: LogWalker
  readonly #view = new AssertionView()
  readonly #expectedId = new Uint8Array(HASH_BYTES)

  /** `await initHash()` (record/blake3.ts) once on this thread before the first read. */
  constructor(readRange: ReadRange) {
    this.#readRange = readRange
    this.#walker = new LogWalker(readRange)
  }

  read(place: Place | IndexEntry): StoredAssertion {
    const parts = this.#walker.find(place)
    const { segmentId } = place
    if (parts.assertionLength > ASSERTION_BYTES_MAX) damaged(place, 'it is longer than any assertion')
    const id = this.#bytes(segmentId, parts.idOffset, HASH_BYTES)
    const bytes = this.#bytes(segmentId, parts.assertionOffset, parts.assertionLength)
    if ('assertionSum' in place && wordSum(viewOf(bytes), 0, bytes.length) !== place.assertionSum) damaged(place, 'its checksum is wrong')
    this.#check(place, bytes, id)
    const signatureOffset = parts.ownSignatureOffset >= 0 ? parts.ownSignatureOffset : parts.batchSignatureOffset
    return {
      id, lsn: place.lsn, hlc: place.hlc, bytes,
      signature: signatureOffset < 0 ? undefined : this.#bytes(segmentId, signatureOffset, SIGNATURE_BYTES),
      signedBy: parts.ownSignatureOffset >= 0 ? SIGNED_BY_AGENT : parts.batchSignatureOffset >= 0 ? SIGNED_BY_BATCH : SIGNED_BY_NOBODY,
    }
  }

  batchIds(place: Place | IndexEntry): Uint8Array {
    const { idsOffset, batchCount } = this.#walker.find(place)
    if (batchCount > BATCH_ASSERTIONS_MAX) damaged(place, 'its batch is longer than any')
    return this.#bytes(place.segmentId, idsOffset, HASH_BYTES * batchCount)
  }

  #check(place: Place, bytes: Uint8Array, id: Uint8Array): void {
    if (verifyBuffer('Assertion', bytes) !== 0) damaged(place, 'its buffer is malformed')
    if (claimIdInto(this.#view.reset(bytes), this.#expectedId, 0) !== 0) damaged(place, 'its claim breaks a rule')
    if (!bytesEqual(this.#expectedId, id)) damaged(place, 'its id is another one')
  }

  #bytes(segmentId: number, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.#readRange(segmentId, offset, length, bytes)
    return bytes
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

function damaged({ lsn, segmentId, recordOffset }: Place, why: string): never {
  throw new DbError('store_corrupt', `the assertion with LSN ${lsn} can not be served: ${why}; run "stemedb store verify"`,
    { lsn, segmentId, recordOffset })
}
