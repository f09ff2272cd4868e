import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { DbError } from '../base/errors.ts'
import type { HTTP_STATUSES } from '../observe/metrics.ts'
import type { Admission } from './admission.ts'
import { handleAssert } from './assert-handler.ts'
import { handleBatch } from './batch-handler.ts'
import { handleAudit, handleAuditRecord } from './audit-handlers.ts'
import { addressText, whoOf, type Auditor } from './audit/auditor.ts'
import { ArrivingBodies, BodyBudget } from './body.ts'
import { handleConstraints, handleLayered, handleSkeptic } from './conflict-handlers.ts'
import { Cors } from './cors.ts'
import { Exchange, type ExchangeHost, type Headers } from './exchange.ts'
import { handleFeed } from './feed-handlers.ts'
import type { LensWatchParts } from './feed-lens.ts'
import { RETRY_AFTER_OVERLOADED_MS, RETRY_DELAY_MS, bodyBytesMax } from './front-limits.ts'
import type { Handler, HandlerParts, RequestInfo } from './handler.ts'
import type { FrontOptions } from './hooks.ts'
import { openapiDocument } from './openapi.ts'
import { errorOf } from './problem.ts'
import type { Queries } from './queries.ts'
import { handleQueries } from './queries-handler.ts'
import {
  handleBundle, handleCheckpoint, handleConsistency, handleInclusion, handleSignature, handleTile,
} from './proof-handlers.ts'
import { addressKey } from './rate-limiter.ts'
import { handleAssertion, handleQuery } from './read-handlers.ts'
import { handleConcepts, handleEquivocations, handleTrace } from './trace-handlers.ts'
import {
  handleAlias, handleAliases, handleEpoch, handleEpochs, handleOutcome, handleSource, handleSourceByHash, handleSources, handleTrust, handleVote, handleVotes,
} from './record-handlers.ts'
import { framingFault, targetFault } from './request-faults.ts'
import { RequestIds } from './request-ids.ts'
import { matchRoute, type OperationId, type Route } from './routes.ts'
import type { SlotTable } from './slots.ts'
import {
  handleHealth, handleLivez, handleMetrics, handleOpenapi, handleProblem, handleReadyz, handleStream,
} from './status-handlers.ts'

const HANDLERS: Readonly<Record<OperationId, Handler>> = {
  assert: handleAssert,
  assertBatch: handleBatch,
  getAssertion: handleAssertion,
  listVotes: handleVotes,
  vote: handleVote,
  declareEpoch: handleEpoch,
  listEpochs: handleEpochs,
  listAliases: handleAliases,
  alias: handleAlias,
  getTrust: handleTrust,
  reportOutcome: handleOutcome,
  listSources: handleSources,
  registerSource: handleSource,
  getSource: handleSourceByHash,
  query: handleQuery,
  queryMany: handleQueries,
  skeptic: handleSkeptic,
  layered: handleLayered,
  constraints: handleConstraints,
  trace: handleTrace,
  listConcepts: handleConcepts,
  listEquivocations: handleEquivocations,
  listAudit: handleAudit,
  getAuditRecord: handleAuditRecord,
  feed: handleFeed,
  getCheckpoint: handleCheckpoint,
  proveInclusion: handleInclusion,
  proveConsistency: handleConsistency,
  proveSignature: handleSignature,
  getProofFile: handleBundle,
  getTile: handleTile,
  openStream: handleStream,
  livez: handleLivez,
  readyz: handleReadyz,
  health: handleHealth,
  metrics: handleMetrics,
  openapi: handleOpenapi,
  describeProblem: handleProblem,
}

const WRITES: ReadonlySet<string> = new Set<OperationId>(['assert', 'assertBatch', 'vote', 'declareEpoch', 'alias', 'reportOutcome', 'registerSource'])
/** For requests that no route takes. */
const NO_ROUTE: Route = { method: 'GET', path: '', operationId: '', metric: 'other' }

