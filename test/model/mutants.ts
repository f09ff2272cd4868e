import type { Candidate, Lens, LensContext, Resolution } from '../../src/lens/lens.ts'
import { lensOf } from '../../src/lens/registry.ts'
import type { CandidateSource, EntryCursor, EntryRange, IndexEntry, LatestCursor, LatestRange, Place } from '../../src/query/candidate-source.ts'
import type { QueryDependencies } from '../../src/query/execute.ts'
import type { RecordReader } from '../../src/query/record-reader.ts'
import type { Mutation } from './engine.ts'

/*
 * Engines with one bug each. They are made of the real parts, with one of them wrapped, so that they outlive changes of the code: what the model is worth does not hang on
 * the text of the engine.
 */

/** A source as it is, for one of its members to be put in the place of. */
const passing = (source: CandidateSource): CandidateSource => ({
  appliedLsn: () => source.appliedLsn(), appliedHlc: () => source.appliedHlc?.(), byId: (id) => source.byId(id),
  entries: (range) => source.entries(range), latest: (range) => source.latest(range),
})

/** The next of a cursor that `change` leaves something of. */
const changedNext = <T>(cursor: { next(): T | undefined }, change: (item: T) => T | undefined) => (): T | undefined => {
  for (let item = cursor.next(); item !== undefined; item = cursor.next()) {
    const changed = change(item)
    if (changed !== undefined) return changed
  }
  return undefined
}

/** The index with entries seen otherwise, ranges asked otherwise. */
function withEntries(change: { entry?: (entry: IndexEntry) => IndexEntry | undefined, range?: (range: EntryRange) => EntryRange }): Mutation {
  const { entry: changeEntry = (entry) => entry, range: changeRange = (range) => range } = change
  return (deps) => {
    const { source } = deps
    const entries = (range: EntryRange): EntryCursor => {
      const cursor = source.entries(changeRange(range))
      return { ...bound(cursor), next: changedNext(cursor, changeEntry) }
    }
    return { ...deps, source: { ...passing(source), entries } }
  }
}

/** The order of the log, for questions that name no subject, asked or seen otherwise. */
function withLatest(change: { place?: (place: Place) => Place | undefined, range?: (range: LatestRange) => LatestRange }): Mutation {
  const { place: changePlace = (place) => place, range: changeRange = (range) => range } = change
  return (deps) => {
    const { source } = deps
    const latest = (range: LatestRange): LatestCursor => {
      const cursor = source.latest(changeRange(range))
      return { next: changedNext(cursor, changePlace), close: () => cursor.close() }
    }
    return { ...deps, source: { ...passing(source), latest } }
  }
}

const bound = (cursor: EntryCursor): EntryCursor =>
  ({ next: () => cursor.next(), skipPair: () => cursor.skipPair(), seek: (key) => cursor.seek(key), close: () => cursor.close() })

/** Lenses of which one, wherever it stands in a chain, decides otherwise. */
function withLens(name: string, resolve: <C extends Candidate>(lens: Lens, candidates: readonly C[], context: LensContext) => Resolution<C>): Mutation {
  return (deps) => ({
    ...deps,
    // A chain holds its parts by name: alone the lens is found best, which is often enough.
    lensOf: (asked) => {
      const lens = lensOf(asked)
      return asked === name ? { ...lens, resolve: (candidates, context) => resolve(lens, candidates, context) } : lens
    },
  })
}

const withRecords = (change: (reader: RecordReader) => Partial<RecordReader>): Mutation => (deps) => ({
  ...deps,
  records: (asOfHlc) => {
    const reader = deps.records(asOfHlc)
    return {
      asOfHlc: reader.asOfHlc, votesOf: (id) => reader.votesOf(id), trustOf: (agent) => reader.trustOf(agent),
      isSuperseded: (epoch) => reader.isSuperseded(epoch), aliasesOf: (subject) => reader.aliasesOf(subject), ...change(reader),
    }
  },
})

const asOf = (by: bigint): Mutation => withEntries({ range: (range) => range.asOfHlc === undefined ? range : { ...range, asOfHlc: range.asOfHlc + by } })

/** As if what is given once more were another assertion. */
function counted<C extends Candidate>(lens: Lens, candidates: readonly C[], context: LensContext): Resolution<C> {
  const twins = candidates.filter(({ assertion }) => assertion!.parent !== undefined).map((candidate): C => ({ ...candidate, id: candidate.id.map((byte) => byte ^ 0xff) }))
  const { answers, ...rest } = lens.resolve([...candidates, ...twins], context)
  return { ...rest, answers: answers.map((answer) => ({ ...answer, winner: candidates.find(({ hlc }) => hlc === answer.winner.hlc)! })) }
}

const instead = (other: string) => <C extends Candidate>(_lens: Lens, candidates: readonly C[], context: LensContext): Resolution<C> => lensOf(other).resolve(candidates, context)

const backwards = <C extends Candidate>(lens: Lens, candidates: readonly C[], context: LensContext): Resolution<C> => {
  const { answers, ...rest } = lens.resolve(candidates, context)
  return { ...rest, answers: answers.toReversed() }
}

/** As if all were of one tier. */
function untiered<C extends Candidate>(lens: Lens, candidates: readonly C[], context: LensContext): Resolution<C> {
  const { answers, ...rest } = lens.resolve(candidates.map((candidate): C => ({ ...candidate, assertion: { ...candidate.assertion!, sourceClass: 3 } })), context)
  return { ...rest, answers: answers.map((answer) => ({ ...answer, winner: candidates.find(({ hlc }) => hlc === answer.winner.hlc)! })) }
}

