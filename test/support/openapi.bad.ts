import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Random } from '../../src/base/random.ts'
import { Sampler, type ApiDocument, type ApiOperation, type Hints, type Json, type Parameter, type Schema } from './openapi.sample.ts'

/**
 * Bad requests for every operation of an OpenAPI document, each a valid one with one thing wrong. What is wrong is judged by the document's own schemas, so
 * that an endpoint which is added later is tested without a word here.
 */
export interface ApiRequest {
  readonly operationId: string
  readonly method: string
  /** Path and query string, encoded. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
}

export interface BadRequest extends ApiRequest {
  /** What is wrong with it. */
  readonly what: string
  /** `refused`: by the document it is wrong. `odd`: unusual, and the node may take it. */
  readonly must: 'refused' | 'odd'
  /** Besides a problem: an answer of this media type, a line an item, all of them refused. */
  readonly linesMayRefuse?: string
}

export interface Operation {
  readonly method: string
  readonly path: string
  readonly operation: ApiOperation
}

export const JSON_TYPE = 'application/json'
const NDJSON_TYPE = 'application/x-ndjson'
/** Deep enough for any recursion to feel, short enough to be read. */
const DEPTH = 50_000
const LONG = 100_000

export function operationsOf(document: ApiDocument): Operation[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })))
}

const text = new TextEncoder()
const encode = encodeURIComponent
const isRecord = (value: Json): value is Readonly<Record<string, Json>> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Values of every type and many sizes; the schema says which of them are wrong in a place. */
const HOSTILE_VALUES: readonly Json[] = [
  null, true, 0, -1, 1.5, 6, 1e300, 2 ** 53, '', ' ', 'x', '-1', '1e999', 'null', '../../etc/passwd', '\u0000', 'a\u0000b', '\u202eabc', '\ufeff', '\u00e9'.repeat(40_000),
  'x'.repeat(LONG), 'did:key:', `did:key:z${'1'.repeat(60)}`, '0'.repeat(63), '0'.repeat(65), 'g'.repeat(64), '2026-13-45T99:99:99Z', 'a//b', '/a', 'a/',
  [], [null], [[]], ['x', 'x'], {}, { type: 'text' }, { type: 'number', value: 'x' }, { type: 'nothing', value: 1 }, { toString: 1 }, { length: -1 },
]

/** Of a parameter in a query string, as they stand there. */
const HOSTILE_TEXTS: readonly string[] = [
  '', '%20', 'x', '-1', '0', '1.5', '1e3', '0x10', '+1', '%2B1', '%EF%BC%91', '9007199254740993', '99999999999999999999', '18446744073709551616', 'NaN', 'Infinity', 'true', 'null',
  '%00', 'a%00b', '%E2%80%AE', '%F0%9F%92%A9', '..%2F..%2Fetc', '%3Cscript%3E', '%27%3B--', '%5B%5D', '%7B%7D', '2026-13-45', '0'.repeat(63), 'g'.repeat(64), 'a,b,c,d', ',', 'a'.repeat(300), 'a'.repeat(1500),
]
/** No percent-encoded UTF-8. */
const BROKEN_TEXTS: readonly string[] = ['%', '%4', '%zz', '%ff', '%c0%80', '%ed%a0%80', 'a%']
/** Of a segment of a path: nothing has such a name. */
const HOSTILE_SEGMENTS: readonly string[] = ['nonsense', '%', '%00', '%ff', '..%2F..%2Fetc%2Fpasswd', '%F0%9F%92%A9', '0'.repeat(63), `${'0'.repeat(63)}g`, '0'.repeat(65), 'a'.repeat(2000), '-1', '__proto__', 'constructor']
const METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND']

const BODY_TYPES: readonly string[] = ['', 'text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16', 'json', ';', 'application/json, application/json']

interface Change {
  readonly what: string
  readonly value: Json
}

