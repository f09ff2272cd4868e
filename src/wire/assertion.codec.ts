import { DbError } from '../base/errors.ts'
import { lifecycleOf, objectKindOf, type Assertion, type ObjectValue, type SourceClass } from '../record/assertion.ts'
import { borrowClaim, CLAIM_TAG } from '../record/claim.ts'
import { ASSERTION_BYTES_MAX, HASH_BYTES } from '../record/limits.ts'
import { AssertionView } from './assertion-view.ts'

// The encoder walks over the canonical claim, which is checked and in UTF-8 already, and writes forward into one reused
// buffer: root offset and "SAST", the vtable of all 17 fields, the table (soffset, subject, 8-byte fields, offsets,
// bytes), then texts and the vector. Several times as fast as a Builder.
const IDENTIFIER = 0x54534153
const VTABLE = 8
const VTABLE_BYTES = 4 + 2 * 17
const TABLE = 48

// Slots of fbs/assertion.fbs.
const SUBJECT = 0
const PREDICATE = 1
const OBJECT_KIND = 2
const OBJECT_TEXT = 3
const OBJECT_NUMBER = 4
const OBJECT_BOOLEAN = 5
const CONFIDENCE = 6
const SOURCE_CLASS = 7
const SOURCE_HASH = 8
const SOURCE_URI = 9
const LIFECYCLE = 10
const EPOCH = 11
const PARENT = 12
const AGENT = 13
const ASSERTED_AT = 14
const NOTE = 15
const VECTOR = 16

const SHORT_BYTES = 96

class AssertionWriter {
  readonly #bytes = new Uint8Array(ASSERTION_BYTES_MAX)
  readonly #view = new DataView(this.#bytes.buffer)
  #claim: Uint8Array = CLAIM_TAG
  #claimView: DataView = new DataView(CLAIM_TAG.buffer)
  #claimAt = 0
  /** Next free places in the table for fields of 8, 4 and 1-aligned bytes, and behind it. */
  #eightAt = 0
  #fourAt = 0
  #oneAt = 0
  #heapAt = 0

  encode(assertion: Assertion): Uint8Array {
    this.#begin(assertion)
    const { object, sourceUri, epoch, parent, note, vector } = assertion
    this.#text(SUBJECT)
    this.#text(PREDICATE)
    this.#raw(OBJECT_KIND, 1)
    if (object.kind === 'number') this.#eight(OBJECT_NUMBER)
    else if (object.kind === 'boolean') this.#raw(OBJECT_BOOLEAN, 1)
    else this.#text(OBJECT_TEXT)
    this.#eight(CONFIDENCE)
    this.#raw(SOURCE_CLASS, 1)
    this.#raw(SOURCE_HASH, HASH_BYTES)
    if (this.#present(sourceUri)) this.#text(SOURCE_URI)
    this.#raw(LIFECYCLE, 1)
    if (this.#present(epoch)) this.#raw(EPOCH, HASH_BYTES)
    if (this.#present(parent)) this.#raw(PARENT, HASH_BYTES)
    this.#raw(AGENT, HASH_BYTES)
    this.#eight(ASSERTED_AT)
    if (this.#present(note)) this.#text(NOTE)
    if (this.#present(vector)) this.#vector(VECTOR)
    return this.#bytes.slice(0, this.#heapAt)
  }

  #begin(assertion: Assertion): void {
    const { object, sourceUri, epoch, parent, note, vector } = assertion
    const claim = borrowClaim(assertion)
    if (claim.buffer !== this.#claimView.buffer) this.#claimView = new DataView(claim.buffer)
    this.#claim = claim
    this.#claimAt = CLAIM_TAG.length
    const eights = object.kind === 'number' ? 3 : 2
    const hasText = object.kind === 'text' || object.kind === 'reference'
    const fours = 1 + Number(hasText) + Number(sourceUri !== undefined) + Number(note !== undefined) + Number(vector !== undefined)
    const ones = 3 + Number(object.kind === 'boolean') + HASH_BYTES * (2 + Number(epoch !== undefined) + Number(parent !== undefined))
    this.#eightAt = TABLE + 8
    this.#fourAt = this.#eightAt + 8 * eights
    this.#oneAt = this.#fourAt + 4 * fours
    const tableEnd = this.#oneAt + ones
    this.#heapAt = (tableEnd + 3) & ~3
    const view = this.#view
    this.#bytes.fill(0, VTABLE, TABLE)
    view.setUint32(this.#heapAt - 4, 0, true)
    view.setUint32(0, TABLE, true)
    view.setUint32(4, IDENTIFIER, true)
    view.setUint16(VTABLE, VTABLE_BYTES, true)
    view.setUint16(VTABLE + 2, tableEnd - TABLE, true)
    view.setInt32(TABLE, TABLE - VTABLE, true)
  }

  #slot(slot: number, at: number): void {
    this.#view.setUint16(VTABLE + 4 + 2 * slot, at - TABLE, true)
  }

  /** Past the presence byte of an optional field. */
  #present(value: unknown): boolean {
    this.#claimAt++
    return value !== undefined
  }

  #take(to: number, length: number): void {
    const from = this.#claimAt
    if (length > SHORT_BYTES) this.#bytes.set(this.#claim.subarray(from, from + length), to)
    else for (let i = 0; i < length; i++) this.#bytes[to + i] = this.#claim[from + i]!
    this.#claimAt = from + length
  }

  #raw(slot: number, length: number): void {
    this.#slot(slot, this.#oneAt)
    this.#take(this.#oneAt, length)
    this.#oneAt += length
  }

  #eight(slot: number): void {
    this.#slot(slot, this.#eightAt)
    this.#take(this.#eightAt, 8)
    this.#eightAt += 8
  }

  /** The offset to what comes next on the heap. Subject stands in the gap that the alignment of the 8-byte fields leaves. */
  #offset(slot: number): void {
    const at = slot === SUBJECT ? TABLE + 4 : this.#fourAt
    if (slot !== SUBJECT) this.#fourAt += 4
    this.#slot(slot, at)
    this.#view.setUint32(at, this.#heapAt - at, true)
  }