export interface HttpParts {
  readonly options: FrontOptions
  readonly admission: Admission
  readonly slots: SlotTable
  readonly queries: Queries
  readonly auditor: Auditor
  readonly feed: LensWatchParts
}

/** The HTTP side: from uWebSockets' callbacks to handlers, with what every request and response has in common. */
export class HttpEndpoint implements ExchangeHost {
  readonly realm: string
  readonly #options: FrontOptions
  readonly #admission: Admission
  readonly #handlerParts: HandlerParts
  readonly #requestIds: RequestIds
  readonly #arriving: ArrivingBodies
  readonly #cors: Cors
  readonly #routes = new WeakMap<Exchange, Route>()
  readonly #retries: { exchange: Exchange, attempt: () => void }[] = []
  /** Event streams that are open: they are as many as subscriptions may be, and no requests under way. */
  readonly #streams = new Set<Exchange>()
  #openCount = 0

  constructor({ options, admission, slots, queries, auditor, feed }: HttpParts) {
    this.#options = options
    this.#admission = admission
    this.realm = options.config.realm
    this.#cors = new Cors(options.config.corsOrigins)
    this.#requestIds = new RequestIds(options.secrets)
    this.#arriving = new ArrivingBodies(options.config.httpRequestsMax)
    let document: string | undefined
    this.#handlerParts = {
      options,
      admission,
      slots,
      queries,
      auditor,
      feed: { ...feed, streams: this.#streams },
      body: {
        clock: options.clock,
        metrics: options.metrics,
        budget: new BodyBudget(bodyBytesMax(options.config)),
        arriving: this.#arriving,
        ingressTimeoutMs: options.config.ingressTimeoutMs,
      },
      guard: (exchange, step) => this.#guard(exchange, step),
      openapi: () => (document ??= JSON.stringify(openapiDocument(options.version))),
      retryLater: (exchange, attempt) => this.#retryLater(exchange, attempt),
    }
  }

  /** Requests that came and are not answered. */
  get openCount(): number {
    return this.#openCount
  }

