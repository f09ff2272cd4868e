import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { fromHex } from '../base/bytes.ts'
import { AGENT_BYTES, SOURCE_CLASS_MAX } from '../record/limits.ts'
import { agentFromText } from '../record/agent-key.ts'
import type { SourceClass } from '../record/assertion.ts'
import { backoffMs, type BackoffOptions } from './backoff.ts'
import { encodeSubscribe, encodeUnsubscribe, type AnswerChange, type FeedFrame, type SubscribeParts } from './feed-frames.ts'
import type { StoredAssertion } from './http.ts'
import type { ClientPlatform } from './platform.ts'

/** Matches that wait to be consumed, beyond which the node is told to stop; it goes on from there when half are gone. */
export const QUEUED_MATCHES_MAX = 8192

/** Which assertions a subscription gets. Empty: all. */
export interface SubscribeFilter {
  /** A whole subject; or `prefix`. */
  readonly subject?: string
  /** All subjects that begin like this. */
  readonly prefix?: string
  readonly predicate?: string
  /** Tiers that are wanted. */
  readonly tiers?: readonly SourceClass[]
  /** 32 bytes, 64 hex digits, or `did:key:z6Mk...`. */
  readonly agent?: Uint8Array | string
}

export interface SubscribeOptions {
  /** First LSN that is wanted. Default: what comes from now on. */
  readonly fromLsn?: number
}

/** What is asked, of which claims; `subject` or `prefix` must be given. */
export interface WatchParameters extends SubscribeFilter {
  /** Default `recency`. */
  readonly lens?: string
}

/** What subscriptions need of the client around them. */
export interface SubscriptionHost {
  readonly isUp: boolean
  send(frame: Uint8Array): void
  readonly platform: ClientPlatform
  readonly backoff: BackoffOptions
}

type Wanted = Omit<SubscribeParts, 'subscriptionId' | 'fromLsn'>

/** @throws {DbError} `parameter_invalid` */
function wantedOf({ subject, prefix, predicate, tiers = [], agent }: SubscribeFilter, lens: string | undefined): Wanted {
  const refuse = (parameter: string, why: string): never => {
    throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
  }
  if (subject !== undefined && prefix !== undefined) refuse('prefix', 'and subject exclude each other')
  const key = typeof agent === 'string' ? agentFromText(agent) ?? fromHex(agent, AGENT_BYTES) : agent
  if (agent !== undefined && key?.length !== AGENT_BYTES) refuse('agent', 'must be 32 bytes, 64 hex digits or a did:key')
  let bits = 0
  for (const tier of tiers) {
    if (!(Number.isInteger(tier) && tier >= 0 && tier <= SOURCE_CLASS_MAX)) refuse('tiers', `are numbers from 0 to ${SOURCE_CLASS_MAX}`)
    bits |= 1 << tier
  }
  return { subject: subject ?? prefix, subjectIsPrefix: prefix !== undefined, predicate, tiers: bits, agent: key, lens }
}

/** One subscription over any number of connections; `T` is what it yields. */
abstract class Subscribed<T> implements AsyncIterableIterator<T> {
  /** Undefined while the node does not send for it. */
  id: bigint | undefined
  refusals = 0
  isOver = false
  /** The node was told to stop, and has not yet. */
  isStopping = false
  protected nextLsn: number
  readonly #owner: Subscriptions
  readonly #wanted: Wanted
  #failure: DbError | undefined
  #wake: (() => void) | undefined

  constructor(owner: Subscriptions, wanted: Wanted, fromLsn: number) {
    this.#owner = owner
    this.#wanted = wanted
    this.nextLsn = fromLsn
  }

  abstract take(frame: Extract<FeedFrame, { kind: 'delivery' | 'answers' }>): void
  protected abstract shift(): T | undefined
  /** No more should come for now. */
  abstract readonly isFull: boolean
  /** Asking for more is worth a while. */
  abstract readonly isHungry: boolean

