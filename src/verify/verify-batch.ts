import { ERROR_CODES } from '../base/error-codes.ts'
import { blake3Kernel } from '../merkle/blake3.ts'
import { BATCH_COUNT_OFFSET, BATCH_ROOT_OFFSET, SINGLE_ID_OFFSET, batchMessage, singleMessage } from '../merkle/signed-message.ts'
import { rootOfIdsInto } from '../merkle/tree.ts'
import { checkKeyAt } from '../record/ed25519-rules.ts'
import { AGENT_BYTES, HASH_BYTES } from '../record/limits.ts'
import { recordProblem } from '../record/records.ts'
import { assertionOfView } from '../wire/assertion.codec.ts'
import { AssertionView, isRecordSubjectAt } from '../wire/assertion-view.ts'
import { BATCH_FLAG_RECEIPT, BatchView, peekRequestId } from '../wire/batch.codec.ts'
import { claimFaultField, claimIdInto, claimIdsInto } from '../wire/claim-id.ts'
import { verifyBuffer, verifyFault } from '../wire/verifier.ts'
import { verifySignatureAt } from './ed25519.ts'

const BATCH_EMPTY = ERROR_CODES.batch_empty.number
const BATCH_TOO_LARGE = ERROR_CODES.batch_too_large.number
const FIELD_MISSING = ERROR_CODES.field_missing.number
const FIELD_INVALID = ERROR_CODES.field_invalid.number
const FIELD_TOO_LONG = ERROR_CODES.field_too_long.number
const SIGNATURE_MISSING = ERROR_CODES.signature_missing.number
const RECORD_INVALID = ERROR_CODES.record_invalid.number
const AGENT_MISMATCH = ERROR_CODES.agent_mismatch.number

/** What a node asks of batches beyond their format. */
export interface VerifyPolicy {
  readonly signaturesRequired: boolean
  /** {@link realmHashOf} the node's realm: 32 bytes. */
  readonly realmHash: Uint8Array
  readonly batchAssertionsMax: number
  /** In floats. */
  readonly vectorLengthMax: number
  /** How far an asserted-at time may be ahead of the node's clock. */
  readonly hlcDriftMaxMs: number
}

/** The verdict on one batch, overwritten by the next. */
export interface VerifiedBatch {
  /** The number of the code for which the whole batch is refused, or 0. */
  refused: number
  /** With `refused`: the assertion it is about, or -1. */
  refusedIndex: number
  /** 0 where the buffer is malformed and has no request id. */
  requestId: bigint
  /** 0 where the buffer is malformed. */
  count: number
  wantsReceipt: boolean
  /** By index, 32 bytes each, valid up to `count`; all zero where a refused assertion has none. */
  readonly ids: Uint8Array
  /** By index, valid up to `count`: 0, or the number of the code for which this assertion is refused. */
  readonly codes: Uint16Array
  acceptedCount: number
  /** Merkle root of `ids`. All zero where nobody asked: the batch is not signed and wants no receipt. */
  readonly root: Uint8Array
}

/**
 * The verify stage's pure core: structure, ids, signatures, policy. One a thread; allocates a few small objects for a
 * batch and nothing for an assertion.
 *
 * A batch signature covers every id, so it can be checked only where every assertion has one: an assertion that breaks a
 * rule of the model refuses a signed batch as a whole, and only itself in an unsigned one. What is refused by policy (a
 * time too far ahead, a vector too long for this node, a subject under `steme://` that is no record's) has an id, and is refused
 * alone in both.
 */
export class BatchVerifier {
  readonly result: VerifiedBatch
  readonly #policy: VerifyPolicy
  readonly #batch = new BatchView()
  readonly #assertion = new AssertionView()
  readonly #batchMessage: Uint8Array
  readonly #batchMessageView: DataView
  readonly #singleMessage: Uint8Array
  /** By index: what `#policyCodeOf` said. */
  readonly #policyCodes: Uint16Array
  /** By index: where its agent stands in the batch's bytes. */
  readonly #agentStarts: Int32Array
  /** The first assertion that is not by the agent who has signed the batch, or -1. */
  #strangerIndex = -1
  #nowMs = 0
  #detail = ''

