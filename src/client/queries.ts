import { DbError, isDbError } from '../base/errors.ts'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { KiB } from '../base/units.ts'
import { encodeList, LIST_ITEMS_MAX } from '../wire/queries.codec.ts'
import { decodeReply, type QueryResult } from '../wire/query-reply.codec.ts'
import { encodeQuery, type QueryInput, type QueryKind } from '../wire/query-request.codec.ts'
import { backoffMs, type BackoffOptions } from './backoff.ts'
import type { ClientOptions } from './options.ts'

/** Bytes of queries that share a message: well below what a node takes. */
const FRAME_BYTES_MAX = 64 * KiB
/** Pause before a query that was refused as `overloaded` is sent again. */
const RETRY: BackoffOptions = { baseMs: 25, capMs: 1000 }

/**
 * What to ask: a whole `subject`, or the `prefix` of one, by a lens (`kind` absent); or another kind of question (fbs/query.fbs). Which fields a
 * kind looks at is said in docs/reference/http-api.md.
 */
export interface QueryParameters extends Omit<QueryInput, 'kind' | 'subjectIsPrefix'> {
  /** Default `lens`. */
  readonly kind?: QueryKind
  /** All subjects that begin like this. */
  readonly prefix?: string
}

/** What came of one of many queries. */
export type QueryOutcome =
  | { readonly ok: true, readonly result: QueryResult }
  | { readonly ok: false, readonly error: DbError }

export type QueriesOptions =
  Pick<ClientOptions, 'platform' | 'queriesUnderWayMax' | 'queriesWaitingMax' | 'queryTimeoutMs' | 'refusalRetriesMax'>

interface Query {
  readonly requestId: bigint
  readonly frame: Uint8Array
  readonly endMonoMs: number
  readonly resolve: (result: QueryResult) => void
  readonly reject: (error: DbError) => void
  retries: number
  isSent: boolean
}

/**
 * Queries over the stream: those asked in one turn of the event loop share a message, and any number of them is under way at a time. They
 * are sent again after a lost connection, since asking twice changes nothing.
 *
 * Invariants: at most `queriesUnderWayMax` are sent and unanswered; every query settles, at the latest after `queryTimeoutMs`.
 */
export class Queries {
  readonly #options: QueriesOptions
  readonly #send: (frame: Uint8Array) => void
  /** All that are not settled, in the order in which they were asked, which is that of their ends. */
  readonly #open = new Map<bigint, Query>()
  /** Of these, what is to be sent, the first first. */
  #waiting: Query[] = []
  #underWay = 0
  /** What the node allows; 0 while there is no connection. */
  #nodeMax = 0
  #nextRequestId = 1n
  #isScheduled = false
  #stopTimer: (() => void) | undefined
  #room: (() => void)[] = []
  #ended: DbError | undefined

  /** @param send sends a frame where there is a connection */
  constructor(options: QueriesOptions, send: (frame: Uint8Array) => void) {
    this.#options = options
    this.#send = send
  }

  /** Not settled yet. */
  get pending(): number {
    return this.#open.size
  }

  get hasRoom(): boolean {
    return this.#open.size < this.#options.queriesUnderWayMax + this.#options.queriesWaitingMax
  }

