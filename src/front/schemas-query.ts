import { FORBIDDEN, MUST_USE } from '../lens/constraints.ts'
import { LIFECYCLES, SOURCE_CLASSES } from '../record/assertion.ts'
import { PREDICATE_BYTES_MAX } from '../record/limits.ts'
import { LENS_NAME_BYTES_MAX } from '../query/plan.ts'
import { CUT } from '../wire/query-reply.codec.ts'
import type { ParametersSchema } from './parameters.ts'
import { QUERIES_MAX } from './front-limits.ts'

type Schema = Readonly<Record<string, unknown>>

type Parameter = ParametersSchema['properties'][string]

const text = (description: string, more: Schema = {}): Parameter => ({ type: 'string', minLength: 1, description, ...more })
const hash = (description: string): Parameter => text(description, { pattern: '^[0-9a-fA-F]{64}$' })
const flag = (description: string): Parameter => text(description, { enum: ['true', 'false'] })
const moment = (description: string): Parameter => text(`${description} An HLC, Unix milliseconds, or an RFC 3339 time.`)
const ratio = (description: string): Parameter => text(description)

/** What a candidate must be. */
const FILTERS: Readonly<Record<string, Parameter>> = {
  agent: text('Who asserted: 64 hex digits, or `did:key:z6Mk...`.'),
  source: hash('Hash of the source that is cited.'),
  epoch: hash('Epoch that the claim belongs to.'),
  lifecycle: text(`Of these lifecycles, between commas: ${LIFECYCLES.join(', ')}. Left out: for a lens what stands (the first three), for a list all.`),
  tier: text(`Of these source tiers, between commas: 0 to 5, or ${SOURCE_CLASSES.join(', ')}.`),
  from: moment('Accepted at or after.'),
  until: moment('Accepted before.'),
  asserted_from: text('Asserted at or after, by the agent\'s clock. Unix milliseconds, or an RFC 3339 time.'),
  asserted_until: text('Asserted before, by the agent\'s clock.'),
  confidence_min: ratio('Confidence of at least, 0 to 1.'),
  object: text('Only this value, as lenses compare values: `text:...`, `number:...`, `boolean:true`, `reference:...`.'),
}

const HOW: Readonly<Record<string, Parameter>> = {
  as_of: moment('The answer of that moment: nothing accepted later counts. Not in the future.'),
  tolerance: ratio('Numbers this far apart, relative to the greater, are one value; 0 to 1. Left out: the setting `consensusTolerance`.'),
  aliases: flag('Candidates of the subject\'s aliases count as its own.'),
  explain: flag('Say of every candidate what became of it, and how long each stage took.'),
  fields: text('Members of an assertion to answer with, between commas; left out: all.'),
  min_lsn: {
    type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER,
    description: 'Wait until this LSN can be read: pass that of your last ack to read your own writes.',
  },
}

const PREDICATE = { type: 'string', minLength: 1, maxLength: PREDICATE_BYTES_MAX } as const

/** Of `GET /v1/query`. */
export const QUERY_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    subject: text('A whole subject. This, `prefix`, `predicate` or a filter.'),
    prefix: text('Beginning of subjects; records (`steme://`) only where it names them. Not with `subject`.'),
    predicate: { ...PREDICATE, description: 'Left out: every predicate.' },
    lens: text('How contradictions are resolved: a lens, or a chain of them between commas (docs/reference/lenses.md). `none`: not at all, every assertion is listed, and `explain` and `leave_out` are refused.',
      { maxLength: LENS_NAME_BYTES_MAX, default: 'recency' }),
    limit: { type: 'integer', minimum: 1, description: 'Most answers; 100 where it is left out. At most `queryLimitMax`.' },
    cursor: text('`cursor` of the page before, with the same query.', { pattern: '^[A-Za-z0-9_-]+$', maxLength: 2048 }),
    leave_out: text(`What answers come without, between commas. side_claims: the assertions of their sides. reasons: the sentences (\`why\`).`),
    ...FILTERS, ...HOW,
  },
  additionalProperties: false,
}

