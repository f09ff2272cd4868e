import { Builder } from 'flatbuffers'
import { assert } from '../base/assert.ts'
import type { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { Answer } from '../fbs/stemedb/answer.ts'
import { Considered } from '../fbs/stemedb/considered.ts'
import { Explanation } from '../fbs/stemedb/explanation.ts'
import { QueryReply } from '../fbs/stemedb/query-reply.ts'
import { RuleConflict } from '../fbs/stemedb/rule-conflict.ts'
import { RuleRow } from '../fbs/stemedb/rule-row.ts'
import { Side } from '../fbs/stemedb/side.ts'
import type { Candidate, RuleLinks } from '../lens/lens.ts'
import { FOUND_TABLE } from '../wire/found.codec.ts'
import type { StoredAssertion } from './candidate-source.ts'
import type { ConsideredParts, ExplanationParts } from './explain.ts'
import { PAGE_CURSOR_BYTES_MAX } from './page-cursor.ts'

/** Before the elements of a vector. */
const VECTOR_LENGTH_BYTES = 4
/** Longest detail of a refusal. */
const DETAIL_CHARACTERS_MAX = 512
/** What each takes beside its texts and assertion: tables, vtables, offsets, hashes, padding. */
const FOUND_BYTES = 256
const ANSWER_BYTES = 192
const SIDE_BYTES = 128
const CONSIDERED_BYTES = 128
const EXPLANATION_BYTES = 128
/** A row, or what a conflict takes beside the side that was overruled. */
const RULE_BYTES = 64
const REPLY_BYTES = 256

/** A text of so many characters at most is looked at before it is encoded. */
const SHORT_TEXT_CHARACTERS = 256

/** One side of a conflict. */
export interface SideParts {
  readonly label: string
  readonly winner: StoredAssertion | undefined
  /** As of the answer's winner. */
  readonly winnerLifecycle?: number | undefined
  readonly weight: number | undefined
  readonly share: number | undefined
  readonly candidates: number
  readonly sources: number | undefined
  readonly conflict: number | undefined
  readonly why: string | undefined
}

/** How sides that are rules belong together: `RuleLinks` (lens/lens.ts). */
export interface RulesParts {
  readonly rows: RuleLinks<Candidate>['rows']
  readonly conflicts: readonly { readonly holds: number, readonly overruled: SideParts }[]
}

export interface AnswerParts {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly candidates: number
  readonly winner: StoredAssertion | undefined
  /** Number of the lifecycle that its agent has given it since; undefined: it has its own. Nothing of a plain pair, which `AnswerWriter` writes. */
  readonly winnerLifecycle?: number | undefined
  readonly why: string | undefined
  readonly conflict?: number | undefined
  readonly certainty?: number | undefined
  readonly status?: string | undefined
  readonly sides?: readonly SideParts[] | undefined
  readonly rules?: RulesParts
  readonly explanation?: ExplanationParts | undefined
  /** Bits of `CUT` (wire/query-reply.codec.ts). */
  readonly cut?: number
}

/** Where assertions stand that are in an answer already. */
type Places = Map<StoredAssertion, number>

/** UTF-16 units to bytes, at most. */
const textBytes = (text: string): number => 3 * text.length

/**
 * Builds QueryReply buffers in one reused builder: `begin`, then any number of `add` or of `list`, or one `found`, then `finish`.
 * A reply never grows beyond its bound.
 */
export class ReplyBuilder {
  readonly #builder = new Builder(16 * 1024)
  readonly #bytesMax: number
  readonly #text = new Uint8Array(SHORT_TEXT_CHARACTERS)
  #answers: number[] = []
  #listed: number[] = []
  #found = 0
  #document = 0
  #cut = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  begin(): void {
    this.#builder.clear()
    this.#answers = []
    this.#listed = []
    this.#found = 0
    this.#document = 0
    this.#cut = 0
  }

  /** What of all that is answered was not looked at in full: bits of `CUT`. */
  noteCut(bits: number): void {
    this.#cut |= bits
  }

  /** False where it would make the reply too long; then nothing was added. */
  add(answer: AnswerParts): boolean {
    if (!this.#fits(answerBytes(answer))) return false
    const builder = this.#builder
    const { winner, sides, rules, status, explanation } = answer
    const places: Places = new Map()
    const winnerAt = winner === undefined ? 0 : this.#putFoundOnce(winner, places)
    const sidesAt = sides === undefined ? 0 : Answer.createSidesVector(builder, sides.map((side) => this.#putSide(side, places)))
    const rowsAt = rules === undefined ? 0 : Answer.createRuleRowsVector(builder, rules.rows.map((row) => this.#putRow(row)))
    const conflictsAt = rules === undefined ? 0 : Answer.createRuleConflictsVector(builder, rules.conflicts.map((conflict) => this.#putConflict(conflict, places)))
    const explanationAt = explanation === undefined ? 0 : this.#putExplanation(explanation)
    const subject = builder.createString(answer.subject)
    const predicate = builder.createString(answer.predicate)
    const why = answer.why === undefined ? 0 : this.#putText(answer.why)
    const statusAt = status === undefined ? 0 : this.#putText(status)
    Answer.startAnswer(builder)
    Answer.addSubject(builder, subject)
    Answer.addPredicate(builder, predicate)
    Answer.addCandidates(builder, answer.candidates)
    if (winnerAt !== 0) Answer.addWinner(builder, winnerAt)
    if (why !== 0) Answer.addWhy(builder, why)
    Answer.addConflict(builder, answer.conflict ?? -1)
    Answer.addCertainty(builder, answer.certainty ?? -1)
    if (statusAt !== 0) Answer.addStatus(builder, statusAt)
    if (sidesAt !== 0) Answer.addSides(builder, sidesAt)
    if (explanationAt !== 0) Answer.addExplanation(builder, explanationAt)
    Answer.addCut(builder, answer.cut ?? 0)
    Answer.addWinnerLifecycle(builder, answer.winnerLifecycle ?? 0)
    if (rowsAt !== 0) Answer.addRuleRows(builder, rowsAt)
    if (conflictsAt !== 0) Answer.addRuleConflicts(builder, conflictsAt)
    this.#answers.push(Answer.endAnswer(builder))
    return true
  }

  /** False where the assertion does not fit; then nothing was added. */
  list(assertion: StoredAssertion): boolean {
    if (!this.#fits(FOUND_BYTES + assertion.bytes.length)) return false
    this.#listed.push(this.#putFound(assertion))
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

  /**
   * The reply, in memory of the builder: valid until the next `begin`.
   * @param cursor where the next page begins; undefined: this is the last.
   */
  finish(requestId: bigint, seenLsn: Lsn, cursor?: Uint8Array): Uint8Array {
    const builder = this.#builder
    const answers = QueryReply.createAnswersVector(builder, this.#answers)
    const listed = this.#listed.length === 0 ? 0 : QueryReply.createListedVector(builder, this.#listed)
    const cursorAt = cursor === undefined ? 0 : builder.createByteVector(cursor)
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, requestId)
    QueryReply.addAnswers(builder, answers)
    if (this.#found !== 0) QueryReply.addFound(builder, this.#found)
    if (this.#document !== 0) QueryReply.addDocument(builder, this.#document)
    if (listed !== 0) QueryReply.addListed(builder, listed)
    QueryReply.addSeenLsn(builder, BigInt(seenLsn))
    QueryReply.addTruncated(builder, cursor !== undefined)
    if (cursorAt !== 0) QueryReply.addCursor(builder, cursorAt)
    QueryReply.addCut(builder, this.#cut)
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    const bytes = builder.asUint8Array()
    assert(bytes.length <= this.#bytesMax, 'what was added was counted')
    return bytes
  }

  /** A reply that is a refusal, whatever was added before. */
  refuse(requestId: bigint, error: DbError): Uint8Array {
    this.begin()
    return writeRefusal(this.#builder, requestId, error)
  }

  #fits(bytes: number): boolean {
    const vectors = 4 * (this.#answers.length + this.#listed.length)
    return this.#builder.offset() + bytes + REPLY_BYTES + PAGE_CURSOR_BYTES_MAX + vectors <= this.#bytesMax
  }

  #putRow({ mustUse, forbidden, reason }: RulesParts['rows'][number]): number {
    const builder = this.#builder
    const reasonAt = reason === undefined ? 0 : this.#putText(reason)
    RuleRow.startRuleRow(builder)
    if (mustUse !== undefined) RuleRow.addMustUse(builder, mustUse)
    if (forbidden !== undefined) RuleRow.addForbidden(builder, forbidden)
    if (reasonAt !== 0) RuleRow.addReason(builder, reasonAt)
    return RuleRow.endRuleRow(builder)
  }

  #putConflict({ holds, overruled }: RulesParts['conflicts'][number], places: Places): number {
    const builder = this.#builder
    const overruledAt = this.#putSide(overruled, places)
    RuleConflict.startRuleConflict(builder)
    RuleConflict.addHolds(builder, holds)
    RuleConflict.addOverruled(builder, overruledAt)
    return RuleConflict.endRuleConflict(builder)
  }

  /** Most texts are short and ASCII: for them an encoder takes longer than all else here. */
  #putText(text: string): number {
    const bytes = this.#text
    const { length } = text
    if (length > bytes.length) return this.#builder.createString(text)
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) return this.#builder.createString(text)
      bytes[i] = code
    }
    return this.#builder.createString(new Uint8Array(bytes.buffer, 0, length))
  }

  #putSide({ label, winner, winnerLifecycle = 0, weight, share, candidates, sources, conflict, why }: SideParts, places: Places): number {
    const builder = this.#builder
    const winnerAt = winner === undefined ? 0 : this.#putFoundOnce(winner, places)
    const labelAt = this.#putText(label)
    const whyAt = why === undefined ? 0 : this.#putText(why)
    Side.startSide(builder)
    Side.addLabel(builder, labelAt)
    if (winnerAt !== 0) Side.addWinner(builder, winnerAt)
    Side.addWeight(builder, weight ?? 0)
    Side.addShare(builder, share ?? 0)
    Side.addCandidates(builder, candidates)
    Side.addSources(builder, sources ?? 0)
    Side.addConflict(builder, conflict ?? -1)
    if (whyAt !== 0) Side.addWhy(builder, whyAt)
    Side.addWinnerLifecycle(builder, winnerLifecycle)
    return Side.endSide(builder)
  }

  #putExplanation({ considered, isTruncated, entriesRead, claimsRead, indexUs, readUs, resolveUs }: ExplanationParts): number {
    const builder = this.#builder
    const consideredAt = Explanation.createConsideredVector(builder, considered.map((one) => this.#putConsidered(one)))
    Explanation.startExplanation(builder)
    Explanation.addConsidered(builder, consideredAt)
    Explanation.addTruncated(builder, isTruncated)
    Explanation.addEntriesRead(builder, entriesRead)
    Explanation.addClaimsRead(builder, claimsRead)
    Explanation.addIndexUs(builder, indexUs)
    Explanation.addReadUs(builder, readUs)
    Explanation.addResolveUs(builder, resolveUs)
    return Explanation.endExplanation(builder)
  }

  #putConsidered({ id, lsn, hlc, verdict, weight, why }: ConsideredParts): number {
    const builder = this.#builder
    const whyAt = builder.createString(why)
    Considered.startConsidered(builder)
    Considered.addId(builder, putStruct(builder, id))
    Considered.addLsn(builder, BigInt(lsn))
    Considered.addHlc(builder, hlc)
    Considered.addVerdict(builder, verdict)
    Considered.addWeight(builder, weight)
    Considered.addWhy(builder, whyAt)
    return Considered.endConsidered(builder)
  }

  #putFoundOnce(assertion: StoredAssertion, places: Places): number {
    let at = places.get(assertion)
    if (at === undefined) places.set(assertion, at = this.#putFound(assertion))
    return at
  }

  #putFound({ found }: StoredAssertion): number {
    const builder = this.#builder
    // Eight-aligned, so that a reader may take the nested buffer where it is.
    builder.prep(8, found.length)
    // As a vector of bytes, which a Builder copies as they are; nothing points to the vector, but to the table in it.
    return builder.createByteVector(found) - VECTOR_LENGTH_BYTES - FOUND_TABLE
  }
}

/** A QueryReply that is a refusal, in memory of the builder, which has been cleared. */
export function writeRefusal(builder: Builder, requestId: bigint, { number, message, details: { parameter } }: DbError): Uint8Array {
  const detail = builder.createString(message.slice(0, DETAIL_CHARACTERS_MAX))
  const parameterAt = typeof parameter === 'string' ? builder.createString(parameter) : 0
  QueryReply.startQueryReply(builder)
  QueryReply.addRequestId(builder, requestId)
  QueryReply.addRefused(builder, number)
  QueryReply.addDetail(builder, detail)
  if (parameterAt !== 0) QueryReply.addParameter(builder, parameterAt)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return builder.asUint8Array()
}

/** What a reply of this one answer takes, at most. */
export const replyBytesAtMost = (answer: AnswerParts): number => answerBytes(answer) + REPLY_BYTES + PAGE_CURSOR_BYTES_MAX

/** What an answer takes, at most. */
function answerBytes({ subject, predicate, why = '', status = '', winner, sides = [], rules, explanation }: AnswerParts): number {
  let bytes = ANSWER_BYTES + subject.length + predicate.length + textBytes(why) + textBytes(status)
  if (winner !== undefined) bytes += FOUND_BYTES + winner.bytes.length
  for (const side of sides) bytes += sideBytes(side, winner)
  if (rules !== undefined) bytes += rulesBytes(rules)
  if (explanation === undefined) return bytes
  return explanation.considered.reduce((sum, one) => sum + CONSIDERED_BYTES + textBytes(one.why), bytes + EXPLANATION_BYTES)
}

/** @param winner stands in the reply in any case */
function sideBytes(side: SideParts, winner?: StoredAssertion): number {
  const bytes = SIDE_BYTES + textBytes(side.label) + textBytes(side.why ?? '')
  return side.winner === undefined || side.winner === winner ? bytes : bytes + FOUND_BYTES + side.winner.bytes.length
}

function rulesBytes({ rows, conflicts }: RulesParts): number {
  const bytes = rows.reduce((sum, { reason = '' }) => sum + RULE_BYTES + textBytes(reason), 0)
  return conflicts.reduce((sum, { overruled }) => sum + RULE_BYTES + sideBytes(overruled), bytes)
}

/** A struct of bytes, inline in the table under way. The builder grows backwards. */
function putStruct(builder: Builder, bytes: Uint8Array): number {
  builder.prep(1, bytes.length)
  for (let i = bytes.length - 1; i >= 0; i--) builder.writeInt8(bytes[i]!)
  return builder.offset()
}
