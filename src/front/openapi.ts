import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { ACKS_TYPE, ASSERTION_TYPE, BATCH_TYPE, EVENT_STREAM_TYPE, JSON_TYPE, NDJSON_TYPE } from './media.ts'
import { recordOperations } from './openapi-records.ts'
import { PROBLEM_MEDIA_TYPE } from './problem.ts'
import type { ParametersSchema } from './parameters.ts'
import { ROUTES, type OperationId } from './routes.ts'
import { FEED_PARAMETERS, FEED_SCHEMAS } from './schemas-feed.ts'
import { PROBE_PARAMETERS, SCHEMAS } from './schemas.ts'
import { CONSTRAINTS_PARAMETERS, PAIR_PARAMETERS, QUERY_PARAMETERS } from './schemas-query.ts'
import { RECORD_SCHEMAS } from './schemas-records.ts'
import { AUDIT_PARAMETERS, CONCEPTS_PARAMETERS, EQUIVOCATIONS_PARAMETERS, TRACE_PARAMETERS } from './schemas-trace.ts'
import { CONSISTENCY_PARAMETERS, INCLUSION_PARAMETERS, PROOF_SCHEMAS } from './schemas-proofs.ts'

/**
 * The OpenAPI 3.1 document of /openapi.json, made from the table of routes, the schemas, the error codes, and what is
 * said of each operation here.
 */
type Json = Readonly<Record<string, unknown>>

interface Operation {
  readonly tag: 'write' | 'read' | 'prove' | 'operate'
  readonly summary: string
  readonly description?: string
  readonly parameters?: ParametersSchema
  /** Media type → schema name, or undefined where it is binary. */
  readonly body?: Readonly<Record<string, Json>>
  /** Status → [description, media type → schema]. */
  readonly responses: Readonly<Record<number, readonly [description: string, content: Readonly<Record<string, Json>>]>>
  /** Codes of problems, beyond those that any request may meet. */
  readonly problems?: readonly ErrorName[]
}

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const json = (name: string): Readonly<Record<string, Json>> => ({ [JSON_TYPE]: ref(name) })
const BINARY: Json = { type: 'string', contentEncoding: 'binary' }
const TEXT = { 'text/plain': { type: 'string' } } as const

const WRITE_PROBLEMS: readonly ErrorName[] = [
  'media_type_unsupported', 'frame_too_large', 'batch_too_large', 'batch_empty', 'body_timeout', 'overloaded', 'rate_limited',
  'disk_full', 'read_only', 'starting', 'shutting_down', 'durability_failed', 'timeout',
  'signature_missing', 'signature_invalid', 'signature_malformed', 'key_weak', 'agent_mismatch',
]
const JSON_PROBLEMS: readonly ErrorName[] = [
  'malformed_json', 'field_missing', 'field_invalid', 'field_too_long', 'object_null', 'text_not_utf8', 'number_not_finite',
  'record_invalid',
]
const QUERY_PROBLEMS: readonly ErrorName[] = ['parameter_invalid', 'not_acceptable', 'overloaded', 'timeout', 'starting', 'store_corrupt', 'wal_corrupt']
const LENS_PROBLEMS: readonly ErrorName[] = [...QUERY_PROBLEMS, 'lsn_not_reached', 'lsn_in_future', 'frame_too_large']
const PROOF_PROBLEMS: readonly ErrorName[] = [...QUERY_PROBLEMS, 'proof_pending', 'proofs_disabled', 'proof_log_diverged', 'io_error']
const ANY_PROBLEMS: readonly ErrorName[] = ['method_not_allowed', 'internal']