/** Of `GET /v1/skeptic` and `GET /v1/layered`. */
export const PAIR_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: { subject: text('A whole subject.'), predicate: { ...PREDICATE, description: 'One predicate.' }, ...FILTERS, ...HOW },
  required: ['subject', 'predicate'],
  additionalProperties: false,
}

/** Of `GET /v1/constraints`. */
export const CONSTRAINTS_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: { subject: text('The context whose rules are wanted: a whole subject.'), ...FILTERS, ...HOW },
  required: ['subject'],
  additionalProperties: false,
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
const whole = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const part = (description: string): Schema => ({ type: 'number', minimum: 0, maximum: 1, description })
const object = (properties: Readonly<Record<string, Schema>>, required: readonly string[], more: Schema = {}): Schema =>
  ({ type: 'object', properties, required, ...more })
const orNull = (schema: Schema): Schema => ({ oneOf: [schema, { type: 'null' }] })

const seenLsn = whole('Everything up to this LSN was seen.')
const hlc = { type: 'string', pattern: '^\\d{1,20}$' }
const id = { type: 'string', pattern: '^[0-9a-f]{64}$' }
const status = { enum: ['unanimous', 'agreed', 'contested', 'escalate'] }
const why = { type: 'string', description: 'A sentence for a person.' }
const conflict = part('0: all agree; 1: they could not disagree more.')
const winner = orNull(ref('ChosenAssertion'))

const cut = {
  type: 'array', items: { enum: Object.keys(CUT) },
  description: 'What was not looked at in full, because a bound was met: absent where nothing was. candidates: only the newest; records: of votes, outcomes or epochs only the newest; aliases: not all.',
}

const side = {
  label: { type: 'string', description: 'Which side it is: a tier, a value.' }, winner,
  weight: { type: 'number', description: 'By the lens.' }, share: part('Part of all sides.'),
  candidates: whole('On this side.'), sources: whole('Independent sources among them.'), conflict, why,
}

const value = { type: ['string', 'number', 'boolean'] }
const rule = object({
  must_use: value, forbidden: value, reason: { type: 'string' }, weight: side.weight, candidates: side.candidates, winner, why,
}, ['weight', 'candidates', 'winner', 'why'])

const shaped = {
  seen_lsn: seenLsn, subject: { type: 'string' }, candidates: whole('Assertions that the lens looked at.'),
  conflict_score: conflict, status: orNull(status), certainty: part('How sure the resolution is.'), why, explanation: ref('Explanation'), cut,
}

