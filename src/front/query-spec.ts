import { fromHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { agentFromText } from '../record/agent-key.ts'
import { LIFECYCLES, OBJECT_KINDS, SOURCE_CLASSES, type ObjectKind, type ObjectValue } from '../record/assertion.ts'
import { HASH_BYTES, PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import { ASSERTION_MEMBERS } from '../record/assertion.json.ts'
import { QUERY_LIMIT_DEFAULT } from './front-limits.ts'
import { hlcParameter, wallMsParameter } from './moments.ts'
import type { QuerySpec } from './query.codec.ts'

/** A query as a client names it, with what the answer is to look like. */
export interface AskedQuery {
  readonly spec: QuerySpec
  /** Members of assertions to answer with; undefined: all. */
  readonly fields: ReadonlySet<string> | undefined
}

/** Values by parameter: text from a query string, or any JSON. */
export type GivenParameters = Readonly<Record<string, unknown>>

/** Names that ask for no resolution. */
const NO_LENS: ReadonlySet<string> = new Set(['none', 'list'])

/** By bit of `LEAVE_OUT`. */
export const LEFT_OUT_NAMES = ['side_claims', 'reasons'] as const

const refuse = (parameter: string, why: string): never => {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

/**
 * What parameters ask for.
 * @throws {DbError} `parameter_invalid`, with the name of what is wrong
 */
export function askedQueryOf(given: GivenParameters, limitMax: number): AskedQuery {
  const read = new ParameterReader(given)
  const subject = read.text('subject', SUBJECT_BYTES_MAX)
  const prefix = read.text('prefix', SUBJECT_BYTES_MAX)
  if (subject !== undefined && prefix !== undefined) refuse('prefix', 'and subject exclude each other')
  const lens = read.names('lens')?.join(',')
  const isList = lens !== undefined && NO_LENS.has(lens)
  const limit = read.whole('limit') ?? Math.min(QUERY_LIMIT_DEFAULT, limitMax)
  if (limit < 1) refuse('limit', 'must be at least 1')
  if (limit > limitMax) refuse('limit', `must be at most ${limitMax} on this node`)
  const spec: QuerySpec = {
    isList, subject: subject ?? prefix, subjectIsPrefix: prefix !== undefined, predicate: read.text('predicate', PREDICATE_BYTES_MAX),
    lens: isList ? undefined : lens, limit, agent: read.agent('agent'), source: read.hash('source'), epoch: read.hash('epoch'),
    lifecycles: read.bits('lifecycle', LIFECYCLES, { firstBit: 1 }), tiers: read.bits('tier', SOURCE_CLASSES, { byNumber: true }),
    fromHlc: read.earliest('from'), untilHlc: read.earliest('until'),
    assertedFromMs: read.wallMs('asserted_from'), assertedUntilMs: read.wallMs('asserted_until'),
    confidenceMin: read.ratio('confidence_min'), object: read.object('object'), asOfHlc: read.latest('as_of'), minLsn: read.whole('min_lsn'),
    cursor: read.base64url('cursor'), explain: read.flag('explain'), tolerance: read.ratio('tolerance'), aliases: read.flag('aliases'),
    leaveOut: read.bits('leave_out', LEFT_OUT_NAMES),
  }
  const { lifecycles, tiers, agent, source, epoch, fromHlc, untilHlc, assertedFromMs, assertedUntilMs, confidenceMin, object, predicate } = spec
  const asks = [lifecycles, tiers, agent, source, epoch, fromHlc, untilHlc, assertedFromMs, assertedUntilMs, confidenceMin, object, predicate]
  if (spec.subject === undefined && asks.every((one) => one === undefined)) refuse('subject', 'or prefix must be given, or something else to look for')
  return { spec, fields: read.fields('fields') }
}

const DECIMAL = /^\d+(\.\d+)?(e-?\d{1,3})?$/i
const WHOLE = /^\d{1,16}$/
const BASE64URL = /^[A-Za-z0-9_-]+$/

/** Reads values that may be text or JSON. */
class ParameterReader {
  readonly #given: GivenParameters

  constructor(given: GivenParameters) {
    this.#given = given
  }

  text(name: string, bytesMax: number): string | undefined {
    const value = this.#given[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value !== 'string' || value === '') return refuse(name, 'must be a text that is not empty')
    return Buffer.byteLength(value) > bytesMax ? refuse(name, `has at most ${bytesMax} bytes of UTF-8`) : value
  }

  /** A text of what may stand as a number in JSON. */
  #plain(name: string): string | undefined {
    const value = this.#given[name] ?? undefined
    return typeof value === 'number' ? String(value) : this.text(name, 256)
  }

  whole(name: string): number | undefined {
    const text = this.#plain(name)
    if (text === undefined) return undefined
    return WHOLE.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : refuse(name, 'must be a whole number')
  }

  ratio(name: string): number | undefined {
    const text = this.#plain(name)
    if (text === undefined) return undefined
    const value = DECIMAL.test(text) ? Number(text) : NaN
    return value >= 0 && value <= 1 ? value : refuse(name, 'must be a number from 0 to 1')
  }

  flag(name: string): boolean {
    const value = this.#given[name] ?? undefined
    if (value === undefined || value === false || value === 'false') return false
    return value === true || value === 'true' ? true : refuse(name, 'must be true or false')
  }

  hash(name: string): Uint8Array | undefined {
    const text = this.text(name, 256)
    return text === undefined ? undefined : fromHex(text, HASH_BYTES) ?? refuse(name, `must be ${2 * HASH_BYTES} hex digits`)
  }

  agent(name: string): Uint8Array | undefined {
    const text = this.text(name, 256)
    return text === undefined ? undefined : agentFromText(text) ?? refuse(name, 'must be 64 hex digits or did:key:z6Mk...')
  }

  base64url(name: string): Uint8Array | undefined {
    const text = this.text(name, 2048)
    if (text === undefined) return undefined
    return BASE64URL.test(text) ? Buffer.from(text, 'base64url') : refuse(name, 'is not base64url')
  }

  wallMs(name: string): number | undefined {
    const text = this.#plain(name)
    return text === undefined ? undefined : wallMsParameter(text, name)
  }

  /** The last HLC of the moment. */
  latest(name: string): Hlc | undefined {
    const text = this.#plain(name)
    return text === undefined ? undefined : hlcParameter(text, name)
  }

  /** The first HLC of the moment, and 1 for the begin of time, as 0 stands for nothing. */
  earliest(name: string): Hlc | undefined {
    const text = this.#plain(name)
    if (text === undefined) return undefined
    const hlc = hlcParameter(text, name)
    if (WHOLE_HLC.test(text) && BigInt(text) === hlc) return hlc
    return hlc & ~COUNTER_MASK || 1n
  }

  /** A set of names, or of their numbers, as bits. */
  bits(name: string, names: readonly string[], { firstBit = 0, byNumber = false } = {}): number | undefined {
    const parts = this.names(name)
    if (parts === undefined) return undefined
    let bits = 0
    for (const part of parts) {
      const place = byNumber && /^\d$/.test(part) ? Number(part) : names.indexOf(part)
      if (place < 0 || place >= names.length) refuse(name, `has ${JSON.stringify(part.slice(0, 64))}, which is none of ${names.join(', ')}`)
      bits |= 1 << place + firstBit
    }
    return bits
  }

  fields(name: string): ReadonlySet<string> | undefined {
    const parts = this.names(name)
    for (const part of parts ?? []) {
      if (!ASSERTION_MEMBERS.has(part)) refuse(name, `has ${JSON.stringify(part.slice(0, 64))}; an assertion has ${[...ASSERTION_MEMBERS].join(', ')}`)
    }
    return parts === undefined ? undefined : new Set(parts)
  }

  /** A list of names: between commas, or an array. */
  names(name: string): string[] | undefined {
    const value = this.#given[name] ?? undefined
    if (typeof value === 'number') return [String(value)]
    if (!Array.isArray(value)) return this.text(name, 1024)?.split(',').map((part) => part.trim())
    if (value.length === 0 || value.length > LIST_MAX) refuse(name, `must name 1 to ${LIST_MAX}`)
    return value.map((part: unknown) => (typeof part === 'string' || typeof part === 'number' ? String(part) : refuse(name, 'must be a list of names')))
  }

  object(name: string): ObjectValue | undefined {
    const value = this.#given[name] ?? undefined
    switch (typeof value) {
      case 'undefined': return undefined
      case 'number': return { kind: 'number', value }
      case 'boolean': return { kind: 'boolean', value }
      case 'string': return objectOfText(name, value)
      default: return objectOfMembers(name, value as Readonly<Record<string, unknown>>)
    }
  }
}

const LIST_MAX = 32
const COUNTER_MASK = 0xffffn
const WHOLE_HLC = /^\d{1,20}$/

const isKind = (text: unknown): text is ObjectKind => (OBJECT_KINDS as readonly unknown[]).includes(text)

/** `number:4000` */
function objectOfText(name: string, text: string): ObjectValue {
  const colon = text.indexOf(':')
  const kind = text.slice(0, Math.max(0, colon))
  const value = text.slice(colon + 1)
  if (!isKind(kind)) return refuse(name, `must begin with ${OBJECT_KINDS.map((one) => `${one}:`).join(', ')}`)
  switch (kind) {
    case 'text':
    case 'reference': return { kind, value }
    case 'boolean': return value === 'true' || value === 'false' ? { kind, value: value === 'true' } : refuse(name, 'must be boolean:true or boolean:false')
    case 'number': {
      const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(value) ? Number(value) : NaN
      return Number.isFinite(number) ? { kind, value: number } : refuse(name, 'must have a number behind number:')
    }
  }
}

/** `{"type": "number", "value": 4000}`, as in an assertion. */
function objectOfMembers(name: string, members: Readonly<Record<string, unknown>>): ObjectValue {
  const { type, value, ...others } = members
  if (!isKind(type) || Object.keys(others).length > 0) return refuse(name, 'must be {"type": ..., "value": ...}')
  const wanted = type === 'number' || type === 'boolean' ? type : 'string'
  return typeof value === wanted ? { kind: type, value } as ObjectValue : refuse(name, `must have a ${wanted} as its value`)
}
