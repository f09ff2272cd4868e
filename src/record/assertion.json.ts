/**
 * Assertions as JSON, for people and for the HTTP API (docs/formats/claim.md, "JSON form"). Parse with
 * `parseStrictJson` where the text comes from outside.
 */
import { fromHex, toHex } from '../base/bytes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { ErrorName } from '../base/error-codes.ts'
import { agentFromText, agentToDidKey } from './agent-key.ts'
import {
  OBJECT_KINDS, SOURCE_CLASSES, type Assertion, type Lifecycle, type ObjectKind, type ObjectValue, type SourceClass,
} from './assertion.ts'
import { checkAssertion } from './claim.ts'
import { HASH_BYTES } from './limits.ts'
import { pointerStep } from './strict-json.ts'

export interface AssertionJson {
  subject: string
  predicate: string
  object: { type: ObjectKind, value: string | number | boolean }
  confidence: number
  source_class: string
  source_hash: string
  source_uri?: string
  lifecycle: string
  epoch?: string
  parent?: string
  /** `did:key:z6Mk...` */
  agent: string
  /** Unix milliseconds. */
  asserted_at: number
  note?: string
  vector?: number[]
}

/** What stands in for members that are left out. */
export interface AssertionDefaults {
  /** Unix milliseconds: the caller's clock. Without it `asserted_at` must be there. */
  readonly assertedAtMs?: number | undefined
  /** The key of who signs. Without it `agent` must be there. */
  readonly agent?: Uint8Array | undefined
}

/** Names of all members. */
export const ASSERTION_MEMBERS: ReadonlySet<string> = new Set([
  'subject', 'predicate', 'object', 'confidence', 'source_class', 'source_hash', 'source_uri', 'lifecycle', 'epoch', 'parent',
  'agent', 'asserted_at', 'note', 'vector',
])

/** Fields whose JSON name is not their own. */
const JSON_NAMES: Readonly<Record<string, string>> = {
  sourceClass: 'source_class', sourceHash: 'source_hash', sourceUri: 'source_uri', assertedAtMs: 'asserted_at',
}

type Members = Readonly<Record<string, unknown>>

/** Members of one JSON object, with the pointer that errors name. */
class Reader {
  readonly pointer: string
  readonly #members: Members

  constructor(value: unknown, pointer: string, known: ReadonlySet<string>) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new DbError('field_invalid', `${pointer === '' ? 'the assertion' : pointer} must be a JSON object`, { pointer })
    }
    this.pointer = pointer
    this.#members = value as Members
    for (const name of Object.keys(value)) if (!known.has(name)) this.refuse('field_invalid', name, 'is no such member')
  }

  refuse(code: ErrorName, name: string, why: string): never {
    const pointer = `${this.pointer}/${pointerStep(name)}`
    throw new DbError(code, `${pointer} ${why}`, { pointer })
  }

  /** The member, or undefined where it is left out or null. */
  optional(name: string): unknown {
    return Object.hasOwn(this.#members, name) ? this.#members[name] ?? undefined : undefined
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#members, name)
  }

  required(name: string): unknown {
    const value = this.optional(name)
    return value === undefined ? this.refuse('field_missing', name, 'is missing') : value
  }

  text(name: string, value: unknown): string {
    return typeof value === 'string' ? value : this.refuse('field_invalid', name, 'must be a string')
  }

  number(name: string, value: unknown): number {
    return typeof value === 'number' ? value : this.refuse('field_invalid', name, 'must be a number')
  }

  hash(name: string, value: unknown): Uint8Array {
    return fromHex(this.text(name, value), HASH_BYTES) ?? this.refuse('field_invalid', name, 'must be 64 hex digits')
  }
}

