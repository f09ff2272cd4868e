import { equivocatorsOf } from '../lens/equivocation.ts'
import type { Candidate } from '../lens/lens.ts'
import { CandidateReader, type CandidateReaderDependencies, type Selection } from './candidates.ts'
import { ANYTHING, passesAll } from './filter.ts'
import type { Moment } from './scan.ts'
import { CANDIDATES_MAX, type Pair, type Wants } from './pair-bounds.ts'
import { AliasedPairs, PairReader, StepBudget } from './pairs.ts'

/** Steps over the index that the read of one subject's claims may take, past what was taken back from the start. */
const STEPS_MAX = 2 * CANDIDATES_MAX

const NEWEST: Wants = { tiers: 0 }

type Dependencies = Pick<CandidateReaderDependencies, 'source' | 'reader' | 'filter' | 'sees'>

/**
 * Finds the keys that contradict themselves on a pair, whatever the filter of a query leaves of it: among what stands, and what stood
 * until a new version took its place. What was taken back is forgiven.
 *
 * Where a filter leaves something out, the pair is read once more without it: its newest {@link CANDIDATES_MAX} claims. That takes nothing from
 * the query's steps, for no answer may depend on what a page has left; but the claims count, and they bound how many pairs there are.
 */
export class EquivocatorFinder {
  readonly #deps: Dependencies
  readonly #asOfHlc: Moment['asOfHlc']
  readonly #subjects: readonly Uint8Array[] | undefined
  readonly #candidates: CandidateReader

  /** @param subjects that are taken for one; undefined: that of each pair alone */
  constructor(deps: Dependencies, { asOfHlc }: Moment, subjects: readonly Uint8Array[] | undefined) {
    this.#deps = deps
    this.#subjects = subjects
    this.#asOfHlc = asOfHlc
    this.#candidates = new CandidateReader({ ...deps, filter: ANYTHING, needsClaims: true })
  }

  get claimsRead(): number {
    return this.#candidates.claimsRead
  }

  /**
   * @param selection of the pair by the query's filter, claims read
   * @returns keys, as 64 hex digits
   * @throws {DbError} as `AssertionReader.read`
   */
  find({ subject, predicate }: Pair, selection: Selection): ReadonlySet<string> {
    const selections = [selection]
    if (!passesAll(this.#deps.filter)) {
      const pair = this.#read(this.#subjects ?? [subject], predicate)
      if (pair !== undefined) selections.push(this.#candidates.select(pair))
    }
    const said = selections.flatMap(({ candidates, replaced }): readonly Candidate[] => [...candidates, ...replaced])
    return equivocatorsOf(said, selections.flatMap(({ connected }) => connected))
  }

  #read(subjects: readonly Uint8Array[], predicate: Uint8Array): Pair | undefined {
    const { source } = this.#deps
    const pairs = new AliasedPairs(subjects[0]!, subjects.map((subject) => {
      const entries = source.entries({ subject, subjectIsPrefix: false, predicate, asOfHlc: this.#asOfHlc })
      const budget = new StepBudget(STEPS_MAX)
      return new PairReader(entries, { predicates: [predicate], roleOf: (entry) => this.#candidates.roleOf(entry, budget), wants: NEWEST, budget })
    }), NEWEST)
    try {
      return pairs.next()
    } finally {
      pairs.close()
    }
  }
}