/** Every copy of `value` with one place replaced, taken away, or a member added. */
function* changesOf(value: Json, at: string, put: (changed: Json) => Json): Generator<Change> {
  for (const [i, other] of HOSTILE_VALUES.entries()) yield { what: `${at || '/'} is hostile value ${i}`, value: put(other) }
  if (Array.isArray(value)) {
    const items = value as readonly Json[]
    for (const [i, item] of items.slice(0, 2).entries()) yield* changesOf(item, `${at}/${i}`, (changed) => put(items.with(i, changed)))
  } else if (isRecord(value)) {
    for (const name of ['unknown_member', 'constructor', '\u0000', '']) yield { what: `${at} has the member ${JSON.stringify(name)}`, value: put({ ...value, [name]: 1 }) }
    for (const name of Object.keys(value)) yield* changesOfMember(value, name, at, put)
  }
}

function* changesOfMember(value: Readonly<Record<string, Json>>, name: string, at: string, put: (changed: Json) => Json): Generator<Change> {
  yield { what: `${at} lacks ${name}`, value: put(Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))) }
  yield* changesOf(value[name]!, `${at}/${name}`, (changed) => put({ ...value, [name]: changed }))
}

/** Texts that are no JSON, or JSON that a strict reader refuses, around a valid one. */
function brokenJson(valid: string): readonly (readonly [what: string, body: Uint8Array])[] {
  const cut = (part: number): string => valid.slice(0, Math.floor(valid.length * part))
  const bytes = text.encode(valid)
  const firstName = /"(\w+)"/.exec(valid)?.[1] ?? 'a'
  const texts: [string, string][] = [
    ['is empty', ''], ['is blank', ' \n\t '], ['ends early', cut(0.3)], ['ends early', cut(0.6)], ['ends one byte early', valid.slice(0, -1)],
    ['has more behind it', `${valid}x`], ['comes twice', `${valid}${valid}`], ['has a comma at the end', valid.replace(/([}\]])$/, ',$1')],
    ['repeats a member', valid.replace('{', `{"${firstName}":1,`)], ['has __proto__', valid.replace('{', '{"__proto__":{"a":1},')],
    ['has NaN', valid.replace(/:[^,}]+/, ':NaN')], ['has 1e999', valid.replace(/:[^,}]+/, ':1e999')], ['has an integer beyond 2^53', valid.replace(/:[^,}]+/, ':9007199254740993')],
    ['has a lone surrogate', valid.replace(/:"[^"]*"/, ':"\\ud800"')], ['has a raw control character', valid.replace(/:"[^"]*"/, ':"\u0001"')],
    ['has single quotes', valid.replaceAll('"', '\'')], ['has a comment', `/* */${valid}`],
    ['is a deep array', '['.repeat(DEPTH) + ']'.repeat(DEPTH)], ['is an open deep array', '['.repeat(DEPTH)], ['is a deep object', '{"a":'.repeat(DEPTH) + '1' + '}'.repeat(DEPTH)],
    ['has a deep member', valid.replace(/:[^,}]+/, `:${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`)],
    ['is a long number', '1'.repeat(LONG)], ['is null', 'null'], ['is a text', '"x"'], ['is a number', '1'], ['is an empty object', '{}'], ['is an empty array', '[]'], ['is many empty objects', `[${'{},'.repeat(100)}{}]`],
  ]
  return [
    ...texts.map(([what, body]) => [what, text.encode(body)] as const),
    ['has a byte order mark', Uint8Array.of(0xef, 0xbb, 0xbf, ...bytes)], ['is no UTF-8', Uint8Array.of(...bytes.subarray(0, 2), 0xff, 0xfe, ...bytes.subarray(2))],
    ['is UTF-16', new Uint8Array(Buffer.from(valid, 'utf16le'))], ['is zeros', new Uint8Array(100)],
  ]
}

