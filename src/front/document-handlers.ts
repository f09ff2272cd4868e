import { must } from '../base/assert.ts'
import { encodeQueryRequest, type QueryFields } from '../wire/query-request.codec.ts'
import { ask, type QueryEndpoint } from './ask.ts'
import type { Exchange } from './exchange.ts'
import type { HandlerParts } from './handler.ts'
import { JSON_TYPE } from './media.ts'

/** A question whose answer is a JSON document: kinds 4 to 10 of fbs/query.fbs. What is left out asks for nothing special. */
export type DocumentQuery = Pick<QueryFields,
  'kind' | 'id' | 'subject' | 'subjectIsPrefix' | 'predicate' | 'limit' | 'cursor' | 'asOfHlc' | 'minLsn' | 'depth' | 'withContent'>

export const encodeDocumentQuery = (requestId: bigint, query: DocumentQuery): Uint8Array => encodeQueryRequest(requestId, query)

/**
 * Answers with the document that a lens thread makes of the question, as it is. Up to which LSN it saw stands in the header
 * `stemedb-seen-lsn`.
 * @param encode as {@link encodeDocumentQuery}
 * @throws {DbError} `overloaded`
 */
export function askDocument(
  exchange: Exchange, parts: HandlerParts, endpoint: QueryEndpoint, encode: (requestId: bigint) => Uint8Array,
): void {
  ask(exchange, parts, endpoint, encode, (reply) => {
    // The bytes are a view on the ring's frame; respond writes them before it returns.
    const document = must(reply.documentArray(), 'the document of a reply of its kind')
    exchange.respond(200, [
      ['content-type', JSON_TYPE], ['cache-control', 'no-store'], ['stemedb-seen-lsn', String(reply.seenLsn())],
    ], document)
  })
}