/**
 * The assertion that a JSON value denotes, checked by every rule of the model.
 * `subject`, `predicate`, `object`, `confidence` must be there, and `agent` and `asserted_at` where no default is given;
 * the rest defaults to source class 5 (anecdotal), an all-zero source hash, lifecycle proposed, or nothing. An optional
 * member that is null is left out; one that is not known is refused.
 * @param pointerPrefix JSON pointer of `value` in its document, e.g. `/3`.
 * @throws {DbError} as `claimBytesOf`, with the JSON pointer of the member in `details.pointer`.
 */
export function assertionFromJson(value: unknown, pointerPrefix = '', defaults: AssertionDefaults = {}): Assertion {
  const from = new Reader(value, pointerPrefix, ASSERTION_MEMBERS)
  const assertion: Assertion = {
    subject: from.text('subject', from.required('subject')),
    predicate: from.text('predicate', from.required('predicate')),
    object: objectFromJson(from),
    confidence: from.number('confidence', from.required('confidence')),
    sourceClass: sourceClassFromJson(from),
    sourceHash: ifThere(from, 'source_hash', (v) => from.hash('source_hash', v)) ?? new Uint8Array(HASH_BYTES),
    lifecycle: (ifThere(from, 'lifecycle', (v) => from.text('lifecycle', v)) ?? 'proposed') as Lifecycle,
    agent: agentFromJson(from, defaults),
    assertedAtMs: assertedAtFromJson(from, defaults),
  }
  const sourceUri = ifThere(from, 'source_uri', (v) => from.text('source_uri', v))
  const epoch = ifThere(from, 'epoch', (v) => from.hash('epoch', v))
  const parent = ifThere(from, 'parent', (v) => from.hash('parent', v))
  const note = ifThere(from, 'note', (v) => from.text('note', v))
  const vector = ifThere(from, 'vector', (v) => vectorFromJson(from, v))
  if (sourceUri !== undefined) assertion.sourceUri = sourceUri
  if (epoch !== undefined) assertion.epoch = epoch
  if (parent !== undefined) assertion.parent = parent
  if (note !== undefined) assertion.note = note
  if (vector !== undefined) assertion.vector = vector
  assertion.confidence += 0
  if (assertion.object.kind === 'number') assertion.object.value += 0
  checkModel(assertion, pointerPrefix)
  return assertion
}

function ifThere<T>(from: Reader, name: string, read: (value: unknown) => T): T | undefined {
  const value = from.optional(name)
  return value === undefined ? undefined : read(value)
}

function checkModel(assertion: Assertion, pointerPrefix: string): void {
  try {
    checkAssertion(assertion)
  } catch (error) {
    if (!isDbError(error)) throw error
    const [, field = '', ...rest] = String(error.details['pointer']).split('/')
    const pointer = [pointerPrefix, JSON_NAMES[field] ?? field, ...rest].join('/')
    throw new DbError(error.code, error.message, { pointer }, { cause: error })
  }
}

const OBJECT_MEMBERS = new Set(['type', 'value'])

function objectFromJson(from: Reader): ObjectValue {
  if (!from.has('object')) from.refuse('field_missing', 'object', 'is missing')
  const value = from.optional('object')
  switch (typeof value) {
    case 'undefined': return from.refuse('object_null', 'object', 'must not be null')
    case 'string': return { kind: 'text', value }
    case 'number': return { kind: 'number', value }
    case 'boolean': return { kind: 'boolean', value }
    default: return typedObjectFromJson(new Reader(value, `${from.pointer}/object`, OBJECT_MEMBERS))
  }
}

function typedObjectFromJson(from: Reader): ObjectValue {
  const kind = from.text('type', from.required('type'))
  if (!from.has('value')) from.refuse('field_missing', 'value', 'is missing')
  const value = from.optional('value')
  if (value === undefined) return from.refuse('object_null', 'value', 'must not be null')
  switch (kind) {
    case 'text':
    case 'reference': return { kind, value: from.text('value', value) }
    case 'number': return { kind, value: from.number('value', value) }
    case 'boolean': return typeof value === 'boolean' ? { kind, value } : from.refuse('field_invalid', 'value', 'must be true or false')
    default: return from.refuse('field_invalid', 'type', `must be one of ${OBJECT_KINDS.join(', ')}`)
  }
}

