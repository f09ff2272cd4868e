import { toHex } from '../base/bytes.ts'
import type { Candidate, LeftOut } from '../lens/lens.ts'
import { standing, type Standing } from '../lens/standing.ts'
import { lifecycleNumber, type Assertion } from '../record/assertion.ts'
import type { AssertionReader, CandidateSource, IndexEntry, Place, StoredAssertion } from './candidate-source.ts'
import { claimPasses, entryPasses, lifecyclePasses, readsClaims, type Filter } from './filter.ts'
import { CANDIDATES_MAX, type Pair, type Role } from './pair-bounds.ts'
import { ENTRIES_READ_MAX, type StepBudget } from './pairs.ts'

/** Most assertions that one query reads. */
export const CLAIMS_READ_MAX = 10_000
/** A claim that is read to see whether it passes the filter costs about as much as so many steps over the index, and counts as such. */
const CLAIM_STEPS = ENTRIES_READ_MAX / CLAIMS_READ_MAX

/** Proposed, under review, approved: what counts where nobody asks for anything else. */
export const LIFECYCLES_STANDING = 0b1110
/** Deprecated, rejected, retracted. */
const LIFECYCLES_TAKING_BACK = 0b1110000

export interface PairCandidate extends Candidate {
  readonly entry: IndexEntry
  /** Where its claim was read. */
  readonly stored?: StoredAssertion
  /** Number of the lifecycle that its agent has given it since; absent: it has its own. */
  readonly lifecycle?: number
}

/** An assertion whose claim was read. */
interface ReadCandidate extends Candidate {
  /** Absent: it is no candidate, but a parent that stands outside of the entries that were kept. */
  readonly entry?: IndexEntry
  readonly assertion: Assertion
  readonly stored: StoredAssertion
}

export interface Selection {
  /** What a lens is given, the newest first. */
  readonly candidates: readonly PairCandidate[]
  /** What would have been, had nobody changed it. */
  readonly leftOut: readonly LeftOut<PairCandidate>[]
  /** What a new version has taken the place of, whether or not it passes the filter. */
  readonly replaced: readonly Candidate[]
  /** All that parents connect, whatever has become of it. */
  readonly connected: readonly Candidate[]
}

/**
 * Chooses the candidates of a pair, and reads as few claims for it as can be.
 *
 * Invariant: **what no parent edge touches stands by itself.** An assertion changes another only by naming it as its parent, and
 * the index says of each entry whether it names one. So it is enough to read those that do, and whatever they name, and what that
 * names: `standing` says of each of these few what it would say of it among all. Whether a change was accepted before
 * or after what it changes does not matter, and must not: another node may have taken them in the other order.
 */
export class CandidateReader {
  readonly #deps: Pick<CandidateReaderDependencies, 'source' | 'reader'>
  readonly #filter: Filter
  readonly #lifecycles: number
  readonly #asksForStanding: boolean
  readonly #filtersClaims: boolean
  readonly #readsAll: boolean
  readonly #sees: (place: Place) => boolean
  /** What was read to see whether it passes: whoever drops the entry drops it. */
  readonly #known = new WeakMap<IndexEntry, ReadCandidate>()
  #claimsRead = 0

  constructor({ source, reader, filter, needsClaims, sees }: CandidateReaderDependencies) {
    this.#deps = { source, reader }
    this.#filter = filter
    this.#lifecycles = filter.lifecycles ?? LIFECYCLES_STANDING
    this.#asksForStanding = (this.#lifecycles & LIFECYCLES_STANDING) !== 0
    this.#filtersClaims = readsClaims(filter)
    this.#readsAll = needsClaims || this.#filtersClaims
    this.#sees = sees
  }

  get claimsRead(): number {
    return this.#claimsRead
  }