export class BadRequests {
  readonly #sampler: Sampler
  readonly #document: ApiDocument
  readonly #random: Random
  /** Of bodies. Formats say nothing that a pattern does not; `coerce` reads query strings. */
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false })
  readonly #coerce = new Ajv2020({ strict: false, validateFormats: false, coerceTypes: true })

  /** @param hints by name, for values that must exist. */
  constructor(document: ApiDocument, hints: Hints, random: Random) {
    this.#document = document
    this.#sampler = new Sampler(document, hints)
    this.#random = random
    for (const ajv of [this.#ajv, this.#coerce]) {
      // References are to the document's root: the components come under its name.
      ajv.addSchema({ $id: 'api', components: document.components })
    }
  }

  /** The request that all others of the operation are changes of, one for each media type that it takes. */
  valid({ method, path, operation }: Operation): ApiRequest[] {
    const target = this.#target(path, operation, {})
    const base = { operationId: operation.operationId, method, target }
    const contents = Object.entries(operation.requestBody?.content ?? {})
    if (contents.length === 0) return [{ ...base, headers: {} }]
    return contents.flatMap(([type, { schema }]) => {
      const body = this.#body(type, schema)
      return body === undefined ? [] : [{ ...base, headers: { 'content-type': type }, body: text.encode(body) }]
    })
  }

  * bad(subject: Operation): Generator<BadRequest> {
    for (const request of this.#all(subject)) {
      // A HEAD is a GET: what is wrong with one is wrong with the other.
      yield request
      if (request.method === 'GET' && request.must === 'refused' && this.#random.u32() % 8 === 0) yield { ...request, method: 'HEAD', what: `HEAD: ${request.what}` }
    }
  }

  * #all(subject: Operation): Generator<BadRequest> {
    const bases = this.valid(subject)
    const first = bases[0] ?? { operationId: subject.operation.operationId, method: subject.method, target: this.#target(subject.path, subject.operation, {}), headers: {} }
    yield* this.#badMethods(subject, first)
    yield* this.#badPath(subject, first)
    yield* this.#badQuery(subject, first)
    yield* this.#badAccept(subject, first)
    for (const [type, { schema }] of Object.entries(subject.operation.requestBody?.content ?? {})) yield* this.#badBody(first, type, schema)
    if (subject.operation.requestBody !== undefined) yield* this.#badTypes(subject, first)
  }

  * #badMethods({ path }: Operation, base: ApiRequest): Generator<BadRequest> {
    const { body: _body, ...rest } = base
    for (const method of METHODS) {
      if (this.#document.paths[path]![method.toLowerCase()] !== undefined) continue
      yield { ...rest, method, what: `method ${method}`, must: 'refused' }
    }
  }

  * #badPath({ path, operation }: Operation, base: ApiRequest): Generator<BadRequest> {
    for (const { name } of (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')) {
      for (const value of HOSTILE_SEGMENTS) {
        const target = this.#target(path.replace(`{${name}}`, value), operation, {})
        yield { ...base, target, what: `${name} is ${value.slice(0, 40)}`, must: 'refused' }
      }
    }
    const [before = '', query] = base.target.split('?')
    for (const longer of [`${before}/more`, `${before}/`, `${before}%00`, `/${before}`]) yield { ...base, target: query === undefined ? longer : `${longer}?${query}`, what: 'another path', must: 'odd' }
  }

  * #badQuery({ path, operation }: Operation, base: ApiRequest): Generator<BadRequest> {
    const parameters = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query')
    const given = (texts: Readonly<Record<string, string | undefined>>): string => this.#target(path, operation, texts)
    const make = (target: string, what: string, must: BadRequest['must']): BadRequest => ({ ...base, target, what, must })
    // An operation that documents no parameter need not look at the query string.
    const strict: BadRequest['must'] = parameters.length > 0 ? 'refused' : 'odd'
    const join = base.target.includes('?') ? '&' : '?'
    for (const unknown of ['unknown_parameter=1', '__proto__=1', 'constructor=1', '=', '=1', '%00=1', `${'n'.repeat(500)}=1`, '%F0%9F%92%A9=1', 'unknown[]=1']) yield make(`${base.target}${join}${unknown}`, `the parameter ${unknown.slice(0, 40)}`, strict)
    yield make(`${base.target}${join}%zz=1`, 'a parameter whose name is not encoded', strict)
    yield make(`${base.target}${join}${Array.from({ length: 300 }, (_, i) => `p${i}=1`).join('&')}`, 'very many parameters', strict)
    yield make(`${base.target}${join}&&&&`, 'empty parameters', 'odd')
    for (const parameter of parameters) {
      const { name, required } = parameter
      const valid = this.#valueText(parameter)
      if (required === true) yield make(given({ [name]: undefined }), `without ${name}`, 'refused')
      yield make(`${given({ [name]: valid })}&${encode(name)}=${valid}`, `${name} twice`, 'refused')
      for (const broken of BROKEN_TEXTS) yield make(given({ [name]: broken }), `${name} is ${broken}`, 'refused')
      for (const hostile of [...HOSTILE_TEXTS, ...edgesOf(this.#sampler.resolve(parameter.schema))]) {
        yield make(given({ [name]: hostile }), `${name} is ${hostile.slice(0, 40)}`, this.#isWrong(parameter, hostile) ? 'refused' : 'odd')
      }
    }
    yield* this.#badPairs(parameters, given, make)
  }

  /** Two parameters at once, by chance: checks of one must not rely on another's. */
  * #badPairs(parameters: readonly Parameter[], given: (texts: Record<string, string>) => string, make: (target: string, what: string, must: BadRequest['must']) => BadRequest): Generator<BadRequest> {
    const pick = <T>(of: readonly T[]): T => of[this.#random.u32() % of.length]!
    for (let i = 0; i < 4 * parameters.length; i++) {
      const [one, two] = [pick(parameters), pick(parameters)]
      const [first, second] = [pick(HOSTILE_TEXTS), pick([...HOSTILE_TEXTS, ...BROKEN_TEXTS])]
      const isWrong = this.#isWrong(two, second) || (one !== two && this.#isWrong(one, first))
      yield make(given({ [one.name]: first, [two.name]: second }), `${one.name} is ${first.slice(0, 30)} and ${two.name} is ${second.slice(0, 30)}`, isWrong ? 'refused' : 'odd')
    }
  }

  * #badAccept({ operation }: Operation, base: ApiRequest): Generator<BadRequest> {
    const negotiates = Object.values(operation.responses).some(({ description }) => description.includes('`not_acceptable`'))
    for (const accept of ['text/html', 'application/nothing', 'application/json;q=0', ';;;', ',', 'x'.repeat(500)]) {
      const isSure = negotiates && base.method === 'GET' && /^(text\/html|application\/nothing)$/.test(accept)
      if (base.method === 'GET') yield { ...base, headers: { ...base.headers, accept }, what: `accept: ${accept.slice(0, 40)}`, must: isSure ? 'refused' : 'odd' }
    }
  }

  * #badTypes({ operation }: Operation, base: ApiRequest): Generator<BadRequest> {
    const taken = Object.keys(operation.requestBody?.content ?? {})
    const body = base.body ?? text.encode('{}')
    for (const type of BODY_TYPES) {
      if (taken.includes(type)) continue
      yield { ...base, headers: type === '' ? {} : { 'content-type': type }, body, what: `content-type: ${type}`, must: 'refused' }
    }
    for (const encoding of ['gzip', 'br', 'nothing', 'identity, gzip']) {
      yield { ...base, headers: { 'content-type': taken[0]!, 'content-encoding': encoding }, body, what: `content-encoding: ${encoding}`, must: 'refused' }
    }
  }

  * #badBody(base: ApiRequest, type: string, schema: Schema): Generator<BadRequest> {
    const headers = { 'content-type': type }
    const isLines = type === NDJSON_TYPE
    const make = (what: string, body: Uint8Array, must: BadRequest['must']): BadRequest =>
      ({ ...base, headers, body, what: `${type}: ${what}`, must, ...(isLines ? { linesMayRefuse: NDJSON_TYPE } : {}) })
    const valid = this.#body(type, schema)
    if (valid === undefined) {
      yield* this.#badBinary(make)
      return
    }
    for (const [what, bytes] of brokenJson(valid)) {
      // No line is an empty stream. A byte order mark changes nothing of what is said.
      const isHarmless = what === 'has a byte order mark' || (isLines && /^is (blank|empty)$/.test(what))
      const isWrong = /^repeats a member|lone surrogate/.test(what) || this.#isWrongText(schema, bytes)
      yield make(`body ${what}`, bytes, isWrong && !isHarmless ? 'refused' : 'odd')
    }
    const isRight = this.#ajv.compile<Json>(this.#rooted(schema))
    for (const { what, value } of this.#changes(schema)) {
      if (Array.isArray(value) && value.length > 1) continue // items that are good would be kept
      // What the schema takes is written: of those a few are enough.
      if (!isRight(value)) yield make(what, text.encode(JSON.stringify(value)), 'refused')
      else if (this.#random.u32() % 4 === 0) yield make(what, text.encode(JSON.stringify(value)), 'odd')
    }
  }

  * #badBinary(make: (what: string, body: Uint8Array, must: BadRequest['must']) => BadRequest): Generator<BadRequest> {
    for (const length of [0, 1, 4, 7, 8, 64, 1000, LONG]) {
      yield make(`${length} zeros`, new Uint8Array(length), 'refused')
      yield make(`${length} random bytes`, Uint8Array.from({ length }, () => this.#random.u32() & 0xff), 'refused')
    }
    yield make('JSON', text.encode('{}'), 'refused')
  }

  /** Changes of the smallest valid body of each form that the schema has, and of each optional member beside it. */
  * #changes(given: Schema, put: (changed: Json) => Json = (changed) => changed): Generator<Change> {
    const schema = this.#sampler.resolve(given)
    const forms = schema.oneOf ?? schema.anyOf
    if (forms !== undefined) {
      for (const form of forms) yield* this.#changes(form, put)
    } else if (schema.type === 'array') {
      yield { what: 'is an empty array', value: put([]) }
      yield* this.#changes(schema.items ?? {}, (changed) => put([changed]))
    } else {
      const smallest = this.#sampler.value(given)
      yield* changesOf(smallest, '', put)
      const required = schema.required ?? []
      for (const name of Object.keys(schema.properties ?? {}).filter((one) => !required.includes(one))) {
        yield* changesOfMember(this.#sampler.object(schema, [...required, name]), name, '', put)
      }
    }
  }

  #body(type: string, schema: Schema): string | undefined {
    return type === JSON_TYPE || type === NDJSON_TYPE ? JSON.stringify(this.#sampler.value(schema)) : undefined
  }

  /** References of a schema of the document, made ones into the components that ajv knows. */
  #rooted(schema: Schema): Schema {
    return JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"api#/components')) as Schema
  }

  #isWrong({ name, schema }: Parameter, encoded: string): boolean {
    let value: string
    try {
      value = decodeURIComponent(encoded.replaceAll('+', ' '))
    } catch {
      return true // URIError: that is what is wrong with it
    }
    return !this.#coerce.validate({ type: 'object', properties: { [name]: this.#rooted(schema) } }, { [name]: value })
  }

  /** Whether a body is no JSON at all, or none that the schema takes. */
  #isWrongText(schema: Schema, bytes: Uint8Array): boolean {
    try {
      const value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) as Json
      // The strict reader refuses what JSON.parse bends: then nothing is known from here.
      return !this.#ajv.validate(this.#rooted(schema), value)
    } catch {
      return true // SyntaxError, TypeError: no JSON, no UTF-8
    }
  }

  /** A valid value as it stands in a URL. */
  #valueText({ schema, name }: Parameter): string {
    const value = this.#sampler.value(schema, name)
    return encode(typeof value === 'object' ? JSON.stringify(value) : String(value))
  }

  /** The path with its parameters, those that are required or that `texts` names (undefined: left out). */
  #target(path: string, operation: ApiOperation, texts: Readonly<Record<string, string | undefined>>): string {
    const parameters = operation.parameters ?? []
    const filled = parameters.filter((parameter) => parameter.in === 'path')
      .reduce((made, parameter) => made.replace(`{${parameter.name}}`, this.#valueText(parameter).replaceAll('%2F', '/')), path)
    const pairs = parameters.filter((parameter) => parameter.in === 'query').flatMap((parameter) => {
      const { name, required } = parameter
      // Most reads name a subject, which the schema can not ask for where a prefix would do.
      const isGiven = name in texts
      if (!isGiven && required !== true && name !== 'subject') return []
      const value = isGiven ? texts[name] : this.#valueText(parameter)
      return value === undefined ? [] : [`${encode(name)}=${value}`]
    })
    return pairs.length === 0 ? filled : `${filled}?${pairs.join('&')}`
  }
}

/** Just outside and just inside of what a schema of a parameter allows. */
function edgesOf({ minimum, maximum, maxLength }: Schema): string[] {
  return [
    ...(minimum === undefined ? [] : [String(minimum - 1), String(minimum)]),
    ...(maximum === undefined ? [] : [String(maximum), String(maximum + 1), String(maximum + 0.5)]),
    ...(maxLength === undefined ? [] : ['a'.repeat(maxLength), 'a'.repeat(maxLength + 1), encode('\u{1f4a9}'.repeat(maxLength))]),
  ].filter((edge) => edge.length <= 3000)
}
