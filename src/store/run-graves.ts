import { FILE_RUN } from './run-file.layout.ts'
import type { ColumnRunFiles, RunFiles } from './run-files.ts'
import { firstKeyOf } from './run-leftovers.ts'
import type { Store } from './store.ts'

/** What is known of a run in a file. */
export interface BuriedRun {
  readonly id: number
  readonly entries: number
}

/**
 * Files of a column's runs that were merged into others. A power cut throws the store back to an earlier list, whose files must be there: so they
 * stay until a list that does not name them is durable. The ingest thread only.
 */
export class RunGraves {
  readonly #store: Store
  readonly #column: keyof ColumnRunFiles
  readonly #graves: BuriedRun[] = []

  constructor(store: Store, column: keyof ColumnRunFiles) {
    this.#store = store
    this.#column = column
  }

  /** Entries of the runs that wait. */
  get entries(): number {
    return this.#graves.reduce((sum, run) => sum + run.entries, 0)
  }

  /** Of a run that no list names any more, though an earlier one may be what a power cut leaves. */
  add(run: BuriedRun): void {
    this.#graves.push(run)
  }

  /** Removes the files of all that wait. @throws {DbError} as the store does: call it again */
  clear(): void {
    if (this.#graves.length === 0) return
    this.#syncList()
    for (let grave = this.#graves[0]; grave !== undefined; grave = this.#graves[0]) {
      this.#files.remove(grave.id)
      this.#graves.shift()
    }
  }

  /**
   * Of merges that an earlier life had not ended, or whose inputs it had not removed. Makes the folder where it is missing.
   * @param listed the runs that the list names
   * @returns a number that no file has
   */
  clearLeftovers(listed: readonly { readonly id: number }[]): number {
    if (this.#store.runFiles === undefined) return 0
    const runs = this.#files.list()
    const named = new Set(listed.map(({ id }) => id))
    const left = runs.filter((run) => !named.has(run))
    if (left.length > 0) this.#syncList()
    for (const run of left) this.#files.remove(run)
    return runs.reduce((next, run) => Math.max(next, run - FILE_RUN + 1), 0)
  }

  get #files(): RunFiles {
    return this.#store.runFiles![this.#column]
  }

  /** What has been written before, the list among it, is durable when it returns: the store's own log is one for all columns. */
  #syncList(): void {
    const batch = this.#store.batch()
    batch.del(this.#column, firstKeyOf(0))
    batch.write({ sync: true })
  }
}
