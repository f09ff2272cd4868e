import { PREDICATE_BYTES_MAX } from '../record/limits.ts'
import { RECORD_KINDS } from '../record/records.ts'
import { TRACE_DEPTH_DEFAULT, TRACE_DEPTH_MAX } from '../query/kinds/trace.ts'
import { AUDIT_LIMIT_DEFAULT, AUDIT_LIMIT_MAX, AUDIT_WINNERS_MAX } from './audit/audit-limits.ts'
import type { ParametersSchema } from './parameters.ts'

/** Schemas and parameters of what shows how claims hang together, and of the audit. Part of openapi.json. */
type Schema = Readonly<Record<string, unknown>>

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const whole = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const hex = (bytes: number, description: string): Schema => ({ type: 'string', pattern: `^[0-9a-f]{${bytes * 2}}$`, description })
const list = (items: Schema, description: string): Schema => ({ type: 'array', items, description })
const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[] = Object.keys(properties), description?: string): Schema =>
  ({ type: 'object', properties, required, ...(description === undefined ? {} : { description }) })

const hlc = { type: 'string', pattern: '^\\d{1,20}$', description: 'Hybrid logical clock in decimal.' }
const id = hex(32, 'Id of an assertion.')
const truncated = { type: 'boolean', description: 'A bound cut it; there is more.' }
const cursor = { type: 'string', description: 'Names the next page. Absent on the last one.' }
const ratio = { type: 'number', minimum: 0, maximum: 1 }

const nodeCommon = { id: hex(32, 'Of an assertion its id, of an agent its key, of a source its hash.'), depth: whole('Steps from the start.') }
const traceNode: Schema = {
  oneOf: [
    object({
      node: { const: 'assertion' }, ...nodeCommon, lsn: whole('Place in this node\'s log.'), hlc, signed_by: { enum: ['nobody', 'assertion', 'batch'] },
      record: { enum: RECORD_KINDS, description: 'What kind of record it is; absent for what is none.' },
      superseded: { type: 'boolean', description: 'Of an epoch: another one has taken its place.' },
      votes: object({
        agree: whole('Agents that agree.'), disagree: whole('Agents that disagree.'), agree_weight: { type: 'number' }, disagree_weight: { type: 'number' },
      }, undefined, 'One vote an agent. Absent where the walk did not come to it.'),
      stands: { type: 'boolean', description: 'It counts among the claims of its subject and predicate. Absent where those were not read.' },
      why: { type: 'string', description: 'Why it does not.' },
      assertion: { type: 'object', description: 'As `Assertion`, without its vector, long texts shortened.' },
      abridged: list({ type: 'string' }, 'Members of it that were shortened or left out.'),
    }, ['node', 'id', 'depth', 'lsn', 'hlc', 'signed_by', 'assertion']),
    object({
      node: { const: 'agent' }, ...nodeCommon, did: { type: 'string' }, trust: { ...ratio, description: 'Absent where it was not looked up.' },
      equivocates: { type: 'boolean', description: 'It contradicts itself in this trace, on one source.' },
    }, ['node', 'id', 'depth', 'did', 'equivocates']),
    object({ node: { const: 'source' }, ...nodeCommon, uris: list({ type: 'string' }, 'Where it is said to be.') }),
    object({ node: { const: 'missing' }, ...nodeCommon }, undefined, 'Named by another node, and not here.'),
  ],
}

const statement = object({
  id, signed_by: { enum: ['nobody', 'assertion', 'batch'] }, signature: hex(64, 'Absent where nobody has signed.'),
  batch: object({
    index: whole('Place in its batch.'), count: whole('Assertions of the batch.'), root: hex(32, 'Merkle root of the batch\'s ids.'),
    path: list(hex(32, 'Sibling.'), 'From the leaf up.'),
  }, undefined, 'What leads from the id to what was signed.'),
  assertion: ref('Assertion'),
}, ['id', 'signed_by', 'assertion'])

