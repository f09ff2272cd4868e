import { assert } from '../base/assert.ts'
import type { Hlc, Stamp } from '../base/hlc.ts'
import { readLsn, type Lsn } from '../base/lsn.ts'
import type { RingReader } from '../ring/ring.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { PREPARED_IDS_MAX } from '../store/prepared-ids.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import type { Reservation, WalWriter } from '../wal/wal-writer.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import type { IdDirectory } from './id-directory.ts'
import { VERIFIED_ENTRY_BYTES_OFFSET, VERIFIED_ENTRY_OFFSET, VERIFIED_KNOWN_LSN_OFFSET } from './verified.layout.ts'

/** Assertions of one batch that turned out to be known already, by ascending index. */
export interface Duplicates {
  readonly indexes: readonly number[]
  readonly stamps: readonly Stamp[]
}

export const NO_DUPLICATES: Duplicates = Object.freeze({ indexes: [], stamps: [] })

/**
 * Puts one verified batch into the group: copies its log entry to the writer's staging buffer, clears the accepted
 * bits of ids that are known, and gives the rest their place in the id directory.
 */
export class EntryAppender {
  readonly #writer: WalWriter
  readonly #ids: IdDirectory
  readonly #entry = new LogEntryView()
  readonly #indexes: number[] = []
  readonly #stamps: Stamp[] = []
  readonly duplicates: Duplicates = { indexes: this.#indexes, stamps: this.#stamps }

  constructor(writer: WalWriter, ids: IdDirectory) {
    this.#writer = writer
    this.#ids = ids
  }

  /**
   * How many assertions got an LSN, from `firstLsn` on; or why the batch could not be staged, which changed nothing.
   * @throws {DbError} what poisoned the writer.
   */
  append(ring: RingReader, count: number, firstLsn: Lsn, firstHlc: Hlc): number | Exclude<Reservation, 'ok'> {
    const writer = this.#writer
    const entryBytes = ring.view.getUint32(ring.payloadOffset + VERIFIED_ENTRY_BYTES_OFFSET, true)
    const place = writer.reserve(RECORD_KIND.batch, entryBytes)
    if (place !== 'ok') return place
    const { staging, payloadOffset } = writer
    const from = ring.payloadOffset + VERIFIED_ENTRY_OFFSET
    staging.set(ring.bytes.subarray(from, from + entryBytes), payloadOffset)
    const entry = this.#entry.reset(staging, payloadOffset, entryBytes)
    assert(entry.count === count, 'a log entry has another count than its batch')
    const accepted = this.#giveIds(entry, readLsn(ring.view, ring.payloadOffset + VERIFIED_KNOWN_LSN_OFFSET), firstLsn, firstHlc)
    // A reserved place that is not finished is given up.
    if (accepted > 0) writer.finish(accepted, firstLsn, firstHlc)
    return accepted
  }

  /** Sorts the accepted ids into new ones, which get their place, and known ones, which lose their bit. */
  #giveIds(entry: LogEntryView, knownLsn: Lsn, firstLsn: Lsn, firstHlc: Hlc): number {
    const { segmentId, recordOffset, staging } = this.#writer
    const position = { segmentId, offset: recordOffset }
    this.#indexes.length = 0
    this.#stamps.length = 0
    let accepted = 0
    for (let i = 0; i < entry.count; i++) {
      const k = i % PREPARED_IDS_MAX
      const at = entry.idsOffset + i * HASH_BYTES
      if (k === 0) this.#ids.prepare(staging, at, Math.min(PREPARED_IDS_MAX, entry.count - i), knownLsn)
      if (!entry.accepted(i)) continue
      const known = this.#ids.mayKnow(k) ? this.#ids.find(staging, at) : undefined
      if (known !== undefined) {
        entry.clearAccepted(i)
        this.#indexes.push(i)
        this.#stamps.push(known)
        continue
      }
      this.#ids.insert(k, firstLsn + accepted, firstHlc + BigInt(accepted), position, i)
      accepted++
    }
    return accepted
  }
}
