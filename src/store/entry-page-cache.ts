import type { EntryNode } from './entry-node.codec.ts'

/** About what a page takes. */
export const PAGE_BYTES = 6 * 1024

/** By run and number. Not an array a run: a run of ten million assertions has 160,000 pages, of which few are at hand. */
type Pages = Map<number, Map<number, EntryNode>>

/**
 * Nodes of the index by subject and predicate that were read lately, by run and number. A run's nodes never change, and a run's
 * number is never used again: what is kept is right as long as the list names the run, which whoever asks has to check.
 *
 * Two generations take turns: a page that is asked for moves to the young one; when that is full it becomes the old one, and what
 * was left in the old one is forgotten.
 */
export class EntryPageCache {
  readonly #perGeneration: number
  #young: Pages = new Map()
  #old: Pages = new Map()
  #youngCount = 0

  /** @param perGeneration pages; twice as many are kept at most. */
  constructor(perGeneration: number) {
    this.#perGeneration = perGeneration
  }

  get(run: number, number: number): EntryNode | undefined {
    const young = this.#young.get(run)?.get(number)
    if (young !== undefined) return young
    const old = this.#old.get(run)?.get(number)
    if (old !== undefined) this.keep(run, number, old)
    return old
  }

  keep(run: number, number: number, page: EntryNode): void {
    if (this.#youngCount >= this.#perGeneration) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngCount = 0
    }
    let pages = this.#young.get(run)
    if (pages === undefined) this.#young.set(run, pages = new Map<number, EntryNode>())
    if (!pages.has(number)) this.#youngCount++
    pages.set(number, page)
  }

  /** Forgets the runs that are not among these. */
  retain(runs: ReadonlySet<number>): void {
    for (const [run, pages] of this.#young) {
      if (runs.has(run)) continue
      this.#youngCount -= pages.size
      this.#young.delete(run)
    }
    for (const run of this.#old.keys()) if (!runs.has(run)) this.#old.delete(run)
  }
}
