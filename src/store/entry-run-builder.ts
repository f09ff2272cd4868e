import { EntryArena } from './entry-arena.ts'
import { nodeKey, type NodePacker } from './entry-node.codec.ts'
import { ENTRY_KEY, NODE_CHILDREN, PAGE_ENTRIES } from './entry-runs.layout.ts'
import type { StoreBatch } from './store.ts'

const IDENTITY = Uint32Array.from({ length: NODE_CHILDREN }, (_, i) => i)

/**
 * Builds one run: entries come in order, pages and the inner nodes above them go into whatever batch is given. An
 * inner node has for each child the shortest key that is above all before the child and not above the child's first:
 * a static B-tree, whose children need no addresses, because they are numbered in order.
 */
export class RunBuilder {
  readonly run: number
  readonly #packer: NodePacker
  readonly #key = nodeKey(0, 0, 0)
  /** By level above the pages: separators of the nodes below that no node has taken yet. */
  readonly #pending: EntryArena[] = []
  /** Nodes written, by level. */
  readonly #written: number[] = [0]
  readonly #onPage: ((page: Uint8Array) => void) | undefined
  #lastKey: Uint8Array | undefined
  entries = 0

  /** @param onPage given each page, in order; valid until the next call of this object */
  constructor(run: number, packer: NodePacker, onPage?: (page: Uint8Array) => void) {
    this.run = run
    this.#packer = packer
    this.#onPage = onPage
  }

  get pages(): number {
    return this.#written[0]!
  }

  /** Adds the entries `order[0..count)` of `arena`, all above those that came before. */
  add(arena: EntryArena, order: Uint32Array, count: number, batch: StoreBatch): void {
    for (let from = 0; from < count;) {
      const to = Math.min(count, from + PAGE_ENTRIES)
      this.#separate(1, arena, order[from]!)
      const page = this.#packer.pack(arena, order, from, to)
      this.#put(batch, 0, page)
      this.#onPage?.(page)
      this.#lastKey = arena.key(order[to - 1]!).slice()
      this.#closeFull(batch)
      from = to
    }
    this.entries += count
  }

  /** Writes what is left of the inner nodes, up to the root. */
  finish(batch: StoreBatch): void {
    for (let level = 1; this.#written[level - 1]! > 1; level++) this.#close(level, batch)
  }

  #closeFull(batch: StoreBatch): void {
    for (let level = 1; this.#pending[level - 1]?.count === NODE_CHILDREN; level++) this.#close(level, batch)
  }

  #close(level: number, batch: StoreBatch): void {
    const pending = this.#pending[level - 1]!
    if (pending.count === 0) return
    this.#separate(level + 1, pending, 0)
    this.#put(batch, level, this.#packer.pack(pending, IDENTITY, 0, pending.count))
    pending.clear()
  }

  #put(batch: StoreBatch, level: number, node: Uint8Array): void {
    const number = this.#written[level] ?? 0
    batch.put('sp', nodeKey(this.run, level, number, this.#key), node)
    this.#written[level] = number + 1
  }

  /** Notes for `level` where its next child begins: at `entry` of `arena`. */
  #separate(level: number, arena: EntryArena, entry: number): void {
    const start = arena.keyStarts[entry]!
    const length = level > 1 ? arena.keyEnds[entry]! - start : this.#separatorBytes(arena, entry)
    const pending = this.#pending[level - 1] ??= new EntryArena(32)
    pending.room()
    pending.bytes.fill(0, pending.end, pending.end + ENTRY_KEY)
    for (let i = 0, at = pending.end + ENTRY_KEY; i < length; i++) pending.bytes[at++] = arena.bytes[start + i]!
    pending.added(length)
  }

  /** Of a page's first key: what it shares with the last one before it, and one byte. */
  #separatorBytes({ bytes, keyStarts, keyEnds }: EntryArena, entry: number): number {
    const start = keyStarts[entry]!
    const length = keyEnds[entry]! - start
    const last = this.#lastKey
    if (last === undefined) return length
    let shared = 0
    while (shared < length && shared < last.length && bytes[start + shared] === last[shared]) shared++
    return Math.min(length, shared + 1)
  }
}
