import { compareBytes } from '../base/bytes.ts'
import type { EntryCursor, EntryPosition, IndexEntry } from './candidate-source.ts'
import { PairBounds, type Pair, type Role, type Wants } from './pair-bounds.ts'

/** Most index entries that one query steps over; then it answers with what it has, and says so. */
export const ENTRIES_READ_MAX = 100_000
/** Once a pair has its newest candidates, so many more of its entries are looked at for what is rare among older ones. */
export const RARE_ENTRIES_READ_MAX = ENTRIES_READ_MAX / 10
/** A look-up costs about as much as so many steps, and counts as such. */
export const SEEK_STEPS = 16

/** What a query may still read of the index. */
export class StepBudget {
  #left: number
  #entries = 0

  constructor(stepsMax = ENTRIES_READ_MAX) {
    this.#left = stepsMax
  }

  /** False: it is used up. */
  take(steps: number): boolean {
    if (this.#left < steps) {
      this.#left = 0
      return false
    }
    this.#left -= steps
    return true
  }

  get isUsedUp(): boolean {
    return this.#left === 0
  }

  entryRead(): void {
    this.#entries++
  }

  /** Entries read since the last call. */
  takeRead(): number {
    const entries = this.#entries
    this.#entries = 0
    return entries
  }
}

/** Pairs by ascending subject and predicate. */
export interface PairSource {
  /** The next pair that has an entry which is wanted; undefined at the end, or where the budget is used up. */
  next(): Pair | undefined
  /** Where what `next` has not given begins; undefined where there is nothing. */
  resumeAt(): EntryPosition | undefined
  close(): void
}

export interface PairReaderOptions {
  /** Undefined: all. */
  readonly predicates: readonly Uint8Array[] | undefined
  /** What an entry is wanted as; undefined: it is not. */
  readonly roleOf: (entry: IndexEntry) => Role | undefined
  readonly wants: Wants
  readonly budget: StepBudget
  /** False: no pair is cut by the end of the budget, not even the first. Left out: true. */
  readonly cuts?: boolean
}

/** Groups a cursor's entries by subject and predicate. */
export class PairReader implements PairSource {
  readonly #cursor: EntryCursor
  readonly #options: PairReaderOptions
  /** The first entry that belongs to no pair that was given. */
  #pending: IndexEntry | undefined
  /** Where the budget ended; the cursor is not used any more. */
  #stoppedAt: EntryPosition | undefined
  /** A pair that is so large that the budget ends within is cut where it is the first, or no page would ever get past it. */
  #isFirst: boolean

  constructor(cursor: EntryCursor, options: PairReaderOptions) {
    this.#cursor = cursor
    this.#options = options
    this.#isFirst = options.cuts ?? true
    this.#pending = this.#step()
  }

  next(): Pair | undefined {
    while (this.#pending !== undefined && this.#stoppedAt === undefined) {
      const first = this.#pending
      const pair = this.#isWanted(first) ? this.#read(first) : this.#skip(first)
      if (pair !== undefined) return pair
    }
    return undefined
  }

  resumeAt(): EntryPosition | undefined {
    return this.#stoppedAt ?? (this.#pending === undefined ? undefined : beginOf(this.#pending))
  }

  close(): void {
    this.#cursor.close()
  }

  #isWanted({ predicate }: IndexEntry): boolean {
    const { predicates } = this.#options
    return predicates === undefined || predicates.some((one) => sameBytes(one, predicate))
  }

  /** The pair of `first`; undefined where there is nothing of it to tell, or the budget ended. */
  #read(first: IndexEntry): Pair | undefined {
    const { roleOf, wants } = this.#options
    const kept = new PairBounds(wants)
    let entry: IndexEntry | undefined = first
    for (let rare = 0; entry !== undefined && isSamePair(first, entry); rare += kept.hasNewest ? 1 : 0) {
      if (rare > RARE_ENTRIES_READ_MAX) kept.cut()
      else kept.offer(entry, roleOf(entry))
      entry = rare > RARE_ENTRIES_READ_MAX || (kept.isFull && kept.isCut) ? this.#behind(first) : this.#step()
    }
    if (entry === undefined && this.#stoppedAt !== undefined) {
      if (!this.#isFirst) {
        this.#stoppedAt = beginOf(first)
        return undefined
      }
      kept.cut()
      this.#stoppedAt = undefined
      this.#cursor.skipPair()
      entry = this.#cursor.next()
    }
    this.#pending = entry
    this.#isFirst = false
    return kept.isEmpty ? undefined : kept.pair(first)
  }

  /** Steps over a pair: one by one as long as that is cheaper than a look-up. */
  #skip(first: IndexEntry): undefined {
    let entry: IndexEntry | undefined = first
    for (let steps = 0; entry !== undefined && isSamePair(first, entry); steps++) {
      entry = steps < SEEK_STEPS ? this.#step() : this.#behind(first)
    }
    if (this.#stoppedAt !== undefined) this.#stoppedAt = beginOf(first)
    this.#pending = entry
    this.#isFirst = false
  }

  #behind(first: IndexEntry): IndexEntry | undefined {
    if (!this.#options.budget.take(SEEK_STEPS)) return this.#stop(first)
    this.#cursor.skipPair()
    return this.#step()
  }

  #step(): IndexEntry | undefined {
    if (!this.#options.budget.take(1)) return this.#stop(this.#pending)
    const entry = this.#cursor.next()
    if (entry !== undefined) this.#options.budget.entryRead()
    return entry
  }

  #stop(at: IndexEntry | undefined): undefined {
    if (at !== undefined) this.#stoppedAt = beginOf(at)
  }
}

