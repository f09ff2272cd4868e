import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Builder } from 'flatbuffers'
import { Assertion as Generated } from '../../../src/fbs/stemedb/assertion.ts'
import type { Assertion, ObjectKind, ObjectValue } from '../../../src/record/assertion.ts'
import { repoRoot } from '../../support/root.ts'

type VectorText = string | { repeat: string, times: number } | { utf8_hex: string }
type VectorNumber = number | { f64_hex: string }
type VectorFloats = ({ f32_hex: string } | number)[] | { repeat: number, times: number }

/** A claim as test/vectors/claims.json writes it. */
export interface VectorClaim {
  subject?: VectorText
  predicate?: VectorText
  object?: { type: ObjectKind, value: VectorText | VectorNumber | boolean }
  confidence: VectorNumber
  source_class: number
  source_hash?: string
  source_uri?: VectorText
  lifecycle?: string
  epoch?: string
  parent?: string
  agent?: string
  asserted_at: number
  note?: VectorText
  vector?: VectorFloats
}

export interface Vector {
  name: string
  claim: VectorClaim
  claim_bytes_length?: number
  claim_bytes_hex?: string
  id_hex?: string
  error?: string
  field?: string
  encoders?: string
}

export function readVectors(): Vector[] {
  const file = readFileSync(join(repoRoot, 'test', 'vectors', 'claims.json'), 'utf8')
  return (JSON.parse(file) as { vectors: Vector[] }).vectors
}

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

export function textBytes(text: VectorText): Uint8Array {
  if (typeof text === 'string') return new TextEncoder().encode(text)
  return 'repeat' in text ? new TextEncoder().encode(text.repeat.repeat(text.times)) : hex(text.utf8_hex)
}

/** Of bytes that are UTF-8 but for three-byte surrogates, each of which becomes the UTF-16 unit that it means. */
function textOf(text: VectorText): string {
  const bytes = textBytes(text)
  let value = ''
  for (let i = 0; i < bytes.length;) {
    if (bytes[i] === 0xed && bytes[i + 1]! >= 0xa0) {
      value += String.fromCharCode(0xd000 | ((bytes[i + 1]! & 0x3f) << 6) | (bytes[i + 2]! & 0x3f))
      i += 3
    } else {
      let end = i
      while (end < bytes.length && !(bytes[end] === 0xed && bytes[end + 1]! >= 0xa0)) end++
      value += new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(i, end))
      i = end
    }
  }
  return value
}

export function numberOf(value: VectorNumber): number {
  if (typeof value === 'number') return value
  const bytes = hex(value.f64_hex)
  return new DataView(bytes.buffer).getFloat64(0, true)
}

export function floatsOf(value: VectorFloats): Float32Array {
  if (!Array.isArray(value)) return new Float32Array(value.times).fill(value.repeat)
  const bytes = new Uint8Array(4 * value.length)
  const view = new DataView(bytes.buffer)
  value.forEach((element, i) => {
    if (typeof element === 'number') view.setFloat32(4 * i, element, true)
    else bytes.set(hex(element.f32_hex), 4 * i)
  })
  return new Float32Array(bytes.buffer)
}

function objectOf({ type, value }: NonNullable<VectorClaim['object']>): ObjectValue {
  switch (type) {
    case 'number': return { kind: type, value: numberOf(value as VectorNumber) }
    case 'boolean': return { kind: type, value: value as boolean }
    case 'text':
    case 'reference': return { kind: type, value: textOf(value as VectorText) }
  }
}