  #text(slot: number): void {
    this.#offset(slot)
    const length = this.#claimView.getUint32(this.#claimAt, true)
    // The terminator and the padding.
    this.#view.setUint32(this.#heapAt + 4 + (length & ~3), 0, true)
    this.#take(this.#heapAt, 4 + length)
    this.#heapAt = (this.#heapAt + 4 + length + 1 + 3) & ~3
  }

  #vector(slot: number): void {
    this.#offset(slot)
    const bytes = 4 + 4 * this.#claimView.getUint32(this.#claimAt, true)
    this.#take(this.#heapAt, bytes)
    this.#heapAt += bytes
  }
}

let writer: AssertionWriter | undefined

/**
 * One Assertion buffer (file identifier "SAST"), a copy of the caller's own.
 * @throws {DbError} as `claimBytesOf`, where the assertion breaks a rule of the model.
 */
export function encodeAssertion(assertion: Assertion): Uint8Array {
  writer ??= new AssertionWriter()
  return writer.encode(assertion)
}

const decodeView = new AssertionView()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Plain data from VERIFIED bytes that `claimIdInto` has accepted. Copies everything.
 * @throws {DbError} `text_not_utf8`, `object_null` or `field_invalid` where it has not.
 */
export function decodeAssertion(bytes: Uint8Array): Assertion {
  return assertionOfView(decodeView.reset(bytes))
}

/** As {@link decodeAssertion}, from a view. */
export function assertionOfView(view: AssertionView): Assertion {
  const fixed = (start: number): Uint8Array => view.bytes.slice(start, start + HASH_BYTES)
  const lifecycle = lifecycleOf(view.lifecycle)
  if (lifecycle === undefined) throw new DbError('field_invalid', 'lifecycle is unknown', { pointer: '/lifecycle' })
  return {
    subject: textOf(view, view.subjectStart, view.subjectLength),
    predicate: textOf(view, view.predicateStart, view.predicateLength),
    object: objectOf(view),
    confidence: view.confidence,
    sourceClass: view.sourceClass as SourceClass,
    sourceHash: fixed(view.sourceHashStart),
    ...view.sourceUriStart >= 0 && { sourceUri: textOf(view, view.sourceUriStart, view.sourceUriLength) },
    lifecycle,
    ...view.epochStart >= 0 && { epoch: fixed(view.epochStart) },
    ...view.parentStart >= 0 && { parent: fixed(view.parentStart) },
    agent: fixed(view.agentStart),
    assertedAtMs: view.assertedAtMs,
    ...view.noteStart >= 0 && { note: textOf(view, view.noteStart, view.noteLength) },
    ...view.vectorStart >= 0 && { vector: vectorOf(view) },
  }
}

function textOf(view: AssertionView, start: number, length: number): string {
  try {
    // A copy: browsers and some Node versions refuse to decode shared memory.
    return decoder.decode(view.bytes.slice(start, start + length))
  } catch (cause) {
    throw new DbError('text_not_utf8', 'a text is not valid UTF-8', {}, { cause })
  }
}

function objectOf(view: AssertionView): ObjectValue {
  const kind = objectKindOf(view.objectKind)
  switch (kind) {
    case 'number': return { kind, value: view.objectNumber }
    case 'boolean': return { kind, value: view.objectBoolean }
    case 'text':
    case 'reference': return { kind, value: textOf(view, view.objectTextStart, view.objectTextLength) }
    case undefined: throw new DbError('object_null', 'the object has no known kind', { pointer: '/object' })
  }
}

function vectorOf(view: AssertionView): Float32Array {
  const vector = new Float32Array(view.vectorLength)
  for (let i = 0; i < vector.length; i++) vector[i] = view.view.getFloat32(view.vectorStart + 4 * i, true)
  return vector
}
