import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { QUERY_CONCEPTS, QUERY_EQUIVOCATIONS, QUERY_TRACE } from '../query/kinds/registry.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { whenReadable, type QueryEndpoint } from './ask.ts'
import { askDocument, encodeDocumentQuery, type DocumentQuery } from './document-handlers.ts'
import type { Exchange } from './exchange.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { JSON_TYPE, negotiate } from './media.ts'
import { hlcParameter } from './moments.ts'
import { parametersReader } from './parameters.ts'
import { CONCEPTS_PARAMETERS, EQUIVOCATIONS_PARAMETERS, TRACE_PARAMETERS } from './schemas-trace.ts'

interface Moments {
  readonly as_of?: string
  readonly min_lsn?: number
}

/** Asks when what `min_lsn` names can be read. */
function answer(
  exchange: Exchange, request: RequestInfo, parts: HandlerParts, endpoint: QueryEndpoint, { as_of: asOf, min_lsn: minLsn = 0 }: Moments, query: DocumentQuery,
): void {
  if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
  const asked: DocumentQuery = { ...query, minLsn, ...(asOf === undefined ? {} : { asOfHlc: hlcParameter(asOf, 'as_of') }) }
  whenReadable(exchange, parts, minLsn, () =>
    askDocument(exchange, parts, endpoint, (requestId) => encodeDocumentQuery(requestId, asked)))
}

const readTrace = parametersReader<Moments & { readonly depth: number }>(TRACE_PARAMETERS)

/** `GET /v1/trace/{id}` */
export function handleTrace(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = fromHex(request.parameters['id'] ?? '', HASH_BYTES)
  if (id === undefined) throw new DbError('parameter_invalid', `id must be ${HASH_BYTES * 2} hex digits`, { parameter: 'id' })
  const given = readTrace(request.query)
  answer(exchange, request, parts, 'trace', given, { kind: QUERY_TRACE, id, depth: given.depth })
}

interface Page {
  readonly limit?: number
  readonly cursor?: string
}

/** @throws {DbError} `parameter_invalid` where it is more than this node gives; the field of the request holds no larger number. */
function checkLimit({ limit = 0 }: Page, { options: { config } }: HandlerParts): void {
  if (limit > config.queryLimitMax) {
    throw new DbError('parameter_invalid', `limit must be at most ${config.queryLimitMax} on this node`, { parameter: 'limit' })
  }
}

const readConcepts = parametersReader<Moments & Page & { readonly prefix?: string }>(CONCEPTS_PARAMETERS)

/** `GET /v1/concepts` */
export function handleConcepts(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const given = readConcepts(request.query)
  checkLimit(given, parts)
  const { prefix = '', limit, cursor } = given
  answer(exchange, request, parts, 'concepts', given, {
    kind: QUERY_CONCEPTS, subject: prefix, subjectIsPrefix: true, limit, cursor: cursor === undefined ? undefined : Buffer.from(cursor, 'base64url'),
  })
}

const readEquivocations = parametersReader<Moments & Page & { readonly subject: string, readonly predicate: string }>(EQUIVOCATIONS_PARAMETERS)

/** `GET /v1/equivocations` */
export function handleEquivocations(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const given = readEquivocations(request.query)
  checkLimit(given, parts)
  const { subject, predicate, limit } = given
  answer(exchange, request, parts, 'equivocations', given, { kind: QUERY_EQUIVOCATIONS, subject, predicate, limit })
}
