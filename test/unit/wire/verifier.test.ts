import fc from 'fast-check'
import { Builder } from 'flatbuffers'
import t from 'tap'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { Ack } from '../../../src/fbs/stemedb/ack.ts'
import { Batch } from '../../../src/fbs/stemedb/batch.ts'
import { LogEntry } from '../../../src/fbs/stemedb/log-entry.ts'
import { SignedAssertion } from '../../../src/fbs/stemedb/signed-assertion.ts'
import type { TableName } from '../../../src/fbs/schema.ts'
import { VERIFY_DEPTH_MAX, VERIFY_TABLES_MAX } from '../../../src/record/limits.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../../src/wire/batch.codec.ts'
import { verifyBuffer, verifyFault, VERIFY_LIMITS } from '../../../src/wire/verifier.ts'
import { arbitraryAssertion, assertionOf } from '../record/arbitrary.ts'

const MALFORMED = ERROR_CODES.malformed_frame.number
const MISSING = ERROR_CODES.field_missing.number

const assertion = encodeAssertion(assertionOf({ note: 'n', epoch: new Uint8Array(32).fill(1), vector: Float32Array.of(1, 2, 3) }))
const batch = encodeBatch({
  requestId: 7n, flags: 1, agent: new Uint8Array(32).fill(2), signature: new Uint8Array(64).fill(3),
  items: [{ assertion }, { assertion, signature: new Uint8Array(64).fill(4) }, { assertion: encodeAssertion(assertionOf({ object: { kind: 'number', value: 2 } })) }],
})

function logEntry(inner: Uint8Array): Uint8Array {
  const builder = new Builder(64)
  builder.startVector(1, inner.length, 8)
  for (let i = inner.length - 1; i >= 0; i--) builder.addInt8(inner[i]!)
  const nested = builder.endVector()
  builder.startVector(32, 2, 1)
  for (let i = 0; i < 64; i++) builder.addInt8(i)
  const ids = builder.endVector()
  const accepted = LogEntry.createAcceptedVector(builder, [3])
  LogEntry.startLogEntry(builder)
  LogEntry.addAccepted(builder, accepted)
  LogEntry.addIds(builder, ids)
  LogEntry.addBatch(builder, nested)
  LogEntry.finishLogEntryBuffer(builder, LogEntry.endLogEntry(builder))
  return builder.asUint8Array().slice()
}

function acks(): Uint8Array {
  const builder = new Builder(64)
  const detail = builder.createString('try again')
  Ack.startOutcomesVector(builder, 1)
  builder.prep(8, 24)
  for (let i = 0; i < 24; i++) builder.writeInt8(i)
  const outcomes = builder.endVector()
  Ack.startAck(builder)
  Ack.addRequestId(builder, 5n)
  Ack.addDetail(builder, detail)
  Ack.addOutcomes(builder, outcomes)
  const ack = Ack.endAck(builder)
  const vector = Acks.createAcksVector(builder, [ack, ack])
  Acks.startAcks(builder)
  Acks.addAcks(builder, vector)
  builder.finish(Acks.endAcks(builder), 'SACK')
  return builder.asUint8Array().slice()
}

const valid: [TableName, Uint8Array][] = [['Assertion', assertion], ['Batch', batch], ['LogEntry', logEntry(batch)], ['Acks', acks()]]

t.test('what encoders make is sound, wherever it lies', async (t) => {
  for (const [root, bytes] of valid) {
    t.equal(verifyBuffer(root, bytes), 0, root)
    for (const whole of [new Uint8Array(bytes.length + 32), new Uint8Array(new SharedArrayBuffer(bytes.length + 32))]) {
      for (let shift = 0; shift < 9; shift++) {
        whole.fill(0xff)
        whole.set(bytes, shift)
        t.equal(verifyBuffer(root, whole.subarray(shift, shift + bytes.length)), 0, `${root} at ${shift}`)
      }
    }
  }
  fc.assert(fc.property(arbitraryAssertion, (any) => verifyBuffer('Assertion', encodeAssertion(any)) === 0))
})