  /** `await initHash()` (record/blake3.ts) once on this thread before the first batch: long claims need it. */
  constructor(policy: VerifyPolicy) {
    this.#policy = policy
    const root = new Uint8Array(HASH_BYTES)
    this.result = {
      refused: 0, refusedIndex: -1, requestId: 0n, count: 0, wantsReceipt: false, acceptedCount: 0, root,
      ids: new Uint8Array(policy.batchAssertionsMax * HASH_BYTES), codes: new Uint16Array(policy.batchAssertionsMax),
    }
    this.#batchMessage = batchMessage(policy.realmHash, 0, root)
    this.#batchMessageView = new DataView(this.#batchMessage.buffer)
    this.#singleMessage = singleMessage(policy.realmHash, root)
    this.#policyCodes = new Uint16Array(policy.batchAssertionsMax)
    this.#agentStarts = new Int32Array(policy.batchAssertionsMax)
  }

  /**
   * Why the last batch was refused as a whole, for a person: where in the buffer, or which assertion and field. Empty where
   * the code says it all.
   */
  get detail(): string {
    return this.#detail
  }

  /**
   * Looks at the Batch buffer of `length` bytes at `start`, which may lie in shared memory but must not change meanwhile.
   * Never throws, whatever the bytes are.
   * @param nowMs the node's wall clock
   * @returns {@link result}, filled anew
   */
  verify(bytes: Uint8Array, start: number, length: number, nowMs: number): VerifiedBatch {
    const { result } = this
    this.#detail = ''
    result.refusedIndex = -1
    result.count = 0
    result.acceptedCount = 0
    result.wantsReceipt = false
    result.requestId = 0n
    result.refused = this.#check(bytes.subarray(start, start + length), nowMs)
    return result
  }

  #check(frame: Uint8Array, nowMs: number): number {
    const { result } = this
    const malformed = verifyBuffer('Batch', frame)
    if (malformed !== 0) {
      result.requestId = peekRequestId(frame) ?? 0n
      this.#detail = verifyFault()
      return malformed
    }
    const batch = this.#batch.reset(frame)
    result.requestId = batch.requestId
    if (batch.count === 0) return BATCH_EMPTY
    if (batch.count > this.#policy.batchAssertionsMax) return BATCH_TOO_LARGE
    if ((batch.flags & ~BATCH_FLAG_RECEIPT) !== 0) return this.#refuse(FIELD_INVALID, 'flags: reserved bits are set')
    result.count = batch.count
    result.wantsReceipt = (batch.flags & BATCH_FLAG_RECEIPT) !== 0
    const isSigned = batch.signatureOffset >= 0
    if (isSigned && batch.agentOffset < 0) return this.#refuse(FIELD_MISSING, 'agent: a signed batch names its agent')
    if (!isSigned && batch.agentOffset >= 0) return this.#refuse(SIGNATURE_MISSING, 'signature: a batch that names its agent is signed')

    this.#nowMs = nowMs
    this.#strangerIndex = -1
    const withoutId = claimIdsInto(batch, result.ids, result.codes, blake3Kernel(), this.#look)
    if (isSigned) {
      const refused = withoutId > 0 ? this.#refuseFirst() : this.#checkBatchSignature()
      if (refused !== 0) return refused
    } else if (result.wantsReceipt) {
      rootOfIdsInto(result.ids, batch.count, result.root)
    } else {
      result.root.fill(0)
    }
    return this.#checkEach(isSigned)
  }

  #refuse(code: number, detail: string): number {
    this.#detail = detail
    return code
  }

