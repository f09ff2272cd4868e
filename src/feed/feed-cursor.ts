import type { Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { KiB, MiB } from '../base/units.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import { IndexedFieldsView } from '../wire/assertion-view.ts'
import { BatchView } from '../wire/batch.codec.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import { SIGNED_BY_AGENT, SIGNED_BY_BATCH, SIGNED_BY_NOBODY } from './delivery.codec.ts'
import { AssertionFields } from './filter.ts'
import { MatchIndex, type MatchGroup } from './match-index.ts'
import { Piece } from './piece.ts'
import type { Carrier, LogPlace, Subscription } from './subscription.ts'

/** Payload of the log that one piece is made of, but at least one record. */
export const PIECE_BYTES = 256 * KiB
/** The same at the end of the log, where what has gathered is to share frames: about as much as ingest applies at once. */
export const LIVE_PIECE_BYTES = 32 * MiB
/** Bytes of matches after which a piece ends, but for a single record. */
const PIECE_MATCHED_BYTES_MAX = 4 * MiB
/** Pairs of a match and a group, after which a piece ends, also within a record. */
const PIECE_MATCHES_MAX = 65_536

/** What a cursor needs of `WalReader`. */
export interface FeedLog {
  readonly header: { readonly kind: number, readonly count: number, readonly lsnFirst: Lsn, readonly hlcFirst: Hlc }
  readonly payload: Uint8Array
  readonly segmentId: number
  readonly offset: number
  readonly nextOffset: number
  seek(position: WalPosition): void
  next(until: WalPosition): boolean
  close(): void
}

/** A place in the log that moves forward, and the subscriptions that it carries along: what it reads is matched against all of them at once. */
export class FeedCursor implements Carrier {
  readonly index = new MatchIndex<Subscription>()
  readonly piece = new Piece()
  /** Every assertion below has been looked at. */
  nextLsn: Lsn
  /** Where the next record begins; that of the record under way, within one. */
  position: WalPosition
  recordsRead = 0
  /** The last piece ended at the mark, and not because it was long. */
  hasReachedMark = false
  readonly #bounded = new Set<Subscription>()
  readonly #log: FeedLog
  readonly #entry = new LogEntryView()
  readonly #batch = new BatchView()
  readonly #view = new IndexedFieldsView()
  readonly #fields = new AssertionFields()
  #place: LogPlace
  /** Next assertion of the record under way; -1 between records. */
  #index = -1
  #item = -1
  readonly #give = (group: MatchGroup<Subscription>): void => this.#giveItem(group)

  constructor(log: FeedLog, place: LogPlace) {
    this.#log = log
    this.#place = place
    this.nextLsn = place.lsnFirst
    this.position = place.position
    log.seek(place.position)
  }

  get isEmpty(): boolean {
    return this.index.size === 0
  }

  attach(subscription: Subscription): void {
    subscription.cursor = this
    subscription.place = undefined
    this.index.add(subscription, subscription.filter)
    if (subscription.untilLsn > 0) this.#bounded.add(subscription)
  }

  detach(subscription: Subscription): void {
    subscription.cursor = undefined
    this.index.remove(subscription, subscription.filter)
    this.#bounded.delete(subscription)
  }

  /** Those of them that end somewhere. */
  bounded(): ReadonlySet<Subscription> {
    return this.#bounded
  }

  /**
   * Reads on into `piece`, no further than `until`, and about `bytesMax` of payload. False where there was nothing to read.
   * @throws {DbError} `wal_corrupt`, `io_error`: what was found before stays in `piece`.
   */
  collect(until: WalPosition, bytesMax: number): boolean {
    this.piece.clear()
    let bytes = 0
    let moved = false
    this.hasReachedMark = false
    while (bytes < bytesMax && this.piece.matchCount < PIECE_MATCHES_MAX && this.piece.byteCount < PIECE_MATCHED_BYTES_MAX) {
      if (this.#index < 0 && !this.#log.next(until)) {
        this.hasReachedMark = true
        break
      }
      moved = true
      if (this.#index < 0) bytes += this.#begin()
      if (this.#index >= 0) this.#lookAtRecord()
    }
    return moved
  }

  close(): void {
    this.#log.close()
  }

  /** Of the record that the log stands at. Returns its bytes. */
  #begin(): number {
    const { header, payload, segmentId, offset, nextOffset } = this.#log
    this.recordsRead++
    if (header.kind !== RECORD_KIND.batch) {
      this.position = { segmentId, offset: nextOffset }
      return payload.length
    }
    this.position = { segmentId, offset }
    this.#place = { position: this.position, lsnFirst: header.lsnFirst }
    this.nextLsn = header.lsnFirst
    this.#entry.reset(payload)
    this.#batch.reset(this.#entry.batch)
    this.#index = 0
    return payload.length
  }

  #lookAtRecord(): void {
    const entry = this.#entry
    const batch = this.#batch
    for (; this.#index < entry.count; this.#index++) {
      if (!entry.accepted(this.#index)) continue
      if (this.piece.matchCount >= PIECE_MATCHES_MAX) return
      this.#view.reset(batch.view, batch.itemOffset(this.#index), batch.itemLength(this.#index))
      this.#item = -1
      this.index.match(this.#fields.reset(batch.view, this.#view), this.#give)
      this.nextLsn++
    }
    this.#index = -1
    this.position = { segmentId: this.#log.segmentId, offset: this.#log.nextOffset }
  }

  #giveItem(group: MatchGroup<Subscription>): void {
    if (this.#item < 0) this.#item = this.#add()
    this.piece.give(this.#item, group)
  }

  #add(): number {
    const { header } = this.#log
    const batchStart = this.#entry.batchOffset
    const own = this.#batch.itemSignatureOffset(this.#index)
    const ofBatch = this.#batch.signatureOffset
    const signature = own >= 0 ? own : ofBatch
    return this.piece.add({
      lsn: this.nextLsn, hlc: header.hlcFirst + BigInt(this.nextLsn - header.lsnFirst), bytes: this.#entry.bytes,
      idOffset: this.#entry.idsOffset + this.#index * HASH_BYTES,
      assertionOffset: batchStart + this.#view.start, assertionLength: this.#view.length,
      signatureOffset: signature < 0 ? -1 : batchStart + signature,
      signedBy: own >= 0 ? SIGNED_BY_AGENT : ofBatch >= 0 ? SIGNED_BY_BATCH : SIGNED_BY_NOBODY,
    }, this.#place)
  }
}
