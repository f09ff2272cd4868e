import type { Candidate } from '../lens/lens.ts'
import { standing } from '../lens/standing.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { Assertion } from '../record/assertion.ts'
import type { AssertionReader, IndexEntry, StoredAssertion } from './candidate-source.ts'
import { claimPasses, entryPasses, lifecyclePasses, readsClaims, type Filter } from './filter.ts'
import type { Pair } from './pairs.ts'

/** Most assertions that one query reads. */
export const CLAIMS_READ_MAX = 10_000

/** Proposed, under review, approved: what counts where nobody asks for anything else. */
export const LIFECYCLES_STANDING = 0b1110
const TAKES_BACK = 0b1110000

export interface PairCandidate extends Candidate {
  readonly entry: IndexEntry
  /** Where its claim was read. */
  readonly stored?: StoredAssertion
}

/** A candidate whose claim was read. */
interface ReadCandidate extends PairCandidate {
  readonly assertion: Assertion
  readonly stored: StoredAssertion
}

export interface LeftOut {
  readonly candidate: PairCandidate
  readonly why: string
}

export interface Selection {
  /** What a lens is given, the newest first. */
  readonly candidates: readonly PairCandidate[]
  /** What would have been, had nobody changed it. */
  readonly leftOut: readonly LeftOut[]
}

/** Which entries of a pair have to be kept: those that may be candidates, and those that may change one. */
export function keeperOf(filter: Filter): (entry: IndexEntry) => boolean {
  const lifecycles = filter.lifecycles ?? LIFECYCLES_STANDING
  const asksForStanding = (lifecycles & LIFECYCLES_STANDING) !== 0
  return (entry) => {
    if (entry.hasParent) return true
    const isStanding = lifecyclePasses(LIFECYCLES_STANDING, entry.lifecycle)
    return (isStanding ? asksForStanding : lifecyclePasses(lifecycles, entry.lifecycle)) && entryPasses(filter, entry)
  }
}

/**
 * Chooses the candidates of a pair, and reads as few claims for it as can be.
 *
 * Invariant: **what no parent edge touches stands by itself.** An assertion changes another only by naming it as its parent, and
 * the index says of each entry whether it names one. So it is enough to read those that do, and the entries whose id begins
 * like one of the parents; `standing` of these few says of each of them what it would say among all. Whether the change was accepted
 * before or after what it changes does not matter, and must not: another node may have taken them in the other order.
 */
export class CandidateReader {
  readonly #reader: AssertionReader
  readonly #filter: Filter
  readonly #lifecycles: number
  readonly #readsAll: boolean
  #claimsRead = 0

  /** @param needsClaims whoever gets the candidates looks at their claims. */
  constructor(reader: AssertionReader, filter: Filter, needsClaims: boolean) {
    this.#reader = reader
    this.#filter = filter
    this.#lifecycles = filter.lifecycles ?? LIFECYCLES_STANDING
    this.#readsAll = needsClaims || readsClaims(filter)
  }

  get claimsRead(): number {
    return this.#claimsRead
  }

  /** How many claims `select` will read of a pair at most. */
  costOf({ entries }: Pair): number {
    return this.#readsAll || entries.some(({ hasParent }) => hasParent) ? entries.length : 0
  }

  /** @throws {DbError} as `AssertionReader.read` */
  select({ entries }: Pair): Selection {
    const connected = this.#connected(entries)
    const { standing: stands, leftOut } = connected === undefined ? NOTHING : standing([...connected.values()])
    const standingEntries = connected === undefined ? undefined : new Set(stands.map(({ entry }) => entry))
    const candidates: PairCandidate[] = []
    for (const entry of entries) {
      const read = connected?.get(entry)
      const isOut = read !== undefined && !standingEntries!.has(entry)
      if (!this.#entryPasses(entry, isOut)) continue
      if (!this.#readsAll) {
        // Ids of one length, whichever of them were read.
        candidates.push({ id: entry.idPrefix, hlc: entry.hlc, entry, ...read !== undefined && { stored: read.stored } })
        continue
      }
      const candidate = read ?? this.#read(entry)
      if (claimPasses(this.#filter, candidate.assertion)) candidates.push(candidate)
    }
    return { candidates, leftOut: leftOut.filter(({ candidate }) => this.#isOfInterest(candidate)) }
  }

  /** @param isOut another assertion, or its own lifecycle, has taken it out of what stands. */
  #entryPasses(entry: IndexEntry, isOut: boolean): boolean {
    // Who asks for what takes back gets it, although it never stands.
    if (isOut && !lifecyclePasses(TAKES_BACK, entry.lifecycle)) return false
    return lifecyclePasses(this.#lifecycles, entry.lifecycle) && entryPasses(this.#filter, entry)
  }

  #isOfInterest({ entry, assertion }: ReadCandidate): boolean {
    return lifecyclePasses(this.#lifecycles, entry.lifecycle) && !lifecyclePasses(TAKES_BACK, entry.lifecycle)
      && entryPasses(this.#filter, entry) && claimPasses(this.#filter, assertion)
  }

  /** Those that name a parent, and those that may be one, read; undefined where there is no edge. */
  #connected(entries: readonly IndexEntry[]): Map<IndexEntry, ReadCandidate> | undefined {
    let connected: Map<IndexEntry, ReadCandidate> | undefined
    const parents = new Set<bigint>()
    for (const entry of entries) {
      if (!entry.hasParent) continue
      const read = this.#read(entry)
      const { parent } = read.assertion
      if (parent !== undefined) parents.add(prefixOf(parent))
      connected ??= new Map()
      connected.set(entry, read)
    }
    if (connected === undefined) return undefined
    for (const entry of entries) {
      if (!entry.hasParent && parents.has(prefixOf(entry.idPrefix))) connected.set(entry, this.#read(entry))
    }
    return connected
  }

  #read(entry: IndexEntry): ReadCandidate {
    this.#claimsRead++
    const stored = this.#reader.read(entry)
    return { id: stored.id, hlc: entry.hlc, assertion: decodeAssertion(stored.bytes), entry, stored }
  }
}

const NOTHING = { standing: [], leftOut: [] }

const prefixOf = (id: Uint8Array): bigint => new DataView(id.buffer, id.byteOffset, id.length).getBigUint64(0)
