import type { Clock } from '../base/clock.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Candidate, LensContext, Resolution } from '../lens/lens.ts'
import type { LensSettings } from '../lens/settings.ts'
import { CUT } from '../wire/query-reply.codec.ts'
import { answerPartsOf } from './answer-parts.ts'
import type { AssertionReader, CandidateSource, EntryPosition, EntryRange, IndexEntry, StoredAssertion, WalkPosition } from './candidate-source.ts'
import { ALL_TIERS, type Pair, type Role, type Wants } from './pair-bounds.ts'
import { AliasedPairs, GatheredPairs, ENTRIES_READ_MAX, PairReader, StepBudget, type PairSource } from './pairs.ts'
import { CLAIMS_READ_MAX, CandidateReader, type PairCandidate, type Selection } from './candidates.ts'
import { EquivocatorFinder } from './equivocators.ts'
import { consideredOf } from './explain.ts'
import { AssertionTexts, latestRangeOf } from './latest-match.ts'
import { LatestPairs } from './latest-pairs.ts'
import { entryPositionOf, type LensPlan } from './plan.ts'
import type { AnswerParts } from './reply.codec.ts'
import { claimEntries } from './reserved.ts'
import { rangeOf, seesAt, subjectsOf, tooLong, type Moment, type SubjectParts } from './scan.ts'

export interface LensQueryParts extends SubjectParts {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  readonly settings: LensSettings
  /** False: it does not fit any more. */
  readonly give: (answer: AnswerParts) => boolean
}

/**
 * Resolves pair after pair, up to the limits. Returns where the next page begins, or undefined behind the last pair.
 * @throws {DbError} as `AssertionReader.read`
 */
export function resolvePairs(plan: LensPlan, moment: Moment, parts: LensQueryParts): WalkPosition | undefined {
  const query = new LensQuery(plan, moment, parts)
  try {
    return query.run()
  } finally {
    query.close()
  }
}

class LensQuery {
  readonly #plan: LensPlan
  readonly #parts: LensQueryParts
  readonly #pairs: PairSource | LatestPairs
  /** `#pairs`, where they come in the order of the log. */
  readonly #latest: LatestPairs | undefined
  readonly #budgets: readonly StepBudget[]
  readonly #candidates: CandidateReader
  /** Where the lens wants to know. */
  readonly #equivocators: EquivocatorFinder | undefined
  readonly #context: LensContext & { equivocators?: ReadonlySet<string> | undefined }
  readonly #watch: StageWatch
  #winnersRead = 0

  constructor(plan: LensPlan, moment: Moment, parts: LensQueryParts) {
    this.#plan = plan
    this.#parts = parts
    this.#watch = new StageWatch(parts.clock, plan.explain)
    const reads = { ...parts, filter: plan.filter, sees: seesAt(moment, parts.source) }
    this.#candidates = new CandidateReader({ ...reads, needsClaims: plan.lens.reads === 'claims' || plan.explain })
    this.#context = contextOf(plan, moment, parts)
    const subjects = subjectsOf(plan, parts)
    if (plan.lens.needs?.includes('equivocators') === true) this.#equivocators = new EquivocatorFinder(reads, moment, plan.aliases ? subjects : undefined)
    if (plan.order === 'log') {
      this.#budgets = [new StepBudget()]
      this.#pairs = this.#latest = this.#latestPairs(moment, this.#budgets[0]!)
      return
    }
    this.#budgets = subjects.map(() => new StepBudget(Math.ceil(ENTRIES_READ_MAX / subjects.length)))
    const sources = subjects.map((subject, i) => this.#pairsOf(rangeOf(plan, subject, moment, this.#positionIn(subject)), this.#budgets[i]!))
    const pairs = sources.length === 1 ? sources[0]! : new AliasedPairs(plan.subject, sources, this.#wants(this.#budgets[0]!))
    this.#pairs = gathersOf(plan) === undefined ? pairs : new GatheredPairs(pairs, this.#wants(this.#budgets[0]!))
  }

  close(): void {
    this.#pairs.close()
  }

  run(): WalkPosition | undefined {
    const { limit } = this.#plan
    let answers = 0
    for (let pairs = 0; ; pairs++) {
      this.#watch.begin()
      const claimsBefore = this.#candidateClaimsRead() + this.#winnersRead
      const pair = this.#pairs.next()
      if (pair === undefined) return this.#pairs.resumeAt()
      this.#watch.indexRead()
      const isUsedUp = this.#claimsRead() + this.#candidates.costOf(pair) > CLAIMS_READ_MAX && pairs > 0
      if (answers === limit || isUsedUp) return this.#beginOf(pair)
      const answer = this.#answer(pair, claimsBefore)
      if (answer === undefined) continue
      if (!this.#parts.give(answer)) return answers === 0 ? tooLong() : this.#beginOf(pair)
      answers++
    }
  }

  #beginOf({ subject, predicate }: Pair): WalkPosition {
    return this.#latest?.here() ?? { subject, predicate }
  }

  #claimsRead(): number {
    return this.#candidateClaimsRead() + (this.#latest?.claimsRead ?? 0)
  }

  #candidateClaimsRead(): number {
    return this.#candidates.claimsRead + (this.#equivocators?.claimsRead ?? 0)
  }

