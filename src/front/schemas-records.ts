import { SOURCE_CLASSES } from '../record/assertion.ts'
import {
  ALIASED_BYTES_MAX, ASSERTED_AT_MS_MAX, EPOCH_NAME_BYTES_MAX, NOTE_BYTES_MAX, SOURCE_CLASS_MAX, SOURCE_CONTENT_BYTES_MAX, SOURCE_TITLE_BYTES_MAX,
  SOURCE_URI_BYTES_MAX,
} from '../record/limits.ts'
import type { ParametersSchema } from './parameters.ts'
import { orNull } from './schemas.ts'

/** Schemas and parameters of votes, epochs, trust, aliases and sources, for openapi.json. */
type Schema = Readonly<Record<string, unknown>>

const hex = (bytes: number, description: string): Schema => ({ type: 'string', pattern: `^[0-9a-fA-F]{${bytes * 2}}$`, description })
const text = (bytesMax: number, description: string): Schema =>
  ({ type: 'string', maxLength: bytesMax, description: `${description} At most ${bytesMax} bytes of UTF-8.` })
const whole = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const list = (items: Schema, description: string): Schema => ({ type: 'array', items, description })
const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[], more: Schema = {}): Schema =>
  ({ type: 'object', properties, required, ...more })

const note = text(NOTE_BYTES_MAX, 'For people.')
const withdraw = { type: 'boolean', default: false, description: 'Takes back what the same agent has said of the same.' }
const agent = { type: 'string', description: 'Ed25519 public key: 64 hex digits, or `did:key:z6Mk...`.' }

/** A body: what the record says, and who says it when. */
const body = (own: Readonly<Record<string, Schema>>, required: readonly string[], signature: string): Schema => object(optionalOrNull({
  ...own,
  agent: { ...agent, description: `Who says it. ${agent.description}` },
  asserted_at: {
    description: 'Unix milliseconds, or RFC 3339. Left out: now. A resend is a duplicate only if it says the same time.',
    oneOf: [{ type: 'integer', minimum: 0, maximum: ASSERTED_AT_MS_MAX }, { type: 'string', format: 'date-time' }],
  },
  confidence: { type: 'number', minimum: 0, maximum: 1, default: 1 },
  signature: hex(64, signature),
}, [...required, 'agent']), [...required, 'agent'], { additionalProperties: false })

const optionalOrNull = (members: Readonly<Record<string, Schema>>, required: readonly string[]): Readonly<Record<string, Schema>> =>
  Object.fromEntries(Object.entries(members).map(([name, schema]) => [name, required.includes(name) ? schema : orNull(schema)]))

const sourceBody = (required: string): Schema => body({
  hash: hex(32, 'BLAKE3-256 of the content. May be left out where the content is there.'), title: text(SOURCE_TITLE_BYTES_MAX, 'For people.'),
  uri: text(SOURCE_URI_BYTES_MAX, 'Where it is.'),
  source_class: { description: 'Its tier.', default: 'anecdotal', oneOf: [{ type: 'integer', minimum: 0, maximum: SOURCE_CLASS_MAX }, { enum: SOURCE_CLASSES }] },
  content: text(SOURCE_CONTENT_BYTES_MAX, 'Text to be stored with it.'), note, withdraw,
}, [required], OF_BATCH)

const OF_ONE = 'Ed25519 by `agent` over the id of the assertion (docs/formats/records.md has its shape).'
const OF_BATCH = 'Ed25519 by `agent` over the Merkle root of the assertions\' ids, in the order of docs/formats/records.md; over the id where it is one.'

const record = {
  id: hex(32, 'Of the assertion that it is.'), lsn: whole('Position in this node\'s log.'),
  hlc: { type: 'string', pattern: '^\\d{1,20}$', description: 'When it was first accepted.' }, agent, asserted_at: whole('Unix milliseconds, as the agent says.'), note,
}
const RECORD = ['id', 'lsn', 'hlc', 'agent', 'asserted_at']
const truncated = { type: 'boolean', description: 'There are more.' }
const recordOf = (own: Readonly<Record<string, Schema>>, required: readonly string[]): Schema => object({ ...record, ...own }, [...RECORD, ...required])

const source = {
  hash: hex(32, 'BLAKE3-256 of the content: `source_hash` of what cites it.'),
  registrations: list(recordOf({ title: { type: 'string' }, uri: { type: 'string' }, source_class: { enum: SOURCE_CLASSES } }, ['title', 'source_class']), 'One an agent, the latest first.'),
  truncated,
}

