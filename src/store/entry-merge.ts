import { grownBytes } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { EntryArena } from './entry-arena.ts'
import { EntryNode, commonBytes, nodeKey } from './entry-node.codec.ts'
import type { RunBuilder } from './entry-run-builder.ts'
import { PAGE_ENTRIES } from './entry-runs.layout.ts'
import type { EntryRun } from './entry-run-list.ts'
import type { KeySorter } from './entry-sort.ts'
import type { Store, StoreBatch } from './store.ts'
import type { YoungPages } from './young-pages.ts'

/** Pages that one round takes from all inputs together. */
const ROUND_PAGES = 64
/** Of each input, at least. */
const INPUT_PAGES_MIN = 2

interface Input {
  readonly run: EntryRun
  readonly pages: EntryNode[]
  nextPage: number
  /** Entries of the first of `pages` that are in the output. */
  at: number
}

/**
 * Merges runs into one, a round at a time. A round takes all entries up to the lowest of the inputs' last loaded keys and
 * sorts them: on thousands of keys with a common beginning that is cheaper than comparing the heads of many inputs.
 */
export class EntryMerge {
  readonly inputs: readonly EntryRun[]
  readonly output: RunBuilder
  readonly #store: Store
  readonly #young: YoungPages
  readonly #inputs: readonly Input[]
  readonly #arena = new EntryArena()
  /** By entry of the round: the number of its input. */
  #owners = new Uint8Array(1024)

  constructor(store: Store, young: YoungPages, inputs: readonly EntryRun[], output: RunBuilder) {
    this.#store = store
    this.#young = young
    this.inputs = inputs
    this.output = output
    this.#inputs = inputs.map((run) => ({ run, pages: [], nextPage: 0, at: 0 }))
  }

  /**
   * One round into `batch`. @returns entries written; 0 at the end.
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  round(sorter: KeySorter, batch: StoreBatch): number {
    this.#load()
    const bound = this.#bound()
    this.#gather(bound)
    const arena = this.#arena
    const order = sorter.order(arena.bytes, arena.keyStarts, arena.keyEnds, arena.count, this.#shared())
    // Whole pages, and the rest with the next round; at the end, or where less than a page has come together, all.
    const whole = arena.count - arena.count % PAGE_ENTRIES
    const count = bound === undefined || whole === 0 ? arena.count : whole
    this.output.add(arena, order, count, batch)
    this.#consume(order, count)
    return count
  }

  #load(): void {
    const open = this.#inputs.filter((input) => input.nextPage < input.run.pages)
    const each = Math.max(INPUT_PAGES_MIN, Math.floor(ROUND_PAGES / this.#inputs.length))
    const wanted: { readonly input: Input, readonly key: Uint8Array }[] = []
    for (const input of open) {
      const end = Math.min(input.run.pages, input.nextPage + each - input.pages.length)
      for (; input.nextPage < end; input.nextPage++) {
        const held = this.#young.page(input.run.id, input.nextPage)
        if (held === undefined) wanted.push({ input, key: nodeKey(input.run.id, 0, input.nextPage) })
        else input.pages.push(new EntryNode(held))
      }
    }
    if (wanted.length === 0) return
    // Each page is read once, and then gone.
    const values = this.#store.multiGet('sp', wanted.map(({ key }) => key), { fillCache: false })
    wanted.forEach(({ input }, i) => {
      const bytes = values[i]
      if (bytes === undefined) throw new DbError('store_corrupt', 'a page of the index of subjects is missing; run "stemedb store rebuild"')
      input.pages.push(new EntryNode(bytes))
    })
  }

  /** The key up to which every entry is loaded; undefined where all are. */
  #bound(): Uint8Array | undefined {
    let bound: Uint8Array | undefined
    for (const input of this.#inputs) {
      const last = input.pages.at(-1)
      if (input.nextPage === input.run.pages || last === undefined) continue
      const key = last.key(last.count - 1)
      if (bound === undefined || Buffer.compare(key, bound) < 0) bound = key
    }
    return bound
  }

  #gather(bound: Uint8Array | undefined): void {
    const arena = this.#arena
    arena.clear()
    this.#inputs.forEach((input, number) => {
      const before = arena.count
      let from = input.at
      for (const page of input.pages) {
        const to = bound === undefined ? page.count : page.rank(bound, true)
        if (to > from) page.copyTo(arena, from, to)
        if (to < page.count) break
        from = 0
      }
      if (arena.count > this.#owners.length) this.#owners = grownBytes(this.#owners, arena.count * 2)
      this.#owners.fill(number, before, arena.count)
    })
  }

  /** How many bytes all keys of the round share: those of the ends of each input, which is in order. */
  #shared(): number {
    const { count } = this.#arena
    let shared = Infinity
    for (let i = 0; i < count; i++) {
      const isEnd = i === count - 1 || this.#owners[i] !== this.#owners[i + 1]
      if (isEnd || i === 0 || this.#owners[i] !== this.#owners[i - 1]) shared = Math.min(shared, commonBytes(this.#arena, 0, i))
    }
    return count === 0 ? 0 : shared
  }

  /** Forgets what the output has. */
  #consume(order: Uint32Array, count: number): void {
    const taken = new Uint32Array(this.#inputs.length)
    for (let i = 0; i < count; i++) taken[this.#owners[order[i]!]!]!++
    this.#inputs.forEach((input, number) => {
      input.at += taken[number]!
      while (input.pages.length > 0 && input.at >= input.pages[0]!.count) input.at -= input.pages.shift()!.count
    })
  }
}
