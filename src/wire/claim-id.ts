/**
 * The hot path of identity: from a verified Assertion buffer to its id, all rules of the model checked straight on the
 * bytes. The layout is that of docs/formats/claim.md; `record/claim.ts` makes the same bytes from plain data.
 */
import { ERROR_CODES } from '../base/error-codes.ts'
import { OBJECT_BOOLEAN, OBJECT_NUMBER, OBJECT_REFERENCE, OBJECT_TEXT } from '../record/assertion.ts'
import { blake3Into } from '../record/blake3.ts'
import { CLAIM_TAG } from '../record/claim.ts'
import {
  ASSERTION_BYTES_MAX, CLAIM_BYTES_MAX, HASH_BYTES, NOTE_BYTES_MAX, OBJECT_REFERENCE_BYTES_MAX, OBJECT_TEXT_BYTES_MAX,
  PREDICATE_BYTES_MAX, SOURCE_CLASS_MAX, SOURCE_URI_BYTES_MAX, SUBJECT_BYTES_MAX, VECTOR_LENGTH_MAX,
} from '../record/limits.ts'
import { checkSubjectPath, copyText } from '../record/text.ts'
import type { AssertionView } from './assertion-view.ts'

const MISSING = ERROR_CODES.field_missing.number
const INVALID = ERROR_CODES.field_invalid.number
const TOO_LONG = ERROR_CODES.field_too_long.number
const NULL_OBJECT = ERROR_CODES.object_null.number
const NOT_FINITE = ERROR_CODES.number_not_finite.number

const LIFECYCLE_MAX = 6

const scratch = new Uint8Array(CLAIM_BYTES_MAX)
const claim = new DataView(scratch.buffer)
scratch.set(CLAIM_TAG)

/** Write position in `scratch`, and the field that the last refusal was about. */
let at = 0
let fault = ''

/** Name of the field (as in the schema) that the last refusal of {@link claimIdInto} or {@link claimInto} was about. */
export function claimFaultField(): string {
  return fault
}

/**
 * Checks the assertion and writes its 32-byte id to `out` at `outOffset`.
 * @param view a VERIFIED assertion
 * @returns 0, or the number of an error code; then `out` is untouched and {@link claimFaultField} says where.
 * Needs `initHash()` once a thread.
 */
export function claimIdInto(view: AssertionView, out: Uint8Array, outOffset: number): number {
  const code = writeClaim(view)
  if (code !== 0) return code
  blake3Into(scratch.subarray(0, at), out, outOffset)
  return 0
}

/** The claim bytes of a verified assertion, a copy; or an error code's number. For tests and tools. */
export function claimOfView(view: AssertionView): Uint8Array | number {
  const code = writeClaim(view)
  return code === 0 ? scratch.slice(0, at) : code
}

function refuse(code: number, field: string): number {
  fault = field
  return code
}

function writeClaim(view: AssertionView): number {
  at = CLAIM_TAG.length
  if (view.length > ASSERTION_BYTES_MAX) return refuse(TOO_LONG, 'assertion')
  if (view.unknownFields) return refuse(INVALID, 'assertion')
  const source = view.view
  let code = text(source, view.subjectStart, view.subjectLength, SUBJECT_BYTES_MAX, true)
  if (code === 0) code = checkSubjectPath(source, view.subjectStart, view.subjectLength)
  if (code !== 0) return refuse(code, 'subject')
  code = text(source, view.predicateStart, view.predicateLength, PREDICATE_BYTES_MAX, true)
  if (code !== 0) return refuse(code, 'predicate')
  code = writeObject(view)
  if (code !== 0) return refuse(code, 'object')
  code = writeConfidence(view)
  if (code !== 0) return refuse(code, 'confidence')
  if (view.sourceClass > SOURCE_CLASS_MAX) return refuse(INVALID, 'source_class')
  scratch[at++] = view.sourceClass
  fixed(source, view.sourceHashStart)
  code = optionalText(source, view.sourceUriStart, view.sourceUriLength, SOURCE_URI_BYTES_MAX, true)
  if (code !== 0) return refuse(code, 'source_uri')
  if (view.lifecycle === 0) return refuse(MISSING, 'lifecycle')
  if (view.lifecycle > LIFECYCLE_MAX) return refuse(INVALID, 'lifecycle')
  scratch[at++] = view.lifecycle
  optionalFixed(source, view.epochStart)
  optionalFixed(source, view.parentStart)
  fixed(source, view.agentStart)
  code = writeAssertedAt(view)
  if (code !== 0) return refuse(code, 'asserted_at_ms')
  code = optionalText(source, view.noteStart, view.noteLength, NOTE_BYTES_MAX, false)
  if (code !== 0) return refuse(code, 'note')
  code = writeVector(view)
  return code === 0 ? 0 : refuse(code, 'vector')
}