export const RECORD_SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  Vote: body({
    assertion: hex(32, 'Id of the assertion that the vote is on.'),
    weight: { type: 'number', minimum: -1, maximum: 1, description: 'Above 0 agrees, below disagrees, by so much; 0 takes the vote back.' }, note,
  }, ['assertion', 'weight'], OF_ONE),
  Epoch: body({
    name: text(EPOCH_NAME_BYTES_MAX, 'Of the paradigm.'), supersedes: hex(32, 'Id of the epoch whose place it takes.'),
    reason: text(NOTE_BYTES_MAX, 'Required with `supersedes`.'),
    withdraws: hex(32, 'Id of an epoch by the same agent that is taken back. The rest is as it was declared; `supersedes` may be left out.'),
  }, ['name'], OF_ONE),
  Outcome: body({
    accurate: { type: 'boolean', description: 'Whether the agent was right.' }, assertion: hex(32, 'Id of the assertion that it was right or wrong in.'), note, withdraw,
  }, ['accurate'], OF_ONE),
  Alias: body({ subject: text(ALIASED_BYTES_MAX, 'A subject.'), alias: text(ALIASED_BYTES_MAX, 'Another subject for the same thing.'), note, withdraw }, ['subject', 'alias'], OF_BATCH),
  Source: { anyOf: [sourceBody('content'), sourceBody('hash')] },
  SourceStored: { allOf: [ref('Results'), object({ hash: source.hash }, ['hash'])] },
  Votes: object({
    assertion: hex(32, 'Its id.'), agree_weight: { type: 'number' }, disagree_weight: { type: 'number' }, agree_count: whole('Agents.'), disagree_count: whole('Agents.'),
    votes: list(recordOf({ weight: { type: 'number' } }, ['weight']), 'Those that count, one an agent, the latest first.'), truncated,
  }, ['assertion', 'agree_weight', 'disagree_weight', 'agree_count', 'disagree_count', 'votes', 'truncated']),
  Epochs: object({
    epochs: list(recordOf({
      name: { type: 'string' }, supersedes: hex(32, 'Whose place it takes.'), reason: { type: 'string' },
      withdrawn: { type: 'boolean', description: 'Its agent has taken it back.' }, superseded: { type: 'boolean', description: 'One that is not withdrawn has taken its place.' },
    }, ['name', 'withdrawn', 'superseded']), 'The latest first.'), truncated,
  }, ['epochs', 'truncated']),
  Trust: object({
    agent, trust: { type: 'number', minimum: 0, maximum: 1, description: 'At the moment; 0.5 where nothing is known.' },
    half_life_days: { type: 'number' }, accurate: whole('Outcomes that count.'), inaccurate: whole('Outcomes that count.'),
    outcomes: list(recordOf({ accurate: { type: 'boolean' }, assertion: hex(32, 'What it was right or wrong in.') }, ['accurate']), 'Those that count, the latest first; `agent` is who reports.'), truncated,
  }, ['agent', 'trust', 'half_life_days', 'accurate', 'inaccurate', 'outcomes', 'truncated']),
  Aliases: object({
    subject: { type: 'string' }, aliases: list({ type: 'string' }, 'All that are the same thing, over any number of steps.'),
    direct: list(recordOf({ alias: { type: 'string' } }, ['alias']), 'What is said of the subject itself, the latest first.'), truncated,
  }, ['subject', 'aliases', 'direct', 'truncated']),
  Sources: object({
    sources: list(object(source, ['hash', 'registrations', 'truncated']), 'By hash, without content.'), cursor: hex(32, 'Names the next page. Absent on the last one.'),
  }, ['sources']),
  SourceFound: object({
    ...source, content: { type: ['string', 'null'], description: 'Its hash has been checked. Null where none is stored.' }, content_agent: agent,
    content_too_long: { type: 'boolean', description: 'It is stored, and too long for a reply of this node.' },
  }, ['hash', 'registrations', 'truncated']),
})

const common: ParametersSchema['properties'] = {
  as_of: { type: 'string', minLength: 1, maxLength: 64, description: 'As of then: an HLC in decimal, Unix milliseconds, or RFC 3339.' },
  min_lsn: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Wait until this LSN can be read.' },
}
const limit: ParametersSchema['properties'] = {
  limit: { type: 'integer', minimum: 1, description: 'Most that are listed; 100 where it is left out. At most `queryLimitMax`.' },
}

export const RECORDS_PARAMETERS: ParametersSchema = { type: 'object', properties: { ...limit, ...common }, additionalProperties: false }
export const ALIASES_PARAMETERS: ParametersSchema = {
  type: 'object', properties: { subject: { type: 'string', minLength: 1, description: 'Whose aliases.' }, ...limit, ...common }, required: ['subject'], additionalProperties: false,
}
export const SOURCES_PARAMETERS: ParametersSchema = {
  type: 'object', additionalProperties: false,
  properties: { cursor: { type: 'string', pattern: '^[0-9a-fA-F]{64}$', description: 'That of the page before.' }, ...limit, ...common },
}
export const SOURCE_PARAMETERS: ParametersSchema = {
  type: 'object', additionalProperties: false,
  properties: { content: { type: 'string', enum: ['yes', 'no'], default: 'yes', description: 'With the stored content.' }, ...common },
}
