import { wordSum } from '../base/word-sum.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Assertion } from '../record/assertion.ts'
import { ASSERTION_BYTES_MAX, BATCH_ASSERTIONS_MAX, HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import type { EntryPlace } from '../store/pair-entries.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import { AssertionView } from '../wire/assertion-view.ts'
import { claimIdInto } from '../wire/claim-id.ts'
import { layOutFound } from '../wire/found.codec.ts'
import { verifyBuffer } from '../wire/verifier.ts'
import {
  SIGNED_BY_AGENT, SIGNED_BY_BATCH, SIGNED_BY_NOBODY, type AssertionReader, type Place, type StoredAssertion,
} from './candidate-source.ts'
import { LogWalker, type ReadRange } from './log-walker.ts'

/**
 * Reads assertions from the log's files. Nothing is read that is not checked: the checksum of the index entry, where there is
 * one, the buffer's structure, and that the id in the index, or else in the log, is the one that follows from the claim.
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

  read(place: Place | EntryPlace): StoredAssertion {
    const parts = this.#walker.find(place)
    const { segmentId, lsn, hlc, recordOffset, index } = place
    const { assertionLength } = parts
    if (assertionLength > ASSERTION_BYTES_MAX) damaged(place, 'it is longer than any assertion')
    const signatureOffset = parts.ownSignatureOffset >= 0 ? parts.ownSignatureOffset : parts.batchSignatureOffset
    const signedBy = parts.ownSignatureOffset >= 0 ? SIGNED_BY_AGENT : parts.batchSignatureOffset >= 0 ? SIGNED_BY_BATCH : SIGNED_BY_NOBODY
    const found = layOutFound(lsn, hlc, assertionLength, signatureOffset >= 0, signedBy)
    const { id, assertion: bytes, signature } = found
    this.#readRange(segmentId, parts.assertionOffset, assertionLength, bytes)
    const assertionSum = wordSum(new DataView(bytes.buffer, bytes.byteOffset, assertionLength), 0, assertionLength)
    if ('assertionSum' in place && assertionSum !== place.assertionSum) damaged(place, 'its checksum is wrong')
    this.#check(place, parts.idOffset, bytes, id)
    if (signature !== undefined) this.#readRange(segmentId, signatureOffset, SIGNATURE_BYTES, signature)
    return new LoggedAssertion({ id, lsn, hlc, segmentId, recordOffset, index, bytes, assertionSum, signature, signedBy, found: found.bytes })
  }

  batchIds(place: Place | EntryPlace): Uint8Array {
    const { idsOffset, batchCount } = this.#walker.find(place)
    if (batchCount > BATCH_ASSERTIONS_MAX) damaged(place, 'its batch is longer than any')
    const ids = new Uint8Array(HASH_BYTES * batchCount)
    this.#readRange(place.segmentId, idsOffset, ids.length, ids)
    return ids
  }

  /** Puts the id into `id`. Where the index says how it begins, that is compared; otherwise all of it with that in the log. */
  #check(place: Place | EntryPlace, idOffset: number, bytes: Uint8Array, id: Uint8Array): void {
    if (verifyBuffer('Assertion', bytes) !== 0) damaged(place, 'its buffer is malformed')
    if (claimIdInto(this.#view.reset(bytes), id, 0) !== 0) damaged(place, 'its claim breaks a rule')
    const expected = 'idPrefix' in place ? place.idPrefix : this.#idAt(place.segmentId, idOffset)
    for (let i = 0; i < expected.length; i++) if (id[i] !== expected[i]) damaged(place, 'its id is another one')
  }

  /** Valid until the next call. */
  #idAt(segmentId: number, offset: number): Uint8Array {
    this.#readRange(segmentId, offset, HASH_BYTES, this.#expectedId)
    return this.#expectedId
  }
}

class LoggedAssertion implements StoredAssertion {
  readonly id: Uint8Array
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly segmentId: number
  readonly recordOffset: number
  readonly index: number
  readonly bytes: Uint8Array
  readonly assertionSum: number
  readonly signature: Uint8Array | undefined
  readonly signedBy: StoredAssertion['signedBy']
  readonly found: Uint8Array
  #assertion: Assertion | undefined

  constructor(parts: Omit<StoredAssertion, 'assertion'>) {
    this.id = parts.id
    this.lsn = parts.lsn
    this.hlc = parts.hlc
    this.segmentId = parts.segmentId
    this.recordOffset = parts.recordOffset
    this.index = parts.index
    this.bytes = parts.bytes
    this.assertionSum = parts.assertionSum
    this.signature = parts.signature
    this.signedBy = parts.signedBy
    this.found = parts.found
  }

  get assertion(): Assertion {
    return this.#assertion ??= decodeAssertion(this.bytes)
  }
}

function damaged({ lsn, segmentId, recordOffset }: Place, why: string): never {
  throw new DbError('store_corrupt', `the assertion with LSN ${lsn} can not be served: ${why}; run "stemedb store verify"`,
    { lsn, segmentId, recordOffset })
}
