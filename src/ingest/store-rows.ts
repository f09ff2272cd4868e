import type { ColumnName, RangeBounds, Store, StoreRange } from '../store/store.ts'

const ROWS = 1024

/** The entries of a range, one at a time. Close it. */
export class StoreRows {
  readonly #range: StoreRange
  #rows: Uint8Array[] = []
  #at = 0

  constructor(store: Store, column: ColumnName, bounds?: RangeBounds) {
    this.#range = store.range(column, bounds)
  }

  /** Key and value, or undefined at the end. @throws {DbError} as the store does. */
  next(): [Uint8Array, Uint8Array] | undefined {
    if (this.#at === this.#rows.length) {
      this.#rows = this.#range.next(ROWS)
      this.#at = 0
    }
    const key = this.#rows[this.#at]
    const value = this.#rows[this.#at + 1]
    if (key === undefined || value === undefined) return undefined
    this.#at += 2
    return [key, value]
  }

  close(): void {
    this.#range.close()
  }
}
