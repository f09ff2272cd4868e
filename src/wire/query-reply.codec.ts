import { ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Answer } from '../fbs/stemedb/answer.ts'
import type { Considered } from '../fbs/stemedb/considered.ts'
import type { Explanation } from '../fbs/stemedb/explanation.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { RuleConflict as RuleConflictTable } from '../fbs/stemedb/rule-conflict.ts'
import type { RuleRow as RuleRowTable } from '../fbs/stemedb/rule-row.ts'
import type { Side } from '../fbs/stemedb/side.ts'
import { lifecycleOf, type Assertion, type Lifecycle } from '../record/assertion.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from './assertion.codec.ts'
import { verifyBuffer, verifyFault } from './verifier.ts'

/** An assertion as a node holds it. */
export interface FoundAssertion {
  /** 32 bytes */
  readonly id: Uint8Array
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly assertion: Assertion
  /** 64 bytes: the assertion's own, or that of the batch that it came in. */
  readonly signature: Uint8Array | undefined
  readonly signedBy: 'nobody' | 'assertion' | 'batch'
  /** Of a winner: what its agent has made of it since, where that is another one than the assertion says. */
  readonly effectiveLifecycle?: Lifecycle | undefined
}

/** What of an answer's making a bound has cut: the bits of `Answer.cut` and `QueryReply.cut` (fbs/query.fbs). Append-only. */
export const CUT = Object.freeze({
  /** Only the newest candidates of the subject and predicate were looked at. */
  candidates: 1,
  /** Of votes, outcomes or epochs only the newest were. */
  records: 2,
  /** Not all aliases of the subject were followed. */
  aliases: 4,
})

export type CutName = keyof typeof CUT

const CUT_NAMES = Object.keys(CUT) as CutName[]

/** The names of the bits that are set; those of a newer node are left out. */
export const cutNames = (bits: number): CutName[] => CUT_NAMES.filter((name) => (bits & CUT[name]) !== 0)

/** One side of a conflict. */
export interface AnswerSide {
  readonly label: string
  readonly winner: FoundAssertion | undefined
  readonly weight: number
  /** Part of all sides, 0..1. */
  readonly share: number
  readonly candidates: number
  /** Independent sources among them. */
  readonly sources: number
  /** 0..1; undefined where the lens does not say, as everywhere here. */
  readonly conflict: number | undefined
  readonly why: string
}

/** Rules that belong together (lens `constraints`): the one instead of the other, or one alone. */
export interface RuleRow {
  readonly mustUse: AnswerSide | undefined
  readonly forbidden: AnswerSide | undefined
  readonly reason: string | undefined
}

/** A value that some demand and some forbid: the side that holds, and the rule that it has overruled, with the reason for that as its `why`. */
export interface RuleConflict {
  readonly holds: AnswerSide
  readonly overruled: AnswerSide
}

export interface ConsideredCandidate {
  readonly id: Uint8Array
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly verdict: 'won' | 'supports' | 'lost' | 'left_out'
  readonly weight: number
  readonly why: string
}

export interface AnswerExplanation {
  readonly considered: readonly ConsideredCandidate[]
  readonly truncated: boolean
  readonly entriesRead: number
  readonly claimsRead: number
  /** Microseconds by stage. */
  readonly indexUs: number
  readonly readUs: number
  readonly resolveUs: number
  readonly fromCache: boolean
}

/** What one subject and predicate come to. */
export interface ResolvedAnswer {
  readonly subject: string
  readonly predicate: string
  /** Those that the lens was given. */
  readonly candidates: number
  readonly winner: FoundAssertion | undefined
  readonly why: string
  /** 0: all agree, 1: they could not disagree more. */
  readonly conflict: number | undefined
  readonly certainty: number | undefined
  readonly status: string | undefined
  readonly sides: readonly AnswerSide[]
  /** Where the sides are rules. */
  readonly ruleRows: readonly RuleRow[]
  readonly ruleConflicts: readonly RuleConflict[]
  readonly explanation: AnswerExplanation | undefined
  /** What was not looked at in full because a bound was met; mostly nothing. */
  readonly cut: readonly CutName[]
}

export interface QueryResult {
  /** LSN up to which the answer saw. */
  readonly seenLsn: Lsn
  /** There were more answers than the limit. */
  readonly truncated: boolean
  readonly answers: readonly ResolvedAnswer[]
  /** What a list gives. */
  readonly listed: readonly FoundAssertion[]
  /** What was asked for by id. */
  readonly found: FoundAssertion | undefined
  /** Where the next page begins. */
  readonly cursor: Uint8Array | undefined
  /** For kinds whose answer is a JSON document: that, parsed. */
  readonly document: unknown
  /** As `ResolvedAnswer.cut`, of all that is answered. */
  readonly cut: readonly CutName[]
}

/** A reply to one question. */
export type DecodedReply =
  | { readonly requestId: bigint, readonly refused: undefined, readonly result: QueryResult }
  | { readonly requestId: bigint, readonly refused: ErrorName, readonly detail: string, readonly error: DbError }

/** By `Found.signed_by`. */
export const SIGNED_BY = ['nobody', 'assertion', 'batch'] as const
const VERDICTS = ['left_out', 'won', 'supports', 'lost', 'left_out'] as const

/**
 * Reads a QueryReply buffer, whatever it holds, and copies everything.
 * @throws {DbError} `malformed_frame` where it is none; and as `decodeAssertion`.
 */