const OPERATIONS: Readonly<Record<OperationId, Operation>> = {
  assert: {
    tag: 'write',
    summary: 'Store one assertion, or an array',
    description: 'Answered when everything that was accepted is on stable storage. The id makes a resend safe, if `asserted_at` is set.',
    body: { [JSON_TYPE]: { oneOf: [ref('SignedAssertion'), { type: 'array', items: ref('SignedAssertion'), minItems: 1 }] } },
    responses: {
      200: ['All were there already; the stamps are those of the originals.', { [JSON_TYPE]: { oneOf: [ref('Stored'), ref('Results')] } }],
      201: ['All are new.', { [JSON_TYPE]: { oneOf: [ref('Stored'), ref('Results')] } }],
      207: ['An array whose items fared differently. Where all are refused, the status is that of the first, and the problem carries `results`.', json('Results')],
    },
    problems: [...WRITE_PROBLEMS, ...JSON_PROBLEMS],
  },
  assertBatch: {
    tag: 'write',
    summary: 'Store many assertions',
    description: 'NDJSON of any length is taken and answered as a stream: a line a result, by batches, then one StreamEnd. A FlatBuffers Batch is answered as a whole.',
    body: { [NDJSON_TYPE]: ref('SignedAssertion'), [BATCH_TYPE]: BINARY },
    responses: {
      200: ['A Batch of which nothing is new.', { [JSON_TYPE]: ref('BatchResult'), [ACKS_TYPE]: BINARY }],
      201: ['A Batch of which everything is new.', { [JSON_TYPE]: ref('BatchResult'), [ACKS_TYPE]: BINARY }],
      207: ['NDJSON, always; or a Batch whose assertions fared differently.', {
        [NDJSON_TYPE]: { oneOf: [ref('ItemResult'), ref('StreamEnd')] }, [JSON_TYPE]: ref('BatchResult'), [ACKS_TYPE]: BINARY,
      }],
    },
    problems: [...WRITE_PROBLEMS, 'malformed_frame', 'not_acceptable'],
  },
  getAssertion: {
    tag: 'read',
    summary: 'One assertion by its id',
    description: 'Immutable: cache it for ever. `ETag` is the id.',
    responses: {
      200: ['Found.', { [JSON_TYPE]: ref('Found'), [ASSERTION_TYPE]: BINARY }],
      304: ['`If-None-Match` named it.', {}],
    },
    problems: [...QUERY_PROBLEMS, 'not_found'],
  },
  ...recordOperations([...WRITE_PROBLEMS, ...JSON_PROBLEMS], [...QUERY_PROBLEMS, 'lsn_not_reached', 'lsn_in_future']),
  query: {
    tag: 'read',
    summary: 'Resolve claims through a lens',
    parameters: QUERY_PARAMETERS,
    description: 'Deterministic at an HLC: `as_of` gives exactly the answer of that moment. More than a page goes on by `cursor`, as of the first page.',
    responses: { 200: ['One answer a subject and predicate.', json('QueryReply')] },
    problems: LENS_PROBLEMS,
  },
  queryMany: {
    tag: 'read',
    summary: 'Several queries in one request',
    body: json('Queries'),
    responses: { 200: ['A result a query, in their order: a reply, or a problem.', json('QueryReplies')] },
    problems: [...LENS_PROBLEMS, 'media_type_unsupported', 'batch_empty', 'batch_too_large', 'body_timeout', 'malformed_json', 'field_invalid', 'text_not_utf8', 'number_not_finite'],
  },
  skeptic: {
    tag: 'read',
    summary: 'Every value that is claimed, with its weight, and how much they conflict',
    parameters: PAIR_PARAMETERS,
    responses: { 200: ['Also where nothing is known: no claims then.', json('Skeptic')] },
    problems: LENS_PROBLEMS,
  },
  layered: {
    tag: 'read',
    summary: 'One answer a source tier, and whether tiers disagree',
    parameters: PAIR_PARAMETERS,
    responses: { 200: ['Also where nothing is known: no tiers then.', json('Layered')] },
    problems: LENS_PROBLEMS,
  },
  constraints: {
    tag: 'read',
    summary: 'What must be used and what is forbidden in a context',
    parameters: CONSTRAINTS_PARAMETERS,
    responses: { 200: ['Also where there is no rule.', json('Constraints')] },
    problems: LENS_PROBLEMS,
  },
  trace: {
    tag: 'read', summary: 'All that bears on an assertion, as a graph',
    description: 'Parents and versions, agent and trust, source and who else cites it, epoch and what superseded it, votes, equivocations. Bounded.',
    parameters: TRACE_PARAMETERS,
    responses: { 200: ['The graph.', json('Trace')] }, problems: [...QUERY_PROBLEMS, 'not_found', 'lsn_not_reached', 'lsn_in_future'],
  },
  listConcepts: {
    tag: 'read', summary: 'Concept paths one level below a prefix', description: 'As a directory is listed; the cost grows with what is listed.',
    parameters: CONCEPTS_PARAMETERS,
    responses: { 200: ['A page.', json('Concepts')] }, problems: [...QUERY_PROBLEMS, 'lsn_not_reached', 'lsn_in_future'],
  },
  listEquivocations: {
    tag: 'read', summary: 'Keys that contradict themselves on a subject and predicate', description: 'Each as two signed statements that prove it without a node.',
    parameters: EQUIVOCATIONS_PARAMETERS,
    responses: { 200: ['The pairs.', json('Equivocations')] }, problems: [...QUERY_PROBLEMS, 'lsn_not_reached', 'lsn_in_future'],
  },
  listAudit: {
    tag: 'operate', summary: 'Queries that were recorded', description: 'The newest first. `auditMode` says which are.',
    parameters: AUDIT_PARAMETERS,
    responses: { 200: ['A page.', json('Audit')] }, problems: ['parameter_invalid', 'not_acceptable', 'overloaded', 'timeout'],
  },
  getAuditRecord: {
    tag: 'operate', summary: 'One recorded query', description: 'By the `stemedb-query-id` that its response carried.',
    responses: { 200: ['The record.', json('AuditRecord')] }, problems: ['parameter_invalid', 'not_acceptable', 'not_found', 'overloaded', 'timeout'],
  },
  feed: {
    tag: 'read',
    summary: 'Follow the log: every match, or every change of an answer',
    description: 'By `Accept`: `text/event-stream` follows (events `assertion`, `answer`, `end`; the id is the LSN, so `Last-Event-ID` goes on behind it), JSON is one page.',
    parameters: FEED_PARAMETERS,
    responses: { 200: ['A page, or a stream that ends with an event `end`.', { [JSON_TYPE]: ref('FeedPage'), [EVENT_STREAM_TYPE]: { type: 'string' } }] },
    problems: ['parameter_invalid', 'not_acceptable', 'lsn_in_future', 'lsn_unavailable', 'subscriptions_exhausted', 'subscriber_too_slow',
      'overloaded', 'timeout', 'starting', 'shutting_down', 'wal_corrupt'],
  },
  getCheckpoint: {
    tag: 'prove',
    summary: 'The last signed tree head',
    description: 'A C2SP checkpoint: origin, size, root, signature by the node\'s key. Keep it: later ones can be held against it.',
    responses: { 200: ['A signed note.', TEXT] },
    problems: PROOF_PROBLEMS,
  },
  proveInclusion: {
    tag: 'prove', summary: 'Proof that an assertion is in the log', parameters: INCLUSION_PARAMETERS,
    responses: { 200: ['A path of RFC 9162, 2.1.3, over SHA-256.', json('InclusionProof')] },
    problems: [...PROOF_PROBLEMS, 'not_found'],
  },
  proveConsistency: {
    tag: 'prove', summary: 'Proof that the log has only grown', parameters: CONSISTENCY_PARAMETERS,
    responses: { 200: ['A proof of RFC 9162, 2.1.4.', json('ConsistencyProof')] },
    problems: PROOF_PROBLEMS,
  },
  proveSignature: {
    tag: 'prove', summary: 'Proof of who signed an assertion',
    description: 'Its own signature, or that of its batch with the path to the root that was signed.',
    responses: { 200: ['Docs: formats/signatures.md.', json('SignatureProof')] },
    problems: [...PROOF_PROBLEMS, 'not_found'],
  },
  getProofFile: {
    tag: 'prove', summary: 'All that proves an assertion without a node',
    description: 'A C2SP tlog-proof: `stemedb verify FILE` and others\' tools check it offline.',
    responses: { 200: ['Text; the assertion and its signature are the extra data.', TEXT] },
    problems: [...PROOF_PROBLEMS, 'not_found'],
  },
  getTile: {
    tag: 'prove', summary: 'A tile of the log, or a bundle of its entries',
    description: 'The path has slashes, as C2SP tlog-tiles writes it: `0/x001/067`, `1/000.p/3`, `entries/x001/067`. With the checkpoint, all that a mirror needs.',
    responses: { 200: ['Hashes, 32 bytes each; or entries, each behind its length in two bytes.', { 'application/octet-stream': BINARY }] },
    problems: [...PROOF_PROBLEMS, 'not_found'],
  },
  openStream: {
    tag: 'write',
    summary: 'WebSocket, subprotocol stemedb.v1',
    description: 'Described in docs/asyncapi.yaml and docs/formats/wire-frames.md.',
    responses: { 101: ['The connection is a WebSocket now.', {}] },
    problems: ['protocol_unsupported', 'connections_exhausted', 'shutting_down'],
  },
  livez: {
    tag: 'operate', summary: 'Would a restart help?', parameters: PROBE_PARAMETERS,
    responses: { 200: ['Alive.', TEXT], 503: ['Restart it.', TEXT] }, problems: ['parameter_invalid'],
  },
  readyz: {
    tag: 'operate', summary: 'Should traffic come here?', parameters: PROBE_PARAMETERS,
    responses: { 200: ['Ready.', TEXT], 503: ['Not now.', TEXT] }, problems: ['parameter_invalid'],
  },
  health: {
    tag: 'operate', summary: 'Readiness with figures',
    responses: { 200: ['Ready.', json('Health')], 503: ['Not ready.', json('Health')] },
  },
  metrics: { tag: 'operate', summary: 'Prometheus metrics', responses: { 200: ['Text format 0.0.4.', TEXT] } },
  openapi: { tag: 'operate', summary: 'This document', responses: { 200: ['OpenAPI 3.1.', { [JSON_TYPE]: { type: 'object' } }] } },
  describeProblem: {
    tag: 'operate', summary: 'What a problem\'s `type` means',
    responses: { 200: ['The error code.', json('ErrorCode')] }, problems: ['not_found'],
  },
}