  /** uWebSockets' handler for everything that is no WebSocket. */
  handle(res: HttpResponse, req: HttpRequest): void {
    const method = req.getMethod().toUpperCase()
    const match = matchRoute(method, req.getUrl())
    const route = match.kind === 'found' ? match.route : NO_ROUTE
    const framing = framingFault(req, method)
    // With a body without end, the connection is cut behind the answer.
    const exchange = this.#open(res, req, route, framing === undefined ? bodyBytesOf(req) : Infinity)
    if (framing !== undefined) return this.#answerLast(exchange, framing)
    const fault = targetFault(req)
    if (fault !== undefined) return exchange.problem(fault)
    if (match.kind === 'none') return exchange.problem(new DbError('not_found', 'no such path'))
    if (match.kind === 'method') return this.#answerMethod(exchange, method, match.allow)
    if (this.#openCount - this.#arriving.count - this.#streams.size > this.#options.config.httpRequestsMax && route.always !== true) {
      return exchange.problem(new DbError('overloaded', 'too many requests are under way', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS }))
    }
    const request = requestInfo(req, match.parameters)
    this.#guard(exchange, () => HANDLERS[route.operationId as OperationId](exchange, request, this.#handlerParts))
  }

  /** Answers an upgrade that is refused. */
  refuseUpgrade(res: HttpResponse, req: HttpRequest, error: DbError): void {
    const route = matchRoute('GET', req.getUrl())
    this.#open(res, req, route.kind === 'found' ? route.route : NO_ROUTE, bodyBytesOf(req)).problem(error)
  }

  commonHeaders(exchange: Exchange): Headers {
    const headers: [string, string][] = []
    if (this.#admission.draining) headers.push(['connection', 'close'])
    const { rate } = this.#admission
    if (rate.on && WRITES.has(exchange.operationId)) {
      const { remaining, resetSeconds } = rate.state(exchange.address)
      headers.push(['ratelimit-policy', `"assertions";q=${rate.ratePerSecond};w=1`])
      headers.push(['ratelimit', `"assertions";r=${remaining};t=${resetSeconds}`])
    }
    return headers
  }

  onEnd(exchange: Exchange, status: number): void {
    this.#openCount--
    const { metrics } = this.#options
    metrics.set('http_requests_in_flight', this.#openCount)
    if (status === 0) return
    const route = this.#routes.get(exchange)?.metric ?? 'other'
    // The table maps a status that it does not know to `other`.
    metrics.inc('http_requests_total', { route, status: String(status) as (typeof HTTP_STATUSES)[number] })
  }

  onRefused(error: DbError): void {
    this.#admission.refused(error.code)
  }

  #open(res: HttpResponse, req: HttpRequest, route: Route, bodyBytes: number): Exchange {
    const { metrics } = this.#options
    const counted = this.#admission.rate.on && WRITES.has(route.operationId)
    const exchange = new Exchange(res, this, {
      requestId: this.#requestIds.next(),
      operationId: route.operationId,
      address: counted ? addressKey(res.getRemoteAddress()) : '',
      who: this.#handlerParts.auditor.mode === 'off' ? undefined : whoOf(req.getHeader('x-agent-id'), addressText(res.getRemoteAddressAsText())),
      head: req.getMethod() === 'head',
      bodyBytes,
    })
    this.#routes.set(exchange, route)
    this.#cors.open(exchange, req.getUrl(), () => req.getHeader('origin'))
    this.#openCount++
    metrics.set('http_requests_in_flight', this.#openCount)
    return exchange
  }

  /**
   * Answers a request behind which nobody knows what comes. Not at once: uWebSockets would go on to what it takes for the next request of
   * the same packet, whatever becomes of the connection. While an answer is owed, it cuts the connection there.
   */
  #answerLast(exchange: Exchange, error: DbError): void {
    this.#options.clock.timer(0, () => exchange.problem(error))
  }

  #answerMethod(exchange: Exchange, method: string, allow: string): void {
    const headers: Headers = [['allow', allow]]
    if (method === 'OPTIONS') return exchange.respondEmpty(204, [...headers, ...this.#cors.preflight(allow)])
    exchange.problem(new DbError('method_not_allowed', `this path takes ${allow}`), { headers })
  }

  /** What a handler throws is its answer; nothing may leave through uWebSockets' callbacks. */
  #guard(exchange: Exchange, step: () => void): void {
    try {
      step()
    } catch (error) {
      const known = errorOf(error)
      if (known !== error || known.code === 'io_error') this.#options.onFault?.(error)
      exchange.problem(known)
    }
  }

  #retryLater(exchange: Exchange, attempt: () => void): void {
    this.#retries.push({ exchange, attempt })
    if (this.#retries.length > 1) return
    this.#options.clock.timer(RETRY_DELAY_MS, () => {
      for (const retry of this.#retries.splice(0)) if (retry.exchange.open) retry.attempt()
    })
  }
}

/** Of the announced body: infinite where it is chunked. */
function bodyBytesOf(req: HttpRequest): number {
  return contentLengthOf(req) ?? (req.getHeader('transfer-encoding') === '' ? 0 : Infinity)
}

/** uWebSockets has refused what is no number. */
function contentLengthOf(req: HttpRequest): number | undefined {
  const text = req.getHeader('content-length')
  return text === '' ? undefined : Number(text)
}

function requestInfo(req: HttpRequest, parameters: Readonly<Record<string, string>>): RequestInfo {
  return {
    parameters,
    query: req.getQuery() ?? '',
    contentType: req.getHeader('content-type'),
    contentEncoding: req.getHeader('content-encoding').toLowerCase(),
    contentLength: contentLengthOf(req),
    accept: req.getHeader('accept'),
    ifNoneMatch: req.getHeader('if-none-match'),
    lastEventId: req.getHeader('last-event-id'),
  }
}
