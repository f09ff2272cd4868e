import type { Clock } from '../base/clock.ts'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { isDbError, type DbError } from '../base/errors.ts'
import { hlcWallMs } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { RingWriter } from '../ring/ring.ts'
import { Emission, type EmissionHost } from './emission.ts'
import type { FeedCommand } from './feed-command.codec.ts'
import { FeedCursor, LIVE_PIECE_BYTES, PIECE_BYTES, type FeedLog } from './feed-cursor.ts'
import { encodeEndMessage, encodeHeartbeatMessage, encodeSubscribedMessage } from './feed-message.codec.ts'
import { NUMBERS_MAX } from './feed.layout.ts'
import { Sink, type Carrier, type LogPlace, type Subscription } from './subscription.ts'

/** Places in the log that are read at a time: each has a buffer and files of its own. */
export const CURSORS_MAX = 8
/** A subscription joins a cursor that is no more than so many assertions behind it, rather than have one of its own. */
const JOIN_LSNS_MAX = 4096
/** Messages that wait for room in the ring; beyond it no command is taken. */
const OWED_MAX = 1024

export interface FeedOptions {
  readonly out: RingWriter
  readonly openLog: () => FeedLog
  /** The nearest known record at or before an LSN; undefined where the log of this node begins behind it. */
  readonly placeOf: (lsn: Lsn) => LogPlace | undefined
  readonly appliedLsn: () => Lsn
  readonly appliedPosition: () => WalPosition
  readonly durableLsn: () => Lsn
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  /** Bytes of deliveries that may be under way to one sink. */
  readonly windowBytes: number
  /** How far behind the applied mark a subscription may fall that has been live, in bytes of the log. */
  readonly lagBytesMax: number
  readonly stallMsMax: number
  readonly walSegmentBytes: number
}

/**
 * Live subscriptions: which of them are where in the log, and what they are sent. A subscription's state is its next
 * LSN. Those at the end of the log share one cursor; those behind it are carried by others until they have caught up;
 * one whose sink has no room is put down where it stands and picked up again when there is, so nothing is queued for it
 * here, and everything reaches it once and in order whatever happens between.
 */
export class Feed implements EmissionHost {
  readonly out: RingWriter
  readonly #options: FeedOptions
  readonly #subscriptions = new Map<number, Subscription>()
  readonly #sinks = new Map<number, Sink>()
  readonly #cursors: FeedCursor[] = []
  /** The one that follows the end of the log. */
  #live: FeedCursor | undefined
  /** Not carried, though their sinks have room: all cursors are taken, and behind none of them. */
  readonly #waiting = new Set<Subscription>()
  /** Put down: their sinks have no room. */
  readonly #held = new Set<Subscription>()
  readonly #owed: Uint8Array[] = []
  #emission: { readonly emission: Emission, readonly cursor: FeedCursor, readonly failure: DbError | undefined } | undefined
  #nextCursor = 0

  constructor(options: FeedOptions) {
    this.#options = options
    this.out = options.out
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size
  }

  /** Some are not at the end of the log and could go on. */
  get isCatchingUp(): boolean {
    return this.#cursors.some((cursor) => cursor !== this.#live) || this.#waiting.size > 0
  }

  /** The next assertion that those at the end of the log have not seen. */
  get liveNextLsn(): Lsn | undefined {
    return this.#live?.nextLsn
  }

  /** The last piece of those at the end of the log had all that there was to read: what comes next is new. */
  get hasReachedMark(): boolean {
    return this.#live?.hasReachedMark === true
  }

  /** A command may be given. */
  get takesCommands(): boolean {
    return this.#owed.length < OWED_MAX
  }

  command(command: FeedCommand): void {
    switch (command.kind) {
      case 'subscribe': return this.#subscribe(command)
      case 'unsubscribe': {
        const subscription = this.#subscriptions.get(command.subscription)
        if (subscription !== undefined) this.#end(subscription, undefined, '')
        return
      }
      case 'consumed': return this.#consumed(command.sink, command.bytes)
      case 'close': return this.#close(command.sink)
    }
  }