/** Plain data. What is missing is undefined, against the type: some vectors are wrong on purpose. */
export function plainOf(claim: VectorClaim): Assertion {
  const ifThere = <K extends string, V>(key: K, value: V | undefined): object => (value === undefined ? {} : { [key]: value })
  const text = (value: VectorText | undefined): string | undefined => value && textOf(value)
  const bytes = (value: string | undefined): Uint8Array | undefined => (value === undefined ? undefined : hex(value))
  return {
    ...ifThere('subject', claim.subject === '' ? '' : text(claim.subject)),
    ...ifThere('predicate', claim.predicate === '' ? '' : text(claim.predicate)),
    ...ifThere('object', claim.object && objectOf(claim.object)),
    confidence: numberOf(claim.confidence),
    sourceClass: claim.source_class,
    ...ifThere('sourceHash', bytes(claim.source_hash)),
    ...ifThere('sourceUri', claim.source_uri === '' ? '' : text(claim.source_uri)),
    ...ifThere('lifecycle', claim.lifecycle),
    ...ifThere('epoch', bytes(claim.epoch)),
    ...ifThere('parent', bytes(claim.parent)),
    ...ifThere('agent', bytes(claim.agent)),
    assertedAtMs: claim.asserted_at,
    ...ifThere('note', claim.note === '' ? '' : text(claim.note)),
    ...ifThere('vector', claim.vector && floatsOf(claim.vector)),
  } as Assertion
}

const LIFECYCLES = ['proposed', 'under_review', 'approved', 'deprecated', 'rejected', 'retracted']
const KINDS = ['text', 'number', 'boolean', 'reference']

/** An Assertion buffer by the Builder of the FlatBuffers library, with whatever the claim says, right or wrong. */
export function bufferOf(claim: VectorClaim, forceDefaults = false): Uint8Array {
  const builder = new Builder(1024)
  builder.forceDefaults(forceDefaults)
  const text = (value: VectorText | undefined): number | undefined => (value === undefined ? undefined : builder.createString(textBytes(value)))
  const { object } = claim
  const hasText = object?.type === 'text' || object?.type === 'reference'
  const vector = claim.vector === undefined ? undefined : Generated.createVectorVector(builder, floatsOf(claim.vector))
  const note = text(claim.note)
  const uri = text(claim.source_uri)
  const objectText = hasText ? text(object.value as VectorText) : undefined
  const predicate = text(claim.predicate)
  const subject = text(claim.subject)
  const hash = (value: string): number => {
    builder.prep(1, 32)
    for (const byte of hex(value).reverse()) builder.writeInt8(byte)
    return builder.offset()
  }
  Generated.startAssertion(builder)
  Generated.addAssertedAtMs(builder, BigInt(claim.asserted_at))
  Generated.addConfidence(builder, numberOf(claim.confidence))
  // The Builder takes -0 for the default and leaves it out; forced, it writes it.
  builder.forceDefaults(true)
  if (Object.is(numberOf(claim.confidence), -0)) Generated.addConfidence(builder, -0)
  if (object?.type === 'number') Generated.addObjectNumber(builder, numberOf(object.value as VectorNumber))
  builder.forceDefaults(forceDefaults)
  if (object?.type === 'boolean') Generated.addObjectBoolean(builder, object.value as boolean)
  if (vector !== undefined) Generated.addVector(builder, vector)
  if (note !== undefined) Generated.addNote(builder, note)
  if (uri !== undefined) Generated.addSourceUri(builder, uri)
  if (objectText !== undefined) Generated.addObjectText(builder, objectText)
  if (predicate !== undefined) Generated.addPredicate(builder, predicate)
  if (subject !== undefined) Generated.addSubject(builder, subject)
  if (claim.agent !== undefined) Generated.addAgent(builder, hash(claim.agent))
  if (claim.parent !== undefined) Generated.addParent(builder, hash(claim.parent))
  if (claim.epoch !== undefined) Generated.addEpoch(builder, hash(claim.epoch))
  if (claim.source_hash !== undefined) Generated.addSourceHash(builder, hash(claim.source_hash))
  if (claim.lifecycle !== undefined) Generated.addLifecycle(builder, LIFECYCLES.indexOf(claim.lifecycle) + 1 || 77)
  Generated.addSourceClass(builder, claim.source_class)
  if (object !== undefined) Generated.addObjectKind(builder, KINDS.indexOf(object.type) + 1)
  builder.finish(builder.endObject(), 'SAST')
  return builder.asUint8Array().slice()
}
