import { fromHex, toHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { QUERY_ALIASES, QUERY_EPOCHS, QUERY_SOURCE, QUERY_TRUST, QUERY_VOTES } from '../query/kinds/registry.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { NOT_ALIASABLE, isAliasable } from '../record/records.ts'
import { parseStrictJson } from '../record/strict-json.ts'
import { findAssertion, whenReadable, type QueryEndpoint } from './ask.ts'
import { readBody } from './body.ts'
import { askDocument, encodeDocumentQuery, type DocumentQuery } from './document-handlers.ts'
import type { Exchange } from './exchange.ts'
import { gateWrite, type HandlerParts, type RequestInfo } from './handler.ts'
import { textOf } from './items.ts'
import { JSON_TYPE, negotiate } from './media.ts'
import { hlcParameter } from './moments.ts'
import { parametersReader } from './parameters.ts'
import {
  agentParameter, aliasItems, epochItems, hashParameter, outcomeItems, sourceItems, voteItems, withdrawnEpochOf, type RecordItems,
} from './record-bodies.ts'
import { countsOf, type ItemResult } from './results.ts'
import { ALIASES_PARAMETERS, RECORDS_PARAMETERS, SOURCES_PARAMETERS, SOURCE_PARAMETERS } from './schemas-records.ts'
import { submitItems } from './submit-items.ts'

// ---- writing ----

type Answer = (exchange: Exchange, results: readonly ItemResult[], items: RecordItems) => void

function write(
  exchange: Exchange, request: RequestInfo, parts: HandlerParts, itemsOf: (body: unknown, nowMs: number) => RecordItems, answer: Answer,
): void {
  readJson(exchange, request, parts, (body, nowMs) => submit(exchange, parts, itemsOf(body, nowMs), answer))
}

function readJson(exchange: Exchange, request: RequestInfo, parts: HandlerParts, then: (body: unknown, nowMs: number) => void): void {
  if (gateWrite(exchange, request, [JSON_TYPE], parts) === undefined) return
  const { guard, options: { clock, config } } = parts
  readBody(exchange, request.contentLength, config.frameBytesMax, parts.body, (body) => guard(exchange, () => then(parseStrictJson(textOf(body)), clock.wallMs())))
}

function submit(exchange: Exchange, parts: HandlerParts, records: RecordItems, answer: Answer): void {
  const { batchAssertionsMax } = parts.options.config
  if (records.items.length > batchAssertionsMax) {
    throw new DbError('batch_too_large', `that takes ${records.items.length} assertions; a batch has at most ${batchAssertionsMax}`)
  }
  submitItems(exchange, parts, records.items, records.signed, (results) => answer(exchange, results, records))
}

/** One assertion: as `POST /v1/assert` answers for one. */
const answerOne: Answer = (exchange, results) => {
  const { index: _, ...result } = results[0]!
  exchange.json(result.status === 'created' ? 201 : 200, result, [['location', `/v1/assertions/${result.id}`]])
}

/** Several: as for an array, with more members. */
const answerMany = (more: (records: RecordItems) => object): Answer => (exchange, results, records) => {
  const { created, duplicate, refused } = countsOf(results)
  const status = created === results.length ? 201 : duplicate === results.length ? 200 : 207
  exchange.json(status, { ...more(records), created, duplicate, refused, results })
}

/** `POST /v1/vote` */
export function handleVote(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  write(exchange, request, parts, voteItems, answerOne)
}

/** `POST /v1/epoch` */
export function handleEpoch(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  readJson(exchange, request, parts, (body, nowMs) => {
    const withdrawn = withdrawnEpochOf(body)
    if (withdrawn === undefined) return submit(exchange, parts, epochItems(body, nowMs), answerOne)
    findAssertion(exchange, parts, withdrawn, (declared) => submit(exchange, parts, epochItems(body, nowMs, declared), answerOne))
  })
}

/** `POST /v1/agents/{key}/trust` */
export function handleOutcome(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const agent = agentParameter(request.parameters['key'])
  write(exchange, request, parts, (body, nowMs) => outcomeItems(body, nowMs, agent), answerOne)
}

/** `POST /v1/aliases` */
export function handleAlias(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  write(exchange, request, parts, aliasItems, answerMany(() => ({})))
}

/** `POST /v1/sources` */
export function handleSource(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  write(exchange, request, parts, sourceItems, answerMany(({ sourceHash }) => ({ hash: toHex(sourceHash) })))
}

// ---- reading ----

interface RecordsParameters {
  readonly limit?: number
  readonly as_of?: string
  readonly min_lsn?: number
}

function read(
  exchange: Exchange, request: RequestInfo, parts: HandlerParts, endpoint: QueryEndpoint, given: RecordsParameters, query: DocumentQuery,
): void {
  const { queryLimitMax } = parts.options.config
  const { limit, as_of: asOf, min_lsn: minLsn = 0 } = given
  if (limit !== undefined && limit > queryLimitMax) {
    throw new DbError('parameter_invalid', `limit must be at most ${queryLimitMax} on this node`, { parameter: 'limit' })
  }
  if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
  const asOfHlc = asOf === undefined ? undefined : hlcParameter(asOf, 'as_of')
  whenReadable(exchange, parts, minLsn, () =>
    askDocument(exchange, parts, endpoint, (requestId) => encodeDocumentQuery(requestId, { ...query, limit, asOfHlc, minLsn })))
}

const recordsParameters = parametersReader<RecordsParameters>(RECORDS_PARAMETERS)
const aliasesParameters = parametersReader<RecordsParameters & { readonly subject: string }>(ALIASES_PARAMETERS)
const sourcesParameters = parametersReader<RecordsParameters & { readonly cursor?: string }>(SOURCES_PARAMETERS)
const sourceParameters = parametersReader<RecordsParameters & { readonly content: 'yes' | 'no' }>(SOURCE_PARAMETERS)

/** `GET /v1/assertions/{id}/votes` */
export function handleVotes(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = hashParameter(request.parameters['id'], 'id')
  read(exchange, request, parts, 'votes', recordsParameters(request.query), { kind: QUERY_VOTES, id })
}

/** `GET /v1/epochs` */
export function handleEpochs(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  read(exchange, request, parts, 'epochs', recordsParameters(request.query), { kind: QUERY_EPOCHS })
}

/** `GET /v1/agents/{key}/trust` */
export function handleTrust(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = agentParameter(request.parameters['key'])
  read(exchange, request, parts, 'trust', recordsParameters(request.query), { kind: QUERY_TRUST, id })
}

/** `GET /v1/aliases` */
export function handleAliases(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { subject, ...given } = aliasesParameters(request.query)
  if (!isAliasable(subject)) {
    throw new DbError('parameter_invalid', `subject ${NOT_ALIASABLE}`, { parameter: 'subject' })
  }
  read(exchange, request, parts, 'aliases', given, { kind: QUERY_ALIASES, subject })
}

/** `GET /v1/sources` */
export function handleSources(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { cursor, ...given } = sourcesParameters(request.query)
  read(exchange, request, parts, 'sources', given, { kind: QUERY_SOURCE, cursor: cursor === undefined ? undefined : fromHex(cursor, HASH_BYTES) })
}

/** `GET /v1/sources/{hash}` */
export function handleSourceByHash(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const id = hashParameter(request.parameters['hash'], 'hash')
  const { content, ...given } = sourceParameters(request.query)
  read(exchange, request, parts, 'source', given, { kind: QUERY_SOURCE, id, withContent: content === 'yes' })
}
