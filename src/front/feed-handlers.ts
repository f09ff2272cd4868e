import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { filterFault, latin1Of, type FeedFilter } from '../feed/filter.ts'
import { agentFromText } from '../record/agent-key.ts'
import { SOURCE_CLASSES } from '../record/assertion.ts'
import { SOURCE_CLASS_MAX } from '../record/limits.ts'
import type { Exchange } from './exchange.ts'
import { readPage } from './feed-page.ts'
import type { FeedSink, HubSubscription } from './feed-hub.ts'
import { LensWatch } from './feed-lens.ts'
import { QUERY_LIMIT_DEFAULT } from './front-limits.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { EVENT_STREAM_TYPE, JSON_TYPE, negotiate } from './media.ts'
import { parametersReader } from './parameters.ts'
import { replyToJson } from './query.codec.ts'
import { FEED_PARAMETERS } from './schemas-feed.ts'

interface FeedParameters {
  readonly subject?: string
  readonly prefix?: string
  readonly predicate?: string
  readonly tier?: string
  readonly agent?: string
  readonly from_lsn?: number
  readonly limit?: number
  readonly lens?: string
}

const readParameters = parametersReader<FeedParameters>(FEED_PARAMETERS)

function refuse(parameter: string, why: string): never {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

function tiersOf(text: string | undefined): number {
  let tiers = 0
  for (const name of text?.split(',').map((part) => part.trim()) ?? []) {
    const tier = /^\d$/.test(name) ? Number(name) : SOURCE_CLASSES.indexOf(name as (typeof SOURCE_CLASSES)[number])
    if (tier < 0 || tier > SOURCE_CLASS_MAX) refuse('tier', `"${name}" is none of 0..${SOURCE_CLASS_MAX}, ${SOURCE_CLASSES.join(', ')}`)
    tiers |= 1 << tier
  }
  return tiers
}

const utf8Latin1 = (text: string | undefined): string | undefined => (text === undefined ? undefined : latin1Of(Buffer.from(text)))

function filterOf({ subject, prefix, predicate, tier, agent }: FeedParameters): FeedFilter {
  if (subject !== undefined && prefix !== undefined) refuse('prefix', 'and subject exclude each other')
  const key = agent === undefined ? undefined : agentFromText(agent) ?? refuse('agent', 'must be 64 hex digits or a did:key of Ed25519')
  const filter: FeedFilter = {
    subject: utf8Latin1(subject ?? prefix), subjectIsPrefix: prefix !== undefined, predicate: utf8Latin1(predicate),
    tiers: tiersOf(tier), agent: key === undefined ? undefined : latin1Of(key),
  }
  const fault = filterFault(filter)
  if (fault !== undefined) refuse(fault.part, fault.why)
  return filter
}

/** Where an interrupted stream goes on: behind the last event that it had. */
function fromLsnOf({ from_lsn: fromLsn = 0 }: FeedParameters, lastEventId: string): Lsn {
  if (lastEventId === '') return fromLsn
  if (!/^\d{1,15}$/.test(lastEventId)) refuse('last-event-id', 'must be an LSN')
  return Number(lastEventId) + 1
}

/** `GET /v1/feed` */
export function handleFeed(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { config: { queryLimitMax } } = parts.options
  const given = readParameters(request.query)
  const filter = filterOf(given)
  const type = negotiate(request.accept, [JSON_TYPE, EVENT_STREAM_TYPE])
  if (type === undefined) throw new DbError('not_acceptable', `a feed is ${EVENT_STREAM_TYPE}, a page of it ${JSON_TYPE}`)
  if (type === EVENT_STREAM_TYPE) {
    if (given.limit !== undefined) refuse('limit', 'is for pages; a stream has no end')
    return openStream(exchange, filter, given.lens, fromLsnOf(given, request.lastEventId), parts)
  }
  if (given.lens !== undefined) refuse('lens', `needs accept: ${EVENT_STREAM_TYPE}; GET /v1/query answers once`)
  const { limit = Math.min(QUERY_LIMIT_DEFAULT, queryLimitMax) } = given
  if (limit > queryLimitMax) refuse('limit', `must be at most ${queryLimitMax} on this node`)
  readPage(exchange, { filter, limit, fromLsn: given.from_lsn ?? 0 }, parts)
}

const STREAM_HEADERS = [
  ['content-type', EVENT_STREAM_TYPE], ['cache-control', 'no-store'],
  // nginx and its like would hold events back.
  ['x-accel-buffering', 'no'],
] as const

/** A comment: what a connection is kept awake with, and what pushes out what waits on it. */
const COMMENT = ':\n\n'
/** Interval at which a stream that is behind is kept from uWebSockets' own 10 s for a write: subscriptionStallMsMax says how long one may take nothing. */
const REARM_MS = 4_000

function openStream(exchange: Exchange, filter: FeedFilter, lens: string | undefined, fromLsn: Lsn, parts: HandlerParts): void {
  if (exchange.isHead) return exchange.respondEmpty(200, STREAM_HEADERS)
  const stream = new EventStream(exchange, parts)
  if (lens === undefined) stream.follow(filter, fromLsn)
  else stream.watch(filter, lens)
}

/**
 * Server-sent events (WHATWG HTML, section 9.2): each match is one event whose id is its LSN, so that a browser goes on
 * behind the last one by itself.
 */
class EventStream {
  readonly #exchange: Exchange
  readonly #parts: HandlerParts
  readonly #sink: FeedSink
  #subscriptions: () => readonly HubSubscription[] = () => []
  /** The socket has not taken all that was written. */
  #isBehind = false
  #cancelRearm: (() => void) | undefined

  constructor(exchange: Exchange, parts: HandlerParts) {
    const { feed } = parts
    this.#exchange = exchange
    this.#parts = parts
    this.#sink = feed.hub.openSink(() => (this.#isBehind ? this.#sink.sentBytes : 0))
    feed.streams.add(exchange)
    exchange.onClose(() => {
      feed.streams.delete(exchange)
      this.#cancelRearm?.()
      feed.hub.closeSink(this.#sink, this.#subscriptions())
    })
    exchange.onWritable(() => {
      if (!this.#isBehind || !this.#write(COMMENT)) return
      feed.hub.settle(this.#sink)
    })
  }

  /** @throws {DbError} those of `FeedHub.subscribe` */
  follow(filter: FeedFilter, fromLsn: Lsn): void {
    const subscription = this.#parts.feed.hub.subscribe({ sink: this.#sink, filter, fromLsn }, {
      subscribed: (lsn) => this.#begin(lsn),
      deliver: ({ json }) => {
        this.#write(json.map((found) => `id: ${found.lsn}\nevent: assertion\ndata: ${JSON.stringify(found)}\n\n`).join(''))
        return true
      },
      reached: (lsn) => this.#reached(lsn),
      ended: (code, detail, lastLsn) => this.#ended(code, detail, lastLsn),
    })
    this.#subscriptions = () => [subscription]
  }

  /** @throws {DbError} those of `LensWatch` */
  watch(filter: FeedFilter, lens: string): void {
    const watch = new LensWatch(this.#parts.feed, this.#sink, filter, lens, {
      subscribed: (lsn) => this.#begin(lsn),
      changed: (reply) => this.#write(`id: ${reply.seenLsn()}\nevent: answer\ndata: ${JSON.stringify(replyToJson(reply))}\n\n`),
      reached: (lsn) => this.#reached(lsn),
      ended: (code, detail, lastLsn, parameter) => this.#ended(code, detail, lastLsn, parameter),
    })
    this.#subscriptions = () => watch.subscriptions
    this.#exchange.onClose(() => watch.close())
  }

  #begin(fromLsn: Lsn): void {
    this.#exchange.startStream(200, STREAM_HEADERS)
    // An event without data is no event, but its id counts: who is cut off at once goes on from here.
    this.#write(`: from LSN ${fromLsn}\nid: ${fromLsn - 1}\n\n`)
  }

  #reached(lsn: Lsn): void {
    if (!this.#isBehind) this.#write(`: reached LSN ${lsn}\nid: ${lsn}\n\n`)
  }

  #ended(code: ErrorName = 'internal', detail: string, lastLsn: Lsn, parameter?: string): void {
    if (!this.#exchange.streaming) return this.#exchange.problem(new DbError(code, detail, parameter === undefined ? {} : { parameter }))
    const { title, retryable } = ERROR_CODES[code]
    this.#exchange.endStream(`event: end\ndata: ${JSON.stringify({ code, title, detail, retryable, last_lsn: lastLsn })}\n\n`)
  }

  #write(text: string): boolean {
    const taken = this.#exchange.write(text)
    this.#isBehind = !taken
    if (!taken) this.#rearmLater()
    return taken
  }

  #rearmLater(): void {
    this.#cancelRearm ??= this.#parts.options.clock.timer(REARM_MS, () => {
      this.#cancelRearm = undefined
      if (!this.#isBehind) return
      this.#exchange.rearm()
      this.#rearmLater()
    })
  }
}
