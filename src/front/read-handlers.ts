import { fromHex } from '../base/bytes.ts'
import { must } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { ask, whenReadable, type QueryEndpoint } from './ask.ts'
import type { Exchange, Headers } from './exchange.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { ASSERTION_TYPE, JSON_TYPE, negotiate } from './media.ts'
import { parametersReader } from './parameters.ts'
import { encodeIdQuery, encodeQuery, foundToJson, replyToJson } from './query.codec.ts'
import { askedQueryOf, type AskedQuery, type GivenParameters } from './query-spec.ts'
import { QUERY_PARAMETERS } from './schemas-query.ts'

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

const readQueryParameters = parametersReader<GivenParameters>(QUERY_PARAMETERS)

/** `GET /v1/query` */
export function handleQuery(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const asked = askedQueryOf(readQueryParameters(request.query), parts.options.config.queryLimitMax)
  if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
  askQuery(exchange, parts, 'query', asked, (reply) => {
    exchange.json(200, replyToJson(reply, { isList: asked.spec.isList === true, fields: asked.fields }))
  })
}

/** Asks a lens thread as soon as what `min_lsn` names can be read. @throws {DbError} `lsn_in_future`, `overloaded` */
export function askQuery(
  exchange: Exchange, parts: HandlerParts, endpoint: QueryEndpoint, { spec }: AskedQuery, answer: (reply: QueryReply) => void,
): void {
  whenReadable(exchange, parts, spec.minLsn ?? 0, () => ask(exchange, parts, endpoint, (requestId) => encodeQuery(requestId, spec), answer))
}
