import type { RingWriter } from '../ring/ring.ts'
import { deliveryBytes, writeDelivery } from './delivery.codec.ts'
import type { FeedCursor } from './feed-cursor.ts'
import { deliveryHeadBytes, writeDeliveryHead } from './feed-message.codec.ts'
import { FRAME_BYTES_SOFT_MAX, NUMBERS_MAX } from './feed.layout.ts'
import type { MatchGroup } from './match-index.ts'
import type { Piece } from './piece.ts'
import type { LogPlace, Subscription } from './subscription.ts'

export interface EmissionHost {
  readonly out: RingWriter
  /** The sink of `subscription` has no room: it is to be taken off its cursor, and goes on at `place`. */
  hold(subscription: Subscription, place: LogPlace): void
  /** For metrics. */
  delivered(matches: number, bytes: number): void
}

/**
 * The way of one piece into the ring: a frame for each group and stretch of items, with the numbers of those who get
 * it. It stops where the ring is full and goes on from there. What a subscription has been given moves its `nextLsn`,
 * so that nothing is given twice however often a stretch is begun.
 */
export class Emission {
  readonly #host: EmissionHost
  readonly #piece: Piece
  #group = 0
  /** Of the group's items. */
  #next = 0

  constructor(host: EmissionHost, cursor: FeedCursor) {
    this.#host = host
    this.#piece = cursor.piece
  }

  /** True when all has been written; false where the ring is full. The front is woken once for all of it. */
  run(): boolean {
    const isDone = this.#run()
    this.#host.out.wake()
    return isDone
  }

  #run(): boolean {
    for (; this.#group < this.#piece.groups.length; this.#group++, this.#next = 0) {
      const group = this.#piece.groups[this.#group]!
      while (this.#next < group.matched.length) {
        const stretch = this.#stretch(group.matched, this.#next)
        if (!this.#emit(group, stretch)) return false
        this.#next += stretch.length
      }
    }
    return true
  }

  /** Items from `from` on that go into one frame. */
  #stretch(items: readonly number[], from: number): readonly number[] {
    let bytes = 0
    let end = from
    do bytes += this.#piece.lengthOf(items[end++]!)
    while (end < items.length && bytes + this.#piece.lengthOf(items[end]!) <= FRAME_BYTES_SOFT_MAX)
    return from === 0 && end === items.length ? items : items.slice(from, end)
  }

  #emit(group: MatchGroup<Subscription>, items: readonly number[]): boolean {
    const piece = this.#piece
    const firstLsn = piece.lsnOf(items[0]!)
    const lastLsn = piece.lsnOf(items.at(-1)!)
    const frameBytes = this.#frameBytes(items)
    const whole: Subscription[] = []
    for (const subscription of group.members) {
      if (subscription.nextLsn > lastLsn) continue
      if (subscription.nextLsn > firstLsn) {
        // It begins in the middle of these.
        const rest = items.filter((item) => piece.lsnOf(item) >= subscription.nextLsn)
        if (!this.#write(rest, this.#reserve([subscription], rest), this.#frameBytes(rest))) return false
      } else whole.push(subscription)
    }
    for (let from = 0; from < whole.length; from += NUMBERS_MAX) {
      const some = whole.length <= NUMBERS_MAX ? whole : whole.slice(from, from + NUMBERS_MAX)
      if (!this.#write(items, this.#reserve(some, items), frameBytes)) return false
    }
    return true
  }

  #frameBytes(items: readonly number[]): number {
    let blockBytes = 0
    for (const item of items) blockBytes += this.#piece.lengthOf(item)
    return deliveryBytes(items.length, blockBytes)
  }

  /** Those of them whose sinks had room, which is taken now; the others are held. */
  #reserve(subscriptions: readonly Subscription[], items: readonly number[]): Subscription[] {
    const bytes = this.#frameBytes(items)
    return subscriptions.filter((subscription) => {
      if (subscription.sink.reserve(bytes)) return true
      subscription.nextLsn = Math.max(subscription.nextLsn, this.#piece.lsnOf(items[0]!))
      this.#host.hold(subscription, this.#piece.placeOf(items[0]!))
      return false
    })
  }

  #write(items: readonly number[], to: readonly Subscription[], frameBytes: number): boolean {
    if (to.length === 0) return true
    const { out } = this.#host
    const head = deliveryHeadBytes(to.length)
    const at = out.reserve(head + frameBytes)
    if (at < 0) {
      for (const { sink } of to) sink.giveBack(frameBytes)
      return false
    }
    writeDeliveryHead(out.view, at, to.map(({ number }) => number), frameBytes)
    writeDelivery(out.bytes, out.view, at + head, this.#piece, items)
    out.publishQuietly()
    const nextLsn = this.#piece.lsnOf(items.at(-1)!) + 1
    for (const subscription of to) subscription.nextLsn = nextLsn
    this.#host.delivered(items.length * to.length, frameBytes * to.length)
    return true
  }
}
