import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { DbError } from '../base/errors.ts'
import { QUERY_PARAMETERS_MAX } from './front-limits.ts'

/** JSON schema of a query string's parameters; numbers are those that say `integer`. Also part of openapi.json. */
export interface ParametersSchema {
  readonly type: 'object'
  readonly properties: Readonly<Record<string, { readonly type: 'string' | 'integer', readonly description: string, readonly [keyword: string]: unknown }>>
  readonly required?: readonly string[]
  readonly additionalProperties: false
}

const WHOLE_NUMBER = /^\d{1,16}$/
// Not validated by the schema of schemas, which takes 60 ms of a start to compile: openapi.json, which has them, is.
const ajv = new Ajv({ strict: true, useDefaults: true, validateSchema: false, meta: false })

const refuse = (parameter: string, why: string): never => {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

function decode(text: string, parameter: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // URIError: a lone percent sign, or bytes that are no UTF-8.
    return refuse(parameter, 'is not percent-encoded UTF-8')
  }
}

/** Names and values of a query string. @throws {DbError} `parameter_invalid` for a broken or repeated one. */
export function parseQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>()
  if (query === '') return parameters
  const pairs = query.split('&', QUERY_PARAMETERS_MAX + 1)
  if (pairs.length > QUERY_PARAMETERS_MAX) refuse('query', `has more than ${QUERY_PARAMETERS_MAX} parameters`)
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals), 'query')
    if (parameters.has(name)) refuse(name, 'is given twice')
    parameters.set(name, equals < 0 ? '' : decode(pair.slice(equals + 1), name))
  }
  return parameters
}

function explain({ instancePath, keyword, message, params }: ErrorObject): never {
  const { missingProperty, additionalProperty } = params as { missingProperty?: string, additionalProperty?: string }
  if (missingProperty !== undefined) return refuse(missingProperty, 'is missing')
  if (additionalProperty !== undefined) return refuse(additionalProperty, 'is no parameter of this path')
  return refuse(instancePath.slice(1), keyword === 'type' ? 'must be a whole number' : message ?? 'is invalid')
}

/**
 * A reader of query strings of one shape, `T` being what the schema describes.
 * It throws {DbError} `parameter_invalid` with the parameter's name, also for a parameter that the schema does not know.
 */
export function parametersReader<T>(schema: ParametersSchema): (query: string) => T {
  const validate: ValidateFunction = ajv.compile(schema)
  return (query) => {
    // Without a prototype: on any other object an assignment to `__proto__` makes no member, and it would pass unseen.
    const values = Object.create(null) as Record<string, string | number>
    for (const [name, text] of parseQuery(query)) {
      const isNumber = schema.properties[name]?.type === 'integer' && WHOLE_NUMBER.test(text)
      values[name] = isNumber ? Number(text) : text
    }
    if (!validate(values)) explain(validate.errors![0]!)
    return values as T
  }
}
