import { must } from '../base/assert.ts'
import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import {
  QUERY_CHECKPOINT, QUERY_CONSISTENCY, QUERY_INCLUSION, QUERY_PROOF_FILE, QUERY_SIGNATURE, QUERY_TILE,
} from '../query/kinds/registry.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { EMPTY_TREE, encodeQueryRequest, type QueryFields } from '../wire/query-request.codec.ts'
import { ask } from './ask.ts'
import type { Exchange, Headers } from './exchange.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { JSON_TYPE, mediaTypeOf, negotiate } from './media.ts'
import { parametersReader } from './parameters.ts'
import { CONSISTENCY_PARAMETERS, INCLUSION_PARAMETERS } from './schemas-proofs.ts'

type ProofQuery = Pick<QueryFields, 'kind' | 'id' | 'proofFrom' | 'proofTo' | 'tile'>

const CHECKPOINT_TYPE = 'text/plain; charset=utf-8'
const BYTES_TYPE = 'application/octet-stream'
const NEVER_STORED: Headers = [['cache-control', 'no-store']]
/** A tile that is there never changes. */
const FOR_EVER: Headers = [['cache-control', 'public, max-age=31536000, immutable']]

function answerWith(
  exchange: Exchange, { accept }: RequestInfo, parts: HandlerParts, query: ProofQuery, type: string, headers: Headers = NEVER_STORED,
): void {
  const mediaType = mediaTypeOf(type)
  if (negotiate(accept, [mediaType]) === undefined) throw new DbError('not_acceptable', `this is ${mediaType}`)
  ask(exchange, parts, 'proofs', (requestId) => encodeQueryRequest(requestId, query), (reply) => {
    // The bytes are a view on the ring's frame; respond writes them before it returns.
    exchange.respond(200, [['content-type', type], ...headers], must(reply.documentArray(), 'the document of a reply of its kind'))
  })
}

function idOf({ parameters }: RequestInfo): Uint8Array {
  const id = fromHex(parameters['id'] ?? '', HASH_BYTES)
  if (id === undefined) throw new DbError('parameter_invalid', `id must be ${HASH_BYTES * 2} hex digits`, { parameter: 'id' })
  return id
}

/** `GET /v1/proofs/checkpoint` */
export function handleCheckpoint(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  answerWith(exchange, request, parts, { kind: QUERY_CHECKPOINT }, CHECKPOINT_TYPE)
}

const readInclusion = parametersReader<{ size?: number }>(INCLUSION_PARAMETERS)

/** `GET /v1/proofs/inclusion/{id}` */
export function handleInclusion(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { size = 0 } = readInclusion(request.query)
  answerWith(exchange, request, parts, { kind: QUERY_INCLUSION, id: idOf(request), proofTo: size }, JSON_TYPE)
}

const readConsistency = parametersReader<{ from: number, to?: number }>(CONSISTENCY_PARAMETERS)

/** `GET /v1/proofs/consistency` */
export function handleConsistency(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { from, to } = readConsistency(request.query)
  answerWith(exchange, request, parts, { kind: QUERY_CONSISTENCY, proofFrom: from, proofTo: to === 0 ? EMPTY_TREE : to }, JSON_TYPE)
}

/** `GET /v1/proofs/tile/{path}` */
export function handleTile(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  answerWith(exchange, request, parts, { kind: QUERY_TILE, tile: request.parameters['path'] ?? '' }, BYTES_TYPE, FOR_EVER)
}

/** `GET /v1/proofs/signature/{id}` */
export function handleSignature(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  answerWith(exchange, request, parts, { kind: QUERY_SIGNATURE, id: idOf(request) }, JSON_TYPE)
}

/** `GET /v1/proofs/bundle/{id}` */
export function handleBundle(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = idOf(request)
  answerWith(exchange, request, parts, { kind: QUERY_PROOF_FILE, id }, CHECKPOINT_TYPE, [
    ...NEVER_STORED, ['content-disposition', `attachment; filename="${request.parameters['id']!.toLowerCase()}.tlog-proof"`],
  ])
}
