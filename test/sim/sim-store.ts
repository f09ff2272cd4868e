import type { Random } from '../../src/base/random.ts'
import { DbError } from '../../src/base/errors.ts'
import { COLUMNS, type ColumnName, type RangeBounds, type Store, type StoreBatch, type StoreRange } from '../../src/store/store.ts'
import { MemoryStore } from '../../src/store/store-memory.ts'

type Change = (batch: StoreBatch) => void
/** What became visible at once. */
type Write = { readonly changes: readonly Change[] } | { readonly cleared: { readonly column: ColumnName, readonly gte: Uint8Array, readonly lt: Uint8Array } }

function apply(store: Store, write: Write): void {
  if ('cleared' in write) {
    store.clearRange(write.cleared.column, write.cleared.gte, write.cleared.lt)
    return
  }
  const batch = store.batch()
  for (const change of write.changes) change(batch)
  batch.write()
}

function copyOf(store: Store): MemoryStore {
  const copy = new MemoryStore()
  const batch = copy.batch()
  for (const column of COLUMNS) {
    const range = store.range(column)
    const rows = range.next(Number.MAX_SAFE_INTEGER)
    for (let i = 0; i < rows.length; i += 2) batch.put(column, rows[i]!, rows[i + 1]!)
    range.close()
  }
  batch.write()
  return copy
}

/**
 * A store that outlives its process, and that a power cut throws back: its own log is not synced, so some of the last
 * writes are gone, from the end and never from the middle; what was written with `sync` stays.
 */
export class SimStore implements Store {
  readonly handle = undefined
  #live = new MemoryStore()
  #synced = new MemoryStore()
  #pending: Write[] = []
  /** Whether the next write finds the disk full. */
  isFull: () => boolean = () => false

  get(column: ColumnName, key: Uint8Array): Uint8Array | undefined { return this.#live.get(column, key) }
  multiGet(column: ColumnName, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] { return this.#live.multiGet(column, keys) }
  range(column: ColumnName, bounds?: RangeBounds): StoreRange { return this.#live.range(column, bounds) }
  property(): string | undefined { return undefined }
  async close(): Promise<void> {}

  clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void {
    const write: Write = { cleared: { column, gte: gte.slice(), lt: lt.slice() } }
    apply(this.#live, write)
    this.#pending.push(write)
  }

  batch(): StoreBatch {
    const inner = this.#live.batch()
    let changes: Change[] = []
    const keep = (change: Change): void => {
      change(inner)
      changes.push(change)
    }
    return {
      get count() { return inner.count },
      get bytes() { return inner.bytes },
      put(column, key, value) {
        const [ownKey, ownValue] = [key.slice(), value.slice()]
        keep((batch) => batch.put(column, ownKey, ownValue))
      },
      del(column, key) {
        const ownKey = key.slice()
        keep((batch) => batch.del(column, ownKey))
      },
      clear() {
        inner.clear()
        changes = []
      },
      write: (options) => {
        if (this.isFull()) throw new DbError('disk_full', 'no space for the store')
        inner.write()
        this.#pending.push({ changes })
        changes = []
        if (options?.sync === true) this.#sync(this.#pending.length)
      },
    }
  }

  /** How many of the last writes a power cut took. */
  powerCut(random: Random): number {
    const kept = random.u32() % (this.#pending.length + 1)
    const lost = this.#pending.length - kept
    this.#sync(kept)
    this.#pending = []
    this.#live = copyOf(this.#synced)
    return lost
  }

  #sync(count: number): void {
    for (const write of this.#pending.splice(0, count)) apply(this.#synced, write)
  }
}
