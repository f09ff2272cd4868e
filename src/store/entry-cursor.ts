import { DbError } from '../base/errors.ts'
import { ENTRY_LIST_KEY, EntryNode, nodeKey } from './entry-node.codec.ts'
import { EntryPageCache } from './entry-page-cache.ts'
import { NODE_CHILDREN, nodeCounts } from './entry-runs.layout.ts'
import { decodeEntryRunList, type EntryRun, type EntryRunList } from './entry-run-list.ts'
import { EMPTY_RUN_LIST, runListVersion } from './run-list.codec.ts'
import type { RangeBounds, Store } from './store.ts'

/** Inner nodes that a reader keeps: about 4 KiB each. */
export const INNER_NODES_MAX = 4096
/** A read that finds the list of runs changed begins again; so often in a row only if something is broken. */
const ATTEMPTS_MAX = 64
/** Pages that a long scan fetches at a time from one run. */
const PAGES_AHEAD_MAX = 16

export interface FoundEntry {
  readonly key: Uint8Array
  /** `ENTRY_VALUE_BYTES` bytes. */
  readonly value: Uint8Array
}

/**
 * Reads the index by subject and predicate; one for each thread. It keeps the list of runs and their inner nodes, and checks
 * in the read that fetches pages, which sees one state of the column, that the list still holds: so a merge may remove
 * the runs that it has replaced at once.
 */
export class EntryReader {
  readonly #store: Store
  #list: EntryRunList = EMPTY_RUN_LIST
  /** By run, then by level and number. */
  readonly #inner = new Map<number, Map<number, EntryNode>>()
  #innerCount = 0
  readonly #pages = new EntryPageCache()

  constructor(store: Store) {
    this.#store = store
  }

  /** Entries by ascending key. What it sees is the index as it was at the call, or later. */
  entries(bounds: Pick<RangeBounds, 'gte' | 'lt'>): EntryRangeCursor {
    return new EntryRangeCursor(this, bounds.gte ?? new Uint8Array(0), bounds.lt)
  }

  /**
   * For each run, the page in which the first entry at or above `key` stands, if it has one there or behind.
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  open(key: Uint8Array): RunPosition[] {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { runs } = this.#list
      const steps = runs.map((run) => this.#descend(run, key))
      // What is at hand need not be read; the list is, in the same read as the rest: it says whether all of this holds.
      const wanted = steps.filter((step) => step.page === undefined)
      const values = this.#store.multiGet('sp', [ENTRY_LIST_KEY, ...wanted.map(({ run, level, number }) => nodeKey(run.id, level, number))])
      const list = values[0]
      if (list === undefined) return []
      if (runListVersion(list) !== this.#list.version) {
        this.#adopt(decodeEntryRunList(list))
        continue
      }
      wanted.forEach((step, i) => {
        const { run, level, number } = step
        const node = new EntryNode(values[i + 1] ?? missing())
        if (level > 0) return this.#keep(run, level, number, node)
        this.#pages.keep(run.id, number, node)
        step.page = node
      })
      const positions = steps.flatMap(({ run, number, page }) => page === undefined ? [] : [{ run, number, page }])
      if (positions.length === runs.length) return positions
      // Inner nodes were missing: they are at hand now, and the next attempt comes a level lower.
    }
    throw new DbError('internal', `the list of runs changed ${ATTEMPTS_MAX} times during one look-up`)
  }

  /**
   * Pages of a run from `number` on; undefined where the run has been merged away meanwhile.
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  pages(run: EntryRun, number: number, count: number): EntryNode[] | undefined {
    const keys = Array.from({ length: count }, (_, i) => nodeKey(run.id, 0, number + i))
    const [list, ...values] = this.#store.multiGet('sp', [ENTRY_LIST_KEY, ...keys])
    const isListed = list !== undefined && runListVersion(list) === this.#list.version
    const pages: EntryNode[] = []
    for (const bytes of values) {
      if (bytes === undefined) return isListed ? missing() : undefined
      pages.push(new EntryNode(bytes))
    }
    return pages
  }

  /** The lowest node on the way to `key` that is not at hand: the page, or an inner node. */
  #descend(run: EntryRun, key: Uint8Array): Step {
    const counts = nodeCounts(run.pages)
    let number = 0
    let level = counts.length - 1
    for (; level > 0; level--) {
      const node = this.#inner.get(run.id)?.get(innerKey(level, number))
      if (node === undefined) break
      number = Math.min(number * NODE_CHILDREN + Math.max(0, node.rank(key, true) - 1), counts[level - 1]! - 1)
    }
    return { run, level, number, page: level === 0 ? this.#pages.get(run.id, number) : undefined }
  }

  #keep(run: EntryRun, level: number, number: number, node: EntryNode): void {
    if (this.#innerCount >= INNER_NODES_MAX) this.#forget(() => true)
    let nodes = this.#inner.get(run.id)
    if (nodes === undefined) this.#inner.set(run.id, nodes = new Map<number, EntryNode>())
    nodes.set(innerKey(level, number), node)
    this.#innerCount++
  }

  #adopt(list: EntryRunList): void {
    this.#list = list
    const valid = new Set(list.runs.map((run) => run.id))
    this.#forget((run) => !valid.has(run))
    this.#pages.retain(valid)
  }

  #forget(which: (run: number) => boolean): void {
    for (const [run, nodes] of this.#inner) {
      if (!which(run)) continue
      this.#innerCount -= nodes.size
      this.#inner.delete(run)
    }
  }
}

const innerKey = (level: number, number: number): number => level * 2 ** 32 + number

function missing(): never {
  throw new DbError('store_corrupt', 'a page of the index of subjects is missing; run "stemedb store rebuild"')
}

/** The node of a run to look at next on the way to a key. */
interface Step {
  readonly run: EntryRun
  readonly level: number
  readonly number: number
  /** Of level 0, where it is at hand. */
  page: EntryNode | undefined
}

interface RunPosition {
  readonly run: EntryRun
  readonly number: number
  readonly page: EntryNode
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
  readonly #reader: EntryReader
  readonly #lt: Uint8Array | undefined
  #sources: Source[] = []
  #lastKey: Uint8Array | undefined
  #repeated = 0

  constructor(reader: EntryReader, gte: Uint8Array, lt: Uint8Array | undefined) {
    this.#reader = reader
    this.#lt = lt
    this.seek(gte)
  }

  /** Goes to the first entry at or above `key`. @throws {DbError} `store_corrupt`, and as the store does. */
  seek(key: Uint8Array): void {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      this.#sources = this.#reader.open(key).map(({ run, number, page }) =>
        ({ run, nextPage: number + 1, pages: [page], at: page.rank(key, false), head: key, pagesAhead: 1 }))
      if (this.#sources.every((source) => this.#settle(source))) {
        this.#sources = this.#sources.filter((source) => this.#isInRange(source))
        return
      }
    }
    throw new DbError('internal', `the list of runs changed ${ATTEMPTS_MAX} times during one look-up`)
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
