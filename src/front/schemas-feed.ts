import { PREDICATE_BYTES_MAX } from '../record/limits.ts'
import { LENS_ANSWERS_MAX } from './feed-lens.ts'
import type { ParametersSchema } from './parameters.ts'

/** Of `GET /v1/feed`. */
export const FEED_PARAMETERS: ParametersSchema = {
  type: 'object',
  properties: {
    subject: { type: 'string', minLength: 1, description: 'A whole subject. This, `prefix`, or neither.' },
    prefix: { type: 'string', minLength: 1, description: 'Beginning of subjects.' },
    predicate: { type: 'string', minLength: 1, maxLength: PREDICATE_BYTES_MAX, description: 'Left out: every predicate.' },
    tier: { type: 'string', minLength: 1, maxLength: 128, description: 'Tiers that are wanted, separated by commas: 0..5 or their names. Left out: all.' },
    agent: { type: 'string', minLength: 1, maxLength: 128, description: 'Only this agent\'s: 64 hex digits, or `did:key:z6Mk...`.' },
    from_lsn: {
      type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER,
      description: 'First LSN that is wanted. Left out or 0: a stream begins now, a page has the newest. `Last-Event-ID` goes before it.',
    },
    limit: { type: 'integer', minimum: 1, description: 'Most matches of a page; 100 where it is left out. At most `queryLimitMax`. Not for a stream.' },
    lens: {
      type: 'string', minLength: 1, maxLength: 64,
      description: `Instead of matches: the answer of this lens, now and whenever it changes. Needs \`subject\` or \`prefix\`, at most ${LENS_ANSWERS_MAX} answers, and a stream.`,
    },
  },
  additionalProperties: false,
}

type Schema = Readonly<Record<string, unknown>>

/** Components of openapi.json that only the feed has. */
export const FEED_SCHEMAS: Readonly<Record<string, Schema>> = Object.freeze({
  FeedPage: {
    type: 'object',
    properties: {
      items: { type: 'array', items: { $ref: '#/components/schemas/Found' }, description: 'By ascending LSN.' },
      next_lsn: { type: 'integer', minimum: 1, description: '`from_lsn` of the next page: everything below was looked at.' },
      applied_lsn: { type: 'integer', minimum: 0, description: 'Up to where there was something to look at. `next_lsn` beyond it: you have everything.' },
    },
    required: ['items', 'next_lsn', 'applied_lsn'],
  },
})
