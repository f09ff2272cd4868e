import { Builder } from 'flatbuffers'
import { toHex } from '../base/bytes.ts'
import { must } from '../base/assert.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Answer } from '../fbs/stemedb/answer.ts'
import type { Considered } from '../fbs/stemedb/considered.ts'
import type { Explanation } from '../fbs/stemedb/explanation.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import type { Side } from '../fbs/stemedb/side.ts'
import { QUERY_BY_ID, QUERY_BY_LENS, QUERY_LIST } from '../query/plan.ts'
import { objectKindNumber, type ObjectValue } from '../record/assertion.ts'
import { assertionToJson, type AssertionJson } from '../record/assertion.json.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'

/** A question for a lens, or for a list. What is undefined is not asked for. */
export interface QuerySpec {
  /** Every assertion that matches, unresolved. */
  readonly isList?: boolean
  readonly subject: string | undefined
  readonly subjectIsPrefix: boolean
  readonly predicate: string | undefined
  /** Undefined: the node's default. */
  readonly lens: string | undefined
  readonly limit: number
  readonly agent?: Uint8Array | undefined
  readonly source?: Uint8Array | undefined
  readonly epoch?: Uint8Array | undefined
  /** Bit n: lifecycle n, tier n. */
  readonly lifecycles?: number | undefined
  readonly tiers?: number | undefined
  readonly fromHlc?: Hlc | undefined
  readonly untilHlc?: Hlc | undefined
  readonly assertedFromMs?: number | undefined
  readonly assertedUntilMs?: number | undefined
  readonly confidenceMin?: number | undefined
  readonly object?: ObjectValue | undefined
  readonly asOfHlc?: Hlc | undefined
  readonly minLsn?: Lsn | undefined
  readonly cursor?: Uint8Array | undefined
  readonly explain?: boolean | undefined
  readonly tolerance?: number | undefined
  readonly aliases?: boolean | undefined
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

const encoder = new Builder(1024)
const hashAt = (bytes: Uint8Array): number => Hash.createHash(encoder, [...bytes])
const textAt = (text: string | undefined): number => (text === undefined ? 0 : encoder.createString(text))

/** A QueryRequest, in memory that is used again by the next call. */
export function encodeQuery(requestId: bigint, spec: QuerySpec): Uint8Array {
  const { agent, source, epoch, object, lens } = spec
  encoder.clear()
  const subjectAt = textAt(spec.subject)
  const predicateAt = textAt(spec.predicate)
  const lensAt = textAt(lens)
  const objectAt = object?.kind === 'text' || object?.kind === 'reference' ? textAt(object.value) : 0
  const cursorAt = spec.cursor === undefined ? 0 : encoder.createByteVector(spec.cursor)
  QueryRequest.startQueryRequest(encoder)
  QueryRequest.addRequestId(encoder, requestId)
  QueryRequest.addKind(encoder, spec.isList === true ? QUERY_LIST : QUERY_BY_LENS)
  if (subjectAt !== 0) QueryRequest.addSubject(encoder, subjectAt)
  QueryRequest.addSubjectIsPrefix(encoder, spec.subjectIsPrefix)
  if (predicateAt !== 0) QueryRequest.addPredicate(encoder, predicateAt)
  if (lensAt !== 0) QueryRequest.addLens(encoder, lensAt)
  QueryRequest.addLimit(encoder, spec.limit)
  if (agent !== undefined) QueryRequest.addAgent(encoder, hashAt(agent))
  if (source !== undefined) QueryRequest.addSource(encoder, hashAt(source))
  if (epoch !== undefined) QueryRequest.addEpoch(encoder, hashAt(epoch))
  addFilters(spec)
  if (object !== undefined) {
    QueryRequest.addObjectKind(encoder, objectKindNumber(object.kind))
    if (objectAt !== 0) QueryRequest.addObjectText(encoder, objectAt)
    if (object.kind === 'number') QueryRequest.addObjectNumber(encoder, object.value)
    if (object.kind === 'boolean') QueryRequest.addObjectBoolean(encoder, object.value)
  }
  if (cursorAt !== 0) QueryRequest.addCursor(encoder, cursorAt)
  encoder.finish(QueryRequest.endQueryRequest(encoder), 'SQRQ')
  return encoder.asUint8Array()
}

/** Absent and zero are one, so that nothing is written for what is not asked for. */
function addFilters(spec: QuerySpec): void {
  QueryRequest.addLifecycles(encoder, spec.lifecycles ?? 0)
  QueryRequest.addTiers(encoder, spec.tiers ?? 0)
  QueryRequest.addFromHlc(encoder, spec.fromHlc ?? 0n)
  QueryRequest.addUntilHlc(encoder, spec.untilHlc ?? 0n)
  QueryRequest.addAssertedFromMs(encoder, BigInt(spec.assertedFromMs ?? 0))
  QueryRequest.addAssertedUntilMs(encoder, BigInt(spec.assertedUntilMs ?? 0))
  QueryRequest.addConfidenceMin(encoder, spec.confidenceMin ?? 0)
  QueryRequest.addAsOfHlc(encoder, spec.asOfHlc ?? 0n)
  QueryRequest.addMinLsn(encoder, BigInt(spec.minLsn ?? 0))
  QueryRequest.addExplain(encoder, spec.explain ?? false)
  QueryRequest.addTolerance(encoder, spec.tolerance ?? 0)
  QueryRequest.addAliases(encoder, spec.aliases ?? false)
}

const SIGNED_BY = ['nobody', 'assertion', 'batch'] as const

export interface FoundJson {
  id: string
  lsn: number
  hlc: string
  signed_by: (typeof SIGNED_BY)[number]
  signature?: string
  assertion: Partial<AssertionJson>
}

/** Members of assertions that are answered with; undefined: all. */
export type Fields = ReadonlySet<string> | undefined

/** The bytes of a struct that stands inline in its table. */
function inline(at: { bb: { bytes(): Uint8Array } | null, bb_pos: number } | null, length: number): Uint8Array | undefined {
  return at === null ? undefined : must(at.bb).bytes().subarray(at.bb_pos, at.bb_pos + length)
}

const idOf = (hash: Hash | null): string => toHex(must(inline(hash, HASH_BYTES)))

export function foundToJson(found: Found, fields?: Fields): FoundJson {
  const signature = inline(found.signature(), SIGNATURE_BYTES)
  const assertion = assertionToJson(decodeAssertion(must(found.assertionArray())))
  return {
    id: idOf(found.id()),
    lsn: Number(found.lsn()),
    hlc: String(found.hlc()),
    signed_by: SIGNED_BY[found.signedBy()] ?? 'nobody',
    ...(signature === undefined ? {} : { signature: toHex(signature) }),
    assertion: fields === undefined ? assertion : Object.fromEntries(Object.entries(assertion).filter(([name]) => fields.has(name))),
  }
}

export interface SideJson {
  label: string
  winner: FoundJson | null
  weight: number
  share: number
  candidates: number
  sources: number
  conflict?: number
  why: string
}

function sideToJson(side: Side, fields: Fields): SideJson {
  const winner = side.winner()
  return {
    label: side.label() ?? '',
    winner: winner === null ? null : foundToJson(winner, fields),
    weight: side.weight(),
    share: side.share(),
    candidates: side.candidates(),
    sources: side.sources(),
    ...said('conflict', side.conflict()),
    why: side.why() ?? '',
  }
}

/** Figures are -1 where the lens does not say. */
function said<N extends string>(name: N, value: number): Partial<Record<N, number>> {
  return value < 0 ? {} : { [name]: value } as Record<N, number>
}

const VERDICTS = ['', 'won', 'supports', 'lost', 'left_out'] as const

export interface ExplanationJson {
  considered: { id: string, lsn: number, hlc: string, verdict: string, weight: number, why: string }[]
  truncated: boolean
  entries_read: number
  claims_read: number
  index_us: number
  read_us: number
  resolve_us: number
  from_cache: boolean
}

function explanationToJson(explanation: Explanation): ExplanationJson {
  return {
    considered: Array.from({ length: explanation.consideredLength() }, (_, i) => consideredToJson(must(explanation.considered(i)))),
    truncated: explanation.truncated(),
    entries_read: explanation.entriesRead(),
    claims_read: explanation.claimsRead(),
    index_us: explanation.indexUs(),
    read_us: explanation.readUs(),
    resolve_us: explanation.resolveUs(),
    from_cache: explanation.fromCache(),
  }
}

const consideredToJson = (one: Considered): ExplanationJson['considered'][number] => ({
  id: idOf(one.id()), lsn: Number(one.lsn()), hlc: String(one.hlc()), verdict: VERDICTS[one.verdict()] ?? '', weight: one.weight(), why: one.why() ?? '',
})

export interface AnswerJson {
  subject: string
  predicate: string
  candidates: number
  winner: FoundJson | null
  why: string
  conflict?: number
  certainty?: number
  status?: string
  sides?: SideJson[]
  explanation?: ExplanationJson
}

function answerToJson(answer: Answer, fields: Fields): AnswerJson {
  const winner = answer.winner()
  const status = answer.status()
  const explanation = answer.explanation()
  const sides = answer.sidesLength()
  return {
    subject: answer.subject(),
    predicate: answer.predicate(),
    candidates: answer.candidates(),
    winner: winner === null ? null : foundToJson(winner, fields),
    why: answer.why() ?? '',
    ...said('conflict', answer.conflict()),
    ...said('certainty', answer.certainty()),
    ...(status === null ? {} : { status }),
    ...(sides === 0 ? {} : { sides: Array.from({ length: sides }, (_, i) => sideToJson(must(answer.sides(i)), fields)) }),
    ...(explanation === null ? {} : { explanation: explanationToJson(explanation) }),
  }
}

export interface QueryReplyJson {
  seen_lsn: number
  truncated: boolean
  /** base64url */
  cursor?: string
  answers: AnswerJson[]
  /** Instead of answers, where no lens was asked. */
  listed?: FoundJson[]
}

/** Copies everything. */
export function replyToJson(reply: QueryReply, { isList = false, fields }: { readonly isList?: boolean, readonly fields?: Fields } = {}): QueryReplyJson {
  const cursor = reply.cursorArray()
  return {
    seen_lsn: Number(reply.seenLsn()),
    truncated: reply.truncated(),
    ...(cursor === null ? {} : { cursor: Buffer.from(cursor).toString('base64url') }),
    answers: Array.from({ length: reply.answersLength() }, (_, i) => answerToJson(must(reply.answers(i)), fields)),
    ...(isList ? { listed: Array.from({ length: reply.listedLength() }, (_, i) => foundToJson(must(reply.listed(i)), fields)) } : {}),
  }
}