export const TRACE_SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  Trace: object({
    id, depth: whole('How far it was looked.'),
    nodes: list(traceNode, 'The start first.'),
    edges: list(object({
      from: { type: 'string', description: 'Kind of node, colon, id.' }, to: { type: 'string' },
      kind: { enum: ['parent', 'supersedes', 'asserted_by', 'cites', 'in_epoch', 'votes_on', 'registers', 'judges', 'equivocates'] },
    }), 'Between nodes that are listed.'),
    equivocations: list(ref('Equivocation'), 'Where a key contradicts itself, with proof.'),
    unexpanded: whole('Nodes at the edge that more depth would look around from.'), truncated,
    bounds: list({ enum: ['nodes', 'edges', 'claims', 'pair', 'votes', 'agents', 'records', 'proofs', 'bytes'] }, 'Which bounds cut it.'),
  }),
  Equivocation: object({
    agent: { type: 'string', description: '`did:key:z6Mk...`' }, asserted_at: whole('Unix milliseconds, as the agent says.'),
    same_source: { type: 'boolean', description: 'Both cite one source, or none.' },
    statements: { type: 'array', items: statement, minItems: 2, maxItems: 2 },
  }, undefined, 'One key, one subject, predicate and time, two objects. Proves itself: docs/formats/signatures.md.'),
  Equivocations: object({
    subject: { type: 'string' }, predicate: { type: 'string' }, claims: whole('Claims that were looked at.'),
    equivocations: list(ref('Equivocation'), 'By the ids of both.'),
    agents: list(hex(32, 'Key.'), 'Those who contradict themselves on one source.'), truncated,
  }),
  Concepts: object({
    prefix: { type: 'string' }, cursor,
    concepts: list({
      oneOf: [
        object({
          path: { type: 'string', description: 'A subject.' }, kind: { const: 'subject' },
          predicates: list(object({
            predicate: { type: 'string' }, entries: whole('Assertions, counted as far as is cheap.'),
            more: { type: 'boolean', description: 'There are more than were counted.' }, newest_hlc: hlc,
          }), 'What is said of it.'),
          more_predicates: { type: 'boolean', description: 'It has more than are listed.' },
        }),
        object({ path: { type: 'string', description: 'What several subjects begin with, up to a slash.' }, kind: { const: 'prefix' } }),
      ],
    }, 'In the order of their bytes.'),
  }, ['prefix', 'concepts']),
  AuditRecord: object({
    query_id: { type: 'string', pattern: '^[0-9a-f]{24}$' }, at: whole('When it was answered, Unix milliseconds.'),
    who: object({ agent: hex(32, 'As `X-Agent-Id` said, unchecked.'), address: { type: 'string' } }, ['address']),
    endpoint: { type: 'string' }, parameters: { type: 'object', description: 'What it named.' },
    outcome: { type: 'string', description: '`answered`, `unanswered` (timed out, or nobody waited), or the code with which it was refused.' },
    answers: whole('How many answers there were.'), candidates: whole('Candidates of all answers.'),
    winners: list(id, `Of each answer, and of its sides (tiers, values) behind it, each once: the first ${AUDIT_WINNERS_MAX}.`),
    conflict: { oneOf: [{ type: 'null' }, ratio], description: 'The greatest of any answer; null where the lens does not say.' },
    seen_lsn: whole('LSN up to which it saw.'), latency_us: whole('From question to answer, in the front.'),
  }),
  Audit: object({
    mode: { enum: ['off', 'sampled', 'full'], description: 'The setting `auditMode` now.' },
    records: list(ref('AuditRecord'), 'The newest first. A page may be short, or empty, and still name a next one.'), cursor,
  }, ['mode', 'records']),
})

const LIMIT = { type: 'integer', minimum: 1, maximum: 100_000, description: 'Most of them; 100 where it is left out. At most `queryLimitMax`.' } as const
const CURSOR = { type: 'string', minLength: 1, maxLength: 2048, pattern: '^[A-Za-z0-9_-]+$', description: 'From the page before.' } as const
const MOMENTS = {
  as_of: { type: 'string', minLength: 1, maxLength: 40, description: 'As it was then: an HLC, Unix milliseconds, or RFC 3339.' },
  min_lsn: {
    type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER,
    description: 'Wait until this LSN can be read: pass that of your last ack to read your own writes.',
  },
} as const

export const TRACE_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    depth: { type: 'integer', minimum: 1, maximum: TRACE_DEPTH_MAX, default: TRACE_DEPTH_DEFAULT, description: 'Most steps from the assertion.' },
    ...MOMENTS,
  },
  additionalProperties: false,
}

export const CONCEPTS_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    prefix: { type: 'string', description: 'Beginning of subjects; left out: all. Records (`steme://`) are listed where it names them.' },
    limit: LIMIT, cursor: CURSOR, ...MOMENTS,
  },
  additionalProperties: false,
}

export const EQUIVOCATIONS_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    subject: { type: 'string', minLength: 1, description: 'A whole subject.' },
    predicate: { type: 'string', minLength: 1, maxLength: PREDICATE_BYTES_MAX, description: 'One of its predicates.' },
    limit: LIMIT, ...MOMENTS,
  },
  required: ['subject', 'predicate'],
  additionalProperties: false,
}

export const AUDIT_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    limit: { type: 'integer', minimum: 1, maximum: AUDIT_LIMIT_MAX, default: AUDIT_LIMIT_DEFAULT, description: 'Most records.' },
    agent: { type: 'string', minLength: 1, maxLength: 128, description: 'Of this key only: 64 hex digits or `did:key:z6Mk...`.' },
    from: { type: 'string', minLength: 1, maxLength: 40, description: 'Answered at or after: Unix milliseconds or RFC 3339.' },
    until: { type: 'string', minLength: 1, maxLength: 40, description: 'Answered before.' },
    cursor: CURSOR,
  },
  additionalProperties: false,
}