/** Both sides of what is demanded and forbidden, as if it were two values. */
function apart<C extends Candidate>(lens: Lens, candidates: readonly C[], context: LensContext): Resolution<C> {
  const [demanded, forbidden] = ['must_use', 'forbidden'].map((predicate) => lens.resolve(candidates.filter(({ assertion }) => assertion!.predicate === predicate), context))
  return { ...demanded!, answers: [...demanded!.answers, ...forbidden!.answers] }
}

const withSettings = (change: QueryDependencies['lensSettings']): Mutation => (deps) => ({ ...deps, lensSettings: { ...deps.lensSettings, ...change } })

export const MUTANTS: Readonly<Record<string, Mutation>> = {
  'retractions and new versions are ignored': withEntries({ entry: (entry) => ({ ...entry, hasParent: false }) }),
  'what was retracted from the start counts': withEntries({ entry: (entry) => ({ ...entry, lifecycle: Math.min(entry.lifecycle, 3) }) }),
  'as_of is off by one, to the past': asOf(-1n),
  'as_of is off by one, to the future': asOf(1n),
  'as_of is ignored': withEntries({ range: ({ asOfHlc: _asOfHlc, ...range }) => range }),
  'the oldest of everything is lost': withEntries({ entry: (entry) => entry.lsn === 1 ? undefined : entry }),
  'tiers are off by one in the index': withEntries({ entry: (entry) => ({ ...entry, sourceClass: Math.max(0, entry.sourceClass - 1) }) }),
  'pages see what is written between them': (deps) => {
    const { appliedHlc: _appliedHlc, ...source } = passing(deps.source)
    return { ...deps, source }
  },
  'the newest of the log are not seen': withLatest({ range: ({ lastHlc, ...range }) => ({ ...range, lastHlc: lastHlc === undefined ? undefined : lastHlc - 1n }) }),
  'a time range of the log begins one too late': withLatest({ range: ({ fromHlc, ...range }) => ({ ...range, fromHlc: fromHlc === undefined ? undefined : fromHlc + 1n }) }),
  'the first of each batch is not in the log': withLatest({ place: (place) => place.index === 0 ? undefined : place }),
  'a page of the log begins with the last of the one before': withLatest({ range: ({ belowLsn, ...range }) => ({ ...range, belowLsn: belowLsn === undefined ? undefined : belowLsn + 1 }) }),
  'consensus counts duplicates twice': withLens('consensus', counted),
  'skeptic counts duplicates twice': withLens('skeptic', counted),
  'independent counts keys': withLens('independent', instead('consensus')),
  'who says two things is looked for among what is left of them': (deps) => ({
    ...deps,
    lensOf: (name) => {
      const lens = lensOf(name)
      return { ...lens, resolve: (candidates, context) => lens.resolve(candidates, { ...context, equivocators: undefined }) }
    },
  }),
  'authority takes the least one': withLens('authority', (lens, candidates, context) => {
    const worst = Math.max(...candidates.map(({ assertion }) => assertion!.sourceClass))
    return lens.resolve(candidates.filter(({ assertion }) => assertion!.sourceClass === worst), context)
  }),
  'recency takes the first of a millisecond': withLens('recency', (lens, candidates, context) => {
    const last = candidates.reduce((latest, { hlc }) => hlc > latest ? hlc : latest, 0n)
    const others = candidates.filter(({ hlc }) => hlc < last && hlc >> 16n === last >> 16n)
    return lens.resolve(others.length > 0 ? others : candidates, context)
  }),
  'layered shows the last tier first': withLens('layered', backwards),
  'versions shows the oldest first': withLens('versions', backwards),
  'rules know no tiers': withLens('constraints', untiered),
  'what is demanded may be forbidden, too': withLens('constraints', apart),
  'rules of one predicate at a time': (deps) => ({
    ...deps,
    lensOf: (name) => {
      const { gathers: _gathers, ...lens } = lensOf(name)
      return lens
    },
  }),
  'a chain is its first lens': (deps) => ({ ...deps, lensOf: (name) => lensOf(name.split(',')[0]!) }),
  'nothing decays': withSettings({ halfLifeDays: [Infinity, Infinity, Infinity, Infinity, Infinity, Infinity] }),
  'nothing is ever escalated': withSettings({ escalationCount: 1_000_000 }),
  'votes against count for': withRecords((reader) => ({
    votesOf: (id) => {
      const votes = reader.votesOf(id)
      return { ...votes, agreeWeight: votes.agreeWeight + votes.disagreeWeight, disagreeWeight: 0 }
    },
  })),
  'votes of now are counted in the past': (deps) => ({ ...deps, records: () => deps.records(undefined) }),
  'trust does not decay': withRecords((reader) => ({ trustOf: (agent) => 0.5 + Math.sign(reader.trustOf(agent) - 0.5) * 0.1 })),
  'everybody is trusted alike': withRecords(() => ({ trustOf: () => 0.5 })),
  'epochs are never superseded': withRecords(() => ({ isSuperseded: () => false })),
  'aliases are followed one step': withRecords((reader) => ({ aliasesOf: (subject) => reader.aliasesOf(subject).slice(0, 2) })),
}
