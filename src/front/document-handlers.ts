import { Builder } from 'flatbuffers'
import { must } from '../base/assert.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import { Hash } from '../fbs/stemedb/hash.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { ask, type QueryEndpoint } from './ask.ts'
import type { Exchange } from './exchange.ts'
import type { HandlerParts } from './handler.ts'
import { JSON_TYPE } from './media.ts'

/** A question whose answer is a JSON document: kinds 4 to 10 of fbs/query.fbs. What is left out asks for nothing special. */
export interface DocumentQuery {
  readonly kind: number
  /** 32 bytes: of an assertion, an agent or a source's content. */
  readonly id?: Uint8Array | undefined
  readonly subject?: string | undefined
  readonly subjectIsPrefix?: boolean | undefined
  readonly predicate?: string | undefined
  readonly limit?: number | undefined
  readonly cursor?: Uint8Array | undefined
  readonly asOfHlc?: Hlc | undefined
  readonly minLsn?: Lsn | undefined
  readonly depth?: number | undefined
  readonly withContent?: boolean | undefined
}

export function encodeDocumentQuery(requestId: bigint, query: DocumentQuery): Uint8Array {
  const builder = new Builder(256)
  const subject = query.subject === undefined ? 0 : builder.createString(query.subject)
  const predicate = query.predicate === undefined ? 0 : builder.createString(query.predicate)
  const cursor = query.cursor === undefined ? 0 : QueryRequest.createCursorVector(builder, query.cursor)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addKind(builder, query.kind)
  if (query.id !== undefined) QueryRequest.addId(builder, Hash.createHash(builder, [...query.id]))
  if (subject !== 0) QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, query.subjectIsPrefix ?? false)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  QueryRequest.addLimit(builder, query.limit ?? 0)
  if (cursor !== 0) QueryRequest.addCursor(builder, cursor)
  QueryRequest.addAsOfHlc(builder, query.asOfHlc ?? 0n)
  QueryRequest.addMinLsn(builder, BigInt(query.minLsn ?? 0))
  QueryRequest.addDepth(builder, query.depth ?? 0)
  QueryRequest.addWithContent(builder, query.withContent ?? false)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}

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