  /** The position of pairs of several subjects names the one that was asked for; each goes on at its predicate. */
  #positionIn(subject: Uint8Array): EntryPosition | undefined {
    const position = entryPositionOf(this.#plan)
    return position !== undefined && this.#plan.aliases ? { subject, predicate: position.predicate } : position
  }

  #pairsOf(range: EntryRange, budget: StepBudget, cuts = true): PairReader {
    const { predicate } = this.#plan
    const predicates = predicate === undefined ? gathersOf(this.#plan) : [predicate]
    const roleOf = (entry: IndexEntry): Role | undefined => this.#candidates.roleOf(entry, budget)
    return new PairReader(claimEntries(this.#parts.source, range), { predicates, roleOf, wants: this.#wants(budget), budget, cuts })
  }

  #wants(budget: StepBudget): Wants {
    const { lens: { newestOnly, countsSources }, filter } = this.#plan
    return {
      tiers: newestOnly === true ? 0 : filter.tiers ?? ALL_TIERS,
      ...countsSources === true && { sourceOf: (entry: IndexEntry) => this.#candidates.sourceOf(entry, budget) },
    }
  }

  #latestPairs(moment: Moment, budget: StepBudget): LatestPairs {
    const { source, reader } = this.#parts
    const gathers = gathersOf(this.#plan)
    const isGathered = gathers !== undefined
    return new LatestPairs(source.latest(latestRangeOf(this.#plan, moment)), {
      reader, filter: this.#plan.filter, texts: new AssertionTexts(this.#plan, gathers), isGathered, budget,
      mayReadClaim: () => this.#claimsRead() < CLAIMS_READ_MAX,
      pairsOf: (subject, predicate, cuts) => {
        const pairs = this.#pairsOf({ subject, subjectIsPrefix: false, predicate, asOfHlc: moment.asOfHlc }, budget, cuts)
        return isGathered ? new GatheredPairs(pairs, this.#wants(budget), cuts) : pairs
      },
    })
  }

  /** Undefined where nothing of the pair is a candidate, and nobody wants to know why. */
  #answer(pair: Pair, claimsBefore: number): AnswerParts | undefined {
    const { lens, explain, leaveOut } = this.#plan
    const selection = this.#candidates.select(pair)
    const { candidates, leftOut } = selection
    const isAnswered = candidates.length > 0 || (explain && leftOut.length > 0)
    if (!isAnswered && pair.isCut) this.#parts.noteCut(CUT.candidates)
    if (this.#latest?.settle(isAnswered ? newestOf(selection) : undefined) === false || !isAnswered) return undefined
    if (this.#equivocators !== undefined) this.#context.equivocators = this.#equivocators.find(pair, selection)
    this.#watch.claimsRead()
    this.#takeRecordsCut()
    const resolution = asFarAsKnown(lens.resolve<PairCandidate>(candidates, this.#context), pair)
    this.#watch.resolved()
    const cut = (pair.isCut ? CUT.candidates : 0) | (this.#takeRecordsCut() ? CUT.records : 0)
    const resolved = { subject: pair.subject, predicate: pair.predicate, candidates: candidates.length, cut, leftOut: leftOut.length, leaveOut }
    const parts = answerPartsOf(resolved, resolution, (winner) => ({ stored: this.#stored(winner), lifecycle: winner.lifecycle }))
    this.#watch.claimsRead()
    if (!explain) return parts
    const entriesRead = this.#budgets.reduce((sum, budget) => sum + budget.takeRead(), 0)
    const claimsRead = this.#candidateClaimsRead() + this.#winnersRead - claimsBefore
    return { ...parts, explanation: { ...consideredOf(lens, selection, resolution, this.#context), ...this.#watch.times(), entriesRead, claimsRead } }
  }

  /** Whether records were cut that the lens has asked for since the last call. */
  #takeRecordsCut(): boolean {
    const { needs = [] } = this.#plan.lens
    return needs.length > 0 && this.#parts.records().takeCut?.() === true
  }

  #stored({ stored, entry }: PairCandidate): StoredAssertion {
    if (stored !== undefined) return stored
    this.#winnersRead++
    return this.#parts.reader.read(entry)
  }
}

const utf8 = new TextEncoder()

/** Predicates that the lens looks at together, where the query names none. */
function gathersOf({ predicate, lens: { gathers } }: LensPlan): Uint8Array[] | undefined {
  return predicate === undefined ? gathers?.map((name) => utf8.encode(name)) : undefined
}

function contextOf({ lens: { needs = [] }, filter }: LensPlan, moment: Moment, { settings, records }: LensQueryParts): LensContext {
  return {
    ...settings,
    get nowMs() { return moment.nowMs },
    tolerance: filter.tolerance,
    ...needs.includes('votes') && { votesOf: (id) => records().votesOf(id) },
    ...needs.includes('trust') && { trustOf: (agent) => records().trustOf(agent) },
    ...needs.includes('epochs') && { isSuperseded: (epoch) => records().isSuperseded(epoch) },
  }
}

/** Of one mind are those that were looked at; of others nobody knows. */
const asFarAsKnown = <C extends Candidate>(resolution: Resolution<C>, { isCut }: Pair): Resolution<C> =>
  isCut && resolution.status === 'unanimous' ? { ...resolution, status: 'agreed' } : resolution

/** LSN of the newest candidate, or where there is none of the newest that was left out. */
function newestOf({ candidates, leftOut }: Selection): Lsn {
  const shown = candidates.length > 0 ? candidates : leftOut.map(({ candidate }) => candidate)
  return shown.reduce((newest, { entry: { lsn } }) => Math.max(newest, lsn), 0)
}

export interface StageTimes {
  readonly indexUs: number
  readonly readUs: number
  readonly resolveUs: number
}

/** How long each stage of one pair took. Looks at no clock unless somebody wants to know. */
class StageWatch {
  readonly #now: () => number
  #last = 0
  #indexMs = 0
  #readMs = 0
  #resolveMs = 0

  constructor(clock: Clock, isWanted: boolean) {
    this.#now = isWanted ? () => clock.monoMs() : () => 0
  }

  begin(): void {
    this.#last = this.#now()
    this.#indexMs = this.#readMs = this.#resolveMs = 0
  }

  indexRead(): void {
    this.#indexMs += this.#lap()
  }

  claimsRead(): void {
    this.#readMs += this.#lap()
  }

  resolved(): void {
    this.#resolveMs += this.#lap()
  }

  times(): StageTimes {
    const us = (ms: number): number => Math.round(ms * 1000)
    return { indexUs: us(this.#indexMs), readUs: us(this.#readMs), resolveUs: us(this.#resolveMs) }
  }

  #lap(): number {
    const now = this.#now()
    const lap = now - this.#last
    this.#last = now
    return lap
  }
}
