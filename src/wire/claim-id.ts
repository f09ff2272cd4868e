/**
 * The hot path of identity: from a verified Assertion buffer to its id, all rules of the model checked straight on the
 * bytes. The layout is that of docs/formats/claim.md; `record/claim.ts` makes the same bytes from plain data.
 */
import { ERROR_CODES } from '../base/error-codes.ts'
import { OBJECT_BOOLEAN, OBJECT_NUMBER, OBJECT_REFERENCE, OBJECT_TEXT } from '../record/assertion.ts'
import { blake3Into } from '../record/blake3.ts'
import { CLAIM_TAG } from '../record/claim.ts'
import {
  ASSERTION_BYTES_MAX, CLAIM_BYTES_MAX, CLAIM_FIXED_BYTES_MAX, HASH_BYTES, NOTE_BYTES_MAX, OBJECT_REFERENCE_BYTES_MAX, OBJECT_TEXT_BYTES_MAX,
  PREDICATE_BYTES_MAX, SOURCE_CLASS_MAX, SOURCE_URI_BYTES_MAX, SUBJECT_BYTES_MAX, VECTOR_LENGTH_MAX,
} from '../record/limits.ts'
import { checkSubjectPath, copyText } from '../record/text.ts'
import { AssertionView } from './assertion-view.ts'
import type { BatchView } from './batch.codec.ts'

const MISSING = ERROR_CODES.field_missing.number
const INVALID = ERROR_CODES.field_invalid.number
const TOO_LONG = ERROR_CODES.field_too_long.number
const NULL_OBJECT = ERROR_CODES.object_null.number
const NOT_FINITE = ERROR_CODES.number_not_finite.number

const LIFECYCLE_MAX = 6

const SCRATCH = new Uint8Array(CLAIM_BYTES_MAX)
const SCRATCH_VIEW = new DataView(SCRATCH.buffer)

/** Where the claim is written, how far it is, and the field that the last refusal was about. */
let out: DataView = SCRATCH_VIEW
let at = 0
let fault = ''

/** Name of the field (as in the schema) that the last refusal of {@link claimIdInto} was about. */
export function claimFaultField(): string {
  return fault
}

/**
 * Checks the assertion and writes its 32-byte id to `ids` at `idOffset`.
 * @param view a VERIFIED assertion
 * @returns 0, or the number of an error code; then `ids` is untouched and {@link claimFaultField} says where.
 * Needs `initHash()` once a thread.
 */
export function claimIdInto(view: AssertionView, ids: Uint8Array, idOffset: number): number {
  out = SCRATCH_VIEW
  at = 0
  const code = writeClaim(view)
  if (code !== 0) return code
  blake3Into(SCRATCH.subarray(0, at), ids, idOffset)
  return 0
}

/** The claim bytes of a verified assertion, a copy; or an error code's number. For tests and tools. */
export function claimOfView(view: AssertionView): Uint8Array | number {
  out = SCRATCH_VIEW
  at = 0
  const code = writeClaim(view)
  return code === 0 ? SCRATCH.slice(0, at) : code
}

/** BLAKE3 of four short inputs at a time, as the kernels of `merkle/` do it; handed in, as this layer lies below them. */
export interface LaneHasher {
  readonly memory: Uint8Array
  /** The four inputs start here, `laneBytes` apart, each zero-filled to a multiple of 64. */
  readonly laneInput: number
  readonly laneBytes: number
  /** The four digests, one behind the other. */
  readonly laneOutput: number
  hashLanes(length0: number, length1: number, length2: number, length3: number): void
}

const LANES = 4
const BLOCK_BYTES = 64
const item = new AssertionView()
const laneLengths = [0, 0, 0, 0]
const laneItems = [0, 0, 0, 0]
let lanesFilled = 0
let laneView: DataView = new DataView(new ArrayBuffer(0))

/**
 * The ids of a whole VERIFIED batch: `ids[32 * i]` and `codes[i]` for the i-th assertion. A refused one has its error
 * code's number and an id of zeros; {@link claimIdInto} on it names the field.
 * @param lanes hashes claims that fit into a lane four at a time, at half the cost of one by one.
 * @returns how many were refused. Allocates nothing but what `claimIdInto` does for claims longer than a lane.
 */
export function claimIdsInto(batch: BatchView, ids: Uint8Array, codes: Uint16Array, lanes?: LaneHasher): number {
  let refused = 0
  lanesFilled = 0
  if (lanes !== undefined && laneView.buffer !== lanes.memory.buffer) {
    laneView = new DataView(lanes.memory.buffer, lanes.memory.byteOffset, lanes.memory.length)
  }
  for (let i = 0; i < batch.count; i++) {
    item.reset(batch.bytes, batch.itemOffset(i), batch.itemLength(i))
    const code = lanes !== undefined && claimBytesAtMost(item) <= lanes.laneBytes
      ? claimIntoLane(i, lanes, ids)
      : claimIdInto(item, ids, i * HASH_BYTES)
    codes[i] = code
    if (code === 0) continue
    refused++
    ids.fill(0, i * HASH_BYTES, (i + 1) * HASH_BYTES)
  }
  if (lanesFilled > 0) flushLanes(lanes!, ids)
  return refused
}