t.test('every truncation is refused', async (t) => {
  for (const [root, bytes] of valid) {
    let taken = 0
    // Behind the last field there may be padding that nothing points to.
    for (let length = 0; length < bytes.length - 7; length++) if (verifyBuffer(root, bytes.subarray(0, length)) === 0) taken++
    t.equal(taken, 0, root)
  }
})

t.test('no flipped bit makes it throw or read outside', async (t) => {
  // The view is over these bytes alone: a read outside of them would throw.
  for (const [root, bytes] of valid) {
    const flipped = bytes.slice()
    let refused = 0
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      const code = verifyBuffer(root, flipped)
      if (code !== 0) refused++
      if (code !== 0 && code !== MALFORMED && code !== MISSING) t.fail(`code ${code}`)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
    }
    t.ok(refused > bytes.length / 4, `${root}: ${refused} of ${8 * bytes.length} refused`)
  }
})

t.test('no bytes make it throw', async () => {
  fc.assert(fc.property(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(), fc.constantFrom(1, 2, 4), fc.integer({ min: -1, max: 2 ** 32 - 1 })), { maxLength: 8 }), ([root, bytes], edits) => {
    const edited = bytes.slice()
    const view = new DataView(edited.buffer)
    for (const [at, size, value] of edited.length > 8 ? edits : []) {
      const place = (at % (edited.length - 4)) & -size
      if (size === 1) view.setUint8(place, value)
      else if (size === 2) view.setUint16(place, value, true)
      else view.setUint32(place, value, true)
    }
    const code = verifyBuffer(root, edited)
    return code === 0 || code === MALFORMED || code === MISSING
  }), { numRuns: 3000 })
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => verifyBuffer('Acks', bytes) !== 0 || bytes.length > 11), { numRuns: 500 })
})

/** Places in an Assertion buffer, found as a reader finds them. */
function placesOf(bytes: Uint8Array): { view: DataView, table: number, vtable: number, field: (slot: number) => number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const table = view.getUint32(0, true)
  const vtable = table - view.getInt32(table, true)
  return { view, table, vtable, field: (slot) => table + view.getUint16(vtable + 4 + 2 * slot, true) }
}

