import { must } from '../base/assert.ts'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { toHex } from '../base/bytes.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Answer } from '../fbs/stemedb/answer.ts'
import type { Found } from '../fbs/stemedb/found.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { FeedFilter } from '../feed/filter.ts'
import type { Lens } from '../lens/lens.ts'
import { lensOf } from '../lens/registry.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { refusalOf } from '../wire/query-reply.codec.ts'
import { encodeLensQuestion } from './feed-frames.codec.ts'
import type { FeedHub, FeedSink, HubSubscription, Subscriber } from './feed-hub.ts'
import { RETRY_DELAY_MS } from './front-limits.ts'
import type { FrontOptions } from './hooks.ts'
import type { Queries } from './queries.ts'

/** Answers that a lens subscription may have: it is asked for all of them each time that one may have changed. */
export const LENS_ANSWERS_MAX = 100
/** Queries of all lens subscriptions that are under way at a time. */
const LENS_QUERIES_MAX = 64
/** A subscription's answer is not asked for more often, in milliseconds. */
const LENS_INTERVAL_MS = 20
/** Where votes, epochs, trust and aliases are written: what a lens may look at beside the claims themselves. */
const RECORDS: FeedFilter = Object.freeze({ subject: 'steme://', subjectIsPrefix: true, predicate: undefined, tiers: 0, agent: undefined })
/** Lenses that do not look at the time: all others weigh, by decay or trust. */
const TIMELESS = new Set(['recency', 'authority', 'epoch', 'versions'])

export interface LensWatchParts {
  readonly options: FrontOptions
  readonly hub: FeedHub
  readonly asker: LensAsker
}

/** Hands out turns to ask: bounded, first come first served. */
export class LensAsker {
  readonly queries: Queries
  #underWay = 0
  readonly #waiting: (() => void)[] = []

  constructor(queries: Queries) {
    this.queries = queries
  }

  /** Calls `ask` when it may; each call must be followed by one of {@link done}. */
  turn(ask: () => void): void {
    if (this.#underWay >= LENS_QUERIES_MAX) return void this.#waiting.push(ask)
    this.#underWay++
    ask()
  }

  done(): void {
    this.#underWay--
    const next = this.#waiting.shift()
    if (next === undefined) return
    this.#underWay++
    next()
  }
}

/** Whether the answer of a lens, or of a chain of them, may change while nothing is written. */
export const isTimed = ({ name }: Lens): boolean => !name.split(',').every((part) => TIMELESS.has(part))

export interface LensListener {
  subscribed(fromLsn: Lsn): void
  /** At the begin, and whenever a winner, its lifecycle or a status has changed. The reply is valid during the call. */
  changed(reply: QueryReply): void
  reached(lsn: Lsn): void
  /** @param parameter that is wrong, where it is one */
  ended(code: ErrorName | undefined, detail: string, lastLsn: Lsn, parameter?: string): void
}

/**
 * Watches the answer of a lens: whatever matches its filter, or is a record that lenses look at, makes it ask again.
 * While an answer is awaited, any number of further matches make for one more question. What changes with time alone is
 * asked for again every subscriptionRefreshMs.
 */
export class LensWatch {
  readonly #parts: LensWatchParts
  readonly #filter: FeedFilter
  readonly #lens: Lens
  readonly #listener: LensListener
  readonly subscriptions: HubSubscription[] = []
  #asked: 'no' | 'yes' | 'again' = 'no'
  #known: string | undefined
  #lastAskedMs = -Infinity
  #seenLsn = 0
  #isOver = false
  #cancelAsk: (() => void) | undefined
  #cancelRefresh: (() => void) | undefined

