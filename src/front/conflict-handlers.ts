import { DbError } from '../base/errors.ts'
import { must } from '../base/assert.ts'
import { SOURCE_CLASSES } from '../record/assertion.ts'
import type { QueryEndpoint } from './ask.ts'
import type { Exchange } from './exchange.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { JSON_TYPE, negotiate } from './media.ts'
import { parametersReader, type ParametersSchema } from './parameters.ts'
import { replyToJson, type AnswerJson, type QuerySpec, type SideJson } from './query.codec.ts'
import { askedQueryOf, type GivenParameters } from './query-spec.ts'
import { askQuery } from './read-handlers.ts'
import { CONSTRAINTS_PARAMETERS, PAIR_PARAMETERS } from './schemas-query.ts'

type Handler = (exchange: Exchange, request: RequestInfo, parts: HandlerParts) => void

/** Asks one lens about one thing, and shapes its one answer. */
function handlerOf(endpoint: QueryEndpoint, schema: ParametersSchema, fixed: GivenParameters, shape: (answer: AnswerJson) => object): Handler {
  const read = parametersReader<GivenParameters>(schema)
  return (exchange, request, parts) => {
    const given = read(request.query)
    const asked = askedQueryOf({ ...given, ...fixed, limit: 1 }, parts.options.config.queryLimitMax)
    if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
    // What is shaped is taken from the whole assertion.
    askQuery(exchange, parts, endpoint, asked, (reply) => {
      const { seen_lsn, answers, cut: cutOfAll = [] } = replyToJson(reply)
      const answer = answers[0] ?? nothing(asked.spec)
      const { conflict = 0, status = null, certainty, explanation, subject, candidates, why, cut = [] } = answer
      exchange.json(200, withFields({
        seen_lsn, subject, candidates, conflict_score: conflict, status, ...(certainty === undefined ? {} : { certainty }), why,
        ...shape(answer), ...(explanation === undefined ? {} : { explanation }), ...(cut.length + cutOfAll.length === 0 ? {} : { cut: [...cut, ...cutOfAll] }),
      }, asked.fields))
    })
  }
}

const nothing = ({ subject = '', predicate = '' }: QuerySpec): AnswerJson =>
  ({ subject, predicate, candidates: 0, winner: null, why: 'Nothing is known about that.' })

/** Cuts the assertions within to the members that are wanted. */
function withFields(value: object, fields: ReadonlySet<string> | undefined): object {
  if (fields === undefined) return value
  return JSON.parse(JSON.stringify(value), (name, inner: unknown) => name === 'assertion'
    ? Object.fromEntries(Object.entries(inner as object).filter(([member]) => fields.has(member))) : inner) as object
}

const objectOf = ({ winner }: SideJson): object | null => winner?.assertion.object ?? null

/** `GET /v1/skeptic`: every value with its weight, and how much they conflict. */
export const handleSkeptic = handlerOf('skeptic', PAIR_PARAMETERS, { lens: 'skeptic' }, ({ predicate, sides = [] }) => ({
  predicate, claims: sides.map((side) => ({ value: objectOf(side), ...side })),
}))

/** `GET /v1/layered`: one answer a tier, and whether tiers disagree. */
export const handleLayered = handlerOf('layered', PAIR_PARAMETERS, { lens: 'layered' }, ({ predicate, winner, sides = [] }) => ({
  predicate, winner,
  tiers: sides.map(({ label, ...side }) => ({ tier: (SOURCE_CLASSES as readonly string[]).indexOf(label), name: label, ...side })),
}))

const MUST_USE = 'must_use'
const FORBIDDEN = 'forbidden'

/** `GET /v1/constraints`: the rules of a context. */
export const handleConstraints = handlerOf('constraints', CONSTRAINTS_PARAMETERS, { lens: 'constraints' }, ({ sides = [] }) => ({
  constraints: sides.map(({ winner, weight, candidates, why }) => {
    const { predicate, object, note } = must(winner).assertion
    return {
      [predicate === FORBIDDEN ? FORBIDDEN : MUST_USE]: object?.value, ...(note === undefined ? {} : { reason: note }), weight, candidates, winner, why,
    }
  }),
}))
