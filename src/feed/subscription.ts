import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { FeedFilter } from './filter.ts'

/** A record of the log, and the LSN of its first assertion. */
export interface LogPlace {
  readonly position: WalPosition
  readonly lsnFirst: Lsn
}

/** What carries subscriptions along the log: a `FeedCursor`. */
export interface Carrier {
  /** Every assertion below has been looked at. */
  readonly nextLsn: Lsn
  readonly position: WalPosition
  readonly isEmpty: boolean
  detach(subscription: Subscription): void
  close(): void
}

/** One subscription, as the feed thread knows it. Its whole state is a place in the log. */
export interface Subscription {
  /** What the front calls it. */
  readonly number: number
  readonly sink: Sink
  readonly filter: FeedFilter
  /** It ends when the log has been read up to here; 0: never. */
  readonly untilLsn: Lsn
  /** Whatever is below has been sent, or is not for it. While a cursor carries it, the cursor may be farther. */
  nextLsn: Lsn
  /** The cursor that carries it. Undefined: it is held, or waits for a cursor. */
  cursor: Carrier | undefined
  /** Where its next record is, where that is known; undefined: to be looked up by `nextLsn`. */
  place: LogPlace | undefined
  /** It has followed the end of the log once. */
  wasLive: boolean
  /** Since when its sink has had no room for it; undefined: it has. */
  heldSinceMs: number | undefined
}

/** Where deliveries of one connection go. */
export class Sink {
  readonly number: number
  readonly subscriptions = new Set<Subscription>()
  readonly #windowBytes: number
  /** Sent, and not yet said to be taken. */
  #outstandingBytes = 0
  /** When it last took something. */
  movedMs = 0

  constructor(number: number, windowBytes: number) {
    this.number = number
    this.#windowBytes = windowBytes
  }

  /** Takes room for a frame; one that is larger than the window goes where nothing else is under way. */
  reserve(bytes: number): boolean {
    if (this.#outstandingBytes > 0 && this.#outstandingBytes + bytes > this.#windowBytes) return false
    this.#outstandingBytes += bytes
    return true
  }

  giveBack(bytes: number): void {
    this.#outstandingBytes = Math.max(0, this.#outstandingBytes - bytes)
  }

  /** So much room that reading for it is worth a while. */
  get hasRoom(): boolean {
    return this.#outstandingBytes <= this.#windowBytes / 2
  }
}