  /** @throws {DbError} `parameter_invalid`, and those of `FeedHub.subscribe`. */
  constructor(parts: LensWatchParts, sink: FeedSink, filter: FeedFilter, lens: string, listener: LensListener) {
    if (filter.subject === undefined || filter.subject === '') {
      throw new DbError('parameter_invalid', 'a lens subscription needs a subject or a prefix', { parameter: 'subject' })
    }
    this.#parts = parts
    this.#filter = filter
    this.#lens = lensOf(lens)
    this.#listener = listener
    const { hub } = parts
    // What takes back, changes or replaces a claim of one tier may be of another one; of another agent it never is.
    this.subscriptions.push(hub.subscribe({ sink, filter: { ...filter, tiers: 0 }, fromLsn: 0 }, this.#subscriber(true)))
    const { needs = [] } = this.#lens
    if (needs.length === 0) return
    try {
      this.subscriptions.push(hub.subscribe({ sink, filter: RECORDS, fromLsn: 0 }, this.#subscriber(false)))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Up to where the last answer saw; 0: there was none. */
  get seenLsn(): Lsn {
    return this.#seenLsn
  }

  /** Ends it without a word. */
  close(): void {
    this.#isOver = true
    this.#cancelAsk?.()
    this.#cancelRefresh?.()
    for (const subscription of this.subscriptions) this.#parts.hub.unsubscribe(subscription)
  }

  #subscriber(isFirst: boolean): Subscriber {
    return {
      subscribed: (fromLsn) => {
        if (isFirst && !this.#isOver) this.#try(() => this.#listener.subscribed(fromLsn))
        this.#mayHaveChanged()
      },
      deliver: () => {
        this.#mayHaveChanged()
        return false
      },
      reached: (lsn) => {
        if (isFirst) this.#reached(lsn)
      },
      ended: (code, detail) => this.#end(code, detail),
    }
  }

  /** What has come since the last answer is not in it while another one is awaited. */
  #reached(lsn: Lsn): void {
    const known = this.#asked === 'no' ? Math.max(lsn, this.#seenLsn) : this.#seenLsn
    if (known > 0 && !this.#isOver) this.#try(() => this.#listener.reached(known))
  }

  #mayHaveChanged(): void {
    if (this.#asked === 'yes') this.#asked = 'again'
    if (this.#isOver || this.#asked !== 'no') return
    this.#asked = 'yes'
    const { clock } = this.#parts.options
    const waitMs = this.#lastAskedMs + LENS_INTERVAL_MS - clock.monoMs()
    if (waitMs <= 0) this.#ask()
    else this.#cancelAsk = clock.timer(waitMs, () => this.#ask())
  }

  #ask(): void {
    const { asker, options: { clock, config, metrics } } = this.#parts
    asker.turn(() => {
      if (this.#isOver) return asker.done()
      // What comes from here on may not be in the answer; what came before is.
      this.#asked = 'yes'
      this.#lastAskedMs = clock.monoMs()
      const limit = Math.min(LENS_ANSWERS_MAX, config.queryLimitMax)
      const sent = asker.queries.askAlone((requestId) => encodeLensQuestion(requestId, this.#filter, this.#lens.name, limit), (reply) => {
        asker.done()
        this.#try(() => this.#answered(reply))
      })
      if (sent) return void metrics.inc('feed_lens_queries_total')
      asker.done()
      this.#cancelAsk = clock.timer(RETRY_DELAY_MS, () => this.#ask())
    })
  }

  #answered(reply: QueryReply): void {
    if (this.#isOver) return
    const isStale = this.#asked === 'again'
    this.#asked = 'no'
    const refusal = refusalOf(reply)
    if (refusal !== undefined && !ERROR_CODES[refusal.code].retryable) return this.#end(refusal.code, refusal.message, reply.parameter() ?? undefined)
    if (refusal === undefined && reply.truncated()) return this.#end('parameter_invalid', `it has more than ${LENS_ANSWERS_MAX} answers: make it narrower`)
    if (refusal === undefined) this.#compare(reply)
    if (isStale || refusal !== undefined) this.#mayHaveChanged()
    this.#refreshLater()
  }

  #refreshLater(): void {
    const { clock, config } = this.#parts.options
    if (this.#isOver || !isTimed(this.#lens)) return
    this.#cancelRefresh?.()
    this.#cancelRefresh = clock.timer(config.subscriptionRefreshMs, () => this.#mayHaveChanged())
  }

  #compare(reply: QueryReply): void {
    const known = fingerprintOf(reply)
    this.#seenLsn = Number(reply.seenLsn())
    if (known === this.#known) return
    this.#known = known
    this.#listener.changed(reply)
  }

  #end(code: ErrorName | undefined, detail: string, parameter?: string): void {
    if (this.#isOver) return
    this.close()
    this.#try(() => this.#listener.ended(code, detail, this.#seenLsn, parameter))
  }

  /** A fault of ours ends the subscription, not the process. */
  #try(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#parts.options.onFault?.(error)
      this.#end('internal', 'the node failed on this subscription')
    }
  }
}

/** Who won and how it stands, of every answer: what a subscriber is told the change of. */
function fingerprintOf(reply: QueryReply): string {
  return Array.from({ length: reply.answersLength() }, (_, i) => {
    const answer: Answer = must(reply.answers(i))
    const sides = Array.from({ length: answer.sidesLength() }, (_side, k) => {
      const side = must(answer.sides(k))
      return `${side.label() ?? ''} ${winnerOf(side.winner())} ${side.winnerLifecycle()}`
    })
    return JSON.stringify([answer.subject(), answer.predicate(), winnerOf(answer.winner()), answer.winnerLifecycle(), answer.status() ?? '', ...sides])
  }).join('\n')
}

function winnerOf(found: Found | null): string {
  const id = found?.id()
  return id === null || id === undefined ? '' : toHex(must(id.bb).bytes().subarray(id.bb_pos, id.bb_pos + HASH_BYTES))
}
