import { compareBytes, copyBytes } from '../base/bytes.ts'
import { COLUMNS, type ColumnName, type RangeBounds, type Store, type StoreBatch, type StoreRange } from './store.ts'

interface Entry { readonly key: Uint8Array, readonly value: Uint8Array }

/** A store without a disk, for tests and the simulator: one sorted array a column. Writes cost O(entries). */
export class MemoryStore implements Store {
  readonly handle = undefined
  #columns: Map<ColumnName, readonly Entry[]>

  constructor() {
    this.#columns = new Map(COLUMNS.map((name) => [name, []]))
  }

  get(column: ColumnName, key: Uint8Array): Uint8Array | undefined {
    const entries = this.#entries(column)
    const found = entries[lowerBound(entries, key)]
    return found !== undefined && compareBytes(found.key, key) === 0 ? copyBytes(found.value) : undefined
  }

  multiGet(column: ColumnName, keys: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    return keys.map((key) => this.get(column, key))
  }

  range(column: ColumnName, bounds: RangeBounds = {}): StoreRange {
    const entries = this.#entries(column)
    const from = bounds.gte === undefined ? 0 : lowerBound(entries, bounds.gte)
    const to = bounds.lt === undefined ? entries.length : lowerBound(entries, bounds.lt)
    const rows = entries.slice(from, Math.max(from, to))
    if (bounds.reverse === true) rows.reverse()
    let at = 0
    return {
      next(entriesMax) {
        const part = rows.slice(at, at + entriesMax)
        at += part.length
        return part.flatMap((entry) => [copyBytes(entry.key), copyBytes(entry.value)])
      },
      close() { at = rows.length },
    }
  }

  batch(): StoreBatch {
    return new MemoryBatch((changes) => this.#apply(changes))
  }

  clearRange(column: ColumnName, gte: Uint8Array, lt: Uint8Array): void {
    const kept = this.#entries(column).filter((e) => compareBytes(e.key, gte) < 0 || compareBytes(e.key, lt) >= 0)
    this.#columns.set(column, kept)
  }

  property(): string | undefined {
    return undefined
  }

  async close(): Promise<void> {}

  #entries(column: ColumnName): readonly Entry[] {
    return this.#columns.get(column) ?? []
  }

  #apply(changes: ReadonlyMap<ColumnName, ReadonlyMap<string, Change>>): void {
    for (const [column, changed] of changes) {
      const kept = this.#entries(column).filter((entry) => !changed.has(keyText(entry.key)))
      const put = [...changed.values()].filter((change): change is Entry => change.value !== undefined)
      this.#columns.set(column, [...kept, ...put].sort((a, b) => compareBytes(a.key, b.key)))
    }
  }
}

interface Change { readonly key: Uint8Array, readonly value: Uint8Array | undefined }

const keyText = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

class MemoryBatch implements StoreBatch {
  readonly #apply: (changes: ReadonlyMap<ColumnName, ReadonlyMap<string, Change>>) => void
  readonly #changes = new Map<ColumnName, Map<string, Change>>()
  #count = 0
  #bytes = 0

  constructor(apply: (changes: ReadonlyMap<ColumnName, ReadonlyMap<string, Change>>) => void) {
    this.#apply = apply
  }

  get count(): number { return this.#count }
  get bytes(): number { return this.#bytes }

  put(column: ColumnName, key: Uint8Array, value: Uint8Array): void {
    this.#add(column, { key: copyBytes(key), value: copyBytes(value) })
  }

  del(column: ColumnName, key: Uint8Array): void {
    this.#add(column, { key: copyBytes(key), value: undefined })
  }

  clear(): void {
    this.#changes.clear()
    this.#count = 0
    this.#bytes = 0
  }

  write(): void {
    this.#apply(this.#changes)
    this.clear()
  }

  #add(column: ColumnName, change: Change): void {
    let changes = this.#changes.get(column)
    if (changes === undefined) this.#changes.set(column, changes = new Map<string, Change>())
    changes.set(keyText(change.key), change)
    this.#count++
    this.#bytes += change.key.length + (change.value?.length ?? 0)
  }
}

/** Index of the first entry whose key is not below `key`. */
function lowerBound(entries: readonly Entry[], key: Uint8Array): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareBytes(entries[middle]!.key, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
