import fc from 'fast-check'
import { Builder, ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { DbError } from '../../../src/base/errors.ts'
import { Assertion as Generated } from '../../../src/fbs/stemedb/assertion.ts'
import { Batch } from '../../../src/fbs/stemedb/batch.ts'
import { LIFECYCLES, OBJECT_KINDS, type Assertion } from '../../../src/record/assertion.ts'
import { assertionIdOf, claimBytesOf, initHash } from '../../../src/record/claim.ts'
import { blake3Kernel } from '../../../src/merkle/blake3.ts'
import { CHUNK_BYTES, LANE_INPUT, LANE_OUTPUT } from '../../../src/merkle/blake3.layout.ts'
import { AssertionView, IndexedFieldsView } from '../../../src/wire/assertion-view.ts'
import { decodeAssertion, encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BATCH_FLAG_RECEIPT, BatchView, batchBytes, encodeBatch, peekRequestId, type BatchInput } from '../../../src/wire/batch.codec.ts'
import { claimIdInto, claimIdsInto, claimOfView } from '../../../src/wire/claim-id.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'
import { recordFault } from '../../support/fault-record.ts'
import { trialCount, trialSeed } from '../../support/history.trial.ts'
import { arbitraryAssertion, assertionOf } from '../record/arbitrary.ts'

await initHash()

const MEANING_RUNS = trialCount(500)
const seed = trialSeed()
const meanings = { trials: 0, failures: 0, caught: false }
t.teardown(() => recordFault({
  id: 'S3', title: 'one meaning for signed bytes: equal claim bytes are equal assertions, and each flipped bit is refused, another id, or says nothing else',
  trials: meanings.trials, unit: 'inputs', failures: meanings.failures, seed,
  tooth: meanings.caught ? 'claim bytes that leave the note out: caught' : 'claim bytes that leave the note out: NOT caught',
}))

/** Another way to write the same assertion: fields in a drawn order, defaults written or not, equal texts shared. */
function encodeOtherwise(assertion: Assertion, order: readonly number[], forceDefaults: boolean): Uint8Array {
  const { object, sourceUri, epoch, parent, note, vector } = assertion
  const builder = new Builder(16)
  builder.forceDefaults(forceDefaults)
  const hash = (bytes: Uint8Array): number => {
    builder.prep(1, 32)
    for (const byte of [...bytes].reverse()) builder.writeInt8(byte)
    return builder.offset()
  }
  const floats = vector && Generated.createVectorVector(builder, vector)
  const text = (value: string | undefined): number | undefined => {
    if (value === undefined) return undefined
    return value === '' ? builder.createString('') : builder.createSharedString(value)
  }
  const [noteAt, uriAt, predicateAt, subjectAt] = [note, sourceUri, assertion.predicate, assertion.subject].map(text)
  const objectAt = object.kind === 'text' || object.kind === 'reference' ? text(object.value) : undefined
  const add: (() => void)[] = [
    () => Generated.addSubject(builder, subjectAt!),
    () => Generated.addPredicate(builder, predicateAt!),
    () => Generated.addObjectKind(builder, OBJECT_KINDS.indexOf(object.kind) + 1),
    () => objectAt !== undefined && Generated.addObjectText(builder, objectAt),
    () => (object.kind === 'number' || forceDefaults) && Generated.addObjectNumber(builder, object.kind === 'number' ? object.value : 0),
    () => (object.kind === 'boolean' || forceDefaults) && Generated.addObjectBoolean(builder, object.kind === 'boolean' && object.value),
    () => Generated.addConfidence(builder, assertion.confidence),
    () => Generated.addSourceClass(builder, assertion.sourceClass),
    () => Generated.addSourceHash(builder, hash(assertion.sourceHash)),
    () => uriAt !== undefined && Generated.addSourceUri(builder, uriAt),
    () => Generated.addLifecycle(builder, LIFECYCLES.indexOf(assertion.lifecycle) + 1),
    () => epoch && Generated.addEpoch(builder, hash(epoch)),
    () => parent && Generated.addParent(builder, hash(parent)),
    () => Generated.addAgent(builder, hash(assertion.agent)),
    () => Generated.addAssertedAtMs(builder, BigInt(assertion.assertedAtMs)),
    () => noteAt !== undefined && Generated.addNote(builder, noteAt),
    () => floats !== undefined && Generated.addVector(builder, floats),
  ]
  Generated.startAssertion(builder)
  add.map((action, i) => ({ action, at: order[i % order.length]! })).sort((a, b) => a.at - b.at).forEach(({ action }) => action())
  Generated.finishAssertionBuffer(builder, Generated.endAssertion(builder))
  return builder.asUint8Array().slice()
}

const arbitraryOrder = fc.tuple(fc.array(fc.nat(100), { minLength: 17, maxLength: 17 }), fc.boolean())

t.test('decode(encode(x)) = x', async () => {
  fc.assert(fc.property(arbitraryAssertion, (assertion) => {
    const buffer = encodeAssertion(assertion)
    return verifyBuffer('Assertion', buffer) === 0 && isSame(decodeAssertion(buffer), assertion)
  }), { numRuns: 300 })
})

t.test('the id does not depend on how FlatBuffers wrote the assertion, nor on where it lies', async () => {
  fc.assert(fc.property(arbitraryAssertion, arbitraryOrder, fc.nat(9), (assertion, [order, forced], shift) => {
    const other = encodeOtherwise(assertion, order, forced)
    if (verifyBuffer('Assertion', other) !== 0 || !isSame(decodeAssertion(other), assertion)) return false
    const shared = new Uint8Array(new SharedArrayBuffer(other.length + 20)).fill(0xff)
    shared.set(other, shift)
    const id = new Uint8Array(32)
    return claimIdInto(new AssertionView().reset(shared, shift, other.length), id, 0) === 0
      && Buffer.from(id).equals(assertionIdOf(assertion))
  }), { numRuns: 300 })
})

/** Searches for two different assertions with one meaning for `bytesOf`, or the other way round. */
function searchTwoMeanings(bytesOf: (assertion: Assertion) => Uint8Array) {
  const nearby = fc.tuple(arbitraryAssertion, arbitraryAssertion, fc.constantFrom<keyof Assertion | 'none'>('none', 'subject', 'object', 'confidence', 'note', 'epoch', 'vector', 'sourceUri', 'lifecycle'))
  return fc.check(fc.property(nearby, arbitraryOrder, ([a, donor, field], [order, forced]) => {
    const b: Assertion = { ...a }
    if (field !== 'none' && donor[field] !== undefined) Object.assign(b, { [field]: donor[field] })
    const [left, right] = [decodeAssertion(encodeAssertion(a)), decodeAssertion(encodeOtherwise(b, order, forced))]
    const sameBytes = Buffer.from(bytesOf(a)).equals(bytesOf(b))
    return sameBytes === isSame(left, right)
  }), { numRuns: MEANING_RUNS, seed: seed | 0 })
}

t.test('two accepted buffers with equal claim bytes denote equal assertions', async (t) => {
  const found = searchTwoMeanings(claimBytesOf)
  meanings.trials += found.numRuns
  if (found.failed) meanings.failures++
  t.notOk(found.failed, fc.defaultReportMessage(found) ?? 'none was found')
  meanings.caught = searchTwoMeanings(({ note: _note, ...rest }) => claimBytesOf(rest)).failed
  t.ok(meanings.caught, 'the tooth: claim bytes that leave the note out')
})

/** Deep equality in which 0 and -0 differ. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b)
  const [left, right] = [Object.entries(a), Object.entries(b)]
  return left.length === right.length && left.every(([key, value]) => key in b && isSame(value, (b as Record<string, unknown>)[key]))
}

t.test('every flipped bit of an assertion is refused, changes the id, or changes nothing that it says', async (t) => {
  const assertions = [
    assertionOf({ sourceUri: 'https://a.example/x', epoch: new Uint8Array(32).fill(1), parent: new Uint8Array(32).fill(2), note: 'né', vector: Float32Array.of(1, -2.5) }),
    assertionOf({ object: { kind: 'number', value: 96.7 }, subject: 'rfc://9162/section/2' }),
    assertionOf({ object: { kind: 'boolean', value: true } }),
    assertionOf({ object: { kind: 'reference', value: 'drug/aspirin' }, sourceClass: 0, confidence: 0, assertedAtMs: 0 }),
  ]
  let [refused, other, same] = [0, 0, 0]
  for (const assertion of assertions) {
    for (const buffer of [encodeAssertion(assertion), encodeOtherwise(assertion, [5, 3, 9, 1], true)]) {
      const batch = encodeBatch({ requestId: 1n, items: [{ assertion: buffer }] })
      const item = new BatchView().reset(batch).itemOffset(0)
      const id = assertionIdOf(assertion)
      const flippedId = new Uint8Array(32)
      meanings.trials += 8 * buffer.length
      for (let bit = 0; bit < 8 * buffer.length; bit++) {
        const flipped = batch.slice()
        flipped[item + (bit >> 3)]! ^= 1 << (bit & 7)
        const view = new AssertionView()
        if (verifyBuffer('Batch', flipped) !== 0 || claimIdInto(view.reset(flipped, item, buffer.length), flippedId, 0) !== 0) refused++
        else if (!Buffer.from(flippedId).equals(id)) other++
        else if (isSame(decodeAssertion(view.buffer), assertion)) same++
        else {
          meanings.failures++
          t.fail(`bit ${bit} says something else under the same id`)
        }
      }
    }
  }
  t.ok(refused > 1000 && other > 1000, `${refused} refused, ${other} other ids, ${same} the same`)
  t.ok(same < (refused + other) / 10)
})

t.test('encoders refuse what is wrong, and say it as claims do', async (t) => {
  t.throws(() => encodeAssertion(assertionOf({ subject: 'a//b' })), { code: 'field_invalid' })
  t.throws(() => encodeAssertion(assertionOf({ object: { kind: 'text', value: '\udc00' } })), { code: 'text_not_utf8' })
  t.doesNotThrow(() => encodeAssertion(assertionOf()), 'and work on afterwards')
})

t.test('decoding verified bytes that break the model throws DbError only', async (t) => {
  const buffer = encodeAssertion(assertionOf({ object: { kind: 'text', value: 'zzzzzzzz' } }))
  const at = Buffer.from(buffer).indexOf('zzzzzzzz')
  buffer.fill(0xff, at, at + 8)
  t.equal(verifyBuffer('Assertion', buffer), 0)
  t.throws(() => decodeAssertion(buffer), { code: 'text_not_utf8' })
  t.throws(() => decodeAssertion(buffer), DbError)
})

t.test('a field that no claim can carry is refused', async (t) => {
  const builder = new Builder(64)
  const text = builder.createString('x')
  builder.startObject(18)
  builder.addFieldOffset(0, text, 0)
  builder.addFieldOffset(1, text, 0)
  builder.addFieldOffset(3, text, 0)
  builder.addFieldInt8(2, 1, 0)
  builder.addFieldInt8(10, 1, 0)
  for (const slot of [8, 13]) {
    builder.prep(1, 32)
    for (let i = 0; i < 32; i++) builder.writeInt8(i)
    builder.addFieldStruct(slot, builder.offset(), 0)
  }
  const known = builder.endObject()
  builder.finish(known, 'SAST')
  t.equal(claimIdInto(new AssertionView().reset(builder.asUint8Array()), new Uint8Array(32), 0), 0, 'an empty slot is no field')
  const bytes = builder.asUint8Array().slice()
  const table = new DataView(bytes.buffer).getUint32(0, true)
  const vtable = table - new DataView(bytes.buffer).getInt32(table, true)
  const widened = new Uint8Array(bytes.length + 48)
  widened.set(bytes)
  const view = new DataView(widened.buffer)
  // The vtable moves behind the buffer, one entry longer, and that one names a byte of the table.
  const moved = (bytes.length + 3) & ~3
  widened.set(bytes.subarray(vtable, vtable + view.getUint16(vtable, true)), moved)
  view.setUint16(moved, 4 + 2 * 18, true)
  view.setInt32(table, table - moved, true)
  view.setUint16(moved + 4 + 2 * 17, 4, true)
  t.equal(verifyBuffer('Assertion', widened), 0, 'the structure is sound')
  t.equal(claimIdInto(new AssertionView().reset(widened), new Uint8Array(32), 0), 5)
  view.setUint16(moved + 4 + 2 * 17, 0, true)
  t.equal(claimIdInto(new AssertionView().reset(widened), new Uint8Array(32), 0), 0)
})

const arbitraryBatch: fc.Arbitrary<BatchInput & { assertions: Assertion[] }> = fc.record({
  requestId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  flags: fc.constantFrom(0, BATCH_FLAG_RECEIPT),
  agent: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined }),
  signature: fc.option(fc.uint8Array({ minLength: 64, maxLength: 64 }), { nil: undefined }),
  assertions: fc.array(arbitraryAssertion, { maxLength: 6 }),
  signatures: fc.array(fc.option(fc.uint8Array({ minLength: 64, maxLength: 64 }), { nil: undefined }), { minLength: 6, maxLength: 6 }),
}).map(({ signatures, ...batch }) => ({ ...batch, items: batch.assertions.map((assertion, i) => ({ assertion: encodeAssertion(assertion), signature: signatures[i] })) }))

t.test('a batch says what it was made of, to the generated code and to the view', async (t) => {
  fc.assert(fc.property(arbitraryBatch, (input) => {
    const bytes = encodeBatch(input)
    if (verifyBuffer('Batch', bytes) !== 0 || bytes.length !== batchBytes(input)) return false
    const generated = Batch.getRootAsBatch(new ByteBuffer(bytes))
    const view = new BatchView().reset(bytes)
    t.equal(generated.requestId(), input.requestId)
    t.equal(view.requestId, input.requestId)
    t.equal(peekRequestId(bytes), input.requestId)
    t.equal(generated.flags(), input.flags)
    t.equal(view.flags, input.flags)
    t.equal(view.count, input.items.length)
    t.equal(generated.assertionsLength(), input.items.length)
    const struct = (at: number, length: number): Uint8Array | undefined => (at < 0 ? undefined : bytes.slice(at, at + length))
    t.strictSame(struct(view.agentOffset, 32), input.agent)
    t.strictSame(struct(view.signatureOffset, 64), input.signature)
    input.items.forEach(({ assertion, signature }, i) => {
      t.equal(view.itemOffset(i) % 8, 0)
      t.ok(Buffer.from(bytes.subarray(view.itemOffset(i), view.itemOffset(i) + view.itemLength(i))).equals(assertion))
      t.strictSame(struct(view.itemSignatureOffset(i), 64), signature)
      const nested = generated.assertions(i)!
      t.equal(nested.assertionLength(), assertion.length)
      t.equal(nested.signature() === null, signature === undefined)
      if (signature !== undefined) t.equal(nested.signature()!.bytes(63)! & 255, signature[63])
    })
    return true
  }), { numRuns: 60 })
})

t.test('the request id of anything', async (t) => {
  t.equal(peekRequestId(new Uint8Array(0)), undefined)
  t.equal(peekRequestId(new Uint8Array(7)), undefined)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => ['bigint', 'undefined'].includes(typeof peekRequestId(bytes))), { numRuns: 1000 })
  const batch = encodeBatch({ requestId: 0xfedcba9876543210n, items: [{ assertion: encodeAssertion(assertionOf()) }] })
  for (let length = 0; length < batch.length; length++) t.ok(['bigint', 'undefined'].includes(typeof peekRequestId(batch.slice(0, length))))
  const builder = new Builder(64)
  const none = Batch.createAssertionsVector(builder, [])
  Batch.startBatch(builder)
  Batch.addAssertions(builder, none)
  Batch.finishBatchBuffer(builder, Batch.endBatch(builder))
  t.equal(verifyBuffer('Batch', builder.asUint8Array()), 0)
  t.equal(peekRequestId(builder.asUint8Array()), 0n, 'left out, as the default')
  t.equal(new BatchView().reset(builder.asUint8Array()).requestId, 0n)
})

t.test('ids of a batch: four at a time, one at a time, and alone are the same', async () => {
  const kernel = blake3Kernel()
  const lanes = {
    memory: kernel.memory, laneInput: LANE_INPUT, laneBytes: CHUNK_BYTES, laneOutput: LANE_OUTPUT,
    hashLanes: (a: number, b: number, c: number, d: number) => kernel.hashLanes(a, b, c, d),
  }
  const broken = encodeAssertion(assertionOf())
  broken[Buffer.from(broken).indexOf('drug')] = 0
  fc.assert(fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: arbitraryAssertion }, { weight: 1, arbitrary: fc.constant(undefined) }), { maxLength: 14 }), (assertions) => {
    const view = new BatchView().reset(encodeBatch({ requestId: 1n, items: assertions.map((assertion) => ({ assertion: assertion === undefined ? broken : encodeAssertion(assertion) })) }))
    const expected = Buffer.concat(assertions.map((assertion) => (assertion === undefined ? new Uint8Array(32) : assertionIdOf(assertion))))
    for (const hasher of [lanes, undefined]) {
      const ids = new Uint8Array(expected.length).fill(0xee)
      const codes = new Uint16Array(assertions.length).fill(9999)
      const refused = claimIdsInto(view, ids, codes, hasher)
      if (refused !== assertions.filter((assertion) => assertion === undefined).length) return false
      if (!expected.equals(ids) || codes.some((code, i) => code !== (assertions[i] === undefined ? 5 : 0))) return false
    }
    return true
  }), { numRuns: 100 })
})

t.test('the few fields that the index needs are those of the whole view', async () => {
  const names = ['start', 'length', 'subjectStart', 'subjectLength', 'predicateStart', 'predicateLength', 'objectKind', 'sourceClass', 'lifecycle',
    'parentStart', 'agentStart'] as const
  const whole = new AssertionView()
  const few = new IndexedFieldsView()
  fc.assert(fc.property(arbitraryAssertion, fc.nat(7), (assertion, shift) => {
    const encoded = encodeAssertion(assertion)
    const bytes = new Uint8Array(shift * 8 + encoded.length)
    bytes.set(encoded, shift * 8)
    whole.reset(bytes, shift * 8, encoded.length)
    few.reset(new DataView(bytes.buffer), shift * 8, encoded.length)
    return names.every((name) => few[name] === whole[name])
  }), { numRuns: 300 })
})

t.test('a claim of exactly a lane, one byte more, and the longest', async (t) => {
  for (const length of [1, 63, 64, 65, 800, 875, 876, 877, 1000, 65_536]) {
    const assertion = assertionOf({ object: { kind: 'text', value: 'x'.repeat(length) } })
    const view = new AssertionView().reset(encodeAssertion(assertion))
    t.strictSame(claimOfView(view), claimBytesOf(assertion))
  }
})
