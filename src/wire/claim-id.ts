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

/** The field that the last refusal was about. */
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
  const end = writeClaim(view, SCRATCH_VIEW, 0)
  if (end < 0) return -end
  blake3Into(SCRATCH.subarray(0, end), ids, idOffset)
  return 0
}

/** The claim bytes of a verified assertion, a copy; or an error code's number. For tests and tools. */
export function claimOfView(view: AssertionView): Uint8Array | number {
  const end = writeClaim(view, SCRATCH_VIEW, 0)
  return end < 0 ? -end : SCRATCH.slice(0, end)
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
let idsView: DataView = new DataView(new ArrayBuffer(0))

/**
 * The ids of a whole VERIFIED batch: `ids[32 * i]` and `codes[i]` for the i-th assertion. A refused one has its error
 * code's number and an id of zeros; {@link claimIdInto} on it names the field.
 * @param lanes hashes claims that fit into a lane four at a time, at half the cost of one by one.
 * @param look given each assertion that is not refused, so that nobody has to find its fields a second time
 * @returns how many were refused. Allocates nothing but what `claimIdInto` does for claims longer than a lane.
 */
export function claimIdsInto(
  batch: BatchView, ids: Uint8Array, codes: Uint16Array, lanes?: LaneHasher, look?: (view: AssertionView, index: number) => void,
): number {
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
    if (code === 0) {
      look?.(item, i)
      continue
    }
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
  const end = writeClaim(item, laneView, start)
  if (end < 0) return -end
  const length = end - start
  for (let i = end, blocksEnd = start + ((length + BLOCK_BYTES - 1) & -BLOCK_BYTES); i < blocksEnd; i++) laneView.setUint8(i, 0)
  laneLengths[lanesFilled] = length
  laneItems[lanesFilled++] = index
  if (lanesFilled === LANES) flushLanes(lanes, ids)
  return 0
}

function flushLanes(lanes: LaneHasher, ids: Uint8Array): void {
  // Lanes that are not filled hash what lies there, for nobody.
  lanes.hashLanes(laneLengths[0]!, laneLengths[1]!, laneLengths[2]!, laneLengths[3]!)
  if (idsView.buffer !== ids.buffer || idsView.byteOffset !== ids.byteOffset || idsView.byteLength !== ids.length) {
    idsView = new DataView(ids.buffer, ids.byteOffset, ids.length)
  }
  for (let lane = 0; lane < lanesFilled; lane++) {
    const from = lanes.laneOutput + lane * HASH_BYTES
    const to = laneItems[lane]! * HASH_BYTES
    for (let i = 0; i < HASH_BYTES; i += 4) idsView.setUint32(to + i, laneView.getUint32(from + i, true), true)
  }
  lanesFilled = 0
}

// The writers below write at `at` and return where they ended, or the negated number of an error code.

function refuse(failed: number, field: string): number {
  fault = field
  return failed
}

function writeClaim(view: AssertionView, out: DataView, start: number): number {
  if (view.length > ASSERTION_BYTES_MAX) return refuse(-TOO_LONG, 'assertion')
  if (view.unknownFields) return refuse(-INVALID, 'assertion')
  const source = view.view
  let at = start
  for (let i = 0; i < CLAIM_TAG.length; i++) out.setUint8(at++, CLAIM_TAG[i]!)
  at = text(source, view.subjectStart, view.subjectLength, SUBJECT_BYTES_MAX, true, out, at)
  if (at >= 0 && checkSubjectPath(source, view.subjectStart, view.subjectLength) !== 0) at = -INVALID
  if (at < 0) return refuse(at, 'subject')
  at = text(source, view.predicateStart, view.predicateLength, PREDICATE_BYTES_MAX, true, out, at)
  if (at < 0) return refuse(at, 'predicate')
  at = writeObject(view, out, at)
  if (at < 0) return refuse(at, 'object')
  at = writeConfidence(view, out, at)
  if (at < 0) return refuse(at, 'confidence')
  if (view.sourceClass > SOURCE_CLASS_MAX) return refuse(-INVALID, 'source_class')
  out.setUint8(at++, view.sourceClass)
  at = fixed(source, view.sourceHashStart, out, at)
  at = optionalText(source, view.sourceUriStart, view.sourceUriLength, SOURCE_URI_BYTES_MAX, true, out, at)
  if (at < 0) return refuse(at, 'source_uri')
  if (view.lifecycle === 0) return refuse(-MISSING, 'lifecycle')
  if (view.lifecycle > LIFECYCLE_MAX) return refuse(-INVALID, 'lifecycle')
  out.setUint8(at++, view.lifecycle)
  at = optionalFixed(source, view.epochStart, out, at)
  at = optionalFixed(source, view.parentStart, out, at)
  at = fixed(source, view.agentStart, out, at)
  at = writeAssertedAt(view, out, at)
  if (at < 0) return refuse(at, 'asserted_at_ms')
  at = optionalText(source, view.noteStart, view.noteLength, NOTE_BYTES_MAX, false, out, at)
  if (at < 0) return refuse(at, 'note')
  at = writeVector(view, out, at)
  return at < 0 ? refuse(at, 'vector') : at
}

/** A text that must not be empty. */
function text(
  source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean, out: DataView, at: number,
): number {
  if (start < 0) return -MISSING
  if (length === 0) return -INVALID
  return textOrEmpty(source, start, length, bytesMax, controlsRefused, out, at)
}

function textOrEmpty(
  source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean, out: DataView, at: number,
): number {
  if (length > bytesMax) return -TOO_LONG
  out.setUint32(at, length, true)
  const code = copyText(source, start, length, out, at + 4, controlsRefused)
  return code === 0 ? at + 4 + length : -code
}

function optionalText(
  source: DataView, start: number, length: number, bytesMax: number, controlsRefused: boolean, out: DataView, at: number,
): number {
  out.setUint8(at, start < 0 ? 0 : 1)
  return start < 0 ? at + 1 : text(source, start, length, bytesMax, controlsRefused, out, at + 1)
}

function fixed(source: DataView, start: number, out: DataView, at: number): number {
  for (let i = 0; i < HASH_BYTES; i += 4) out.setUint32(at + i, source.getUint32(start + i, true), true)
  return at + HASH_BYTES
}

function optionalFixed(source: DataView, start: number, out: DataView, at: number): number {
  out.setUint8(at, start < 0 ? 0 : 1)
  return start < 0 ? at + 1 : fixed(source, start, out, at + 1)
}

/**
 * The member that the kind names, and no other: a number or boolean of another kind must be absent or zero (encoders
 * may write defaults), a text absent. An absent number is 0 and an absent boolean false, as FlatBuffers omits defaults.
 */
function writeObject(view: AssertionView, out: DataView, at: number): number {
  const kind = view.objectKind
  if (kind === 0) return -NULL_OBJECT
  if (kind > OBJECT_REFERENCE) return -INVALID
  out.setUint8(at, kind)
  const source = view.view
  if (kind !== OBJECT_NUMBER && !isZero(source, view.objectNumberStart, 8)) return -INVALID
  if (kind !== OBJECT_BOOLEAN && !isZero(source, view.objectBooleanStart, 1)) return -INVALID
  if (kind === OBJECT_TEXT || kind === OBJECT_REFERENCE) {
    if (view.objectTextStart < 0) return -MISSING
    return kind === OBJECT_TEXT
      ? textOrEmpty(source, view.objectTextStart, view.objectTextLength, OBJECT_TEXT_BYTES_MAX, false, out, at + 1)
      : text(source, view.objectTextStart, view.objectTextLength, OBJECT_REFERENCE_BYTES_MAX, true, out, at + 1)
  }
  if (view.objectTextStart >= 0) return -INVALID
  if (kind === OBJECT_NUMBER) return number(source, view.objectNumberStart, out, at + 1)
  const value = view.objectBooleanStart < 0 ? 0 : source.getUint8(view.objectBooleanStart)
  if (value > 1) return -INVALID
  out.setUint8(at + 1, value)
  return at + 2
}

function isZero(source: DataView, start: number, bytes: number): boolean {
  if (start < 0) return true
  for (let i = 0; i < bytes; i++) if (source.getUint8(start + i) !== 0) return false
  return true
}

/** A finite f64 that is not -0, copied as it is. */
function number(source: DataView, start: number, out: DataView, at: number): number {
  const low = start < 0 ? 0 : source.getUint32(start, true)
  const high = start < 0 ? 0 : source.getUint32(start + 4, true)
  // All exponent bits set: infinity or NaN.
  if ((high & 0x7ff00000) === 0x7ff00000) return -NOT_FINITE
  if (low === 0 && high === 0x80000000) return -INVALID
  out.setUint32(at, low, true)
  out.setUint32(at + 4, high, true)
  return at + 8
}

function writeConfidence(view: AssertionView, out: DataView, at: number): number {
  const end = number(view.view, view.confidenceStart, out, at)
  if (end < 0) return end
  const value = out.getFloat64(at, true)
  return value >= 0 && value <= 1 ? end : -INVALID
}

function writeAssertedAt(view: AssertionView, out: DataView, at: number): number {
  const start = view.assertedAtStart
  const low = start < 0 ? 0 : view.view.getUint32(start, true)
  const high = start < 0 ? 0 : view.view.getUint32(start + 4, true)
  if (high > 0xffff) return -INVALID
  out.setUint32(at, low, true)
  out.setUint32(at + 4, high, true)
  return at + 8
}

function writeVector(view: AssertionView, out: DataView, at: number): number {
  const start = view.vectorStart
  out.setUint8(at, start < 0 ? 0 : 1)
  if (start < 0) return at + 1
  const length = view.vectorLength
  if (length === 0) return -INVALID
  if (length > VECTOR_LENGTH_MAX) return -TOO_LONG
  out.setUint32(at + 1, length, true)
  const elements = at + 5
  const source = view.view
  for (let i = 0; i < length; i++) {
    const bits = source.getUint32(start + 4 * i, true)
    if ((bits & 0x7f800000) === 0x7f800000) return -NOT_FINITE
    if (bits === 0x80000000) return -INVALID
    out.setUint32(elements + 4 * i, bits, true)
  }
  return elements + 4 * length
}
