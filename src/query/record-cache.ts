import type { Lsn } from '../base/lsn.ts'
import type { StemeRecord } from '../record/records.ts'
import type { Said } from './record-standing.ts'

/** Parsed records that one lens thread keeps: about 400 bytes each, a little over 1 KiB where subjects are long. */
export const RECORDS_KEPT_MAX = 32_768

/** A record that was read, or null for an assertion under `steme://` that is none. */
export type Parsed = Said<StemeRecord> | null

/**
 * Records by their LSN. An assertion never changes and an LSN names one for ever, so nothing here is ever out of date: which records there
 * are is always asked of the index. Two generations bound it: what was not used while the younger one filled is forgotten.
 */
export class RecordCache {
  readonly #generationMax: number
  #young = new Map<Lsn, Parsed>()
  #old = new Map<Lsn, Parsed>()

  constructor(recordsMax = RECORDS_KEPT_MAX) {
    this.#generationMax = Math.max(1, Math.floor(recordsMax / 2))
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(lsn: Lsn): Parsed | undefined {
    const young = this.#young.get(lsn)
    if (young !== undefined) return young
    const old = this.#old.get(lsn)
    if (old !== undefined) {
      this.#old.delete(lsn)
      this.set(lsn, old)
    }
    return old
  }

  set(lsn: Lsn, parsed: Parsed): void {
    if (this.#young.size >= this.#generationMax) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(lsn, parsed)
  }
}
