/**
 * Canonical claim bytes and the id: what an assertion means, in one fixed layout (docs/formats/claim.md). Nothing of
 * FlatBuffers is in it. The same layout straight from a buffer: `wire/claim-id.ts`.
 */
import { DbError } from '../base/errors.ts'
import type { ErrorName } from '../base/error-codes.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import {
  LIFECYCLES, OBJECT_BOOLEAN, OBJECT_NUMBER, OBJECT_REFERENCE, OBJECT_TEXT, type Assertion, type ObjectValue,
} from './assertion.ts'
import { blake3 } from './blake3.ts'
import {
  AGENT_BYTES, ASSERTED_AT_MS_MAX, CLAIM_BYTES_MAX, HASH_BYTES, NOTE_BYTES_MAX, OBJECT_REFERENCE_BYTES_MAX,
  OBJECT_TEXT_BYTES_MAX, PREDICATE_BYTES_MAX, SOURCE_CLASS_MAX, SOURCE_URI_BYTES_MAX, SUBJECT_BYTES_MAX, VECTOR_LENGTH_MAX,
} from './limits.ts'
import { checkSubjectPath, copyText } from './text.ts'

/** Domain tag: no other hash or signature of ours begins like this. */
export const CLAIM_TAG: Uint8Array = new TextEncoder().encode('stemedb.claim.v1\0')

export { hashReady, initHash } from './blake3.ts'

const encoder = new TextEncoder()
const LONE_SURROGATE = /\p{Surrogate}/u
const INVALID = ERROR_CODES.field_invalid.number
/** Below it a loop over characters beats TextEncoder. */
const SHORT_TEXT_LENGTH = 128

function refuse(code: ErrorName, field: string, why: string): never {
  throw new DbError(code, `${field} ${why}`, { pointer: `/${field}` })
}

interface TextRule {
  readonly bytesMax: number
  readonly emptyAllowed: boolean
  readonly controlsRefused: boolean
  readonly path: boolean
}
const rule = (bytesMax: number, kind: 'path' | 'name' | 'text' | 'note'): TextRule => ({
  bytesMax, emptyAllowed: kind === 'text', controlsRefused: kind === 'path' || kind === 'name', path: kind === 'path',
})
const SUBJECT = rule(SUBJECT_BYTES_MAX, 'path')
const PREDICATE = rule(PREDICATE_BYTES_MAX, 'name')
const OBJECT_TEXT_RULE = rule(OBJECT_TEXT_BYTES_MAX, 'text')
const OBJECT_REFERENCE_RULE = rule(OBJECT_REFERENCE_BYTES_MAX, 'name')
const SOURCE_URI = rule(SOURCE_URI_BYTES_MAX, 'name')
const NOTE = rule(NOTE_BYTES_MAX, 'note')

/** Appends checked fields to a buffer that holds the longest claim; one a thread, reused. */
class ClaimWriter {
  readonly #bytes = new Uint8Array(CLAIM_BYTES_MAX)
  readonly #view = new DataView(this.#bytes.buffer)
  #at = 0

  begin(): void {
    this.#bytes.set(CLAIM_TAG)
    this.#at = CLAIM_TAG.length
  }