  request(subscriptionId: bigint): Uint8Array {
    return encodeSubscribe({ ...this.#wanted, subscriptionId, fromLsn: this.nextLsn })
  }

  /** Nothing below needs to be sent again. */
  reached(nextLsn: number): void {
    this.nextLsn = Math.max(this.nextLsn, nextLsn)
  }

  end(failure?: DbError): void {
    this.isOver = true
    this.#failure ??= failure
    this.wake()
  }

  /** Looks again whether there is something to yield. */
  wake(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  async next(): Promise<IteratorResult<T>> {
    for (;;) {
      const value = this.shift()
      if (value !== undefined) {
        this.#owner.consumed(this)
        return { done: false, value }
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.isOver) return { done: true, value: undefined }
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }

  /** Ends the subscription: `break` in a loop over it, or by hand. */
  return(): Promise<IteratorResult<T>> {
    this.#owner.cancel(this)
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Matches of a filter, each once, by ascending LSN, whatever becomes of the connection. */
export class Subscription extends Subscribed<StoredAssertion> {
  readonly #queue: StoredAssertion[] = []

  get isFull(): boolean {
    return this.#queue.length >= QUEUED_MATCHES_MAX
  }

  get isHungry(): boolean {
    return this.#queue.length <= QUEUED_MATCHES_MAX / 2
  }

  /**
   * Every match up to and with this LSN has been yielded: keep it, and go on from the one behind it in another process.
   * 0: nothing is known yet.
   */
  get reachedLsn(): number {
    return (this.#queue[0]?.lsn ?? Math.max(1, this.nextLsn)) - 1
  }

  take(frame: FeedFrame): void {
    if (frame.kind !== 'delivery') return
    for (const item of frame.items) {
      if (item.lsn < this.nextLsn) continue
      this.#queue.push(item)
      this.nextLsn = item.lsn + 1
    }
    this.wake()
  }

  protected shift(): StoredAssertion | undefined {
    return this.#queue.shift()
  }
}

/** Who won and how it stands, of every answer and each of its sides: what the node tells the change of. */
function fingerprintOf({ answers }: AnswerChange): string {
  return JSON.stringify(answers.map(({ subject, predicate, winner, status, sides = [] }) =>
    [subject, predicate, winner?.id, status, sides.map((side) => [side.label, side.winner?.id])]))
}

/** The answers of a lens, whenever they have changed; one that is not consumed before the next gives way to it. */
export class Watch extends Subscribed<AnswerChange> {
  #latest: AnswerChange | undefined
  #known: string | undefined
  readonly isFull = false
  readonly isHungry = true

  take(frame: FeedFrame): void {
    if (frame.kind !== 'answers') return
    // A new connection begins with the answer of now, which may be the one that is known.
    const known = fingerprintOf(frame.change)
    if (known === this.#known) return
    this.#known = known
    this.#latest = frame.change
    this.wake()
  }

  /** A lens says what is, not what was. */
  override reached(): void {
    this.nextLsn = 0
  }

  protected shift(): AnswerChange | undefined {
    const latest = this.#latest
    this.#latest = undefined
    return latest
  }
}

/** The subscriptions of a client: sent again on every connection, from where each has come to. */
export class Subscriptions {
  readonly #host: SubscriptionHost
  readonly #all = new Set<Subscribed<unknown>>()
  readonly #byId = new Map<bigint, Subscribed<unknown>>()
  #nextId = 1n

  constructor(host: SubscriptionHost) {
    this.#host = host
  }

  /** @throws {DbError} `parameter_invalid` */
  subscribe(filter: SubscribeFilter, { fromLsn = 0 }: SubscribeOptions): Subscription {
    if (!Number.isSafeInteger(fromLsn) || fromLsn < 0) {
      throw new DbError('parameter_invalid', 'fromLsn must be an LSN', { parameter: 'fromLsn' })
    }
    return this.#add(new Subscription(this, wantedOf(filter, undefined), fromLsn))
  }

  /** @throws {DbError} `parameter_invalid` */
  watch({ lens = 'recency', ...filter }: WatchParameters): Watch {
    return this.#add(new Watch(this, wantedOf(filter, lens), 0))
  }

  /** A connection is there: everything is asked for on it. */
  up(): void {
    this.#byId.clear()
    for (const subscription of this.#all) {
      subscription.id = undefined
      this.#send(subscription)
    }
  }

  down(): void {
    this.#byId.clear()
    for (const subscription of this.#all) subscription.id = undefined
  }

  /** The client has ended, and with it everything; by a failure, or because it was asked to. */
  end(failure?: DbError): void {
    for (const subscription of this.#all) subscription.end(failure)
    this.#all.clear()
    this.#byId.clear()
  }

  frame(frame: FeedFrame): void {
    if (frame.kind === 'heartbeat') {
      for (const { subscriptionId, lsn } of frame.reached) this.#byId.get(subscriptionId)?.reached(lsn + 1)
      return
    }
    const subscription = this.#byId.get(frame.subscriptionId)
    // Of one that was cancelled.
    if (subscription === undefined) return
    switch (frame.kind) {
      case 'subscribed':
        subscription.refusals = 0
        return subscription.reached(frame.fromLsn)
      case 'delivery':
      case 'answers':
        subscription.take(frame)
        // The node is told to stop; what is under way until it does still comes.
        if (subscription.isFull && !subscription.isStopping) {
          subscription.isStopping = true
          this.#host.send(encodeUnsubscribe(frame.subscriptionId))
        }
        return
      case 'subscriptionEnd': return this.#ended(subscription, frame)
    }
  }

  /** Something was taken out of its queue. */
  consumed(subscription: Subscribed<unknown>): void {
    if (subscription.id === undefined && !subscription.isOver) this.#send(subscription)
  }

  cancel(subscription: Subscribed<unknown>): void {
    const { id } = subscription
    if (id !== undefined && this.#host.isUp) this.#host.send(encodeUnsubscribe(id))
    if (id !== undefined) this.#byId.delete(id)
    this.#all.delete(subscription)
    subscription.end()
  }

  #add<S extends Subscribed<unknown>>(subscription: S): S {
    this.#all.add(subscription)
    this.#send(subscription)
    return subscription
  }

  #send(subscription: Subscribed<unknown>): void {
    if (!this.#host.isUp || subscription.id !== undefined || subscription.isOver || !subscription.isHungry) return
    const id = this.#nextId++
    subscription.isStopping = false
    subscription.id = id
    this.#byId.set(id, subscription)
    this.#host.send(subscription.request(id))
  }

  #ended(subscription: Subscribed<unknown>, { subscriptionId, code, detail, lastLsn }: Extract<FeedFrame, { kind: 'subscriptionEnd' }>): void {
    this.#byId.delete(subscriptionId)
    subscription.id = undefined
    if (lastLsn > 0) subscription.reached(lastLsn + 1)
    if (code !== undefined && !ERROR_CODES[code].retryable) {
      this.#all.delete(subscription)
      return subscription.end(new DbError(code, detail === '' ? ERROR_CODES[code].title : detail, { from: 'server' }))
    }
    // It was stopped for want of room, or may be tried again.
    if (code === undefined) return this.#send(subscription)
    const { platform, backoff } = this.#host
    platform.timer(backoffMs(subscription.refusals++, backoff, platform.random()), () => this.#send(subscription))
  }
}
