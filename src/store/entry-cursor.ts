import { DbError } from '../base/errors.ts'
import type { EntryNode } from './entry-node.codec.ts'
import type { EntryRun } from './entry-run-list.ts'

/** A read that finds the list of runs changed begins again; so often in a row only if something is broken. */
export const ENTRY_ATTEMPTS_MAX = 64
/** Pages that a long scan fetches at a time from one run. */
const PAGES_AHEAD_MAX = 16

export interface FoundEntry {
  readonly key: Uint8Array
  /** `ENTRY_VALUE_BYTES` bytes. */
  readonly value: Uint8Array
}

export interface RunPosition {
  readonly run: EntryRun
  readonly number: number
  readonly page: EntryNode
}

/** Gives pages of runs; `EntryReader` is one. Both throw {DbError} `store_corrupt`, and as the store does. */
export interface PageSource {
  /** For each run, the page in which the first entry at or above `key` stands, if it has one there or behind. */
  open(key: Uint8Array): readonly RunPosition[]
  /** Pages of a run from `number` on; undefined where the run has been merged away meanwhile. */
  pages(run: EntryRun, number: number, count: number): EntryNode[] | undefined
}

/** Where a cursor stands in one run. */
interface Source {
  readonly run: EntryRun
  /** Number of the page behind the last of `pages`. */
  nextPage: number
  readonly pages: EntryNode[]
  /** Of the first of `pages`. */
  at: number
  /** The key there. */
  head: Uint8Array
  pagesAhead: number
}

/** Entries of all runs in one order, each once, also where a record has been applied twice. */
export class EntryRangeCursor {
  readonly #reader: PageSource
  readonly #lt: Uint8Array | undefined
  #sources: Source[] = []
  #lastKey: Uint8Array | undefined
  #repeated = 0

  constructor(reader: PageSource, gte: Uint8Array, lt: Uint8Array | undefined) {
    this.#reader = reader
    this.#lt = lt
    this.seek(gte)
  }

  /** Goes to the first entry at or above `key`. @throws {DbError} `store_corrupt`, and as the store does. */
  seek(key: Uint8Array): void {
    for (let attempt = 0; attempt < ENTRY_ATTEMPTS_MAX; attempt++) {
      this.#sources = this.#reader.open(key).map(({ run, number, page }) =>
        ({ run, nextPage: number + 1, pages: [page], at: page.rank(key, false), head: key, pagesAhead: 1 }))
      if (this.#sources.every((source) => this.#settle(source))) {
        this.#sources = this.#sources.filter((source) => this.#isInRange(source))
        return
      }
    }
    throw new DbError('internal', `the list of runs changed ${ENTRY_ATTEMPTS_MAX} times during one look-up`)
  }

  /** The next entry, in memory of its own; undefined at the end. @throws {DbError} as `seek` */
  next(): FoundEntry | undefined {
    for (;;) {
      const source = this.#lowest()
      if (source === undefined) return undefined
      const key = source.head
      const isNew = this.#lastKey === undefined || Buffer.compare(this.#lastKey, key) !== 0
      const value = isNew ? source.pages[0]!.value(source.at) : undefined
      source.at++
      this.#lastKey = key
      if (!this.#settle(source)) this.seek(behind(key))
      else if (!this.#isInRange(source)) this.#sources = this.#sources.filter((other) => other !== source)
      if (value !== undefined) return { key, value }
      this.#repeated++
    }
  }

  /** Entries that were left out, because they had been given already. */
  get repeatedCount(): number {
    return this.#repeated
  }

  #lowest(): Source | undefined {
    let lowest = this.#sources[0]
    for (let i = 1; i < this.#sources.length; i++) {
      if (Buffer.compare(this.#sources[i]!.head, lowest!.head) < 0) lowest = this.#sources[i]
    }
    return lowest
  }

  /** Sees to it that `at` is an entry or the end of the run; false where the run is gone. */
  #settle(source: Source): boolean {
    while (source.pages.length > 0 && source.at === source.pages[0]!.count) {
      source.pages.shift()
      source.at = 0
      if (source.pages.length > 0 || source.nextPage === source.run.pages) continue
      const count = Math.min(source.pagesAhead, source.run.pages - source.nextPage)
      const pages = this.#reader.pages(source.run, source.nextPage, count)
      if (pages === undefined) return false
      source.pages.push(...pages)
      source.nextPage += count
      source.pagesAhead = Math.min(PAGES_AHEAD_MAX, 2 * source.pagesAhead)
    }
    if (source.pages.length > 0) source.head = source.pages[0]!.key(source.at)
    return true
  }

  #isInRange({ pages, head }: Source): boolean {
    return pages.length > 0 && (this.#lt === undefined || Buffer.compare(head, this.#lt) < 0)
  }
}

/** The first key above `key`. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}