  /** The claim, valid until the next `begin`. */
  end(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  u8(value: number): void {
    this.#bytes[this.#at++] = value
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  u64(value: number): void {
    this.u32(value >>> 0)
    this.u32(Math.floor(value / 2 ** 32))
  }

  /** -0 becomes 0: JSON and arithmetic make it by accident, and no claim means it. */
  f64(value: number, field: string): void {
    if (typeof value !== 'number') refuse('field_invalid', field, 'must be a number')
    if (!Number.isFinite(value)) refuse('number_not_finite', field, 'must be finite')
    this.#view.setFloat64(this.#at, value + 0, true)
    this.#at += 8
  }

  fixed(bytes: Uint8Array, length: number, field: string): void {
    if (!(bytes instanceof Uint8Array)) refuse('field_invalid', field, 'must be bytes')
    if (bytes.length !== length) refuse('field_invalid', field, `must have ${length} bytes, not ${bytes.length}`)
    this.#bytes.set(bytes, this.#at)
    this.#at += length
  }

  text(value: string, { bytesMax, emptyAllowed, controlsRefused, path }: TextRule, field: string): void {
    if (typeof value !== 'string') refuse('field_invalid', field, 'must be text')
    if (value.length > bytesMax) refuse('field_too_long', field, `must have at most ${bytesMax} bytes of UTF-8`)
    if (value.length === 0 && !emptyAllowed) refuse('field_invalid', field, 'must not be empty')
    const start = this.#at + 4
    const ascii = this.#ascii(value, start)
    const written = ascii === value.length ? ascii : this.#utf8(value, start, bytesMax, field)
    if (controlsRefused && copyText(this.#view, start, written, this.#view, start, true) === INVALID) {
      refuse('field_invalid', field, 'has a control character')
    }
    if (path && checkSubjectPath(this.#view, start, written) !== 0) {
      refuse('field_invalid', field, 'must be segments between single slashes, none empty (a/b/c or scheme://a/b)')
    }
    this.u32(written)
    this.#at = start + written
  }

  /** Writes a short text up to its first character beyond ASCII; returns how many there were. */
  #ascii(value: string, start: number): number {
    if (value.length > SHORT_TEXT_LENGTH) return 0
    const bytes = this.#bytes
    let i = 0
    for (; i < value.length; i++) {
      const unit = value.charCodeAt(i)
      if (unit > 0x7f) break
      bytes[start + i] = unit
    }
    return i
  }

  #utf8(value: string, start: number, bytesMax: number, field: string): number {
    if (LONE_SURROGATE.test(value)) refuse('text_not_utf8', field, 'has a lone surrogate')
    const { read, written } = encoder.encodeInto(value, this.#bytes.subarray(start, start + bytesMax))
    if (read < value.length) refuse('field_too_long', field, `must have at most ${bytesMax} bytes of UTF-8`)
    return written
  }

  vector(value: Float32Array): void {
    if (!(value instanceof Float32Array)) refuse('field_invalid', 'vector', 'must be 32-bit floats')
    if (value.length > VECTOR_LENGTH_MAX) refuse('field_too_long', 'vector', `must have at most ${VECTOR_LENGTH_MAX} elements`)
    if (value.length === 0) refuse('field_invalid', 'vector', 'must not be empty')
    this.u32(value.length)
    for (let i = 0; i < value.length; i++) {
      if (!Number.isFinite(value[i]!)) throw new DbError('number_not_finite', `vector[${i}] must be finite`, { pointer: `/vector/${i}` })
      this.#view.setFloat32(this.#at, value[i]! + 0, true)
      this.#at += 4
    }
  }
}

let writer: ClaimWriter | undefined

function writeObject(out: ClaimWriter, object: ObjectValue | null | undefined): void {
  if (object === null || object === undefined) refuse('object_null', 'object', 'must not be null')
  switch (object.kind) {
    case 'text':
      out.u8(OBJECT_TEXT)
      return out.text(object.value, OBJECT_TEXT_RULE, 'object')
    case 'number':
      out.u8(OBJECT_NUMBER)
      return out.f64(object.value, 'object')
    case 'boolean':
      if (typeof object.value !== 'boolean') refuse('field_invalid', 'object', 'must be true or false')
      out.u8(OBJECT_BOOLEAN)
      return out.u8(object.value ? 1 : 0)
    case 'reference':
      out.u8(OBJECT_REFERENCE)
      return out.text(object.value, OBJECT_REFERENCE_RULE, 'object')
    default:
      return refuse('field_invalid', 'object', 'must be text, number, boolean or reference')
  }
}

function present<T>(out: ClaimWriter, value: T | undefined): value is T {
  out.u8(value === undefined ? 0 : 1)
  return value !== undefined
}

const REQUIRED = ['subject', 'predicate', 'confidence', 'sourceClass', 'sourceHash', 'lifecycle', 'agent', 'assertedAtMs'] as const

function writeClaim(out: ClaimWriter, assertion: Assertion): void {
  const { subject, predicate, confidence, sourceClass, sourceHash, sourceUri, lifecycle } = assertion
  const { epoch, parent, agent, assertedAtMs, note, vector } = assertion
  for (const field of REQUIRED) {
    if (assertion[field] === undefined || assertion[field] === null) refuse('field_missing', field, 'is missing')
  }
  out.text(subject, SUBJECT, 'subject')
  out.text(predicate, PREDICATE, 'predicate')
  writeObject(out, assertion.object)
  out.f64(confidence, 'confidence')
  if (confidence < 0 || confidence > 1) refuse('field_invalid', 'confidence', 'must be from 0 to 1')
  if (!Number.isInteger(sourceClass) || sourceClass < 0 || sourceClass > SOURCE_CLASS_MAX) {
    refuse('field_invalid', 'sourceClass', `must be a whole number from 0 to ${SOURCE_CLASS_MAX}`)
  }
  out.u8(sourceClass)
  out.fixed(sourceHash, HASH_BYTES, 'sourceHash')
  if (present(out, sourceUri)) out.text(sourceUri, SOURCE_URI, 'sourceUri')
  const lifecycleIndex = LIFECYCLES.indexOf(lifecycle)
  if (lifecycleIndex < 0) refuse('field_invalid', 'lifecycle', `must be one of ${LIFECYCLES.join(', ')}`)
  out.u8(lifecycleIndex + 1)
  if (present(out, epoch)) out.fixed(epoch, HASH_BYTES, 'epoch')
  if (present(out, parent)) out.fixed(parent, HASH_BYTES, 'parent')
  out.fixed(agent, AGENT_BYTES, 'agent')
  if (!Number.isInteger(assertedAtMs) || assertedAtMs < 0 || assertedAtMs > ASSERTED_AT_MS_MAX) {
    refuse('field_invalid', 'assertedAtMs', 'must be whole Unix milliseconds below 2^48')
  }
  out.u64(assertedAtMs)
  if (present(out, note)) out.text(note, NOTE, 'note')
  if (present(out, vector)) out.vector(vector)
}

/**
 * The canonical bytes in this thread's one buffer: valid until the next call of any function here.
 * @throws {DbError} as {@link claimBytesOf}.
 */
export function borrowClaim(assertion: Assertion): Uint8Array {
  writer ??= new ClaimWriter()
  writer.begin()
  writeClaim(writer, assertion)
  return writer.end()
}

/** Checks every rule of the model. @throws {DbError} as {@link claimBytesOf}. */
export function checkAssertion(assertion: Assertion): void {
  borrowClaim(assertion)
}

/**
 * The canonical bytes, a copy of the caller's own.
 * @throws {DbError} `field_missing`, `field_invalid`, `field_too_long`, `text_not_utf8`, `number_not_finite` or
 * `object_null`, with the field's name as `details.pointer` (a JSON pointer into the {@link Assertion}).
 */
export function claimBytesOf(assertion: Assertion): Uint8Array {
  return borrowClaim(assertion).slice()
}

/** The id: 32 bytes, BLAKE3-256 of the claim. Needs {@link initHash} once. @throws {DbError} as {@link claimBytesOf}. */
export function assertionIdOf(assertion: Assertion): Uint8Array {
  return blake3(borrowClaim(assertion))
}