t.test('each rule, broken alone', async (t) => {
  const SUBJECT = 0
  const CONFIDENCE = 6
  const SOURCE_HASH = 8
  const VECTOR = 16
  const rules: [why: RegExp, breakIt: (bytes: Uint8Array, places: ReturnType<typeof placesOf>) => void][] = [
    [/identifier/, (bytes) => void (bytes[4]! ^= 1)],
    [/root lies outside/, (_, { view }) => view.setUint32(0, 0, true)],
    [/root lies outside/, (bytes, { view }) => view.setUint32(0, bytes.length - 3, true)],
    [/root lies outside/, (_, { view }) => view.setUint32(0, 0xffffffff, true)],
    [/Assertion: misaligned/, (_, { view, table }) => view.setUint32(0, table + 2, true)],
    [/vtable lies outside/, (_, { view, table }) => view.setInt32(table, table + 1, true)],
    [/vtable lies outside/, (bytes, { view, table }) => view.setInt32(table, table - bytes.length + 2, true)],
    [/vtable lies outside/, (_, { view, table }) => view.setInt32(table, -0x80000000, true)],
    [/vtable is misaligned/, (_, { view, table, vtable }) => view.setInt32(table, table - vtable - 1, true)],
    [/vtable has a wrong size/, (_, { view, vtable }) => view.setUint16(vtable, 2, true)],
    [/vtable has a wrong size/, (_, { view, vtable }) => view.setUint16(vtable, 39, true)],
    [/vtable has a wrong size/, (_, { view, vtable }) => view.setUint16(vtable, 0xfffe, true)],
    [/table has a wrong size/, (_, { view, vtable }) => view.setUint16(vtable + 2, 3, true)],
    [/table has a wrong size/, (_, { view, vtable }) => view.setUint16(vtable + 2, 0xffff, true)],
    [/confidence: lies outside of its table/, (_, { view, vtable }) => view.setUint16(vtable + 4 + 2 * CONFIDENCE, 2, true)],
    [/confidence: lies outside of its table/, (_, { view, vtable }) => view.setUint16(vtable + 4 + 2 * CONFIDENCE, view.getUint16(vtable + 2, true) - 7, true)],
    [/confidence: is misaligned/, (_, { view, vtable }) => view.setUint16(vtable + 4 + 2 * CONFIDENCE, 12, true)],
    [/source_hash: lies outside of its table/, (_, { view, vtable }) => view.setUint16(vtable + 4 + 2 * SOURCE_HASH, view.getUint16(vtable + 2, true) - 31, true)],
    [/subject: is missing/, (_, { view, vtable }) => view.setUint16(vtable + 4 + 2 * SUBJECT, 0, true)],
    [/subject: points outside/, (_, { view, field }) => view.setUint32(field(SUBJECT), 0, true)],
    [/subject: points outside/, (bytes, { view, field }) => view.setUint32(field(SUBJECT), bytes.length - field(SUBJECT) - 3, true)],
    [/subject: points outside/, (_, { view, field }) => view.setUint32(field(SUBJECT), 0xfffffffc, true)],
    [/subject: points to a misaligned length/, (_, { view, field }) => view.setUint32(field(SUBJECT), view.getUint32(field(SUBJECT), true) + 1, true)],
    [/subject: ends outside/, (_, { view, field }) => view.setUint32(field(SUBJECT) + view.getUint32(field(SUBJECT), true), 0xffffffff, true)],
    [/subject: has no terminating zero/, (_, { view, field }) => view.setUint32(field(SUBJECT) + view.getUint32(field(SUBJECT), true), 18, true)],
    [/vector: ends outside/, (_, { view, field }) => view.setUint32(field(VECTOR) + view.getUint32(field(VECTOR), true), 0x40000001, true)],
    [/vector: ends outside/, (_, { view, field }) => view.setUint32(field(VECTOR) + view.getUint32(field(VECTOR), true), 5, true)],
  ]
  for (const [why, breakIt] of rules) {
    const bytes = assertion.slice()
    breakIt(bytes, placesOf(bytes))
    t.equal(verifyBuffer('Assertion', bytes), /missing/.test(String(why)) ? MISSING : MALFORMED, String(why))
    t.match(verifyFault(), why)
    t.equal(verifyBuffer('Assertion', assertion), 0, 'a refusal leaves nothing behind')
  }
})

t.test('a string at the very end of the buffer has its zero inside it', async (t) => {
  const bytes = assertion.slice(0)
  const { view, field } = placesOf(bytes)
  const note = field(15) + view.getUint32(field(15), true)
  view.setUint32(note, bytes.length - note - 4, true)
  t.equal(verifyBuffer('Assertion', bytes), MALFORMED)
  t.match(verifyFault(), /note: has no terminating zero/)
})

t.test('an equal vtable at another alignment is looked at again', async (t) => {
  // The f64 at offset 8 is aligned where the table is at a multiple of 8, and not 4 bytes on.
  t.equal(verifyBuffer('Assertion', assertion), 0)
  const shifted = new Uint8Array(assertion.length + 4)
  const { table, vtable } = placesOf(assertion)
  shifted.set(assertion.subarray(0, vtable))
  shifted.set(assertion.subarray(vtable), vtable + 4)
  new DataView(shifted.buffer).setUint32(0, table + 4, true)
  t.equal(verifyBuffer('Assertion', shifted), MALFORMED)
  t.match(verifyFault(), /is misaligned/)
})

