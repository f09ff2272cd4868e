import { Builder } from 'flatbuffers'
import { toHex } from '../base/bytes.ts'
import { must } from '../base/assert.ts'
import type { Answer } from '../fbs/stemedb/answer.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { assertionToJson, type AssertionJson } from '../record/assertion.json.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'

export const QUERY_BY_ID = 1
export const QUERY_BY_LENS = 2

export interface LensQuery {
  readonly subject: string
  readonly subjectIsPrefix: boolean
  readonly predicate: string | undefined
  readonly lens: string
  readonly limit: number
}

export function encodeIdQuery(requestId: bigint, id: Uint8Array): Uint8Array {
  const builder = new Builder(128)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addKind(builder, QUERY_BY_ID)
  QueryRequest.addId(builder, Hash.createHash(builder, [...id]))
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}

export function encodeLensQuery(requestId: bigint, query: LensQuery): Uint8Array {
  const builder = new Builder(256)
  const subject = builder.createString(query.subject)
  const predicate = query.predicate === undefined ? 0 : builder.createString(query.predicate)
  const lens = builder.createString(query.lens)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addKind(builder, QUERY_BY_LENS)
  QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, query.subjectIsPrefix)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  QueryRequest.addLens(builder, lens)
  QueryRequest.addLimit(builder, query.limit)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}

const SIGNED_BY = ['nobody', 'assertion', 'batch'] as const

export interface FoundJson {
  id: string
  lsn: number
  hlc: string
  signed_by: (typeof SIGNED_BY)[number]
  signature?: string
  assertion: AssertionJson
}

/** The bytes of a struct that stands inline in its table. */
function inline(at: { bb: { bytes(): Uint8Array } | null, bb_pos: number } | null, length: number): Uint8Array | undefined {
  return at === null ? undefined : must(at.bb).bytes().subarray(at.bb_pos, at.bb_pos + length)
}

export function foundToJson(found: Found): FoundJson {
  const signature = inline(found.signature(), SIGNATURE_BYTES)
  return {
    id: toHex(must(inline(found.id(), HASH_BYTES))),
    lsn: Number(found.lsn()),
    hlc: String(found.hlc()),
    signed_by: SIGNED_BY[found.signedBy()] ?? 'nobody',
    ...(signature === undefined ? {} : { signature: toHex(signature) }),
    assertion: assertionToJson(decodeAssertion(must(found.assertionArray()))),
  }
}

export interface AnswerJson {
  subject: string
  predicate: string
  candidates: number
  winner: FoundJson | null
  why: string
}

function answerToJson(answer: Answer): AnswerJson {
  const winner = answer.winner()
  return {
    subject: answer.subject(),
    predicate: answer.predicate(),
    candidates: answer.candidates(),
    winner: winner === null ? null : foundToJson(winner),
    why: answer.why() ?? '',
  }
}

export interface QueryReplyJson {
  seen_lsn: number
  truncated: boolean
  answers: AnswerJson[]
}

/** Copies everything. */
export function replyToJson(reply: QueryReply): QueryReplyJson {
  const answers = Array.from({ length: reply.answersLength() }, (_, i) => answerToJson(must(reply.answers(i))))
  return { seen_lsn: Number(reply.seenLsn()), truncated: reply.truncated(), answers }
}
