import { SOURCE_CLASSES } from '../record/assertion.ts'
import type { IndexEntry } from './candidate-source.ts'

/** Most candidates of one subject and predicate that a lens is given because they are the newest. */
export const CANDIDATES_MAX = 1000
/** So many of the newest of each tier are candidates however many of other tiers are newer: no number of posts pushes out a regulator. */
export const TIER_CANDIDATES_MAX = 200
/** Most entries of a pair that are no candidates, but may change one: the newest. Whoever names a parent makes one, so that they have a bound of their own. */
export const CHANGERS_MAX = 1000
/** So many of the newest of each source are candidates of a lens that counts sources: no number of restatements pushes out another source. */
export const SOURCE_CANDIDATES_MAX = 16
/** Most candidates that a lens is given because of their sources, beside those above. */
export const SOURCED_CANDIDATES_MAX = 1000
/** Every tier, as bits. */
export const ALL_TIERS = (1 << SOURCE_CLASSES.length) - 1

/** `candidate`: it may be one. `changer`: it is none, but names a parent, so that it may change what becomes of a candidate. */
export type Role = 'candidate' | 'changer'

const NONE: ReadonlySet<IndexEntry> = new Set()

/** What is known of one subject and predicate, without any claim read. */
export interface Pair {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  /** The newest first, as many as `PairBounds` lets in. */
  readonly entries: readonly IndexEntry[]
  /** Those of them that are no candidates themselves, but may change one. */
  readonly changers: ReadonlySet<IndexEntry>
  /** There were more, or may have been. */
  readonly isCut: boolean
}

/** What a lens wants of a pair beside its newest entries. */
export interface Wants {
  /** Tiers whose newest are wanted however many of others are newer, as bits; 0: none. */
  readonly tiers: number
  /** What an entry's claim cites, as text; undefined where no more claims may be read. Left out: sources do not matter. */
  readonly sourceOf?: (entry: IndexEntry) => string | undefined
}

/** What is kept of one pair whose entries are offered newest first. */
export class PairBounds {
  readonly #entries: IndexEntry[] = []
  readonly #ofTier = new Uint16Array(SOURCE_CLASSES.length)
  readonly #wants: Wants
  /** How many are kept of each source; made when the first one is kept for its source. */
  #ofSource: Map<string, number> | undefined
  #sourced = 0
  #changers: Set<IndexEntry> | undefined
  #candidates = 0
  #isCut = false

  constructor(wants: Wants) {
    this.#wants = wants
  }

  /** Something that was wanted was not kept. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** What is older is kept for its tier or its source only. */
  get hasNewest(): boolean {
    return this.#candidates >= CANDIDATES_MAX
  }

  /** No candidate that is older than all these would be kept. */
  get isFull(): boolean {
    const { tiers, sourceOf } = this.#wants
    return this.hasNewest && (sourceOf === undefined || this.#sourced >= SOURCED_CANDIDATES_MAX)
      && this.#ofTier.every((count, tier) => count >= TIER_CANDIDATES_MAX || (tiers >> tier & 1) === 0)
  }

  /** There is nothing to tell of the pair. */
  get isEmpty(): boolean {
    return this.#entries.length === 0 && !this.#isCut
  }

  /** Keeps the entry where it is wanted and there is room for it. */
  offer(entry: IndexEntry, role: Role | undefined): void {
    if (role === undefined) return
    if (!(role === 'candidate' ? this.#takes(entry) : this.#change(entry))) {
      this.#isCut = true
      return
    }
    this.#entries.push(entry)
  }

  /** Says that there is more, or may be. */
  cut(): void {
    this.#isCut = true
  }

  pair({ subject, predicate }: Pick<Pair, 'subject' | 'predicate'>): Pair {
    return { subject, predicate, entries: this.#entries, changers: this.#changers ?? NONE, isCut: this.#isCut }
  }

  #takes(entry: IndexEntry): boolean {
    const { sourceClass } = entry
    const isOwed = (this.#wants.tiers >> sourceClass & 1) === 1 && this.#ofTier[sourceClass]! < TIER_CANDIDATES_MAX
    if (this.hasNewest && !isOwed && !this.#isOfRareSource(entry)) return false
    this.#candidates++
    this.#ofTier[sourceClass]!++
    return true
  }

  #isOfRareSource(entry: IndexEntry): boolean {
    const { sourceOf } = this.#wants
    if (sourceOf === undefined || this.#sourced >= SOURCED_CANDIDATES_MAX) return false
    if (this.#ofSource === undefined) {
      this.#ofSource = new Map()
      for (const kept of this.#entries) if (this.#changers?.has(kept) !== true) this.#count(sourceOf(kept))
    }
    const source = sourceOf(entry)
    if (source === undefined || (this.#ofSource.get(source) ?? 0) >= SOURCE_CANDIDATES_MAX) return false
    this.#count(source)
    this.#sourced++
    return true
  }

  #count(source: string | undefined): void {
    if (source !== undefined) this.#ofSource!.set(source, (this.#ofSource!.get(source) ?? 0) + 1)
  }

  #change(entry: IndexEntry): boolean {
    this.#changers ??= new Set()
    if (this.#changers.size >= CHANGERS_MAX) return false
    this.#changers.add(entry)
    return true
  }
}