/** A text that must not be empty. */
function text(source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean): number {
  if (start < 0) return MISSING
  if (length === 0) return INVALID
  return textOrEmpty(source, start, length, bytesMax, controlsRefused)
}

function textOrEmpty(source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean): number {
  if (length > bytesMax) return TOO_LONG
  claim.setUint32(at, length, true)
  const code = copyText(source, start, length, claim, at + 4, controlsRefused)
  at += 4 + length
  return code
}

function optionalText(source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean): number {
  scratch[at++] = start < 0 ? 0 : 1
  return start < 0 ? 0 : text(source, start, length, bytesMax, controlsRefused)
}

function fixed(source: DataView, start: number): void {
  for (let i = 0; i < HASH_BYTES; i += 4) claim.setUint32(at + i, source.getUint32(start + i, true), true)
  at += HASH_BYTES
}

function optionalFixed(source: DataView, start: number): void {
  scratch[at++] = start < 0 ? 0 : 1
  if (start >= 0) fixed(source, start)
}

/**
 * The member that the kind names, and no other: a number or boolean of another kind must be absent or zero (encoders
 * may write defaults), a text absent. An absent number is 0 and an absent boolean false, as FlatBuffers omits defaults.
 */
function writeObject(view: AssertionView): number {
  const kind = view.objectKind
  if (kind === 0) return NULL_OBJECT
  if (kind > OBJECT_REFERENCE) return INVALID
  scratch[at++] = kind
  const source = view.view
  if (kind !== OBJECT_NUMBER && !isZero(source, view.objectNumberStart, 8)) return INVALID
  if (kind !== OBJECT_BOOLEAN && !isZero(source, view.objectBooleanStart, 1)) return INVALID
  if (kind === OBJECT_TEXT || kind === OBJECT_REFERENCE) {
    if (view.objectTextStart < 0) return MISSING
    return kind === OBJECT_TEXT
      ? textOrEmpty(source, view.objectTextStart, view.objectTextLength, OBJECT_TEXT_BYTES_MAX, false)
      : text(source, view.objectTextStart, view.objectTextLength, OBJECT_REFERENCE_BYTES_MAX, true)
  }
  if (view.objectTextStart >= 0) return INVALID
  if (kind === OBJECT_NUMBER) return number(source, view.objectNumberStart)
  const value = view.objectBooleanStart < 0 ? 0 : source.getUint8(view.objectBooleanStart)
  if (value > 1) return INVALID
  scratch[at++] = value
  return 0
}

function isZero(source: DataView, start: number, bytes: number): boolean {
  if (start < 0) return true
  for (let i = 0; i < bytes; i++) if (source.getUint8(start + i) !== 0) return false
  return true
}

/** A finite f64 that is not -0, copied as it is. */
function number(source: DataView, start: number): number {
  const low = start < 0 ? 0 : source.getUint32(start, true)
  const high = start < 0 ? 0 : source.getUint32(start + 4, true)
  // All exponent bits set: infinity or NaN.
  if ((high & 0x7ff00000) === 0x7ff00000) return NOT_FINITE
  if (low === 0 && high === 0x80000000) return INVALID
  claim.setUint32(at, low, true)
  claim.setUint32(at + 4, high, true)
  at += 8
  return 0
}

function writeConfidence(view: AssertionView): number {
  const code = number(view.view, view.confidenceStart)
  if (code !== 0) return code
  const value = claim.getFloat64(at - 8, true)
  return value >= 0 && value <= 1 ? 0 : INVALID
}

function writeAssertedAt(view: AssertionView): number {
  const start = view.assertedAtStart
  const low = start < 0 ? 0 : view.view.getUint32(start, true)
  const high = start < 0 ? 0 : view.view.getUint32(start + 4, true)
  if (high > 0xffff) return INVALID
  claim.setUint32(at, low, true)
  claim.setUint32(at + 4, high, true)
  at += 8
  return 0
}

function writeVector(view: AssertionView): number {
  const start = view.vectorStart
  scratch[at++] = start < 0 ? 0 : 1
  if (start < 0) return 0
  const length = view.vectorLength
  if (length === 0) return INVALID
  if (length > VECTOR_LENGTH_MAX) return TOO_LONG
  claim.setUint32(at, length, true)
  at += 4
  const source = view.view
  for (let i = 0; i < length; i++) {
    const bits = source.getUint32(start + 4 * i, true)
    if ((bits & 0x7f800000) === 0x7f800000) return NOT_FINITE
    if (bits === 0x80000000) return INVALID
    claim.setUint32(at, bits, true)
    at += 4
  }
  return 0
}
