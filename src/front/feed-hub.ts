import { ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { Delivery } from '../fbs/stemedb/delivery.ts'
import { encodeCommand, type FeedCommand } from '../feed/feed-command.codec.ts'
import { readMessage, type FeedListener } from '../feed/feed-message.codec.ts'
import { windowBytesOf } from '../feed/feed-window.ts'
import type { FeedFilter } from '../feed/filter.ts'
import type { FrontOptions } from './hooks.ts'
import { RETRY_AFTER_OVERLOADED_MS, RETRY_DELAY_MS } from './front-limits.ts'
import { foundToJson, type FoundJson } from './query.codec.ts'

/** Part of a sink's window after which the feed stage is told what was taken: often enough that a sink that reads never waits. */
const REPORT_SHARE = 4
/** Stretches of the log that are read for pages at a time; each shares the few cursors that catch up. */
const PAGES_MAX = 256

/** A connection as deliveries see it. */
export class FeedSink {
  readonly number: number
  /** Bytes that wait to be sent on it, of whatever kind. */
  readonly bufferedBytes: () => number
  sentBytes = 0
  /** Deliveries that went to no socket. */
  swallowedBytes = 0
  reportedBytes = 0
  isClosed = false

  constructor(number: number, bufferedBytes: () => number) {
    this.number = number
    this.bufferedBytes = bufferedBytes
  }

  /** Bytes of deliveries that are no longer here, and no more than that. */
  get takenBytes(): number {
    return this.swallowedBytes + Math.max(0, this.sentBytes - this.bufferedBytes())
  }
}

/** Matches of one stretch of the log, for any number of subscribers. */
export class DeliveredFrame {
  /** A Delivery buffer; its subscription id may be set by each who sends it. */
  readonly bytes: Uint8Array
  #json: readonly FoundJson[] | undefined
  #lastLsn: Lsn | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Of its last match. Made once, for all. */
  get lastLsn(): Lsn {
    return this.#lastLsn ??= this.#readLastLsn()
  }

  /** Made once, for all. */
  get json(): readonly FoundJson[] {
    return this.#json ??= this.#decode()
  }

  #readLastLsn(): Lsn {
    const delivery = this.#delivery()
    return Number(must(delivery.items(delivery.itemsLength() - 1)).lsn())
  }

  #delivery(): Delivery {
    return Delivery.getRootAsDelivery(new ByteBuffer(this.bytes))
  }

  #decode(): FoundJson[] {
    const delivery = this.#delivery()
    return Array.from({ length: delivery.itemsLength() }, (_, i) => foundToJson(must(delivery.items(i))))
  }
}

/** What becomes of a subscription, in this order: `subscribed` or `ended`; deliveries and `reached`; `ended`. */
export interface Subscriber {
  subscribed(fromLsn: Lsn): void
  /** @returns whether it went to the sink's socket. */
  deliver(frame: DeliveredFrame): boolean
  /** Every match up to and with this LSN has been delivered. */
  reached(lsn: Lsn): void
  /** @param code undefined where it was asked for. */
  ended(code: ErrorName | undefined, detail: string, lastLsn: Lsn): void
}

export interface HubSubscription {
  readonly number: number
  readonly sink: FeedSink
  readonly subscriber: Subscriber
  /** It reads one stretch of the log, for a page. */
  readonly isPage: boolean
  /** Every match up to and with this LSN was handed to `subscriber`; 0: it has not begun. */
  reachedLsn: Lsn
}

export interface SubscribeOptions {
  readonly sink: FeedSink
  readonly filter: FeedFilter
  /** 0: from now on. */
  readonly fromLsn: Lsn
  /** 0: for ever. Otherwise it counts among pages, not among live subscriptions. */
  readonly untilLsn?: Lsn
}

/** The front's end of the feed: who subscribes from where, under which bounds. */
export class FeedHub implements FeedListener {
  readonly #options: FrontOptions
  readonly #subscriptions = new Map<number, HubSubscription>()
  /** Commands that found the ring full and must not be lost; at most one a subscription and one a sink. */
  readonly #owed: FeedCommand[] = []
  readonly #owedReports = new Set<FeedSink>()
  readonly #reportBytes: number
  #pages = 0
  #nextNumber = 1
  #nextSink = 1
  #isRetrying = false
  #isClosing = false

  constructor(options: FrontOptions) {
    this.#options = options
    this.#reportBytes = windowBytesOf(options.config) / REPORT_SHARE
  }

