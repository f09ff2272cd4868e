import { Builder } from 'flatbuffers'
import { toHex } from '../base/bytes.ts'
import { must } from '../base/assert.ts'
import type { Answer } from '../fbs/stemedb/answer.ts'
import type { Considered } from '../fbs/stemedb/considered.ts'
import type { Explanation } from '../fbs/stemedb/explanation.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import type { Hash } from '../fbs/stemedb/hash.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { RuleRow } from '../fbs/stemedb/rule-row.ts'
import type { Side } from '../fbs/stemedb/side.ts'
import { QUERY_BY_ID, QUERY_BY_LENS, QUERY_LIST } from '../query/plan.ts'
import { lifecycleOf, type Lifecycle } from '../record/assertion.ts'
import { assertionToJson, type AssertionJson } from '../record/assertion.json.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import { cutNames, type CutName } from '../wire/query-reply.codec.ts'
import { encodeQueryRequest, type QueryFields } from '../wire/query-request.codec.ts'
import { SIGNED_BY } from '../wire/query-reply.codec.ts'

/** A question for a lens, or for a list. What is undefined is not asked for. */
export interface QuerySpec
  extends Omit<QueryFields, 'kind' | 'id' | 'subject' | 'subjectIsPrefix' | 'predicate' | 'lens' | 'limit' | 'depth' | 'withContent' | 'proofFrom' | 'proofTo' | 'tile'> {
  /** Every assertion that matches, unresolved. */
  readonly isList?: boolean
  readonly subject: string | undefined
  readonly subjectIsPrefix: boolean
  readonly predicate: string | undefined
  /** Undefined: the node's default. */
  readonly lens: string | undefined
  readonly limit: number
}

export const encodeIdQuery = (requestId: bigint, id: Uint8Array): Uint8Array => encodeQueryRequest(requestId, { kind: QUERY_BY_ID, id })

const encoder = new Builder(1024)

/** A QueryRequest, in memory that is used again by the next call. */
export function encodeQuery(requestId: bigint, { isList, ...spec }: QuerySpec): Uint8Array {
  return encodeQueryRequest(requestId, { ...spec, kind: isList === true ? QUERY_LIST : QUERY_BY_LENS }, encoder)
}

export interface FoundJson {
  id: string
  lsn: number
  hlc: string
  signed_by: (typeof SIGNED_BY)[number]
  signature?: string
  /** Of a winner: what its agent has made of it since, where that is another one than it was asserted with. */
  effective_lifecycle?: Lifecycle
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

/** @param lifecycle its number; 0: its own */
function winnerToJson(winner: Found, lifecycle: number, fields: Fields): FoundJson {
  const effective = lifecycleOf(lifecycle)
  const { assertion, ...found } = foundToJson(winner, fields)
  return { ...found, ...(effective === undefined ? {} : { effective_lifecycle: effective }), assertion }
}

export interface SideJson {
  label: string
  /** Absent where the query leaves it out, as every `why`. */
  winner?: FoundJson
  weight: number
  share: number
  candidates: number
  sources: number
  conflict?: number
  why?: string
}

function sideToJson(side: Side, fields: Fields): SideJson {
  const winner = side.winner()
  return {
    label: side.label() ?? '',
    ...(winner === null ? {} : { winner: winnerToJson(winner, side.winnerLifecycle(), fields) }),
    weight: side.weight(),
    share: side.share(),
    candidates: side.candidates(),
    sources: side.sources(),
    ...said('conflict', side.conflict()),
    ...whyToJson(side.why()),
  }
}

/** Rules that belong together: places among the sides. */
export interface RuleRowJson {
  must_use?: number
  forbidden?: number
  reason?: string
}

/** A value that is demanded and forbidden: the place of the side that holds, and what it has overruled. */
export interface RuleConflictJson {
  holds: number
  overruled: SideJson
}

const rowToJson = (row: RuleRow): RuleRowJson => {
  const [mustUse, forbidden, reason] = [row.mustUse(), row.forbidden(), row.reason()]
  return { ...(mustUse === null ? {} : { must_use: mustUse }), ...(forbidden === null ? {} : { forbidden }), ...(reason === null ? {} : { reason }) }
}

/** Nothing where the lens gives no rules. */
function rulesToJson(answer: Answer, fields: Fields): Pick<AnswerJson, 'rule_rows' | 'rule_conflicts'> {
  const rows = answer.ruleRowsLength()
  if (rows === 0) return {}
  return {
    rule_rows: Array.from({ length: rows }, (_, i) => rowToJson(must(answer.ruleRows(i)))),
    rule_conflicts: Array.from({ length: answer.ruleConflictsLength() }, (_, i) => {
      const conflict = must(answer.ruleConflicts(i))
      return { holds: conflict.holds(), overruled: sideToJson(must(conflict.overruled()), fields) }
    }),
  }
}

/** Figures are -1 where the lens does not say. */
function said<N extends string>(name: N, value: number): Partial<Record<N, number>> {
  return value < 0 ? {} : { [name]: value } as Record<N, number>
}

const whyToJson = (why: string | null): { why?: string } => why === null ? {} : { why }

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
  why?: string
  conflict?: number
  certainty?: number
  status?: string
  sides?: SideJson[]
  rule_rows?: RuleRowJson[]
  rule_conflicts?: RuleConflictJson[]
  explanation?: ExplanationJson
  cut?: CutName[]
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
    winner: winner === null ? null : winnerToJson(winner, answer.winnerLifecycle(), fields),
    ...whyToJson(answer.why()),
    ...said('conflict', answer.conflict()),
    ...said('certainty', answer.certainty()),
    ...(status === null ? {} : { status }),
    ...(sides === 0 ? {} : { sides: Array.from({ length: sides }, (_, i) => sideToJson(must(answer.sides(i)), fields)) }),
    ...rulesToJson(answer, fields),
    ...(explanation === null ? {} : { explanation: explanationToJson(explanation) }),
    ...cutToJson(answer.cut()),
  }
}

/** Only where something was cut. */
const cutToJson = (bits: number): { cut?: CutName[] } => bits === 0 ? {} : { cut: cutNames(bits) }

export interface QueryReplyJson {
  seen_lsn: number
  truncated: boolean
  /** base64url */
  cursor?: string
  answers: AnswerJson[]
  /** Instead of answers, where no lens was asked. */
  listed?: FoundJson[]
  cut?: CutName[]
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
    ...cutToJson(reply.cut()),
  }
}
