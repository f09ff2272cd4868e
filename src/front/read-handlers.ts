import { fromHex } from '../base/bytes.ts'
import { must } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import { HASH_BYTES, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import { ask, whenReadable } from './ask.ts'
import type { Exchange, Headers } from './exchange.ts'
import { QUERY_LIMIT_DEFAULT } from './front-limits.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { ASSERTION_TYPE, JSON_TYPE, negotiate } from './media.ts'
import { parametersReader } from './parameters.ts'
import { encodeIdQuery, encodeLensQuery, foundToJson, replyToJson, type LensQuery } from './query.codec.ts'
import { QUERY_PARAMETERS } from './schemas.ts'

/** A strong tag for each representation (RFC 9110, section 8.8.3.3): JSON has the id, the raw buffer a suffix. */
const etagOf = (id: string, type: string): string => (type === JSON_TYPE ? `"${id}"` : `"${id}-fb"`)

function matches(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}

/** `GET /v1/assertions/{id}` */
export function handleAssertion(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = fromHex(request.parameters['id'] ?? '', HASH_BYTES)
  if (id === undefined) throw new DbError('parameter_invalid', `id must be ${HASH_BYTES * 2} hex digits`, { parameter: 'id' })
  const type = negotiate(request.accept, [JSON_TYPE, ASSERTION_TYPE])
  if (type === undefined) throw new DbError('not_acceptable', `an assertion is ${JSON_TYPE} or ${ASSERTION_TYPE}`)
  ask(exchange, parts, 'assertion', (requestId) => encodeIdQuery(requestId, id), (reply) => {
    const found = reply.found()
    if (found === null) throw new DbError('not_found', 'no assertion has this id')
    const json = foundToJson(found)
    const etag = etagOf(json.id, type)
    const headers: Headers = [
      ['etag', etag], ['cache-control', 'public, max-age=31536000, immutable'], ['vary', 'accept'],
      ['stemedb-lsn', String(json.lsn)], ['stemedb-hlc', json.hlc],
    ]
    if (matches(request.ifNoneMatch, etag)) return exchange.respondEmpty(304, headers)
    const body = type === JSON_TYPE ? JSON.stringify(json) : must(found.assertionArray())
    exchange.respond(200, [['content-type', type], ...headers], body)
  })
}

interface QueryParameters {
  readonly subject?: string
  readonly prefix?: string
  readonly predicate?: string
  readonly lens: string
  readonly limit?: number
  readonly min_lsn?: number
}

const readQueryParameters = parametersReader<QueryParameters>(QUERY_PARAMETERS)

function lensQueryOf(given: QueryParameters, limitMax: number): LensQuery {
  const { subject, prefix, predicate, lens, limit = Math.min(QUERY_LIMIT_DEFAULT, limitMax) } = given
  const refuse = (parameter: string, why: string): never => {
    throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
  }
  if (subject !== undefined && prefix !== undefined) refuse('prefix', 'and subject exclude each other')
  const named = subject ?? prefix ?? refuse('subject', 'or prefix must be given')
  if (Buffer.byteLength(named) > SUBJECT_BYTES_MAX) {
    refuse(subject === undefined ? 'prefix' : 'subject', `has at most ${SUBJECT_BYTES_MAX} bytes of UTF-8`)
  }
  if (limit > limitMax) refuse('limit', `must be at most ${limitMax} on this node`)
  return { subject: named, subjectIsPrefix: subject === undefined, predicate, lens, limit }
}

/** `GET /v1/query` */
export function handleQuery(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { config } = parts.options
  const given = readQueryParameters(request.query)
  const query = lensQueryOf(given, config.queryLimitMax)
  if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
  const answer = (): void => ask(exchange, parts, 'query', (requestId) => encodeLensQuery(requestId, query), (reply) => {
    exchange.json(200, replyToJson(reply))
  })
  whenReadable(exchange, parts, given.min_lsn ?? 0, answer)
}
