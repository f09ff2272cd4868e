import { ERROR_CODES } from '../base/error-codes.ts'
import { LIFECYCLES, OBJECT_KINDS, SOURCE_CLASSES } from '../record/assertion.ts'
import {
  ASSERTED_AT_MS_MAX, NOTE_BYTES_MAX, OBJECT_TEXT_BYTES_MAX, PREDICATE_BYTES_MAX, SOURCE_CLASS_MAX, SOURCE_URI_BYTES_MAX,
  SUBJECT_BYTES_MAX, VECTOR_LENGTH_MAX,
} from '../record/limits.ts'
import type { ParametersSchema } from './parameters.ts'
import { QUERY_SCHEMAS } from './schemas-query.ts'
import { TRACE_SCHEMAS } from './schemas-trace.ts'

/**
 * JSON schemas (2020-12) of what goes over HTTP: the components of openapi.json. Those of query strings also check
 * them. Assertions are checked by `assertionFromJson`, which knows more than a schema can say.
 */
type Schema = Readonly<Record<string, unknown>>

const hex = (bytes: number, description: string): Schema =>
  ({ type: 'string', pattern: `^[0-9a-fA-F]{${bytes * 2}}$`, description })
const text = (bytesMax: number, description: string): Schema =>
  ({ type: 'string', maxLength: bytesMax, description: `${description} At most ${bytesMax} bytes of UTF-8.` })
const whole = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[], more: Schema = {}): Schema =>
  ({ type: 'object', properties, required, ...more })

const lsn = whole('Position in this node\'s log.')
const hlc = { type: 'string', pattern: '^\\d{1,20}$', description: 'Hybrid logical clock, unsigned 64 bits in decimal: 48 bits of Unix milliseconds, 16 of counter.' }
const id = hex(32, 'BLAKE3-256 of the canonical claim bytes.')

/** An optional member may be null, which is as if it were left out. */
export function orNull(schema: Schema): Schema {
  if (Array.isArray(schema['oneOf'])) return { ...schema, oneOf: [...schema['oneOf'] as Schema[], { type: 'null' }] }
  if (Array.isArray(schema['enum'])) return { ...schema, enum: [...schema['enum'] as unknown[], null] }
  return { ...schema, type: [schema['type'], 'null'] }
}

const assertionProperties: Readonly<Record<string, Schema>> = {
  subject: text(SUBJECT_BYTES_MAX, 'Concept path (`drug/aspirin/safety`) or scheme URI (`rfc://9162/section/2`).'),
  predicate: text(PREDICATE_BYTES_MAX, 'What is said of the subject.'),
  object: {
    description: 'The claim itself. A bare string, number or boolean is taken as one.',
    oneOf: [
      object({ type: { enum: OBJECT_KINDS }, value: { type: ['string', 'number', 'boolean'] } }, ['type', 'value'], { additionalProperties: false }),
      text(OBJECT_TEXT_BYTES_MAX, 'Text.'),
      { type: 'number' },
      { type: 'boolean' },
    ],
  },
  confidence: { type: 'number', minimum: 0, maximum: 1 },
  source_class: orNull({
    description: 'Tier of the source.', default: 'anecdotal',
    oneOf: [{ type: 'integer', minimum: 0, maximum: SOURCE_CLASS_MAX }, { enum: SOURCE_CLASSES }],
  }),
  source_hash: orNull({ ...hex(32, 'Hash of the evidence.'), default: '0'.repeat(64) }),
  source_uri: orNull(text(SOURCE_URI_BYTES_MAX, 'Where the evidence is.')),
  lifecycle: orNull({ enum: LIFECYCLES, default: 'proposed' }),
  epoch: orNull(hex(32, 'The epoch that the claim belongs to.')),
  parent: orNull(hex(32, 'Id of the assertion that this one follows or takes back.')),
  agent: { type: 'string', description: 'Ed25519 public key: 64 hex digits, or `did:key:z6Mk...`.' },
  asserted_at: orNull({
    description: 'Unix milliseconds, or RFC 3339. Left out: now. A resend is a duplicate only if it says the same time.',
    oneOf: [{ type: 'integer', minimum: 0, maximum: ASSERTED_AT_MS_MAX }, { type: 'string', format: 'date-time' }],
  }),
  note: orNull(text(NOTE_BYTES_MAX, 'For people.')),
  vector: orNull({ type: 'array', items: { type: 'number' }, minItems: 1, maxItems: VECTOR_LENGTH_MAX }),
}