t.test('a table that two point to counts twice: work is bounded', async (t) => {
  const bytes = acks()
  t.equal(verifyBuffer('Acks', bytes, { ...VERIFY_LIMITS, tablesMax: 3 }), 0)
  t.equal(verifyBuffer('Acks', bytes, { ...VERIFY_LIMITS, tablesMax: 2 }), MALFORMED)
  t.match(verifyFault(), /too many tables/)
  const builder = new Builder(1024)
  Ack.startAck(builder)
  const ack = Ack.endAck(builder)
  const vector = Acks.createAcksVector(builder, Array<number>(VERIFY_TABLES_MAX + 1).fill(ack))
  Acks.startAcks(builder)
  Acks.addAcks(builder, vector)
  builder.finish(Acks.endAcks(builder), 'SACK')
  t.equal(verifyBuffer('Acks', builder.asUint8Array()), MALFORMED)
})

t.test('depth is bounded, nested buffers included', async (t) => {
  const entry = logEntry(batch)
  t.equal(verifyBuffer('LogEntry', entry, { ...VERIFY_LIMITS, depthMax: 4 }), 0)
  for (const depthMax of [0, 1, 2, 3]) {
    t.equal(verifyBuffer('LogEntry', entry, { ...VERIFY_LIMITS, depthMax }), MALFORMED)
    t.match(verifyFault(), /too deep/)
  }
  t.ok(VERIFY_DEPTH_MAX >= 4)
})

t.test('nested buffers: their own bounds, their own identifier, and no byte twice', async (t) => {
  const other = encodeBatch({ requestId: 1n, items: [{ assertion: batch }] })
  t.equal(verifyBuffer('Batch', other), MALFORMED)
  t.match(verifyFault(), /Assertion: wrong file identifier/)
  t.equal(verifyBuffer('Batch', encodeBatch({ requestId: 1n, items: [{ assertion: new Uint8Array(0) }] })), MALFORMED)
  // A nested buffer whose last string runs on into what follows it in the outer one.
  const long = batch.slice()
  const inner = Buffer.from(long).indexOf(assertion)
  const { view, field } = placesOf(long.subarray(inner, inner + assertion.length))
  const vector = field(16) + view.getUint32(field(16), true)
  new DataView(long.buffer).setUint32(inner + vector, 4, true)
  t.equal(verifyBuffer('Batch', long), MALFORMED)
  t.match(verifyFault(), /Assertion.vector: ends outside/)
  // A thousand items that share one assertion: each alone would be sound.
  const builder = new Builder(4096)
  const nested = SignedAssertion.createAssertionVector(builder, assertion)
  const items = Array.from({ length: 1000 }, () => {
    SignedAssertion.startSignedAssertion(builder)
    SignedAssertion.addAssertion(builder, nested)
    return SignedAssertion.endSignedAssertion(builder)
  })
  const shared = Batch.createAssertionsVector(builder, items)
  Batch.startBatch(builder)
  Batch.addAssertions(builder, shared)
  Batch.finishBatchBuffer(builder, Batch.endBatch(builder))
  t.equal(verifyBuffer('Batch', builder.asUint8Array()), MALFORMED)
  t.match(verifyFault(), /nested buffers overlap/)
})

t.test('fields of a newer schema are stepped over where nothing is signed by their absence', async (t) => {
  const builder = new Builder(64)
  const vector = Batch.createAssertionsVector(builder, [])
  builder.startObject(7)
  builder.addFieldOffset(4, vector, 0)
  builder.addFieldInt32(6, 5, 0)
  builder.finish(builder.endObject(), 'SBAT')
  const bytes = builder.asUint8Array().slice()
  t.equal(verifyBuffer('Batch', bytes), 0)
  const { view, vtable } = placesOf(bytes)
  view.setUint16(vtable + 4 + 2 * 6, 200, true)
  t.equal(verifyBuffer('Batch', bytes), MALFORMED)
  t.match(verifyFault(), /unknown field lies outside/)
})