const NO_PREDICATE = new Uint8Array(0)

/** Pairs of one subject as one, under no predicate: for a lens that looks at several predicates together. */
export class GatheredPairs implements PairSource {
  readonly #source: PairSource
  readonly #wants: Wants
  #head: Pair | undefined
  #stoppedAt: EntryPosition | undefined
  #isFirst: boolean

  /** @param cuts as in PairReaderOptions */
  constructor(source: PairSource, wants: Wants, cuts = true) {
    this.#source = source
    this.#wants = wants
    this.#isFirst = cuts
    this.#head = source.next()
  }

  next(): Pair | undefined {
    const first = this.#head
    if (first === undefined || this.#stoppedAt !== undefined) return undefined
    const { subject } = first
    const pairs: Pair[] = []
    for (let pair: Pair | undefined = first; pair !== undefined && sameBytes(pair.subject, subject); this.#head = pair = this.#source.next()) pairs.push(pair)
    const isStopped = this.#stopsWithin(subject)
    if (isStopped && !this.#isFirst) return this.#stop(subject)
    this.#isFirst = false
    return unionOf(pairs, { subject, predicate: NO_PREDICATE }, this.#wants, isStopped)
  }

  resumeAt(): EntryPosition | undefined {
    if (this.#stoppedAt !== undefined) return this.#stoppedAt
    return this.#head === undefined ? this.#source.resumeAt() : { subject: this.#head.subject, predicate: NO_PREDICATE }
  }

  close(): void {
    this.#source.close()
  }

  #stopsWithin(subject: Uint8Array): boolean {
    const at = this.#head === undefined ? this.#source.resumeAt() : undefined
    return at !== undefined && sameBytes(at.subject, subject)
  }

  #stop(subject: Uint8Array): undefined {
    this.#stoppedAt = { subject, predicate: NO_PREDICATE }
  }
}

/** Several pairs as one, within the bounds of one. @param isCut more of it was not read */
function unionOf(pairs: readonly Pair[], of: Pick<Pair, 'subject' | 'predicate'>, wants: Wants, isCut = false): Pair {
  const offered = pairs.flatMap(({ entries, changers }) => entries.map((entry) => ({ entry, isChanger: changers.has(entry) })))
  offered.sort((a, b) => newestFirst(a.entry, b.entry))
  const kept = new PairBounds(wants)
  for (const { entry, isChanger } of offered) kept.offer(entry, isChanger ? 'changer' : 'candidate')
  if (isCut || pairs.some((pair) => pair.isCut)) kept.cut()
  return kept.pair(of)
}

/** The pairs of several subjects that are the same thing, as those of the first. */
export class AliasedPairs implements PairSource {
  readonly #subject: Uint8Array
  readonly #wants: Wants
  readonly #sources: readonly PairSource[]
  readonly #heads: (Pair | undefined)[]

  /** @param sources one a subject, each by ascending predicate */
  constructor(subject: Uint8Array, sources: readonly PairSource[], wants: Wants) {
    this.#subject = subject
    this.#wants = wants
    this.#sources = sources
    this.#heads = sources.map((source) => source.next())
  }

  next(): Pair | undefined {
    const predicate = this.#lowest()
    // Where one of them stopped, nothing may be said of what it would have had.
    if (predicate === undefined || !this.#isComplete(predicate)) return undefined
    const pairs: Pair[] = []
    this.#heads.forEach((head, i) => {
      if (head === undefined || !sameBytes(head.predicate, predicate)) return
      pairs.push(head)
      this.#heads[i] = this.#sources[i]!.next()
    })
    return unionOf(pairs, { subject: this.#subject, predicate }, this.#wants)
  }

  resumeAt(): EntryPosition | undefined {
    let lowest = this.#lowest()
    this.#heads.forEach((head, i) => {
      const stopped = head === undefined ? this.#sources[i]!.resumeAt() : undefined
      if (stopped !== undefined && (lowest === undefined || compareBytes(stopped.predicate, lowest) < 0)) lowest = stopped.predicate
    })
    return lowest === undefined ? undefined : { subject: this.#subject, predicate: lowest }
  }

  close(): void {
    for (const source of this.#sources) source.close()
  }

  #lowest(): Uint8Array | undefined {
    let lowest: Uint8Array | undefined
    for (const head of this.#heads) {
      if (head !== undefined && (lowest === undefined || compareBytes(head.predicate, lowest) < 0)) lowest = head.predicate
    }
    return lowest
  }

  #isComplete(predicate: Uint8Array): boolean {
    return this.#heads.every((head, i) => {
      const stopped = head === undefined ? this.#sources[i]!.resumeAt() : undefined
      return stopped === undefined || compareBytes(stopped.predicate, predicate) > 0
    })
  }
}

const beginOf = ({ subject, predicate }: IndexEntry): EntryPosition => ({ subject, predicate })

export const newestFirst = (a: IndexEntry, b: IndexEntry): number =>
  a.hlc === b.hlc ? compareBytes(a.idPrefix, b.idPrefix) : a.hlc > b.hlc ? -1 : 1

/** Entries of a cursor share the views of their pair. */
const isSamePair = (a: IndexEntry, b: IndexEntry): boolean =>
  (a.predicate === b.predicate && a.subject === b.subject) || (sameBytes(a.predicate, b.predicate) && sameBytes(a.subject, b.subject))

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}
