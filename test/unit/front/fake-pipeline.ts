import { ByteBuffer, Builder } from 'flatbuffers'
import { ERROR_CODES, type ErrorName } from '../../../src/base/error-codes.ts'
import { toHex } from '../../../src/base/bytes.ts'
import * as layout from '../../../src/commit/ack.layout.ts'
import { Answer } from '../../../src/fbs/stemedb/answer.ts'
import { Batch } from '../../../src/fbs/stemedb/batch.ts'
import { Found } from '../../../src/fbs/stemedb/found.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../../src/fbs/stemedb/query-request.ts'
import { Signature } from '../../../src/fbs/stemedb/signature.ts'
import type { Pipeline, PipelineHandler, PipelineStatus } from '../../../src/front/pipeline.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { peekRequestId } from '../../../src/wire/batch.codec.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'

interface Stored {
  readonly lsn: number
  readonly hlc: bigint
  readonly id: Uint8Array
  readonly bytes: Uint8Array
  readonly assertion: Assertion
  readonly signature: Uint8Array | undefined
}

interface Taken {
  readonly slot: number
  readonly generation: number
  readonly frame: Uint8Array
}

export interface AckInput {
  slot?: number
  generation?: number
  requestId?: bigint
  firstLsn?: bigint
  firstHlc?: bigint
  accepted?: number
  refused?: number
  frameBytes?: number
  receivedMonoMs?: number
  batchCount?: number
  retryAfterMs?: number
  outcomes?: { lsn?: bigint, hlc?: bigint, index: number, code: number }[]
}

/** An ack as the commit stage writes it. */
export function ackOf(input: AckInput): layout.AckView {
  const outcomes = input.outcomes ?? []
  const bytes = new Uint8Array(layout.ackBytes(outcomes.length))
  const view = new DataView(bytes.buffer)
  view.setUint32(layout.ACK_SLOT_OFFSET, input.slot ?? 0, true)
  view.setUint32(layout.ACK_GENERATION_OFFSET, input.generation ?? 0, true)
  view.setBigUint64(layout.ACK_REQUEST_ID_OFFSET, input.requestId ?? 0n, true)
  view.setBigUint64(layout.ACK_FIRST_LSN_OFFSET, input.firstLsn ?? 0n, true)
  view.setBigUint64(layout.ACK_FIRST_HLC_OFFSET, input.firstHlc ?? 0n, true)
  view.setUint32(layout.ACK_ACCEPTED_OFFSET, input.accepted ?? 0, true)
  view.setUint16(layout.ACK_REFUSED_OFFSET, input.refused ?? 0, true)
  view.setUint32(layout.ACK_FRAME_BYTES_OFFSET, input.frameBytes ?? 0, true)
  view.setUint32(layout.ACK_OUTCOME_COUNT_OFFSET, outcomes.length, true)
  view.setFloat64(layout.ACK_RECEIVED_MONO_MS_OFFSET, input.receivedMonoMs ?? 0, true)
  view.setUint32(layout.ACK_BATCH_COUNT_OFFSET, input.batchCount ?? 0, true)
  view.setUint32(layout.ACK_RETRY_AFTER_MS_OFFSET, input.retryAfterMs ?? 0, true)
  outcomes.forEach(({ lsn = 0n, hlc = 0n, index, code }, i) => {
    const at = layout.ACK_OUTCOMES_OFFSET + i * layout.OUTCOME_BYTES
    view.setBigUint64(at + layout.OUTCOME_LSN_OFFSET, lsn, true)
    view.setBigUint64(at + layout.OUTCOME_HLC_OFFSET, hlc, true)
    view.setUint32(at + layout.OUTCOME_INDEX_OFFSET, index, true)
    view.setUint16(at + layout.OUTCOME_CODE_OFFSET, code, true)
  })
  return new layout.AckView().reset(bytes, view, 0)
}

const HLC_BASE = 0x0190_0000_0000_0000n

/**
 * The stages behind the front, in memory: ids are real, order is that of arrival, an assertion whose note is
 * `refuse:<code>` is refused with that code. Acks come on a later turn, or when a test releases them.
 */