/** No less than what the claim takes, from the lengths alone. */
function claimBytesAtMost(view: AssertionView): number {
  return CLAIM_FIXED_BYTES_MAX + view.subjectLength + view.predicateLength + view.objectTextLength + view.sourceUriLength
    + view.noteLength + 4 * view.vectorLength
}

function claimIntoLane(index: number, lanes: LaneHasher, ids: Uint8Array): number {
  const start = lanes.laneInput + lanesFilled * lanes.laneBytes
  out = laneView
  at = start
  const code = writeClaim(item)
  if (code !== 0) return code
  const length = at - start
  for (let end = start + ((length + BLOCK_BYTES - 1) & -BLOCK_BYTES), i = at; i < end; i++) out.setUint8(i, 0)
  laneLengths[lanesFilled] = length
  laneItems[lanesFilled++] = index
  if (lanesFilled === LANES) flushLanes(lanes, ids)
  return 0
}

function flushLanes(lanes: LaneHasher, ids: Uint8Array): void {
  // Lanes that are not filled hash what lies there, for nobody.
  lanes.hashLanes(laneLengths[0]!, laneLengths[1]!, laneLengths[2]!, laneLengths[3]!)
  for (let lane = 0; lane < lanesFilled; lane++) {
    const from = lanes.laneOutput + lane * HASH_BYTES
    const to = laneItems[lane]! * HASH_BYTES
    for (let i = 0; i < HASH_BYTES; i++) ids[to + i] = lanes.memory[from + i]!
  }
  lanesFilled = 0
}

function refuse(code: number, field: string): number {
  fault = field
  return code
}

function writeClaim(view: AssertionView): number {
  for (let i = 0; i < CLAIM_TAG.length; i++) out.setUint8(at + i, CLAIM_TAG[i]!)
  at += CLAIM_TAG.length
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
  out.setUint8(at++, view.sourceClass)
  fixed(source, view.sourceHashStart)
  code = optionalText(source, view.sourceUriStart, view.sourceUriLength, SOURCE_URI_BYTES_MAX, true)
  if (code !== 0) return refuse(code, 'source_uri')
  if (view.lifecycle === 0) return refuse(MISSING, 'lifecycle')
  if (view.lifecycle > LIFECYCLE_MAX) return refuse(INVALID, 'lifecycle')
  out.setUint8(at++, view.lifecycle)
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
  out.setUint32(at, length, true)
  const code = copyText(source, start, length, out, at + 4, controlsRefused)
  at += 4 + length
  return code
}

function optionalText(source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean): number {
  out.setUint8(at++, start < 0 ? 0 : 1)
  return start < 0 ? 0 : text(source, start, length, bytesMax, controlsRefused)
}

function fixed(source: DataView, start: number): void {
  for (let i = 0; i < HASH_BYTES; i += 4) out.setUint32(at + i, source.getUint32(start + i, true), true)
  at += HASH_BYTES
}

function optionalFixed(source: DataView, start: number): void {
  out.setUint8(at++, start < 0 ? 0 : 1)
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
  out.setUint8(at++, kind)
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
  out.setUint8(at++, value)
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
  out.setUint32(at, low, true)
  out.setUint32(at + 4, high, true)
  at += 8
  return 0
}

function writeConfidence(view: AssertionView): number {
  const code = number(view.view, view.confidenceStart)
  if (code !== 0) return code
  const value = out.getFloat64(at - 8, true)
  return value >= 0 && value <= 1 ? 0 : INVALID
}

function writeAssertedAt(view: AssertionView): number {
  const start = view.assertedAtStart
  const low = start < 0 ? 0 : view.view.getUint32(start, true)
  const high = start < 0 ? 0 : view.view.getUint32(start + 4, true)
  if (high > 0xffff) return INVALID
  out.setUint32(at, low, true)
  out.setUint32(at + 4, high, true)
  at += 8
  return 0
}

function writeVector(view: AssertionView): number {
  const start = view.vectorStart
  out.setUint8(at++, start < 0 ? 0 : 1)
  if (start < 0) return 0
  const length = view.vectorLength
  if (length === 0) return INVALID
  if (length > VECTOR_LENGTH_MAX) return TOO_LONG
  out.setUint32(at, length, true)
  at += 4
  const source = view.view
  for (let i = 0; i < length; i++) {
    const bits = source.getUint32(start + 4 * i, true)
    if ((bits & 0x7f800000) === 0x7f800000) return NOT_FINITE
    if (bits === 0x80000000) return INVALID
    out.setUint32(at, bits, true)
    at += 4
  }
  return 0
}
