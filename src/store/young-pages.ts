import { MiB } from '../base/units.ts'
import type { EntryRun } from './entry-run-list.ts'

/** Bytes of pages that are held at most: of about 100,000 entries. */
export const YOUNG_PAGES_BYTES_MAX = 16 * MiB

/**
 * Pages of runs that have just been written, for the merge that will soon take them: fetching them from the store again is an eighth of what
 * ingest does. A run is held as a whole or not at all, and until it is merged.
 */
export class YoungPages {
  readonly #bytesMax: number
  readonly #runs = new Map<number, { readonly pages: readonly Uint8Array[], readonly bytes: number }>()
  #bytes = 0

  constructor(bytesMax = YOUNG_PAGES_BYTES_MAX) {
    this.#bytesMax = bytesMax
  }

  /** @param pages all of the run, in memory that nobody writes to any more */
  hold({ id }: EntryRun, pages: readonly Uint8Array[]): void {
    const bytes = pages.reduce((sum, page) => sum + page.length, 0)
    if (this.#bytes + bytes > this.#bytesMax) return
    this.#runs.set(id, { pages, bytes })
    this.#bytes += bytes
  }

  page(run: number, number: number): Uint8Array | undefined {
    return this.#runs.get(run)?.pages[number]
  }

  drop(run: number): void {
    this.#bytes -= this.#runs.get(run)?.bytes ?? 0
    this.#runs.delete(run)
  }
}