  /** @throws {DbError} (as rejection) the refusal's code; `overloaded` without room; `timeout`; `malformed_frame` for a reply that is none. */
  ask(parameters: QueryParameters): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended
      if (!this.hasRoom) throw new DbError('overloaded', `${this.#open.size} queries are pending; await some of them, or use queryMany()`)
      const requestId = this.#nextRequestId++
      const query: Query = {
        requestId, frame: encodeQuery(requestId, inputOf(parameters)), endMonoMs: this.#options.platform.monoMs() + this.#options.queryTimeoutMs,
        resolve, reject, retries: 0, isSent: false,
      }
      this.#open.set(requestId, query)
      this.#waiting.push(query)
      this.#watch()
      this.#schedule()
    })
  }

  /** All of them, in their order, as many under way as may be. A refusal is an outcome, not a rejection. */
  async many(list: Iterable<QueryParameters>): Promise<QueryOutcome[]> {
    const outcomes: Promise<QueryOutcome>[] = []
    for (const parameters of list) {
      while (!this.hasRoom) await new Promise<void>((resolve) => this.#room.push(resolve))
      outcomes.push(this.ask(parameters).then((result): QueryOutcome => ({ ok: true, result }), (error: unknown): QueryOutcome => {
        if (!isDbError(error)) throw error
        return { ok: false, error }
      }))
    }
    return Promise.all(outcomes)
  }

  /** @param queriesMax that the node said; 0 of a node that knows no queries over the stream. */
  connected(queriesMax: number): void {
    this.#nodeMax = queriesMax
    if (queriesMax === 0) this.#endAll(new DbError('protocol_unsupported', 'the node answers no queries over the stream'))
    this.#pump()
  }

  /** What was sent and not answered is to be sent again. */
  disconnected(): void {
    this.#nodeMax = 0
    this.#underWay = 0
    this.#waiting = [...this.#open.values()]
    for (const query of this.#waiting) query.isSent = false
  }

  /** A QueryReply buffer. @throws {DbError} `malformed_frame` where it is none, or answers what was not asked. */
  reply(bytes: Uint8Array): void {
    const reply = decodeReply(bytes)
    const query = this.#open.get(reply.requestId)
    if (query === undefined) {
      // One that has timed out is answered late; one that was never given out is nonsense.
      if (reply.requestId > 0n && reply.requestId < this.#nextRequestId) return this.#answered()
      throw new DbError('malformed_frame', `the server answered query ${reply.requestId}, which was not asked`)
    }
    if (!query.isSent) return
    this.#answered()
    if (reply.refused === undefined) return this.#settle(query, () => query.resolve(reply.result))
    if (this.#sendsAgain(query, reply.refused)) return
    const { error } = reply
    this.#settle(query, () => query.reject(error))
  }

  /** After all replies of a message. */
  flush(): void {
    this.#pump()
  }

  end(error: DbError): void {
    this.#nodeMax = 0
    this.#ended = error
    this.#endAll(error)
  }

  #answered(): void {
    this.#underWay = Math.max(0, this.#underWay - 1)
  }

  #sendsAgain(query: Query, refused: ErrorName): boolean {
    const { platform, refusalRetriesMax } = this.#options
    if (!ERROR_CODES[refused].retryable || refused === 'lsn_not_reached' || query.retries >= refusalRetriesMax) return false
    query.isSent = false
    platform.timer(backoffMs(query.retries++, RETRY, platform.random()), () => {
      if (!this.#open.has(query.requestId) || query.isSent || this.#waiting.includes(query)) return
      this.#waiting.push(query)
      this.#pump()
    })
    return true
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    const most = Math.min(this.#options.queriesUnderWayMax, this.#nodeMax)
    while (this.#waiting.length > 0 && this.#underWay < most) {
      const frames = this.#take(Math.min(most - this.#underWay, LIST_ITEMS_MAX))
      if (frames.length === 0) continue
      this.#underWay += frames.length
      this.#send(frames.length === 1 ? frames[0]! : encodeList('SQRS', frames))
    }
  }

  /** The next ones that share a message; those that are settled meanwhile are left out. */
  #take(countMax: number): Uint8Array[] {
    const frames: Uint8Array[] = []
    let bytes = 0
    let taken = 0
    for (const query of this.#waiting) {
      if (frames.length === countMax || frames.length > 0 && bytes + query.frame.length > FRAME_BYTES_MAX) break
      taken++
      if (!this.#open.has(query.requestId)) continue
      query.isSent = true
      bytes += query.frame.length
      frames.push(query.frame)
    }
    this.#waiting.splice(0, taken)
    return frames
  }

  #settle(query: Query, tell: () => void): void {
    this.#open.delete(query.requestId)
    tell()
    if (this.#open.size === 0) {
      this.#stopTimer?.()
      this.#stopTimer = undefined
    }
    for (const wake of this.#room.splice(0)) wake()
  }

  /** One timer, for the query that ends first. */
  #watch(): void {
    const first = this.#open.values().next().value
    if (this.#stopTimer !== undefined || first === undefined) return
    const { platform, queryTimeoutMs } = this.#options
    this.#stopTimer = platform.timer(Math.max(1, first.endMonoMs - platform.monoMs()), () => {
      this.#stopTimer = undefined
      const nowMs = platform.monoMs()
      for (const query of this.#open.values()) {
        if (query.endMonoMs > nowMs) break
        this.#settle(query, () => query.reject(new DbError('timeout', `no answer in ${queryTimeoutMs} ms`)))
      }
      this.#watch()
    })
  }

  #endAll(error: DbError): void {
    this.#waiting = []
    this.#underWay = 0
    for (const query of [...this.#open.values()]) this.#settle(query, () => query.reject(error))
  }
}

function inputOf({ prefix, kind = 'lens', ...rest }: QueryParameters): QueryInput {
  if (prefix !== undefined && rest.subject !== undefined) {
    throw new DbError('parameter_invalid', 'prefix and subject exclude each other', { parameter: 'prefix' })
  }
  return prefix === undefined ? { ...rest, kind } : { ...rest, kind, subject: prefix, subjectIsPrefix: true }
}
