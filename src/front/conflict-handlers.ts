import { DbError } from '../base/errors.ts'
import { must } from '../base/assert.ts'
import { FORBIDDEN, MUST_USE, type RuleKind } from '../lens/constraints.ts'
import { SOURCE_CLASSES } from '../record/assertion.ts'
import type { CutName } from '../wire/query-reply.codec.ts'
import type { QueryEndpoint } from './ask.ts'
import type { Exchange } from './exchange.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { JSON_TYPE, negotiate } from './media.ts'
import { parametersReader, type ParametersSchema } from './parameters.ts'
import { replyToJson, type AnswerJson, type QuerySpec, type RuleConflictJson, type RuleRowJson, type SideJson } from './query.codec.ts'
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
      const answer = answers[0] ?? nothing(asked.spec, cutOfAll)
      const { conflict = 0, status = null, certainty, explanation, subject, candidates, why, cut = [] } = answer
      exchange.json(200, withFields({
        seen_lsn, subject, candidates, conflict_score: conflict, status, ...(certainty === undefined ? {} : { certainty }), why,
        ...shape(answer), ...(explanation === undefined ? {} : { explanation }), ...(cut.length + cutOfAll.length === 0 ? {} : { cut: [...cut, ...cutOfAll] }),
      }, asked.fields))
    })
  }
}

function nothing({ subject = '', predicate = '' }: QuerySpec, cut: readonly CutName[]): AnswerJson {
  const why = cut.includes('candidates') ? 'Nothing that was looked at passes the filter; there is more.' : 'Nothing is known about that.'
  return { subject, predicate, candidates: 0, winner: null, why }
}

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

const kindOf = ({ winner }: SideJson): RuleKind => must(winner).assertion.predicate === FORBIDDEN ? FORBIDDEN : MUST_USE
const valueOf = ({ winner }: SideJson): unknown => must(winner).assertion.object?.value

function ruleOf(side: SideJson): object {
  const { winner, weight, candidates, why } = side
  const { note } = must(winner).assertion
  return { [kindOf(side)]: valueOf(side), ...(note === undefined ? {} : { reason: note }), weight, candidates, winner, why }
}

function rowOf({ must_use: mustUse, forbidden, reason }: RuleRowJson, sides: readonly SideJson[]): object {
  return {
    ...(mustUse === undefined ? {} : { [MUST_USE]: valueOf(must(sides[mustUse])) }), ...(forbidden === undefined ? {} : { [FORBIDDEN]: valueOf(must(sides[forbidden])) }),
    ...(reason === undefined ? {} : { reason }),
  }
}

function ruleConflictOf({ holds, overruled }: RuleConflictJson, sides: readonly SideJson[]): object {
  const side = must(sides[holds])
  return { value: valueOf(side), holds: kindOf(side), overruled: ruleOf(overruled) }
}

/** `GET /v1/constraints`: the rules of a context, how they belong together, and which of them have overruled others. */
export const handleConstraints = handlerOf('constraints', CONSTRAINTS_PARAMETERS, { lens: 'constraints' }, ({ sides = [], rule_rows: rows = [], rule_conflicts: conflicts = [] }) => ({
  constraints: sides.map(ruleOf), rows: rows.map((row) => rowOf(row, sides)), conflicts: conflicts.map((conflict) => ruleConflictOf(conflict, sides)),
}))