  /** The code of the first assertion that has no id. */
  #refuseFirst(): number {
    const { result } = this
    let index = 0
    while (result.codes[index] === 0) index++
    result.refusedIndex = index
    return this.#refuse(result.codes[index]!, `assertions/${index}/${this.faultFieldOf(index)}`)
  }

  /** The field (as in the schema) for which the assertion at `index` of the last batch has no id. Empty where it has one. */
  faultFieldOf(index: number): string {
    return claimIdInto(this.#viewOf(index), new Uint8Array(HASH_BYTES), 0) === 0 ? '' : claimFaultField()
  }

  #checkBatchSignature(): number {
    const { result } = this
    const batch = this.#batch
    rootOfIdsInto(result.ids, batch.count, result.root)
    this.#batchMessageView.setUint32(BATCH_COUNT_OFFSET, batch.count, true)
    this.#batchMessage.set(result.root, BATCH_ROOT_OFFSET)
    return verifySignatureAt(batch.bytes, batch.agentOffset, batch.bytes, batch.signatureOffset, this.#batchMessage)
  }

  /** What is to be known of an assertion beside its id, while its fields are at hand. */
  readonly #look = (view: AssertionView, index: number): void => {
    this.#policyCodes[index] = this.#policyCodeOf(view)
    this.#agentStarts[index] = view.agentStart
    const { view: bytes, agentOffset } = this.#batch
    if (agentOffset >= 0 && this.#strangerIndex < 0 && !isSameKey(bytes, agentOffset, view.agentStart)) this.#strangerIndex = index
  }

  /** 0 or a code; `RECORD_INVALID` for every record, whether it is sound or not. */
  #policyCodeOf(view: AssertionView): number {
    const { vectorLengthMax, hlcDriftMaxMs } = this.#policy
    if (view.vectorLength > vectorLengthMax) return FIELD_TOO_LONG
    if (view.assertedAtMs > this.#nowMs + hlcDriftMaxMs) return FIELD_INVALID
    return isRecordSubjectAt(view) ? RECORD_INVALID : 0
  }

  /** Policy and single signatures; fills `codes` and `acceptedCount`. Returns a code for the whole batch, or 0. */
  #checkEach(isSigned: boolean): number {
    const { result } = this
    if (this.#strangerIndex >= 0) {
      result.refusedIndex = this.#strangerIndex
      return this.#refuse(AGENT_MISMATCH, `assertions/${this.#strangerIndex}/agent`)
    }
    let accepted = 0
    for (let i = 0; i < this.#batch.count; i++) {
      if (result.codes[i] !== 0) continue
      const policyCode = this.#policyCodes[i]!
      const isRefused = policyCode !== 0 && !(policyCode === RECORD_INVALID && this.#isSoundRecord(i))
      const code = isRefused ? policyCode : this.#checkSignature(i, isSigned)
      result.codes[i] = code
      if (code === 0) accepted++
    }
    result.acceptedCount = accepted
    return 0
  }

  #viewOf(index: number): AssertionView {
    const batch = this.#batch
    return this.#assertion.reset(batch.bytes, batch.itemOffset(index), batch.itemLength(index))
  }

  #isSoundRecord(index: number): boolean {
    return recordProblem(assertionOfView(this.#viewOf(index))) === undefined
  }

  /** An assertion's own signature is checked wherever it has one, also in a signed batch: it is stored and served. */
  #checkSignature(index: number, isSigned: boolean): number {
    const { bytes } = this.#batch
    const at = this.#batch.itemSignatureOffset(index)
    if (at < 0) {
      if (isSigned) return 0
      return checkKeyAt(bytes, this.#agentStarts[index]!) || (this.#policy.signaturesRequired ? SIGNATURE_MISSING : 0)
    }
    const { ids } = this.result
    for (let i = 0; i < HASH_BYTES; i++) this.#singleMessage[SINGLE_ID_OFFSET + i] = ids[index * HASH_BYTES + i]!
    return verifySignatureAt(bytes, this.#agentStarts[index]!, bytes, at, this.#singleMessage)
  }
}

function isSameKey(view: DataView, a: number, b: number): boolean {
  for (let i = 0; i < AGENT_BYTES; i += 4) if (view.getUint32(a + i, true) !== view.getUint32(b + i, true)) return false
  return true
}
