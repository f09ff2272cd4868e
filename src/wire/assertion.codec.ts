import { Builder } from 'flatbuffers'
import { DbError } from '../base/errors.ts'
import { Assertion as Generated } from '../fbs/stemedb/assertion.ts'
import {
  lifecycleNumber, lifecycleOf, objectKindNumber, objectKindOf, type Assertion, type ObjectValue, type SourceClass,
} from '../record/assertion.ts'
import { checkAssertion } from '../record/claim.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { AssertionView } from './assertion-view.ts'

const builder = new Builder(1024)

function addHash(bytes: Uint8Array): number {
  builder.prep(1, HASH_BYTES)
  for (let i = HASH_BYTES - 1; i >= 0; i--) builder.writeInt8(bytes[i]!)
  return builder.offset()
}

/**
 * One Assertion buffer (file identifier "SAST"), a copy of the caller's own.
 * @throws {DbError} as `claimBytesOf`, where the assertion breaks a rule of the model.
 */
export function encodeAssertion(assertion: Assertion): Uint8Array {
  checkAssertion(assertion)
  const { object, sourceUri, epoch, parent, note, vector } = assertion
  builder.clear()
  const subject = builder.createString(assertion.subject)
  const predicate = builder.createString(assertion.predicate)
  const objectText = object.kind === 'text' || object.kind === 'reference' ? builder.createString(object.value) : 0
  const uriOffset = sourceUri === undefined ? 0 : builder.createString(sourceUri)
  const noteOffset = note === undefined ? 0 : builder.createString(note)
  const vectorOffset = vector === undefined ? 0 : Generated.createVectorVector(builder, vector)
  Generated.startAssertion(builder)
  Generated.addSubject(builder, subject)
  Generated.addPredicate(builder, predicate)
  Generated.addObjectKind(builder, objectKindNumber(object.kind))
  if (objectText !== 0) Generated.addObjectText(builder, objectText)
  if (object.kind === 'number') Generated.addObjectNumber(builder, object.value + 0)
  if (object.kind === 'boolean') Generated.addObjectBoolean(builder, object.value)
  Generated.addConfidence(builder, assertion.confidence + 0)
  Generated.addSourceClass(builder, assertion.sourceClass)
  Generated.addSourceHash(builder, addHash(assertion.sourceHash))
  if (uriOffset !== 0) Generated.addSourceUri(builder, uriOffset)
  Generated.addLifecycle(builder, lifecycleNumber(assertion.lifecycle))
  if (epoch !== undefined) Generated.addEpoch(builder, addHash(epoch))
  if (parent !== undefined) Generated.addParent(builder, addHash(parent))
  Generated.addAgent(builder, addHash(assertion.agent))
  Generated.addAssertedAtMs(builder, BigInt(assertion.assertedAtMs))
  if (noteOffset !== 0) Generated.addNote(builder, noteOffset)
  if (vectorOffset !== 0) Generated.addVector(builder, vectorOffset)
  Generated.finishAssertionBuffer(builder, Generated.endAssertion(builder))
  return builder.asUint8Array().slice()
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