const problemProperties: Readonly<Record<string, Schema>> = {
  type: { type: 'string', format: 'uri-reference', description: '`/problems/` and the code.' },
  title: { type: 'string' },
  status: { type: 'integer' },
  detail: { type: 'string' },
  code: { enum: Object.keys(ERROR_CODES), description: 'Stable; docs/reference/errors.md.' },
  retryable: { type: 'boolean', description: 'The same request may succeed later.' },
  request_id: { type: 'string' },
  retry_after_ms: whole('Where it is retryable: when.'),
  pointer: { type: 'string', format: 'json-pointer', description: 'What is wrong in the body.' },
  parameter: { type: 'string', description: 'Which parameter is wrong.' },
}

const stored = { id, status: { enum: ['created', 'duplicate'] }, lsn, hlc }
const index = whole('Place in the array, or among the lines that are not empty, from 0.')

export const SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  Assertion: object(assertionProperties, ['subject', 'predicate', 'object', 'confidence', 'agent'], { additionalProperties: false }),
  SignedAssertion: object(
    { ...assertionProperties, signature: orNull(hex(64, 'Ed25519 by `agent` over the id (docs/formats/signatures.md).')) },
    ['subject', 'predicate', 'object', 'confidence', 'agent'], { additionalProperties: false },
  ),
  Stored: object(stored, ['id', 'status', 'lsn', 'hlc']),
  ItemResult: {
    oneOf: [
      object({ index, ...stored }, ['index', 'id', 'status', 'lsn', 'hlc']),
      object({
        index, id, status: { const: 'refused' }, code: problemProperties['code']!, title: { type: 'string' }, detail: { type: 'string' },
        retryable: { type: 'boolean' }, pointer: problemProperties['pointer']!,
      }, ['index', 'status', 'code', 'title', 'detail', 'retryable']),
    ],
  },
  Results: object({
    created: whole('How many are new.'), duplicate: whole('How many were there already.'), refused: whole('How many were refused.'),
    results: { type: 'array', items: ref('ItemResult') },
  }, ['created', 'duplicate', 'refused', 'results']),
  StreamEnd: object({
    done: { type: 'boolean', description: 'Every line was answered. False: see `problem`; what has no line of its own was not applied.' },
    created: whole('How many are new.'), duplicate: whole('How many were there already.'), refused: whole('How many were refused.'),
    request_id: { type: 'string' }, problem: ref('Problem'),
  }, ['done', 'created', 'duplicate', 'refused', 'request_id'], { description: 'Last line of an NDJSON answer; without it the answer was cut off.' }),
  BatchResult: object({
    created: whole('How many are new.'), duplicate: whole('How many were there already.'), refused: whole('How many were refused.'),
    first_lsn: lsn, first_hlc: hlc,
    outcomes: {
      type: 'array', description: 'Those that are not new, by index. The k-th new one has `first_lsn + k`, `first_hlc + k`.',
      items: object({ index, status: { enum: ['duplicate', 'refused'] }, code: problemProperties['code']!, lsn, hlc }, ['index', 'status', 'code']),
    },
  }, ['created', 'duplicate', 'refused', 'outcomes']),
  Found: object({
    id, lsn, hlc, signed_by: { enum: ['nobody', 'assertion', 'batch'] },
    signature: hex(64, 'The assertion\'s own, or that of its batch.'), assertion: ref('Assertion'),
  }, ['id', 'lsn', 'hlc', 'signed_by', 'assertion']),
  ...QUERY_SCHEMAS,
  ...TRACE_SCHEMAS,
  Health: object({
    status: { enum: ['ok', 'unavailable'] }, live: { type: 'boolean' }, ready: { type: 'boolean' },
    writable: { type: 'string', description: '`yes`, or the code with which writes are refused.' },
    node_id: hex(32, 'The node\'s public key.'), version: { type: 'string' }, durable_lsn: lsn, durable_hlc: hlc,
    applied_lsn: { ...lsn, description: 'Last LSN that queries see.' },
    checks: { type: 'array', items: object({ name: { type: 'string' }, ok: { type: 'boolean' }, degraded: { type: 'boolean' }, detail: { type: 'string' } }, ['name', 'ok']) },
  }, ['status', 'live', 'ready', 'writable', 'node_id', 'version', 'durable_lsn', 'durable_hlc', 'applied_lsn', 'checks']),
  Problem: object(problemProperties, ['type', 'title', 'status', 'detail', 'code', 'retryable', 'request_id'], {
    description: 'RFC 9457.',
  }),
  ErrorCode: object({
    code: problemProperties['code']!, number: whole('On the wire and in acks.'), title: { type: 'string' }, status: { type: 'integer' },
    retryable: { type: 'boolean' }, outcome: { enum: ['ok', 'fail', 'info'] }, action: { type: 'string' },
  }, ['code', 'number', 'title', 'status', 'retryable', 'outcome', 'action']),
})

/** Of the probes. */
export const PROBE_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: { verbose: { type: 'string', description: 'Present, with or without a value: a line a check.' } },
  additionalProperties: false,
}
