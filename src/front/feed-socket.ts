import { must } from '../base/assert.ts'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { DELIVERY_SUBSCRIPTION_ID_OFFSET } from '../feed/delivery.codec.ts'
import { filterFault } from '../feed/filter.ts'
import {
  decodeSubscribe, decodeUnsubscribe, encodeAnswerDelivery, encodeHeartbeat, encodeSubscribed, encodeSubscriptionEnd,
  type SubscribeFrame,
} from './feed-frames.codec.ts'
import type { DeliveredFrame, FeedSink, HubSubscription, Subscriber } from './feed-hub.ts'
import { LensWatch, type LensWatchParts } from './feed-lens.ts'
import type { Session, SessionFeed } from './session.ts'

interface Entry {
  readonly subscriptions: () => readonly HubSubscription[]
  readonly unsubscribe: () => void
}

/** The live subscriptions of one WebSocket connection. Made with its first one. */
export class SocketFeed implements SessionFeed {
  readonly #session: Session
  readonly #parts: LensWatchParts
  readonly #sink: FeedSink
  /** By the client's id. */
  readonly #entries = new Map<bigint, Entry>()

  constructor(session: Session, parts: LensWatchParts) {
    this.#session = session
    this.#parts = parts
    this.#sink = parts.hub.openSink(() => session.bufferedBytes)
  }

  /** @throws {DbError} where the frame is no Subscribe; what is wrong with a subscription is told in a frame. */
  subscribe(frame: Uint8Array): void {
    const wanted = decodeSubscribe(frame)
    try {
      this.#check(wanted)
      this.#entries.set(wanted.subscriptionId, wanted.lens === undefined ? this.#matches(wanted) : this.#lens(wanted, wanted.lens))
    } catch (error) {
      if (!isDbError(error)) throw error
      this.#refuse(wanted.subscriptionId, error)
    }
  }

  /** @throws {DbError} where the frame is no Unsubscribe. One that is not there is said to have ended. */
  unsubscribe(frame: Uint8Array): void {
    const subscriptionId = decodeUnsubscribe(frame)
    const entry = this.#entries.get(subscriptionId)
    if (entry === undefined) this.#send(encodeSubscriptionEnd(subscriptionId, undefined, '', 0))
    else entry.unsubscribe()
  }

  /** The socket has sent something of what waited. */
  drained(): void {
    this.#parts.hub.settle(this.#sink)
  }

  /** The connection is gone. */
  close(): void {
    this.#parts.hub.closeSink(this.#sink, [...this.#entries.values()].flatMap(({ subscriptions }) => subscriptions()))
    this.#entries.clear()
  }

  #check({ subscriptionId, filter }: SubscribeFrame): void {
    const { subscriptionsPerSessionMax } = this.#parts.options.config
    const fault = filterFault(filter)
    if (fault !== undefined) throw new DbError('parameter_invalid', `${fault.part} ${fault.why}`, { parameter: fault.part })
    if (this.#entries.has(subscriptionId)) {
      throw new DbError('parameter_invalid', `subscription_id ${subscriptionId} is in use on this connection`, { parameter: 'subscription_id' })
    }
    if (this.#entries.size >= subscriptionsPerSessionMax) {
      throw new DbError('subscriptions_exhausted', `a connection has at most ${subscriptionsPerSessionMax} subscriptions`)
    }
  }

  #matches({ subscriptionId, filter, fromLsn }: SubscribeFrame): Entry {
    const { hub } = this.#parts
    const subscriber: Subscriber = {
      subscribed: (lsn) => this.#send(encodeSubscribed(subscriptionId, lsn)),
      deliver: (frame) => this.#deliver(subscriptionId, frame),
      reached: (lsn) => this.#heartbeat(subscriptionId, lsn),
      ended: (code, detail, lastLsn) => this.#ended(subscriptionId, code, detail, lastLsn),
    }
    const subscription = hub.subscribe({ sink: this.#sink, filter, fromLsn }, subscriber)
    return { subscriptions: () => [subscription], unsubscribe: () => hub.unsubscribe(subscription) }
  }

  #lens({ subscriptionId, filter }: SubscribeFrame, lens: string): Entry {
    const watch = new LensWatch(this.#parts, this.#sink, filter, lens, {
      subscribed: (lsn) => this.#send(encodeSubscribed(subscriptionId, lsn)),
      changed: (reply) => this.#send(encodeAnswerDelivery(subscriptionId, Number(reply.seenLsn()), must(reply.bb).bytes())),
      reached: (lsn) => this.#heartbeat(subscriptionId, lsn),
      ended: (code, detail, lastLsn) => this.#ended(subscriptionId, code, detail, lastLsn),
    })
    return {
      subscriptions: () => watch.subscriptions,
      unsubscribe: () => {
        watch.close()
        this.#ended(subscriptionId, undefined, '', watch.seenLsn)
      },
    }
  }

  #deliver(subscriptionId: bigint, { bytes }: DeliveredFrame): boolean {
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(DELIVERY_SUBSCRIPTION_ID_OFFSET, subscriptionId, true)
    this.#send(bytes)
    return true
  }

  /** Not to one who has not read yet what it was sent: it has no use for it now, and gets the next one. */
  #heartbeat(subscriptionId: bigint, lsn: Lsn): void {
    if (this.#session.bufferedBytes === 0) this.#send(encodeHeartbeat(subscriptionId, lsn))
  }

  #ended(subscriptionId: bigint, code: ErrorName | undefined, detail: string, lastLsn: Lsn): void {
    if (this.#entries.delete(subscriptionId)) this.#send(encodeSubscriptionEnd(subscriptionId, code, detail, lastLsn))
  }

  #refuse(subscriptionId: bigint, error: DbError): void {
    this.#parts.options.metrics.inc('refusals_total', { code: error.code })
    const { title } = ERROR_CODES[error.code]
    this.#send(encodeSubscriptionEnd(subscriptionId, error.code, error.message === '' ? title : error.message, 0))
  }

  #send(frame: Uint8Array): void {
    this.#session.send(frame)
  }
}
