import type { Clock } from '../base/clock.ts'
import type { Lens, LensContext } from '../lens/lens.ts'
import { lensOf as registryLensOf } from '../lens/registry.ts'
import type { LensSettings } from '../lens/settings.ts'
import { answerPartsOf, leavesOut } from './answer-parts.ts'
import { LEAVE_OUT } from '../wire/query-request.codec.ts'
import { AnswerWriter } from './answer-writer.ts'
import type { AssertionReader, CandidateSource, ClaimColumns, PlainPair } from './candidate-source.ts'
import { PlainQuestion } from './plain-question.ts'
import type { AnswerParts, ReplyBuilder } from './reply.codec.ts'
import { tooLong } from './scan.ts'

export interface PlainAnswersDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  readonly reply: ReplyBuilder
  /** Longest reply. */
  readonly replyBytesMax: number
  readonly limitMax: number
  readonly lensSettings?: LensSettings | undefined
  readonly lensOf?: ((name: string) => Lens) | undefined
}

/**
 * Answers plain questions (`PlainQuestion`) about pairs in which nothing names a parent: there every entry of a standing lifecycle is a
 * candidate, and no other (`CandidateReader`). What it does not answer, it leaves to who knows all questions, and it answers nothing
 * otherwise than that one would: a test compares them. It is there because most questions are plain, and the objects of a general
 * plan, its cursors and candidates cost ten times what the answer does.
 */
export class PlainAnswers {
  readonly #deps: PlainAnswersDependencies
  readonly #question: PlainQuestion
  readonly #context: LensContext & { columns: ClaimColumns | undefined }
  readonly #writer: AnswerWriter
  #nowMs: number | undefined

  constructor(deps: PlainAnswersDependencies) {
    this.#deps = deps
    this.#question = new PlainQuestion(deps.lensOf ?? registryLensOf, deps.limitMax)
    this.#writer = new AnswerWriter(deps.replyBytesMax)
    const now = (): number => this.#nowMs ??= deps.clock.wallMs()
    // Asked for when a lens wants it: an answer that does not depend on the time can be kept (dependencies.ts).
    this.#context = { ...deps.lensSettings, columns: undefined, get nowMs() { return now() } }
  }

  /**
   * A QueryReply, valid until the next call, or undefined.
   * @throws {DbError} `parameter_invalid`, `frame_too_large`, and as the source and the reader do
   */
  answer(request: Uint8Array): Uint8Array | undefined {
    const { source, reply } = this.#deps
    const question = this.#question
    if (source.pair === undefined || !question.read(request)) return undefined
    const { lens } = question
    const isLatest = lens.whyLatest !== undefined
    // Of rules more is to be said than the writer can.
    if (!isLatest && (lens.reads !== 'claims' || lens.gathers !== undefined || lens.needs !== undefined && lens.needs.length > 0)) return undefined
    // Before anything is read: the answer saw at least this much.
    const seenLsn = source.appliedLsn()
    if (question.minLsn > seenLsn) return undefined
    const pair = source.pair(question.key, question.keyBytes)
    if (pair === undefined || pair.hasParents) return undefined
    if (pair.count === 0) {
      reply.begin()
      return reply.finish(question.requestId, seenLsn)
    }
    this.#nowMs = undefined
    const answer = isLatest ? this.#latest(pair, lens.whyLatest, question.leaveOut) : this.#through(pair, lens, question.leaveOut)
    return this.#writer.write(question.requestId, seenLsn, answer) ?? tooLong()
  }

  #latest(pair: PlainPair, why: (hlc: bigint) => string, leaveOut: number): AnswerParts {
    const { subject, predicate, count: candidates, latest } = pair
    const winner = pair.claim(latest, this.#deps.reader)
    return { subject, predicate, candidates, winner, why: leavesOut(leaveOut, LEAVE_OUT.reasons) ? undefined : pair.whyLatest(why) }
  }

  #through(pair: PlainPair, lens: Lens, leaveOut: number): AnswerParts {
    const { subject, predicate, count: candidates } = pair
    const context = this.#context
    const columns = context.columns = pair.columns(this.#deps.reader, context)
    const resolution = lens.resolve(columns.of, context)
    return answerPartsOf({ subject, predicate, candidates, cut: 0, leftOut: 0, leaveOut }, resolution, (stored) => ({ stored }))
  }
}

