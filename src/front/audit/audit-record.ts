import { ByteBuffer } from 'flatbuffers'
import { toHex } from '../../base/bytes.ts'
import { errorNameOf, type ErrorName } from '../../base/error-codes.ts'
import { must } from '../../base/assert.ts'
import type { Found } from '../../fbs/stemedb/found.ts'
import type { QueryReply } from '../../fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { LIFECYCLES, SOURCE_CLASSES, objectKindOf } from '../../record/assertion.ts'
import { HASH_BYTES, SUBJECT_BYTES_MAX } from '../../record/limits.ts'
import { EMPTY_TREE, QUERY_KINDS } from '../../wire/query-request.codec.ts'
import { verifyBuffer } from '../../wire/verifier.ts'
import { LEFT_OUT_NAMES } from '../query-spec.ts'
import { AUDIT_WINNERS_MAX } from './audit-limits.ts'

/** Who asked: the key that the client says it is, which nobody has checked, and where it asked from. */
export interface AuditWho {
  /** 64 hex digits, from `X-Agent-Id`. */
  readonly agent?: string
  readonly address: string
}

/** What a query asked for: the parameters that it named. */
export interface AuditParameters {
  readonly kind: number
  readonly [parameter: string]: string | number | boolean | readonly string[]
}

/** One line of the audit. `query_id` is first: looking for one relies on it. */
export interface AuditRecord {
  /** 24 hex digits: 12 of the time in milliseconds, 12 of chance. */
  readonly query_id: string
  /** When it was answered, Unix milliseconds; later records have the same or a greater one. */
  readonly at: number
  readonly who: AuditWho
  readonly endpoint: string
  readonly parameters: AuditParameters
  /** `unanswered`: the client was told `timeout`, or went away. */
  readonly outcome: 'answered' | 'unanswered' | ErrorName
  /** How many answers there were, and candidates in all of them together. */
  readonly answers: number
  readonly candidates: number
  /** 64 hex digits each, by rank, those of the sides of an answer (tiers, values) behind its own, each once; the first 32. */
  readonly winners: readonly string[]
  /** The greatest conflict of any answer, 0..1; null where the lens does not say. */
  readonly conflict: number | null
  readonly seen_lsn: number
  readonly latency_us: number
}

type Inline = { bb: { bytes(): Uint8Array } | null, bb_pos: number } | null

/** The 32 bytes of a struct that stands inline in its table, as hex. */
const hexOf = (at: Inline): string | undefined =>
  at === null ? undefined : toHex(must(at.bb).bytes().subarray(at.bb_pos, at.bb_pos + HASH_BYTES))

const namesOf = (bits: number, names: readonly string[], firstBit: number): string[] => names.filter((_, i) => (bits >> (i + firstBit) & 1) === 1)

/** Of a request that nobody has checked, a text may be as long as a frame. Those of one that is not refused are not cut. */
const TEXT_CHARACTERS_MAX = SUBJECT_BYTES_MAX

