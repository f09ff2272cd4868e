import type { Clock } from '../base/clock.ts'
import type { Lens, LensContext } from '../lens/lens.ts'
import { lensOf as registryLensOf } from '../lens/registry.ts'
import type { LensSettings } from '../lens/settings.ts'
import { PairEntries } from '../store/pair-entries.ts'
import { answerPartsOf, countText } from './answer-parts.ts'
import { LIFECYCLES_STANDING } from './candidates.ts'
import type { AssertionReader, CandidateSource, StoredAssertion } from './candidate-source.ts'
import { lifecyclePasses } from './filter.ts'
import { CANDIDATES_MAX } from './pairs.ts'
import { PlainQuestion } from './plain-question.ts'
import type { ReplyBuilder } from './reply.codec.ts'
import { tooLong } from './scan.ts'

export interface PlainAnswersDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  readonly reply: ReplyBuilder
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
  readonly #entries = new PairEntries(CANDIDATES_MAX)
  readonly #context: LensContext
  #nowMs: number | undefined

  constructor(deps: PlainAnswersDependencies) {
    this.#deps = deps
    this.#question = new PlainQuestion(deps.lensOf ?? registryLensOf, deps.limitMax)
    const now = (): number => this.#nowMs ??= deps.clock.wallMs()
    // Asked for when a lens wants it: an answer that does not depend on the time can be kept (dependencies.ts).
    this.#context = { ...deps.lensSettings, get nowMs() { return now() } }
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
    if (!isLatest && (lens.reads !== 'claims' || lens.needs !== undefined && lens.needs.length > 0)) return undefined
    // Before anything is read: the answer saw at least this much.
    const seenLsn = source.appliedLsn()
    if (question.minLsn > seenLsn) return undefined
    if (!source.pair(question.prefix, this.#entries) || this.#hasParents()) return undefined
    this.#nowMs = undefined
    reply.begin()
    if (isLatest) this.#answerLatest(lens.whyLatest)
    else this.#answerThrough(lens)
    return reply.finish(question.requestId, seenLsn)
  }

  #hasParents(): boolean {
    const entries = this.#entries
    for (let i = 0; i < entries.count; i++) if (entries.hasParent(i)) return true
    return false
  }

  #isStanding(i: number): boolean {
    return lifecyclePasses(LIFECYCLES_STANDING, this.#entries.lifecycle(i))
  }

  /** Entries are in order: the newest first, those of one HLC by ascending id, of which the last is the latest. */
  #answerLatest(why: (hlc: bigint) => string): void {
    const entries = this.#entries
    let candidates = 0
    let latest = -1
    let isTie = true
    for (let i = 0; i < entries.count; i++) {
      if (!this.#isStanding(i)) continue
      candidates++
      isTie &&= latest < 0 || entries.isSameHlc(latest, i)
      if (isTie) latest = i
    }
    if (latest < 0) return
    const { subject, predicate } = this.#question
    const winner = this.#read(latest)
    this.#give({ subject, predicate, candidates, winner, why: `${why(winner.hlc)} ${countText(candidates, 0)}` })
  }

  #answerThrough(lens: Lens): void {
    const candidates: StoredAssertion[] = []
    for (let i = 0; i < this.#entries.count; i++) if (this.#isStanding(i)) candidates.push(this.#read(i))
    if (candidates.length === 0) return
    const { subject, predicate } = this.#question
    const resolution = lens.resolve(candidates, this.#context)
    this.#give(answerPartsOf({ subject, predicate, candidates: candidates.length, cut: 0, leftOut: 0 }, resolution, (winner) => winner))
  }

  #read(i: number): StoredAssertion {
    const { reader } = this.#deps
    return reader.readEntry === undefined ? reader.read(this.#entries.place(i)) : reader.readEntry(this.#entries, i)
  }

  #give(answer: Parameters<ReplyBuilder['add']>[0]): void {
    if (!this.#deps.reply.add(answer)) tooLong()
  }
}