export class FakePipeline implements Pipeline {
  handler!: PipelineHandler
  /** Submit returns false. */
  full = false
  /** Query returns false. */
  queriesFull = false
  /** Queries are never answered. */
  silent = false
  /** Acks wait for {@link release}. */
  held = false
  writable: PipelineStatus['writable'] = 'yes'
  /** Whole batches are refused with this. */
  refuseBatches: ErrorName | undefined
  /** Replies of queries carry this. */
  refuseQueries: ErrorName | undefined
  /** Overrides the applied LSN. */
  appliedLsn: number | undefined
  submitCount = 0
  /** Assertions of each batch taken, in order. */
  readonly batchSizes: number[] = []
  readonly waiting: Taken[] = []
  readonly stored = new Map<string, Stored>()
  #lsn = 0
  #scheduled = false

  submit(slot: number, generation: number, frame: Uint8Array): boolean {
    this.submitCount++
    if (this.full) return false
    this.waiting.push({ slot, generation, frame: frame.slice() })
    this.#schedule()
    return true
  }

  status(): PipelineStatus {
    return { durableLsn: this.#lsn, durableHlc: HLC_BASE + BigInt(this.#lsn), appliedLsn: this.appliedLsn ?? this.#lsn, writable: this.writable }
  }

  /** Acks what was held, `count` batches at most, in one drain. */
  release(count = Infinity): void {
    for (const taken of this.waiting.splice(0, Math.min(count, this.waiting.length))) this.handler.ack(this.#commit(taken))
    this.handler.flush()
  }

  /** Commands of the feed, as they came. */
  readonly feedCommands: Uint8Array[] = []
  feedFull = false

  feed(command: Uint8Array): boolean {
    if (this.feedFull) return false
    this.feedCommands.push(command.slice())
    return true
  }

  query(request: Uint8Array): boolean {
    if (this.queriesFull) return false
    const copy = request.slice()
    if (!this.silent) setImmediate(() => this.handler.reply(this.#answer(copy)))
    return true
  }

  #schedule(): void {
    if (this.#scheduled || this.held) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (!this.held) this.release()
    })
  }

  #commit({ slot, generation, frame }: Taken): layout.AckView {
    const address = { slot, generation, frameBytes: frame.length, requestId: peekRequestId(frame) ?? 0n }
    const refuse = (code: ErrorName): layout.AckView => ackOf({ ...address, refused: ERROR_CODES[code].number, retryAfterMs: ERROR_CODES[code].retryable ? 1500 : 0 })
    if (this.refuseBatches !== undefined) return refuse(this.refuseBatches)
    return verifyBuffer('Batch', frame) === 0 ? this.#store(frame, address) : refuse('malformed_frame')
  }

  #store(frame: Uint8Array, address: AckInput): layout.AckView {
    const batch = Batch.getRootAsBatch(new ByteBuffer(frame))
    const outcomes: AckInput['outcomes'] = []
    const firstLsn = this.#lsn + 1
    const fresh = new Map<string, Stored>()
    const count = batch.assertionsLength()
    for (let index = 0; index < count; index++) {
      const signed = batch.assertions(index)!
      const bytes = signed.assertionArray()!
      const assertion = modelOf(bytes)
      if (assertion === undefined) {
        outcomes.push({ index, code: ERROR_CODES.field_invalid.number })
        continue
      }
      const id = assertionIdOf(assertion)
      const known = this.stored.get(toHex(id)) ?? fresh.get(toHex(id))
      const verdict = /^refuse:(\w+)$/.exec(assertion.note ?? '')?.[1] as ErrorName | undefined
      if (known !== undefined) outcomes.push({ index, code: ERROR_CODES.duplicate.number, lsn: BigInt(known.lsn), hlc: known.hlc })
      else if (verdict !== undefined) outcomes.push({ index, code: ERROR_CODES[verdict].number })
      else {
        const lsn = firstLsn + fresh.size
        const signature = signed.signature()
        fresh.set(toHex(id), {
          lsn, hlc: HLC_BASE + BigInt(lsn), id, bytes: bytes.slice(), assertion,
          signature: signature === null ? undefined : signature.bb!.bytes().slice(signature.bb_pos, signature.bb_pos + 64),
        })
      }
    }
    for (const [hex, one] of fresh) this.stored.set(hex, one)
    this.#lsn += fresh.size
    this.batchSizes.push(count)
    const stamps = fresh.size === 0 ? {} : { firstLsn: BigInt(firstLsn), firstHlc: HLC_BASE + BigInt(firstLsn) }
    return ackOf({ ...address, ...stamps, accepted: fresh.size, batchCount: count, outcomes })
  }