  openSink(bufferedBytes: () => number): FeedSink {
    return new FeedSink(this.#nextSink++, bufferedBytes)
  }

  /** @throws {DbError} `starting`, `shutting_down` */
  checkOpen(): void {
    const { writable } = this.#options.pipeline.status()
    if (this.#isClosing || writable === 'shutting_down') throw new DbError('shutting_down', 'the node is shutting down')
    if (writable === 'starting') throw new DbError('starting', 'the node is starting')
  }

  /** @throws {DbError} `subscriptions_exhausted`, `overloaded`, `starting`, `shutting_down`. */
  subscribe({ sink, filter, fromLsn, untilLsn = 0 }: SubscribeOptions, subscriber: Subscriber): HubSubscription {
    const { config: { subscriptionsMax }, pipeline } = this.#options
    this.checkOpen()
    const isPage = untilLsn > 0
    if (isPage && this.#pages >= PAGES_MAX) throw new DbError('overloaded', 'too many pages are read at once', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS })
    if (!isPage && this.#subscriptions.size - this.#pages >= subscriptionsMax) {
      throw new DbError('subscriptions_exhausted', `there are ${subscriptionsMax} subscriptions already`)
    }
    const subscription: HubSubscription = { number: this.#nextNumber, sink, subscriber, isPage, reachedLsn: 0 }
    const command = encodeCommand({ kind: 'subscribe', subscription: subscription.number, sink: sink.number, filter, fromLsn, untilLsn })
    if (!pipeline.feed(command)) throw new DbError('overloaded', 'too many subscriptions begin at once', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS })
    this.#nextNumber++
    this.#subscriptions.set(subscription.number, subscription)
    if (isPage) this.#pages++
    return subscription
  }

  /** Its `ended` follows, after deliveries that are under way. */
  unsubscribe({ number }: HubSubscription): void {
    if (this.#subscriptions.has(number)) this.#send({ kind: 'unsubscribe', subscription: number })
  }

  /** The connection has gone, and all its subscriptions with it: none of them is told. */
  closeSink(sink: FeedSink, subscriptions: Iterable<HubSubscription>): void {
    if (sink.isClosed) return
    sink.isClosed = true
    this.#owedReports.delete(sink)
    for (const { number } of subscriptions) this.#forget(number)
    this.#send({ kind: 'close', sink: sink.number })
  }

  /** Says what the sink has taken since the last time: call it when it may be more. */
  settle(sink: FeedSink): void {
    const taken = sink.takenBytes
    if (sink.isClosed || taken - sink.reportedBytes < this.#reportBytes) return
    if (this.#options.pipeline.feed(encodeCommand({ kind: 'consumed', sink: sink.number, bytes: taken - sink.reportedBytes }))) {
      sink.reportedBytes = taken
    } else {
      this.#owedReports.add(sink)
      this.#retryLater()
    }
  }

  /** Ends everything, because the node does. */
  endAll(): void {
    this.#isClosing = true
    for (const { number, subscriber, reachedLsn } of [...this.#subscriptions.values()]) {
      this.#forget(number)
      this.#send({ kind: 'unsubscribe', subscription: number })
      subscriber.ended('shutting_down', 'the node is shutting down', reachedLsn)
    }
  }

  /** From the pipeline. */
  receive(message: Uint8Array): void {
    readMessage(message, this)
  }

  subscribed(number: number, fromLsn: Lsn): void {
    const subscription = this.#subscriptions.get(number)
    if (subscription === undefined) return
    subscription.reachedLsn = fromLsn - 1
    subscription.subscriber.subscribed(fromLsn)
  }

  delivery(numbers: readonly number[], bytes: Uint8Array): void {
    // The ring's bytes are gone after the call; sockets may keep what they get until they can send it.
    const frame = new DeliveredFrame(bytes.slice())
    for (const number of numbers) {
      const subscription = this.#subscriptions.get(number)
      if (subscription === undefined) continue
      const { sink, subscriber } = subscription
      subscription.reachedLsn = frame.lastLsn
      if (subscriber.deliver(frame)) sink.sentBytes += bytes.length
      else sink.swallowedBytes += bytes.length
      this.settle(sink)
    }
  }

  reached(entries: readonly { readonly subscription: number, readonly lsn: Lsn }[]): void {
    for (const { subscription: number, lsn } of entries) {
      const subscription = this.#subscriptions.get(number)
      if (subscription === undefined) continue
      subscription.reachedLsn = Math.max(subscription.reachedLsn, lsn)
      subscription.subscriber.reached(lsn)
    }
  }

  ended(number: number, code: number, detail: string, lastLsn: Lsn): void {
    const subscription = this.#subscriptions.get(number)
    this.#forget(number)
    subscription?.subscriber.ended(code === 0 ? undefined : errorNameOf(code), detail, lastLsn)
  }

  #forget(number: number): void {
    if (this.#subscriptions.get(number)?.isPage === true) this.#pages--
    this.#subscriptions.delete(number)
  }

  #send(command: FeedCommand): void {
    if (this.#owed.length === 0 && this.#options.pipeline.feed(encodeCommand(command))) return
    this.#owed.push(command)
    this.#retryLater()
  }

  #retryLater(): void {
    if (this.#isRetrying) return
    this.#isRetrying = true
    this.#options.clock.timer(RETRY_DELAY_MS, () => {
      this.#isRetrying = false
      const { pipeline } = this.#options
      while (this.#owed.length > 0 && pipeline.feed(encodeCommand(this.#owed[0]!))) this.#owed.shift()
      const reports = [...this.#owedReports]
      this.#owedReports.clear()
      for (const sink of reports) this.settle(sink)
      if (this.#owed.length > 0) this.#retryLater()
    })
  }
}