export function decodeReply(bytes: Uint8Array): DecodedReply {
  const code = verifyBuffer('QueryReply', bytes)
  if (code !== 0) throw new DbError(errorNameOf(code), `the reply is malformed: ${verifyFault()}`)
  const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes))
  const requestId = reply.requestId()
  const error = refusalOf(reply)
  if (error !== undefined) return { requestId, refused: error.code, detail: error.message, error }
  const found = reply.found()
  return {
    requestId, refused: undefined,
    result: {
      seenLsn: Number(reply.seenLsn()), truncated: reply.truncated(),
      answers: many(reply.answersLength(), (i) => answerOf(must(reply.answers(i)))),
      listed: many(reply.listedLength(), (i) => foundOf(must(reply.listed(i)))),
      found: found === null ? undefined : foundOf(found),
      cursor: reply.cursorArray()?.slice(),
      document: documentOf(reply),
      cut: cutNames(reply.cut()),
    },
  }
}

/** The error that a refusal stands for. */
export function refusalOf(reply: QueryReply): DbError | undefined {
  const refused = reply.refused()
  const parameter = reply.parameter()
  return refused === 0 ? undefined : new DbError(errorNameOf(refused), reply.detail() ?? 'the query was refused', parameter === null ? {} : { parameter })
}

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

const utf8 = new TextDecoder()

function documentOf(reply: QueryReply): unknown {
  const bytes = reply.documentArray()
  if (bytes === null) return undefined
  try {
    return JSON.parse(utf8.decode(bytes)) as unknown
  } catch (cause) {
    throw new DbError('malformed_frame', 'the reply has a document that is no JSON', {}, { cause })
  }
}

/** The bytes of a struct that stands inline in its table. A copy. */
function inline(at: { bb: ByteBuffer | null, bb_pos: number } | null, length: number): Uint8Array | undefined {
  return at === null ? undefined : must(at.bb).bytes().slice(at.bb_pos, at.bb_pos + length)
}

/**
 * Copies everything.
 * @param lifecycle number of the one that it has been given; 0: none
 * @throws {DbError} as `decodeAssertion`
 */
export function foundOf(found: Found, lifecycle = 0): FoundAssertion {
  const effectiveLifecycle = lifecycleOf(lifecycle)
  return {
    id: must(inline(found.id(), HASH_BYTES)), lsn: Number(found.lsn()), hlc: found.hlc(),
    assertion: decodeAssertion(must(found.assertionArray()).slice()),
    signature: inline(found.signature(), SIGNATURE_BYTES), signedBy: SIGNED_BY[found.signedBy()] ?? 'nobody',
    ...(effectiveLifecycle === undefined ? {} : { effectiveLifecycle }),
  }
}

/** -1 stands for what a lens does not say. */
const said = (value: number): number | undefined => value < 0 ? undefined : value

function answerOf(answer: Answer): ResolvedAnswer {
  const winner = answer.winner()
  const explanation = answer.explanation()
  const sides = many(answer.sidesLength(), (i) => sideOf(must(answer.sides(i))))
  return {
    subject: answer.subject(), predicate: answer.predicate(), candidates: answer.candidates(),
    winner: winner === null ? undefined : foundOf(winner, answer.winnerLifecycle()), why: answer.why() ?? '',
    conflict: said(answer.conflict()), certainty: said(answer.certainty()), status: answer.status() ?? undefined,
    sides, ruleRows: many(answer.ruleRowsLength(), (i) => rowOf(must(answer.ruleRows(i)), sides)),
    ruleConflicts: many(answer.ruleConflictsLength(), (i) => ruleConflictOf(must(answer.ruleConflicts(i)), sides)),
    explanation: explanation === null ? undefined : explanationOf(explanation), cut: cutNames(answer.cut()),
  }
}

function sideOf(side: Side): AnswerSide {
  const winner = side.winner()
  return {
    label: side.label() ?? '', winner: winner === null ? undefined : foundOf(winner, side.winnerLifecycle()), weight: side.weight(), share: side.share(),
    candidates: side.candidates(), sources: side.sources(), conflict: said(side.conflict()), why: side.why() ?? '',
  }
}

function rowOf(row: RuleRowTable, sides: readonly AnswerSide[]): RuleRow {
  const at = (place: number | null): AnswerSide | undefined => place === null ? undefined : sideAt(sides, place)
  return { mustUse: at(row.mustUse()), forbidden: at(row.forbidden()), reason: row.reason() ?? undefined }
}

const ruleConflictOf = (conflict: RuleConflictTable, sides: readonly AnswerSide[]): RuleConflict =>
  ({ holds: sideAt(sides, conflict.holds()), overruled: sideOf(must(conflict.overruled())) })

function sideAt(sides: readonly AnswerSide[], place: number): AnswerSide {
  const side = sides[place]
  if (side === undefined) throw new DbError('malformed_frame', `the reply names side ${place} of ${sides.length}`)
  return side
}

function explanationOf(explanation: Explanation): AnswerExplanation {
  return {
    considered: many(explanation.consideredLength(), (i) => consideredOf(must(explanation.considered(i)))),
    truncated: explanation.truncated(), entriesRead: explanation.entriesRead(), claimsRead: explanation.claimsRead(),
    indexUs: explanation.indexUs(), readUs: explanation.readUs(), resolveUs: explanation.resolveUs(), fromCache: explanation.fromCache(),
  }
}

function consideredOf(considered: Considered): ConsideredCandidate {
  return {
    id: must(inline(considered.id(), HASH_BYTES)), lsn: Number(considered.lsn()), hlc: considered.hlc(),
    verdict: VERDICTS[considered.verdict()] ?? 'left_out', weight: considered.weight(), why: considered.why() ?? '',
  }
}
