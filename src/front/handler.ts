import { DbError } from '../base/errors.ts'
import type { Admission, Refusal } from './admission.ts'
import type { Auditor } from './audit/auditor.ts'
import type { BodyParts } from './body.ts'
import type { Exchange } from './exchange.ts'
import type { FrontOptions } from './hooks.ts'
import { mediaTypeOf } from './media.ts'
import type { Queries } from './queries.ts'
import type { SlotTable } from './slots.ts'

/** What a handler may know of a request: uWebSockets' own is gone when the route's callback returns. */
export interface RequestInfo {
  /** As in the URL, still encoded: what stands where the route has `{name}`. */
  readonly parameters: Readonly<Record<string, string>>
  /** Behind the question mark, still encoded. */
  readonly query: string
  readonly contentType: string
  readonly contentEncoding: string
  /** Undefined where the request does not say. */
  readonly contentLength: number | undefined
  readonly accept: string
  readonly ifNoneMatch: string
}

/** What handlers share. */
export interface HandlerParts {
  readonly options: FrontOptions
  readonly admission: Admission
  readonly slots: SlotTable
  readonly queries: Queries
  readonly auditor: Auditor
  readonly body: BodyParts
  /** Runs a step; what it throws is the answer. */
  readonly guard: (exchange: Exchange, step: () => void) => void
  /** The document of /openapi.json. */
  readonly openapi: () => string
  /** Tries again soon, or when a drain has made room; not after the exchange has ended. */
  readonly retryLater: (exchange: Exchange, attempt: () => void) => void
}

export type Handler = (exchange: Exchange, request: RequestInfo, parts: HandlerParts) => void

export function errorOfRefusal({ code, retryAfterMs }: Refusal, detail = 'nothing was applied'): DbError {
  return new DbError(code, detail, retryAfterMs > 0 ? { retryAfterMs } : {})
}

/**
 * What every write is asked before its body is read. The media type, or undefined where it was answered already.
 */
export function gateWrite(
  exchange: Exchange, request: RequestInfo, types: readonly string[], { admission }: HandlerParts,
): string | undefined {
  const type = mediaTypeOf(request.contentType)
  const encoded = request.contentEncoding !== '' && request.contentEncoding !== 'identity'
  if (!types.includes(type) || encoded) {
    const what = encoded ? `content-encoding ${request.contentEncoding} is not taken` : `the body must be ${types.join(' or ')}`
    exchange.problem(new DbError('media_type_unsupported', what), { headers: [['accept-post', types.join(', ')]] })
    return undefined
  }
  const closed = admission.closedBecause()
  if (closed === undefined) return type
  exchange.problem(errorOfRefusal(closed))
  return undefined
}

/** Answers with `timeout` where nothing else has within processingTimeoutMs from now. */
export function processingDeadline(exchange: Exchange, { options: { clock, config, metrics } }: HandlerParts, isQuery = false): void {
  const cancel = clock.timer(config.processingTimeoutMs, () => {
    if (isQuery && exchange.open) metrics.inc('query_timeout_total')
    exchange.problem(new DbError('timeout', `no answer within ${config.processingTimeoutMs} ms`))
  })
  exchange.onClose(cancel)
}
