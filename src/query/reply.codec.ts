import { Builder } from 'flatbuffers'
import type { Lsn } from '../base/lsn.ts'
import { Answer } from '../fbs/stemedb/answer.ts'
import { Found } from '../fbs/stemedb/found.ts'
import { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { StoredAssertion } from './candidate-source.ts'

/** Longest detail of a refusal. */
const DETAIL_CHARACTERS_MAX = 512
/** What an answer or reply takes beside its texts and assertion: tables, vtables, offsets, hashes, padding. */
const FOUND_BYTES = 256
const ANSWER_BYTES = 128
const REPLY_BYTES = 256

export interface AnswerParts {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly candidates: number
  readonly winner: StoredAssertion
  readonly why: string
}

/**
 * Builds QueryReply buffers in one reused builder: `begin`, then any number of `add` or one `found`, then `finish`.
 * A reply never grows beyond its bound.
 */
export class ReplyBuilder {
  readonly #builder = new Builder(16 * 1024)
  readonly #bytesMax: number
  #answers: number[] = []
  #found = 0
  #document = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  begin(): void {
    this.#builder.clear()
    this.#answers = []
    this.#found = 0
    this.#document = 0
  }

  get answerCount(): number {
    return this.#answers.length
  }

  /** False where it would make the reply too long; then nothing was added. */
  add(answer: AnswerParts): boolean {
    const builder = this.#builder
    const needed = ANSWER_BYTES + FOUND_BYTES + answer.subject.length + answer.predicate.length + 3 * answer.why.length + answer.winner.bytes.length
    if (!this.#fits(needed)) return false
    const winner = this.#putFound(answer.winner)
    const subject = builder.createString(answer.subject)
    const predicate = builder.createString(answer.predicate)
    const why = builder.createString(answer.why)
    Answer.startAnswer(builder)
    Answer.addSubject(builder, subject)
    Answer.addPredicate(builder, predicate)
    Answer.addCandidates(builder, answer.candidates)
    Answer.addWinner(builder, winner)
    Answer.addWhy(builder, why)
    this.#answers.push(Answer.endAnswer(builder))
    return true
  }

  /** False where the assertion does not fit. */
  found(assertion: StoredAssertion): boolean {
    if (!this.#fits(FOUND_BYTES + assertion.bytes.length)) return false
    this.#found = this.#putFound(assertion)
    return true
  }

  /** False where the document does not fit. */
  document(json: Uint8Array): boolean {
    if (!this.#fits(json.length)) return false
    this.#document = this.#builder.createByteVector(json)
    return true
  }

  /** The reply, in memory of the builder: valid until the next `begin`. */
  finish(requestId: bigint, seenLsn: Lsn, truncated: boolean): Uint8Array {
    const builder = this.#builder
    const answers = QueryReply.createAnswersVector(builder, this.#answers)
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, requestId)
    QueryReply.addAnswers(builder, answers)
    if (this.#found !== 0) QueryReply.addFound(builder, this.#found)
    if (this.#document !== 0) QueryReply.addDocument(builder, this.#document)
    QueryReply.addSeenLsn(builder, BigInt(seenLsn))
    QueryReply.addTruncated(builder, truncated)
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array()
  }

  /** A reply that is a refusal, whatever was added before. */
  refuse(requestId: bigint, code: number, detail: string): Uint8Array {
    const builder = this.#builder
    this.begin()
    const text = builder.createString(detail.slice(0, DETAIL_CHARACTERS_MAX))
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, requestId)
    QueryReply.addRefused(builder, code)
    QueryReply.addDetail(builder, text)
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array()
  }

  #fits(bytes: number): boolean {
    return this.#builder.offset() + bytes + REPLY_BYTES + 4 * this.#answers.length <= this.#bytesMax
  }

  #putFound(stored: StoredAssertion): number {
    const builder = this.#builder
    // Eight-aligned, so that a reader may take the nested buffer where it is.
    builder.prep(8, stored.bytes.length)
    const assertion = builder.createByteVector(stored.bytes)
    Found.startFound(builder)
    Found.addId(builder, putStruct(builder, stored.id))
    Found.addLsn(builder, BigInt(stored.lsn))
    Found.addHlc(builder, stored.hlc)
    Found.addAssertion(builder, assertion)
    if (stored.signature !== undefined) Found.addSignature(builder, putStruct(builder, stored.signature))
    Found.addSignedBy(builder, stored.signedBy)
    return Found.endFound(builder)
  }
}

/** A struct of bytes, inline in the table under way. The builder grows backwards. */
function putStruct(builder: Builder, bytes: Uint8Array): number {
  builder.prep(1, bytes.length)
  for (let i = bytes.length - 1; i >= 0; i--) builder.writeInt8(bytes[i]!)
  return builder.offset()
}