  #answer(bytes: Uint8Array): Uint8Array {
    const request = QueryRequest.getRootAsQueryRequest(new ByteBuffer(bytes))
    const builder = new Builder(1024)
    if (this.refuseQueries !== undefined) {
      const detail = builder.createString('as the test said')
      QueryReply.startQueryReply(builder)
      QueryReply.addRequestId(builder, request.requestId())
      QueryReply.addRefused(builder, ERROR_CODES[this.refuseQueries].number)
      QueryReply.addDetail(builder, detail)
      builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
      return builder.asUint8Array()
    }
    return request.kind() === 1 ? this.#byId(builder, request) : this.#byLens(builder, request)
  }

  #byId(builder: Builder, request: QueryRequest): Uint8Array {
    const id = request.id()!
    const stored = this.stored.get(toHex(id.bb!.bytes().subarray(id.bb_pos, id.bb_pos + 32)))
    const found = stored === undefined ? 0 : found_(builder, stored)
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, request.requestId())
    if (found !== 0) QueryReply.addFound(builder, found)
    QueryReply.addSeenLsn(builder, BigInt(this.#lsn))
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array()
  }

  #byLens(builder: Builder, request: QueryRequest): Uint8Array {
    const groups = new Map<string, Stored[]>()
    for (const stored of this.stored.values()) {
      const { subject, predicate } = stored.assertion
      const wanted = request.subjectIsPrefix() ? subject.startsWith(request.subject()!) : subject === request.subject()
      if (!wanted || (request.predicate() !== null && request.predicate() !== predicate)) continue
      const key = `${subject}\0${predicate}`
      groups.set(key, [...(groups.get(key) ?? []), stored])
    }
    const all = [...groups.values()]
    const answers = all.slice(0, request.limit()).map((candidates) => {
      const winner = candidates.reduce((a, b) => (b.hlc > a.hlc ? b : a))
      const found = found_(builder, winner)
      const subject = builder.createString(winner.assertion.subject)
      const predicate = builder.createString(winner.assertion.predicate)
      const why = builder.createString(`latest of ${candidates.length} by ${request.lens()}`)
      return answer_(builder, subject, predicate, candidates.length, found, why)
    })
    const vector = QueryReply.createAnswersVector(builder, answers)
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, request.requestId())
    QueryReply.addAnswers(builder, vector)
    QueryReply.addSeenLsn(builder, BigInt(this.#lsn))
    QueryReply.addTruncated(builder, all.length > request.limit())
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array()
  }
}

function modelOf(bytes: Uint8Array): Assertion | undefined {
  try {
    const assertion = decodeAssertion(bytes)
    assertionIdOf(assertion)
    return assertion
  } catch {
    return undefined
  }
}

function answer_(builder: Builder, subject: number, predicate: number, candidates: number, winner: number, why: number): number {
  Answer.startAnswer(builder)
  Answer.addSubject(builder, subject)
  Answer.addPredicate(builder, predicate)
  Answer.addCandidates(builder, candidates)
  Answer.addWinner(builder, winner)
  Answer.addWhy(builder, why)
  return Answer.endAnswer(builder)
}

function found_(builder: Builder, { id, lsn, hlc, bytes, signature }: Stored): number {
  builder.startVector(1, bytes.length, 8)
  for (let i = bytes.length - 1; i >= 0; i--) builder.addInt8(bytes[i]!)
  const assertion = builder.endVector()
  Found.startFound(builder)
  Found.addId(builder, Hash.createHash(builder, [...id]))
  Found.addLsn(builder, BigInt(lsn))
  Found.addHlc(builder, hlc)
  Found.addAssertion(builder, assertion)
  if (signature !== undefined) Found.addSignature(builder, Signature.createSignature(builder, [...signature]))
  Found.addSignedBy(builder, signature === undefined ? 0 : 1)
  return Found.endFound(builder)
}
