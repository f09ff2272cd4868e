import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { RETRY_AFTER_DEFAULT_MS } from './front-limits.ts'

/** Problem details (RFC 9457) as this API writes them; docs/reference/http-api.md. */
export interface Problem {
  /** Relative to the API: GET it for what the code means. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorName
  readonly retryable: boolean
  readonly request_id: string
  readonly retry_after_ms?: number
  /** JSON pointer (RFC 6901) to what is wrong in the body. */
  readonly pointer?: string
  /** Name of the query parameter or header field that is wrong. */
  readonly parameter?: string
}

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** What a client may see of any error; whatever is no DbError is an `internal` one and tells nothing of itself. */
export function errorOf(error: unknown): DbError {
  return isDbError(error) ? error : new DbError('internal', 'the node failed on this request')
}

/** A failed system call names files of this machine: that is for the log, and nobody else's business. */
const detailOf = (error: DbError): string => (error.code === 'io_error' ? 'a system call failed on this node; its log says which' : error.message)

export function problemOf(error: DbError, requestId: string): Problem {
  const { httpStatus, retryable, title } = ERROR_CODES[error.code]
  const { pointer, parameter, retryAfterMs } = error.details
  return {
    type: `/problems/${error.code}`,
    title,
    status: httpStatus,
    detail: detailOf(error),
    code: error.code,
    retryable,
    request_id: requestId,
    ...(retryable ? { retry_after_ms: typeof retryAfterMs === 'number' ? retryAfterMs : RETRY_AFTER_DEFAULT_MS } : {}),
    ...(typeof pointer === 'string' ? { pointer } : {}),
    ...(typeof parameter === 'string' ? { parameter } : {}),
  }
}

/** Fields that belong to a problem whatever the route (RFC 9110: 401 must challenge, 503 may say when). */
export function problemHeaders(problem: Problem, realm: string): [string, string][] {
  const headers: [string, string][] = []
  if (problem.retry_after_ms !== undefined) headers.push(['retry-after', String(Math.max(1, Math.ceil(problem.retry_after_ms / 1000)))])
  if (problem.status === 401) headers.push(['www-authenticate', `StemeDB-Signature realm="${realm.replace(/[^\x20-\x7e]|["\\]/g, '_')}"`])
  return headers
}