const ANECDOTAL = 5

function sourceClassFromJson(from: Reader): SourceClass {
  const value = from.optional('source_class')
  if (value === undefined) return ANECDOTAL
  const number = typeof value === 'string' ? (SOURCE_CLASSES as readonly string[]).indexOf(value) : value
  if (typeof number === 'number' && number in SOURCE_CLASSES) return (number + 0) as SourceClass
  return from.refuse('field_invalid', 'source_class', `must be 0..5 or one of ${SOURCE_CLASSES.join(', ')}`)
}

function agentFromJson(from: Reader, defaults: AssertionDefaults): Uint8Array {
  const value = defaults.agent === undefined ? from.required('agent') : from.optional('agent')
  if (value === undefined) return defaults.agent!
  return agentFromText(from.text('agent', value)) ?? from.refuse('field_invalid', 'agent', 'must be 64 hex digits or did:key:z6Mk...')
}

function assertedAtFromJson(from: Reader, defaults: AssertionDefaults): number {
  const value = defaults.assertedAtMs === undefined ? from.required('asserted_at') : from.optional('asserted_at')
  if (value === undefined) return defaults.assertedAtMs!
  if (typeof value === 'number') return value + 0
  const parsed = parseRfc3339(from.text('asserted_at', value))
  return parsed ?? from.refuse('field_invalid', 'asserted_at', 'must be Unix milliseconds or an RFC 3339 time (2026-01-31T12:00:00Z)')
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** Unix milliseconds of an RFC 3339 time (digits beyond them are cut), or undefined. Leap seconds are refused. */
export function parseRfc3339(text: string): number | undefined {
  const match = RFC3339.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  const millisecond = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  const offsetHours = Number(match[9] ?? 0)
  const offsetMinutes = Number(match[10] ?? 0)
  if (hour > 23 || minute > 59 || second > 59 || offsetHours > 23 || offsetMinutes > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  const offset = (offsetHours * 60 + offsetMinutes) * 60_000 * (match[8] === '-' ? -1 : 1)
  return date.setUTCHours(hour, minute, second, millisecond) - offset
}

function vectorFromJson(from: Reader, value: unknown): Float32Array {
  if (!Array.isArray(value)) return from.refuse('field_invalid', 'vector', 'must be an array of numbers')
  value.forEach((element, i) => {
    if (typeof element !== 'number') throw new DbError('field_invalid', `${from.pointer}/vector/${i} must be a number`, { pointer: `${from.pointer}/vector/${i}` })
  })
  // -0 becomes 0 here too; what is too large for 32 bits becomes infinite and is refused as such.
  return Float32Array.from(value as number[], (element) => Math.fround(element) + 0)
}

/** The JSON form; {@link assertionFromJson} makes an equal assertion of it. */
export function assertionToJson(assertion: Assertion): AssertionJson {
  const { sourceUri, epoch, parent, note, vector } = assertion
  return {
    subject: assertion.subject,
    predicate: assertion.predicate,
    object: { type: assertion.object.kind, value: assertion.object.value },
    confidence: assertion.confidence,
    source_class: SOURCE_CLASSES[assertion.sourceClass],
    source_hash: toHex(assertion.sourceHash),
    ...sourceUri !== undefined && { source_uri: sourceUri },
    lifecycle: assertion.lifecycle,
    ...epoch !== undefined && { epoch: toHex(epoch) },
    ...parent !== undefined && { parent: toHex(parent) },
    agent: agentToDidKey(assertion.agent),
    asserted_at: assertion.assertedAtMs,
    ...note !== undefined && { note },
    ...vector !== undefined && { vector: Array.from(vector) },
  }
}