/** What a QueryRequest asks for, whoever made it. Of one that is malformed, nothing is known. */
export function parametersOf(request: Uint8Array): AuditParameters {
  if (verifyBuffer('QueryRequest', request) !== 0) return { kind: 0 }
  const asked = QueryRequest.getRootAsQueryRequest(new ByteBuffer(request))
  const parameters: Record<string, string | number | boolean | readonly string[]> = {}
  const put = (name: string, value: string | number | boolean | null | undefined): void => {
    if (value === null || value === undefined || value === '' || value === 0 || value === false) return
    if (typeof value === 'number' && !Number.isFinite(value)) return
    parameters[name] = typeof value === 'string' ? value.slice(0, TEXT_CHARACTERS_MAX) : value
  }
  /** Of what is asked for with zero, too. */
  const putGiven = (name: string, value: number | bigint | null): void => {
    if (value !== null && Number.isFinite(Number(value))) parameters[name] = Number(value)
  }
  const hlc = (value: bigint): string => (value === 0n ? '' : String(value))
  put('id', hexOf(asked.id()))
  put(asked.subjectIsPrefix() ? 'prefix' : 'subject', asked.subject())
  put('predicate', asked.predicate())
  put('lens', asked.lens())
  put('limit', asked.limit())
  put('agent', hexOf(asked.agent()))
  put('source', hexOf(asked.source()))
  put('epoch', hexOf(asked.epoch()))
  if (asked.lifecycles() !== 0) parameters['lifecycle'] = namesOf(asked.lifecycles(), LIFECYCLES, 1)
  if (asked.tiers() !== 0) parameters['tiers'] = namesOf(asked.tiers(), SOURCE_CLASSES, 0)
  put('from_hlc', hlc(asked.fromHlc()))
  put('until_hlc', hlc(asked.untilHlc()))
  putGiven('asserted_from', asked.assertedFromMs())
  putGiven('asserted_until', asked.assertedUntilMs())
  putGiven('confidence_min', asked.confidenceMin())
  put('as_of_hlc', hlc(asked.asOfHlc()))
  putGiven('tolerance', asked.tolerance())
  put('explain', asked.explain())
  put('aliases', asked.aliases())
  put('depth', asked.depth())
  put('with_content', asked.withContent())
  put('tile', asked.tile())
  if (asked.leaveOut() !== 0) parameters['leave_out'] = namesOf(asked.leaveOut(), LEFT_OUT_NAMES, 0)
  put('next_page', asked.cursorLength() > 0)
  return { kind: asked.kind(), ...parameters, ...objectOf(asked), ...treesOf(asked) }
}

/** The object as `GET /v1/query` takes it. The longest has more bytes than a line: it is cut, and that is said. */
function objectOf(asked: QueryRequest): Record<string, string | boolean> {
  const kind = objectKindOf(asked.objectKind())
  if (kind === undefined) return {}
  const value = kind === 'number' ? asked.objectNumber() : kind === 'boolean' ? asked.objectBoolean() : asked.objectText() ?? ''
  const object = `${kind}:${String(value)}`
  return object.length <= TEXT_CHARACTERS_MAX ? { object } : { object: object.slice(0, TEXT_CHARACTERS_MAX), object_cut: true }
}

/** Leaves of the trees that a proof is about; without `proof_to`, those of the last head. 0 is a tree, too. */
function treesOf(asked: QueryRequest): Record<string, number> {
  const isConsistency = asked.kind() === QUERY_KINDS.consistency
  const [from, to] = [asked.proofFrom(), asked.proofTo()]
  return {
    ...(isConsistency || from !== 0n ? { proof_from: Number(from) } : {}),
    ...(to === 0n ? {} : { proof_to: isConsistency && to === EMPTY_TREE ? 0 : Number(to) }),
  }
}

export type AuditAnswer = Pick<AuditRecord, 'outcome' | 'answers' | 'candidates' | 'winners' | 'conflict' | 'seen_lsn'>

const NOTHING = { answers: 0, candidates: 0, winners: [], conflict: null, seen_lsn: 0 } as const

/**
 * What of a reply is recorded. Copies everything.
 * @param kind what was asked for
 */
export function answerOf(reply: QueryReply | undefined, kind: number): AuditAnswer {
  if (reply === undefined) return { outcome: 'unanswered', ...NOTHING }
  const refused = reply.refused()
  if (refused !== 0) return { outcome: errorNameOf(refused), ...NOTHING }
  // A set, as the winner of an answer wins a side of it, too.
  const winners = new Set<string>()
  const win = (found: Found | null): void => {
    const id = winners.size < AUDIT_WINNERS_MAX ? hexOf(found?.id() ?? null) : undefined
    if (id !== undefined) winners.add(id)
  }
  const answers = reply.answersLength()
  let candidates = 0
  let conflict = -1
  for (let i = 0; i < answers; i++) {
    const answer = must(reply.answers(i))
    candidates += answer.candidates()
    conflict = Math.max(conflict, answer.conflict())
    win(answer.winner())
    for (let side = 0; side < answer.sidesLength() && winners.size < AUDIT_WINNERS_MAX; side++) win(must(answer.sides(side)).winner())
  }
  win(reply.found())
  // The reply to an id that nobody has is empty, and the client is told 404.
  const outcome = kind === QUERY_KINDS.id && winners.size === 0 ? 'not_found' : 'answered'
  return { outcome, answers, candidates, winners: [...winners], conflict: conflict < 0 ? null : conflict, seen_lsn: Number(reply.seenLsn()) }
}