/** Components of openapi.json. */
export const QUERY_SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  ChosenAssertion: object({
    id, lsn: whole('Position in this node\'s log.'), hlc, signed_by: { enum: ['nobody', 'assertion', 'batch'] },
    signature: { type: 'string', pattern: '^[0-9a-f]{128}$' },
    effective_lifecycle: { enum: LIFECYCLES, description: 'Of a winner: what its agent has made of it since. Absent where that is what the assertion says.' },
    assertion: { type: 'object', description: 'As Assertion; only the members of `fields` where that was given.' },
  }, ['id', 'lsn', 'hlc', 'signed_by', 'assertion']),
  Side: object(side, ['label', 'candidates']),
  Explanation: object({
    considered: {
      type: 'array',
      items: object({
        id, lsn: whole('In this node\'s log.'), hlc, verdict: { enum: ['won', 'supports', 'lost', 'left_out'] }, weight: { type: 'number' }, why,
      }, ['id', 'lsn', 'hlc', 'verdict', 'weight', 'why']),
    },
    truncated: { type: 'boolean', description: 'There were more than are listed.' },
    entries_read: whole('Of the index.'), claims_read: whole('Of the log.'),
    index_us: whole('Microseconds.'), read_us: whole('Microseconds.'), resolve_us: whole('Microseconds.'),
    from_cache: { type: 'boolean' },
  }, ['considered', 'truncated', 'entries_read', 'claims_read', 'index_us', 'read_us', 'resolve_us', 'from_cache']),
  QueryReply: object({
    seen_lsn: seenLsn,
    truncated: { type: 'boolean', description: 'There is more: pass `cursor`.' },
    cursor: { type: 'string', description: 'What the next page is asked for with. All pages are of the moment of the first.' },
    answers: {
      type: 'array',
      items: object({
        subject: { type: 'string' }, predicate: { type: 'string' }, candidates: shaped.candidates, winner,
        why: { type: 'string', description: 'Why the winner won.' }, conflict, certainty: shaped.certainty, status,
        sides: { type: 'array', items: ref('Side') },
        rule_rows: {
          type: 'array', description: 'Where the sides are rules: which belong together, by their places among the sides.',
          items: object({ must_use: whole('Place among the sides.'), forbidden: whole('Place among the sides.'), reason: { type: 'string' } }, []),
        },
        rule_conflicts: {
          type: 'array', description: 'Values that are demanded and forbidden: which side holds, and the rule that it has overruled.',
          items: object({ holds: whole('Place among the sides.'), overruled: ref('Side') }, ['holds', 'overruled']),
        },
        explanation: ref('Explanation'), cut,
      }, ['subject', 'predicate', 'candidates', 'winner']),
    },
    listed: { type: 'array', items: ref('ChosenAssertion'), description: 'Of `lens=none`, instead of answers.' }, cut,
  }, ['seen_lsn', 'truncated', 'answers']),
  Query: object({
    ...Object.fromEntries(Object.entries(QUERY_PARAMETERS.properties).map(([name, { description }]) => [name, { description }])),
  }, [], { additionalProperties: false, description: 'As the parameters of GET /v1/query. Numbers and booleans may stand as such, lists as arrays, an object as in an assertion.' }),
  QueryReplies: object({
    results: {
      type: 'array', description: 'In the order of the queries.',
      items: { oneOf: [ref('QueryReply'), object({ problem: ref('Problem') }, ['problem'])] },
    },
  }, ['results']),
  Queries: { type: 'array', items: ref('Query'), minItems: 1, maxItems: QUERIES_MAX },
  Skeptic: object({
    ...shaped, predicate: { type: 'string' },
    claims: {
      type: 'array', description: 'Every value, the heaviest first.',
      items: object({ value: { type: 'object' }, ...side }, ['value', 'winner', 'weight', 'share', 'candidates', 'sources', 'why']),
    },
  }, ['seen_lsn', 'subject', 'predicate', 'candidates', 'conflict_score', 'status', 'claims']),
  Layered: object({
    ...shaped, predicate: { type: 'string' }, winner,
    tiers: {
      type: 'array', description: 'Those that have spoken, the most authoritative first.',
      items: object({ tier: { type: 'integer', minimum: 0, maximum: SOURCE_CLASSES.length - 1 }, name: { enum: SOURCE_CLASSES }, ...side },
        ['tier', 'name', 'winner', 'weight', 'share', 'candidates', 'conflict', 'why']),
    },
  }, ['seen_lsn', 'subject', 'predicate', 'candidates', 'conflict_score', 'status', 'winner', 'tiers']),
  Constraints: object({
    ...shaped,
    constraints: {
      type: 'array', description: 'The rules in force, by rank.', items: rule,
    },
    rows: {
      type: 'array', description: 'The same by what belongs together: what must be used, what is forbidden, or the one instead of the other.',
      items: object({ must_use: value, forbidden: value, reason: { type: 'string' } }, []),
    },
    conflicts: {
      type: 'array', description: 'What is demanded and forbidden at once: which side holds, and what it has overruled, with the reason for that.',
      items: object({ value, holds: { enum: [MUST_USE, FORBIDDEN] }, overruled: rule }, ['value', 'holds', 'overruled']),
    },
  }, ['seen_lsn', 'subject', 'candidates', 'conflict_score', 'status', 'constraints', 'rows', 'conflicts']),
})