const mediaTypes = (content: Readonly<Record<string, Json>>): Json =>
  Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))

const RETRY_AFTER: Json = { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } }

/** One response a status, with the codes that it may carry. */
function problemResponses(problems: readonly ErrorName[], answered: ReadonlySet<number>): Record<string, Json> {
  const byStatus = new Map<number, ErrorName[]>()
  for (const code of problems) {
    const { httpStatus } = ERROR_CODES[code]
    byStatus.set(httpStatus, [...(byStatus.get(httpStatus) ?? []), code])
  }
  const responses: Record<string, Json> = {}
  for (const [status, codes] of byStatus) {
    if (answered.has(status)) continue
    const retryable = codes.some((code) => ERROR_CODES[code].retryable)
    responses[status] = {
      description: codes.map((code) => `\`${code}\`: ${ERROR_CODES[code].title}.`).join(' '),
      ...(retryable ? { headers: RETRY_AFTER } : {}),
      content: { [PROBLEM_MEDIA_TYPE]: { schema: ref('Problem') } },
    }
  }
  return responses
}

function parametersOf(path: string, { parameters }: Operation): Json[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const inQuery = Object.entries(parameters?.properties ?? {}).map(([name, { description, ...schema }]) =>
    ({ name, in: 'query', required: parameters?.required?.includes(name) ?? false, description, schema }))
  return [...inPath, ...inQuery]
}

function operationObject(path: string, operationId: OperationId): Json {
  const operation = OPERATIONS[operationId]
  const { tag, summary, description, body, responses, problems = [] } = operation
  const parameters = parametersOf(path, operation)
  const answered = new Set(Object.keys(responses).map(Number))
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: mediaTypes(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(responses).map(([status, [about, content]]) =>
        [status, { description: about, ...(Object.keys(content).length === 0 ? {} : { content: mediaTypes(content) }) }])),
      ...problemResponses([...problems, ...ANY_PROBLEMS], answered),
    },
  }
}

/** @param version of the package. */
export function openapiDocument(version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const { method, path: route, operationId } of ROUTES) {
    const path = route.replace('...}', '}')
    paths[path] = { ...paths[path], [method.toLowerCase()]: operationObject(path, operationId) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'StemeDB',
      version,
      description: 'A database of claims, not facts. Every response carries `x-request-id`; every error is a problem (RFC 9457) with a stable `code`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    tags: [{ name: 'write' }, { name: 'read' }, { name: 'prove' }, { name: 'operate' }],
    paths,
    components: { schemas: { ...SCHEMAS, ...FEED_SCHEMAS, ...RECORD_SCHEMAS, ...PROOF_SCHEMAS } },
  }
}