  /**
   * What an entry of a pair has to be kept as: what may be a candidate, and what may change one. Where the filter asks for what only
   * the claim says, the claim is read now, on the budget: what does not pass must not take the place of what does.
   * @throws {DbError} as `AssertionReader.read`
   */
  roleOf(entry: IndexEntry, budget: StepBudget): Role | undefined {
    const isStanding = lifecyclePasses(LIFECYCLES_STANDING, entry.lifecycle)
    const mayBe = (isStanding ? this.#asksForStanding : lifecyclePasses(this.#lifecycles, entry.lifecycle)) && entryPasses(this.#filter, entry)
    if (mayBe && (!this.#filtersClaims || this.#claimMayPass(entry, budget))) return 'candidate'
    return entry.hasParent ? 'changer' : undefined
  }

  #claimMayPass(entry: IndexEntry, budget: StepBudget): boolean {
    const claim = this.#claimOn(budget, entry)
    return claim !== undefined && claimPasses(this.#filter, claim)
  }

  /**
   * What the entry's claim cites, as text; undefined where the budget has no claim left.
   * @throws {DbError} as `AssertionReader.read`
   */
  sourceOf(entry: IndexEntry, budget: StepBudget): string | undefined {
    const claim = this.#claimOn(budget, entry)
    return claim === undefined ? undefined : toHex(claim.sourceHash)
  }

  #claimOn(budget: StepBudget, entry: IndexEntry): Assertion | undefined {
    const known = this.#known.get(entry)
    if (known !== undefined) return known.assertion
    if (!budget.take(CLAIM_STEPS)) return undefined
    const read = this.#read(entry)
    this.#known.set(entry, read)
    return read.assertion
  }

  /** About how many claims `select` will read of a pair. */
  costOf({ entries }: Pair): number {
    const readsAny = this.#readsAll || entries.some(({ hasParent }) => hasParent)
    return readsAny ? entries.reduce((cost, entry) => cost + (this.#known.has(entry) ? 0 : 1), 0) : 0
  }

  /** @throws {DbError} as `AssertionReader.read` */
  select({ entries }: Pair): Selection {
    const connected = this.#connected(entries)
    const candidates: PairCandidate[] = []
    for (const entry of entries) {
      const read = connected?.reads.get(entry)
      const status = read === undefined ? UNCHANGED : connected!.statusOf(read)
      if (!this.#passes(entry, status)) continue
      const given = status.lifecycle === undefined ? {} : { lifecycle: status.lifecycle }
      if (!this.#readsAll) {
        // Ids of one length, whichever of them were read.
        candidates.push({ id: entry.idPrefix, hlc: entry.hlc, entry, ...read !== undefined && { stored: read.stored }, ...given })
        continue
      }
      const candidate = read ?? this.#read(entry)
      if (claimPasses(this.#filter, candidate.assertion)) candidates.push({ ...candidate, entry, ...given })
    }
    if (connected === undefined) return { candidates, leftOut: [], replaced: [], connected: [] }
    return { candidates, leftOut: this.#leftOut(connected), replaced: connected.standing.replaced, connected: connected.all }
  }

  /** @param status what others have made of it. */
  #passes(entry: IndexEntry, { isOut, lifecycle = entry.lifecycle }: Status): boolean {
    // Who asks for what takes back gets it, although it never stands.
    if (isOut && !lifecyclePasses(LIFECYCLES_TAKING_BACK, entry.lifecycle)) return false
    return lifecyclePasses(this.#lifecycles, lifecycle) && entryPasses(this.#filter, entry)
  }

  #leftOut({ standing: { leftOut } }: Connected): LeftOut<PairCandidate>[] {
    const shown: LeftOut<PairCandidate>[] = []
    for (const { candidate: { entry, ...candidate }, why } of leftOut) {
      // What takes back is no candidate in the first place.
      if (entry === undefined || lifecyclePasses(LIFECYCLES_TAKING_BACK, entry.lifecycle)) continue
      if (this.#passes(entry, UNCHANGED) && claimPasses(this.#filter, candidate.assertion)) shown.push({ candidate: { ...candidate, entry }, why })
    }
    return shown
  }

  /** Those that name a parent, and those that are one, read; undefined where there is no edge. */
  #connected(entries: readonly IndexEntry[]): Connected | undefined {
    const children = entries.filter(({ hasParent }) => hasParent)
    if (children.length === 0) return undefined
    const connected = new Connected()
    for (const entry of children) connected.add(this.#read(entry))
    const missing = new Set(connected.missing().map(prefixOf))
    for (const entry of entries) {
      if (!entry.hasParent && missing.has(prefixOf(entry.idPrefix))) connected.add(this.#read(entry))
    }
    this.#addOutsiders(connected)
    return connected
  }

  /** A parent may stand beyond the entries that were kept: among older ones, or because it does not pass the filter itself. */
  #addOutsiders(connected: Connected): void {
    for (let count = 0; ;) {
      const missing = connected.missing()
      if (missing.length === 0) return
      for (const id of missing) {
        const place = count++ < CANDIDATES_MAX ? this.#deps.source.byId(id) : undefined
        if (place === undefined || !this.#sees(place)) connected.isNowhere(id)
        else connected.add(this.#read(place))
      }
    }
  }

  #read(place: IndexEntry | Place): ReadCandidate {
    const known = 'idPrefix' in place ? this.#known.get(place) : undefined
    if (known !== undefined) return known
    this.#claimsRead++
    const stored = this.#deps.reader.read(place)
    const entry = 'idPrefix' in place ? { entry: place } : {}
    return { id: stored.id, hlc: stored.hlc, assertion: stored.assertion, stored, ...entry }
  }
}

export interface CandidateReaderDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly filter: Filter
  /** Whoever gets the candidates looks at their claims. */
  readonly needsClaims: boolean
  /** Whether an assertion counts at the moment that the query is about. */
  readonly sees: (place: Place) => boolean
}

/** What others have made of an assertion. */
interface Status {
  readonly isOut: boolean
  /** Number of the lifecycle that it has got; absent: its own. */
  readonly lifecycle?: number
}

const UNCHANGED: Status = { isOut: false }

/** The assertions of a pair that parent edges touch. */
class Connected {
  readonly reads = new Map<IndexEntry, ReadCandidate>()
  readonly all: ReadCandidate[] = []
  readonly #known = new Set<string>()
  readonly #parents = new Map<string, Uint8Array>()
  #standing: Standing<ReadCandidate> | undefined
  #stands: ReadonlySet<ReadCandidate> = new Set()

  add(read: ReadCandidate): void {
    const { parent } = read.assertion
    this.all.push(read)
    if (read.entry !== undefined) this.reads.set(read.entry, read)
    this.#known.add(toHex(read.id))
    if (parent !== undefined) this.#parents.set(toHex(parent), parent)
  }

  isNowhere(id: Uint8Array): void {
    this.#known.add(toHex(id))
  }

  /** Ids of parents that are not known yet. */
  missing(): Uint8Array[] {
    return [...this.#parents].filter(([hex]) => !this.#known.has(hex)).map(([, id]) => id)
  }

  get standing(): Standing<ReadCandidate> {
    if (this.#standing === undefined) {
      this.#standing = standing(this.all)
      this.#stands = new Set(this.#standing.standing)
    }
    return this.#standing
  }

  statusOf(read: ReadCandidate): Status {
    const lifecycle = this.standing.lifecycles.get(read)
    return { isOut: !this.#stands.has(read), ...lifecycle !== undefined && { lifecycle: lifecycleNumber(lifecycle) } }
  }
}

/** The first 8 bytes of an id. */
const prefixOf = (id: Uint8Array): bigint => new DataView(id.buffer, id.byteOffset, id.length).getBigUint64(0)
