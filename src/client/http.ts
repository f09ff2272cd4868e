import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { fromHex, toHex } from '../base/bytes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lifecycle } from '../record/assertion.ts'
import type { AssertionJson } from '../record/assertion.json.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { CutName } from '../wire/query-reply.codec.ts'

/** What `GET /v1/assertions/{id}` answers (openapi.json). */
export interface StoredAssertion {
  /** 64 hex digits. */
  readonly id: string
  readonly lsn: number
  /** Decimal: it does not fit a number. */
  readonly hlc: string
  readonly signed_by: 'nobody' | 'assertion' | 'batch'
  /** 128 hex digits; of the assertion, or of the batch it came in. */
  readonly signature?: string
  /** Of a winner: what its agent has made of it since, where that is another one than the assertion says. */
  readonly effective_lifecycle?: Lifecycle
  readonly assertion: AssertionJson
}

export interface QueryParameters {
  /** A whole subject; or `prefix`. */
  readonly subject?: string
  /** All subjects that begin like this. */
  readonly prefix?: string
  readonly predicate?: string
  /** A lens, a chain of them between commas, or `none`: every assertion is listed. Default `recency`. */
  readonly lens?: string
  readonly limit?: number
  /** Of the page before, with the same query. */
  readonly cursor?: string
  /** Read your own writes: answer only from what includes this LSN. */
  readonly minLsn?: number
  // What a candidate must be: docs/reference/http-api.md, GET /v1/query.
  readonly agent?: string
  readonly source?: string
  readonly epoch?: string
  readonly lifecycle?: string
  readonly tier?: string
  readonly from?: string
  readonly until?: string
  readonly assertedFrom?: string
  readonly assertedUntil?: string
  readonly confidenceMin?: string
  readonly object?: string
  /** An HLC, Unix milliseconds or RFC 3339: the answer of that moment. */
  readonly asOf?: string
  readonly tolerance?: string
  readonly aliases?: boolean
  readonly explain?: boolean
}

/** Names of {@link QueryParameters} in a query string, where they are others. */
const PARAMETER_NAMES: Readonly<Partial<Record<keyof QueryParameters, string>>> = {
  minLsn: 'min_lsn', assertedFrom: 'asserted_from', assertedUntil: 'asserted_until', confidenceMin: 'confidence_min', asOf: 'as_of',
}

/** One side of a conflict: a tier, a value, a version. */
export interface QuerySide {
  readonly label: string
  readonly winner: StoredAssertion | null
  readonly weight: number
  /** Part of all sides, 0..1. */
  readonly share: number
  readonly candidates: number
  readonly sources: number
  readonly conflict?: number
  readonly why: string
}

export interface QueryExplanation {
  readonly considered: readonly { readonly id: string, readonly lsn: number, readonly hlc: string, readonly verdict: string, readonly weight: number, readonly why: string }[]
  readonly truncated: boolean
  readonly entries_read: number
  readonly claims_read: number
  readonly index_us: number
  readonly read_us: number
  readonly resolve_us: number
  readonly from_cache: boolean
}

export interface QueryAnswer {
  readonly subject: string
  readonly predicate: string
  /** How many assertions were there to choose from. */
  readonly candidates: number
  readonly winner: StoredAssertion | null
  readonly why: string
  readonly conflict?: number
  readonly certainty?: number
  readonly status?: string
  readonly sides?: readonly QuerySide[]
  /** Where the sides are rules: which belong together, by their places among the sides. */
  readonly rule_rows?: readonly { readonly must_use?: number, readonly forbidden?: number, readonly reason?: string }[]
  /** Values that are demanded and forbidden: which side holds, and the rule that it has overruled. */
  readonly rule_conflicts?: readonly { readonly holds: number, readonly overruled: QuerySide }[]
  readonly explanation?: QueryExplanation
  /** What was not looked at in full because a bound was met. */
  readonly cut?: readonly CutName[]
}

export interface QueryReply {
  /** LSN up to which the answer saw. */
  readonly seen_lsn: number
  /** There is more: pass `cursor`. */
  readonly truncated: boolean
  readonly cursor?: string
  readonly answers: readonly QueryAnswer[]
  /** Of the lens `none`, instead of answers. */
  readonly listed?: readonly StoredAssertion[]
  /** As that of an answer, of all of them. */
  readonly cut?: readonly CutName[]
}

export type Fetch = typeof fetch

/** Longest wait for a whole answer, where the caller names no other. */
export const ANSWER_TIMEOUT_MS = 30_000
/** Timers take a longer time for none at all. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * Undefined where it is not there.
 * @throws {DbError} as rejection: the problem's code, `timeout`, or `unreachable`, also for what is no answer of a node.
 */
