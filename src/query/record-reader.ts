import { toHex } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { VoteTally } from '../lens/lens.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import {
  ALIAS_PREDICATE, EPOCH_PREDICATE, OUTCOME_PREDICATE, VOTE_PREDICATE, aliasSubject, epochSubject, isAliasable, outcomeSubject, voteSubject,
  type RecordKind, type StemeRecord,
} from '../record/records.ts'
import type { AssertionReader, CandidateSource, IndexEntry } from './candidate-source.ts'
import { RecordCache, type Parsed } from './record-cache.ts'
import { STEPS_PER_RECORD, newestRecords, parseEntry, type RecordRange } from './record-range.ts'
import {
  isHeard, standingAliases, standingEpochs, standingOutcomes, standingVotes, tallyOf, trustAt, type Said, type TrustPolicy,
} from './record-standing.ts'

/** Most votes on one assertion that are counted, the newest: one an agent. */
export const VOTES_READ_MAX = 1000
/** Most outcomes of one agent that are counted, the newest: one for each reporter and assertion. */
export const OUTCOMES_READ_MAX = 1000
/** Most epochs that name one as superseded. */
export const EPOCHS_READ_MAX = 1000
/** Most alias records of one subject: one for each agent and alias. */
export const ALIAS_RECORDS_READ_MAX = 1000
/** Most subjects that are taken for one by aliases, the one that was asked for among them. */
export const ALIASES_MAX = 64
/** Most records that one query looks at, whether they were kept or had to be read; beyond it there is nothing, and `isCut` says so. */
export const RECORDS_READ_MAX = 50_000

/** What the records beside assertions say, as of one moment. Made for one query; it keeps what it has read until then. */
export interface RecordReader {
  /** Nothing accepted after this HLC counts; undefined: now. */
  readonly asOfHlc: Hlc | undefined
  /** Some records were not looked at, because there are more than the bounds above. */
  readonly isCut?: boolean
  /** Whether that is so of anything that was told since the last call, also where it had been told before. */
  takeCut?(): boolean
  /** By what outcomes make a score. */
  readonly trustPolicy?: TrustPolicy
  /** @throws {DbError} as `AssertionReader.read` does; so do the others. */
  votesOf(id: Uint8Array): VoteTally
  /** 0..1, decayed to the moment. 0.5 where nothing is known. */
  trustOf(agent: Uint8Array): number
  /** Whether an epoch that stands, by whatever chain, has taken this one's place. Cycles are harmless. */
  isSuperseded(epoch: Uint8Array): boolean
  /** The subject itself first, then those that are the same thing by aliases, followed both ways and bounded. */
  aliasesOf(subject: string): readonly string[]
}

export interface RecordReaderDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  /** Left out: {@link TRUST_POLICY_DEFAULT}. */
  readonly trustPolicy?: TrustPolicy
  /** Shared by the queries of a thread. */
  readonly cache?: RecordCache
  readonly metrics?: ThreadMetrics
}

export const TRUST_POLICY_DEFAULT: TrustPolicy = Object.freeze({ halfLifeDays: 30, reporters: undefined })

/** Reads records from where assertions are. */
export function recordReader(deps: RecordReaderDependencies, asOfHlc: Hlc | undefined): RecordReader {
  return new StoredRecords(deps, asOfHlc)
}

type RecordOf<K extends RecordKind> = Extract<StemeRecord, { kind: K }>

class StoredRecords implements RecordReader {
  readonly asOfHlc: Hlc | undefined
  readonly trustPolicy: TrustPolicy
  readonly #deps: RecordReaderDependencies
  readonly #cache: RecordCache
  readonly #votes = new Map<string, Told<VoteTally>>()
  readonly #trust = new Map<string, Told<number>>()
  readonly #superseded = new Map<string, Told<boolean>>()
  readonly #aliases = new Map<string, Told<readonly string[]>>()
  #left = RECORDS_READ_MAX
  #isCut = false
  /** Of what was told since `takeCut`, and of what is being read. */
  #wasCut = false
  #isReadingCut = false