  /** Writes what waits for the ring. False where the ring is full. */
  flush(): boolean {
    let sent = 0
    while (sent < this.#owed.length && this.out.write(this.#owed[sent]!)) sent++
    if (sent > 0) this.#owed.splice(0, sent)
    return this.#owed.length === 0
  }

  /** Hands on, reads and hands on one piece of the log. */
  step(mayFollow: boolean): 'progress' | 'idle' | 'blocked' {
    if (!this.flush()) return 'blocked'
    if (this.#emission === undefined && !this.#read(mayFollow)) return 'idle'
    const { emission, cursor, failure } = this.#emission!
    if (!emission.run()) return 'blocked'
    this.#emission = undefined
    this.#passed(cursor, failure)
    return 'progress'
  }

  /** Tells everybody how far they have come. A piece that is under way first has to be out. */
  heartbeat(): void {
    if (this.#emission !== undefined || this.#owed.length > 0) return
    const entries = [...this.#subscriptions.values()]
      .map(({ number, nextLsn, cursor }) => ({ subscription: number, lsn: Math.max(nextLsn, cursor?.nextLsn ?? 0) - 1 }))
    for (let from = 0; from < entries.length; from += NUMBERS_MAX) this.#owed.push(encodeHeartbeatMessage(entries.slice(from, from + NUMBERS_MAX)))
  }

  /** Ends those that have stalled for too long, or have been live and are too far behind. */
  endTheSlow(): void {
    const { clock, stallMsMax, lagBytesMax } = this.#options
    const nowMs = clock.monoMs()
    for (const subscription of this.#subscriptions.values()) {
      const { heldSinceMs, sink, wasLive, cursor } = subscription
      if (heldSinceMs !== undefined && nowMs - Math.max(heldSinceMs, sink.movedMs) > stallMsMax) {
        this.#end(subscription, 'subscriber_too_slow', `nothing was taken for ${stallMsMax} ms`)
      } else if (wasLive && (cursor === undefined || cursor !== this.#live) && this.#lagBytes(subscription) > lagBytesMax) {
        this.#end(subscription, 'subscriber_too_slow', `it is more than ${lagBytesMax} bytes of the log behind`)
      }
    }
  }

  report(): void {
    const { metrics, appliedLsn } = this.#options
    const live = this.#live
    metrics.set('subscriptions', this.#subscriptions.size)
    metrics.set('subscriptions_behind', this.#subscriptions.size - (live?.index.size ?? 0))
    metrics.set('feed_lag_lsn', live === undefined ? 0 : Math.max(0, appliedLsn() + 1 - live.nextLsn))
  }

  close(): void {
    for (const cursor of this.#cursors.splice(0)) cursor.close()
    this.#live = undefined
  }

  hold(subscription: Subscription, place: LogPlace): void {
    subscription.cursor?.detach(subscription)
    subscription.place = place
    subscription.heldSinceMs = this.#options.clock.monoMs()
    this.#held.add(subscription)
  }

  delivered(matches: number, bytes: number): void {
    this.#options.metrics.inc('feed_deliveries_total', matches)
    this.#options.metrics.inc('feed_delivered_bytes_total', bytes)
  }

  #subscribe({ subscription: number, sink: sinkNumber, filter, fromLsn, untilLsn }: Extract<FeedCommand, { kind: 'subscribe' }>): void {
    const { appliedLsn, durableLsn, placeOf, windowBytes, metrics } = this.#options
    const nextLsn = fromLsn === 0 ? appliedLsn() + 1 : fromLsn
    if (nextLsn > durableLsn() + 1) {
      return this.#owe(encodeEndMessage(number, ERROR_CODES.lsn_in_future.number, `from_lsn is ${fromLsn}, the next LSN of this node is ${durableLsn() + 1}`, 0))
    }
    if (placeOf(nextLsn) === undefined) {
      return this.#owe(encodeEndMessage(number, ERROR_CODES.lsn_unavailable.number, `the log of this node has nothing from LSN ${nextLsn} on`, 0))
    }
    let sink = this.#sinks.get(sinkNumber)
    if (sink === undefined) this.#sinks.set(sinkNumber, sink = new Sink(sinkNumber, windowBytes))
    const subscription: Subscription = {
      number, sink, filter, untilLsn, nextLsn, cursor: undefined, place: undefined, wasLive: false, heldSinceMs: undefined,
    }
    this.#subscriptions.set(number, subscription)
    sink.subscriptions.add(subscription)
    metrics.inc('subscriptions_total')
    this.#owe(encodeSubscribedMessage(number, nextLsn))
    this.#carry(subscription)
  }

  /** Gives the subscription to a cursor that comes by its place, where there is one or may be one more. */
  #carry(subscription: Subscription): void {
    const { nextLsn, untilLsn } = subscription
    this.#waiting.delete(subscription)
    if (untilLsn > 0 && nextLsn > untilLsn) return this.#end(subscription, undefined, '')
    let near: FeedCursor | undefined
    for (const cursor of this.#cursors) if (cursor.nextLsn <= nextLsn && cursor.nextLsn > (near?.nextLsn ?? -1)) near = cursor
    if (near !== undefined && (near === this.#live || nextLsn - near.nextLsn <= JOIN_LSNS_MAX || this.#cursors.length >= CURSORS_MAX)) {
      near.attach(subscription)
      if (near === this.#live) subscription.wasLive = true
      return
    }
    if (this.#cursors.length >= CURSORS_MAX) return void this.#waiting.add(subscription)
    const place = subscription.place ?? this.#options.placeOf(nextLsn)
    if (place === undefined) return this.#end(subscription, 'lsn_unavailable', `the log of this node has nothing from LSN ${nextLsn} on`)
    const cursor = new FeedCursor(this.#options.openLog(), place)
    this.#cursors.push(cursor)
    cursor.attach(subscription)
  }

  #consumed(sinkNumber: number, bytes: number): void {
    const sink = this.#sinks.get(sinkNumber)
    if (sink === undefined) return
    sink.giveBack(bytes)
    sink.movedMs = this.#options.clock.monoMs()
    if (!sink.hasRoom) return
    for (const subscription of sink.subscriptions) {
      if (!this.#held.delete(subscription)) continue
      subscription.heldSinceMs = undefined
      this.#carry(subscription)
    }
  }

  #close(sinkNumber: number): void {
    const sink = this.#sinks.get(sinkNumber)
    if (sink === undefined) return
    this.#sinks.delete(sinkNumber)
    for (const subscription of sink.subscriptions) this.#forget(subscription)
  }

  /** @param code undefined: it was asked for, or has come to where it was to end. */
  #end(subscription: Subscription, code: ErrorName | undefined, detail: string): void {
    const { nextLsn, cursor } = subscription
    // Where a piece is under way, what it has for this subscription may not have been sent.
    const reached = cursor === undefined || this.#emission?.cursor === cursor ? nextLsn : Math.max(nextLsn, cursor.nextLsn)
    this.#forget(subscription)
    subscription.sink.subscriptions.delete(subscription)
    if (code !== undefined) this.#options.metrics.inc('subscriptions_ended_total', { code })
    this.#owe(encodeEndMessage(subscription.number, code === undefined ? 0 : ERROR_CODES[code].number, detail, reached - 1))
  }

  #forget(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.number)
    this.#held.delete(subscription)
    this.#waiting.delete(subscription)
    const { cursor } = subscription
    cursor?.detach(subscription)
    if (cursor !== undefined && this.#emission?.cursor !== cursor) this.#dropIfEmpty(cursor)
  }

  #owe(message: Uint8Array): void {
    this.#owed.push(message)
  }

  /** Reads a piece by the next cursor that has something to read. */
  #read(mayFollow: boolean): boolean {
    for (let n = 0; n < this.#cursors.length; n++) {
      const cursor = this.#cursors[this.#nextCursor++ % this.#cursors.length]!
      if (cursor === this.#live && !mayFollow) continue
      if (this.#readBy(cursor)) return true
      // A cursor that has come to an end may have gone, and others have moved up.
      n -= this.#arrive(cursor) ? 1 : 0
    }
    return false
  }

  #readBy(cursor: FeedCursor): boolean {
    const { appliedPosition, metrics } = this.#options
    const before = cursor.recordsRead
    let failure: DbError | undefined
    let moved = false
    try {
      const isLive = cursor === this.#live
      moved = cursor.collect(isLive || this.#live === undefined ? appliedPosition() : this.#live.position, isLive ? LIVE_PIECE_BYTES : PIECE_BYTES)
    } catch (error) {
      if (!isDbError(error)) throw error
      failure = error
    }
    if (cursor.recordsRead > before) metrics.inc('feed_records_total', cursor.recordsRead - before)
    if (!moved && failure === undefined) return false
    this.#emission = { emission: new Emission(this, cursor), cursor, failure }
    return true
  }

  /** A cursor is at the end of what there is to read: it follows the log from now on, or gives what it carries to the one that does. */
  #arrive(cursor: FeedCursor): boolean {
    if (cursor === this.#live) return false
    if (this.#live === undefined) {
      // The mark's position is ahead of its LSN for a moment; whoever follows must not be behind the LSN.
      if (cursor.nextLsn <= this.#options.appliedLsn()) return false
      this.#live = cursor
      for (const subscription of cursor.index.members()) subscription.wasLive = true
      return false
    }
    const live = this.#live
    // Within a record that the other one is about to leave.
    if (cursor.nextLsn < live.nextLsn) return false
    for (const subscription of [...cursor.index.members()]) {
      cursor.detach(subscription)
      subscription.nextLsn = Math.max(subscription.nextLsn, cursor.nextLsn)
      live.attach(subscription)
      subscription.wasLive = true
    }
    this.#dropIfEmpty(cursor)
    return true
  }

  /** All of a piece is out. */
  #passed(cursor: FeedCursor, failure: DbError | undefined): void {
    const { clock, metrics } = this.#options
    if (cursor === this.#live && cursor.piece.matchCount > 0) {
      metrics.observe('feed_latency_seconds', Math.max(0, clock.wallMs() - hlcWallMs(cursor.piece.hlcFirst)) / 1000)
    }
    cursor.piece.clear()
    if (failure !== undefined) return this.#giveUp(cursor, failure)
    for (const subscription of [...cursor.bounded()]) if (subscription.untilLsn < cursor.nextLsn) this.#end(subscription, undefined, '')
    this.#dropIfEmpty(cursor)
  }

  /** Reading met damage: those who need what is there can not go on; those who begin behind it can, and so can the node. */
  #giveUp(cursor: FeedCursor, failure: DbError): void {
    this.#cursors.splice(this.#cursors.indexOf(cursor), 1)
    if (cursor === this.#live) this.#live = undefined
    for (const subscription of [...cursor.index.members()]) {
      const place = this.#options.placeOf(subscription.nextLsn)
      if (place === undefined || place.lsnFirst <= cursor.nextLsn) {
        this.#end(subscription, failure.code, failure.message)
        continue
      }
      cursor.detach(subscription)
      subscription.place = place
      this.#carry(subscription)
    }
    cursor.close()
    for (const subscription of [...this.#waiting]) this.#carry(subscription)
  }

  #dropIfEmpty(cursor: Carrier): void {
    const at = this.#cursors.findIndex((one) => one === cursor)
    if (at < 0 || !cursor.isEmpty) return
    this.#cursors.splice(at, 1)
    cursor.close()
    if (cursor === this.#live) this.#live = undefined
    for (const subscription of [...this.#waiting]) this.#carry(subscription)
  }

  #lagBytes({ place, cursor }: Subscription): number {
    const at = cursor?.position ?? place?.position
    if (at === undefined) return 0
    const applied = this.#options.appliedPosition()
    return (applied.segmentId - at.segmentId) * this.#options.walSegmentBytes + applied.offset - at.offset
  }
}