export async function httpGet(fetchImpl: Fetch, base: string, id: Uint8Array | string, timeoutMs?: number): Promise<StoredAssertion | undefined> {
  const hex = typeof id === 'string' ? id : toHex(id)
  if (fromHex(hex, HASH_BYTES) === undefined) {
    throw new DbError('parameter_invalid', `an id has ${HASH_BYTES} bytes, or ${2 * HASH_BYTES} hex digits`, { parameter: 'id' })
  }
  try {
    return await getDocument(fetchImpl, `${base}/v1/assertions/${hex.toLowerCase()}`, isStored, timeoutMs)
  } catch (error) {
    if (isDbError(error) && error.code === 'not_found') return undefined
    throw error
  }
}

/** @throws {DbError} as {@link httpGet} */
export async function httpQuery(fetchImpl: Fetch, base: string, parameters: QueryParameters, timeoutMs?: number): Promise<QueryReply> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters) as [keyof QueryParameters, string | number | boolean | undefined][]) {
    if (value !== undefined) search.set(PARAMETER_NAMES[name] ?? name, String(value))
  }
  return await getDocument(fetchImpl, `${base}/v1/query?${search}`, isReply, timeoutMs)
}

/** @throws {DbError} as rejection: `unreachable`, `timeout` */
export async function getText(fetchImpl: Fetch, url: string, accept = '*/*', timeoutMs = ANSWER_TIMEOUT_MS): Promise<{ status: number, text: string }> {
  const { origin } = new URL(url)
  try {
    const response = await fetchImpl(url, { headers: { accept }, signal: AbortSignal.timeout(Math.min(Math.ceil(timeoutMs), TIMER_MS_MAX)) })
    return { status: response.status, text: await response.text() }
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') throw new DbError('timeout', `${origin} gave no answer in ${timeoutMs} ms`, {}, { cause: error })
    throw new DbError('unreachable', `cannot reach ${origin}: ${causeOf(error)}`, {}, { cause: error })
  }
}

/** A JSON document that a node answers with. @throws {DbError} as {@link httpGet} */
export async function getDocument<T>(fetchImpl: Fetch, url: string, isDocument: (body: unknown) => body is T, timeoutMs?: number): Promise<T> {
  const { status, text } = await getText(fetchImpl, url, 'application/json', timeoutMs)
  const body = parsed(text)
  return isSuccess(status) && isDocument(body) ? body : notAnswered(url, status, body)
}

export const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** Undefined where it is no JSON: somebody between us and the node answered, or there is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `fetch` says "fetch failed"; what happened stands in its cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  if (cause instanceof Error) return (cause as { code?: string }).code ?? cause.message
  return error.message
}

/**
 * What came in place of a document.
 * @param body as {@link parsed}
 * @throws {DbError} that a problem (RFC 9457) stands for, `internal` where its code is a newer node's; `unreachable` for what no node says.
 */
export function notAnswered(url: string, status: number, body: unknown): never {
  const problem = isMembers(body) ? body : {}
  const isKnown = typeof problem['code'] === 'string' && Object.hasOwn(ERROR_CODES, problem['code'])
  if (isSuccess(status) || !(isKnown || hasTexts(problem, 'code', 'request_id'))) {
    throw new DbError('unreachable', `${new URL(url).origin}: that is no StemeDB node, or a proxy answered ${status}`, { status })
  }
  const code = isKnown ? problem['code'] as ErrorName : 'internal'
  const detail = typeof problem['detail'] === 'string' ? problem['detail'] : `the node answered with ${status}`
  const requestId = typeof problem['request_id'] === 'string' ? { requestId: problem['request_id'] } : {}
  const parameter = typeof problem['parameter'] === 'string' ? { parameter: problem['parameter'] } : {}
  throw new DbError(code, detail, { status, ...requestId, ...parameter })
}

type Members = Readonly<Record<string, unknown>>

export const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether all of them are there, as text. */
export const hasTexts = (members: Members, ...names: readonly string[]): boolean => names.every((name) => typeof members[name] === 'string')

// Enough of each form to tell a node's answer from anything else: a node is believed in the rest.
function isStored(value: unknown): value is StoredAssertion {
  if (!isMembers(value) || !hasTexts(value, 'id', 'hlc') || typeof value['lsn'] !== 'number') return false
  const { assertion } = value
  return isMembers(assertion) && hasTexts(assertion, 'subject', 'predicate', 'agent') && isMembers(assertion['object'])
}

const isAnswer = (value: unknown): boolean => isMembers(value) && hasTexts(value, 'subject', 'predicate') && (value['winner'] === null || isStored(value['winner']))

const isReply = (value: unknown): value is QueryReply => isMembers(value) && typeof value['seen_lsn'] === 'number'
  && Array.isArray(value['answers']) && value['answers'].every(isAnswer)
  && (value['listed'] === undefined || (Array.isArray(value['listed']) && value['listed'].every(isStored)))