  constructor(deps: RecordReaderDependencies, asOfHlc: Hlc | undefined) {
    this.#deps = deps
    this.#cache = deps.cache ?? new RecordCache()
    this.asOfHlc = asOfHlc
    this.trustPolicy = deps.trustPolicy ?? TRUST_POLICY_DEFAULT
  }

  get isCut(): boolean {
    return this.#isCut
  }

  takeCut(): boolean {
    const wasCut = this.#wasCut
    this.#wasCut = false
    return wasCut
  }

  votesOf(id: Uint8Array): VoteTally {
    return this.#kept(this.#votes, toHex(id), () => tallyOf(standingVotes(this.#read({ kind: 'vote', subject: voteSubject(id), predicate: VOTE_PREDICATE, max: VOTES_READ_MAX }))))
  }

  trustOf(agent: Uint8Array): number {
    const nowMs = this.asOfHlc === undefined ? this.#deps.clock.wallMs() : hlcWallMs(this.asOfHlc)
    return this.#kept(this.#trust, toHex(agent), () => {
      const said = this.#read({
        kind: 'outcome', subject: outcomeSubject(agent), predicate: OUTCOME_PREDICATE, max: OUTCOMES_READ_MAX, counts: (one) => isHeard(one, this.trustPolicy),
      })
      return trustAt(standingOutcomes(said, this.trustPolicy), nowMs, this.trustPolicy)
    })
  }

  /** Each link of a chain stands under the one before it, so that the next link decides, whatever follows. */
  isSuperseded(epoch: Uint8Array): boolean {
    return this.#kept(this.#superseded, toHex(epoch), () =>
      standingEpochs(this.#read({ kind: 'epoch', subject: epochSubject(epoch), predicate: EPOCH_PREDICATE, max: EPOCHS_READ_MAX })).length > 0)
  }

  aliasesOf(subject: string): readonly string[] {
    return this.#kept(this.#aliases, subject, () => this.#closureOf(subject))
  }

  /** Breadth first, each step in the order of characters, so that what the bound leaves out is the same everywhere. */
  #closureOf(subject: string): readonly string[] {
    const found = new Set([subject])
    let step: readonly string[] = [subject]
    while (step.length > 0) {
      const next = new Set<string>()
      for (const from of step) {
        if (!isAliasable(from)) continue
        const said = this.#read({ kind: 'alias', subject: aliasSubject(from), predicate: ALIAS_PREDICATE, max: ALIAS_RECORDS_READ_MAX })
        for (const { record: { alias } } of standingAliases(said)) if (!found.has(alias)) next.add(alias)
      }
      step = [...next].sort().slice(0, ALIASES_MAX - found.size)
      if (step.length < next.size) this.#isReadingCut = true
      for (const alias of step) found.add(alias)
    }
    return [...found]
  }

  #kept<T>(map: Map<string, Told<T>>, key: string, make: () => T): T {
    let told = map.get(key)
    if (told === undefined) {
      this.#isReadingCut = false
      const value = make()
      map.set(key, told = { value, isCut: this.#isReadingCut })
    }
    if (told.isCut) this.#isCut = this.#wasCut = true
    return told.value
  }

  #read<K extends RecordKind>(range: Omit<RecordRange<K>, 'asOfHlc' | 'stepsMax'>): readonly Said<RecordOf<K>>[] {
    const stepsMax = Math.min(STEPS_PER_RECORD * range.max, this.#left)
    const { said, isCut, steps } = newestRecords<K, Said<RecordOf<K>>>(this.#deps.source, { ...range, asOfHlc: this.asOfHlc, stepsMax }, this.#parse)
    if (isCut) this.#isReadingCut = true
    this.#left = Math.max(0, this.#left - steps)
    return said
  }

  readonly #parse = (entry: IndexEntry): Parsed => {
    const { reader, metrics } = this.#deps
    const known = this.#cache.get(entry.lsn)
    metrics?.inc('record_lookups_total', { result: known === undefined ? 'read' : 'kept' })
    if (known !== undefined) return known
    const parsed = parseEntry(reader, entry)
    this.#cache.set(entry.lsn, parsed)
    return parsed
  }
}

/** What was made of records, and whether there were more of them. */
interface Told<T> {
  readonly value: T
  readonly isCut: boolean
}
