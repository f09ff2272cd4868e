import fc from 'fast-check'
import { ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { LogEntry } from '../../../src/fbs/stemedb/log-entry.ts'
import { LogEntryView, logEntryBytes, writeLogEntry } from '../../../src/wire/log-entry.codec.ts'

const entryArbitrary = fc.record({
  codes: fc.array(fc.constantFrom(0, 0, 1, 21), { minLength: 1, maxLength: 70 }),
  batch: fc.uint8Array({ maxLength: 300 }),
  seed: fc.nat(255),
  before: fc.nat(40),
  behind: fc.nat(40),
})

const idsOf = (count: number, seed: number): Uint8Array => Uint8Array.from({ length: count * 32 }, (_, i) => (i * 31 + seed) & 255)

t.test('the generated accessors and our view read what was written, anywhere in a shared buffer', async (t) => {
  const entry = new LogEntryView()
  fc.assert(fc.property(entryArbitrary, ({ codes, batch, seed, before, behind }) => {
    const count = codes.length
    const ids = idsOf(count + 3, seed)
    const bytes = logEntryBytes(count, batch.length)
    const out = new Uint8Array(new SharedArrayBuffer(before * 8 + bytes + behind)).fill(0xee)
    const written = writeLogEntry(out, before * 8, { count, ids, codes: Uint16Array.from(codes) }, batch)
    t.equal(written, bytes)
    t.ok(out.subarray(0, before * 8).every((byte) => byte === 0xee) && out.subarray(before * 8 + bytes).every((byte) => byte === 0xee))

    const read = LogEntry.getRootAsLogEntry(new ByteBuffer(out.slice(before * 8, before * 8 + bytes)))
    t.ok(LogEntry.bufferHasIdentifier(read.bb!))
    t.same(read.batchArray(), batch)
    t.equal(read.idsLength(), count)
    t.equal(read.acceptedLength(), Math.ceil(count / 8))
    t.equal(read.batchArray().byteOffset % 8, 0, 'aligned from the entry\'s start')

    entry.reset(out, before * 8, bytes)
    t.same(entry.batch, batch)
    t.equal(entry.count, count)
    t.equal(entry.acceptedCount, codes.filter((code) => code === 0).length)
    t.same(out.slice(entry.idsOffset, entry.idsOffset + count * 32), ids.subarray(0, count * 32))
    for (const [index, code] of codes.entries()) {
      if (entry.accepted(index) !== (code === 0)) t.fail(`accepted ${index}`)
      if (((read.accepted(index >> 3)! >> (index & 7)) & 1) !== Number(code === 0)) t.fail(`accessor's accepted ${index}`)
      if (read.ids(index)!.bytes(5) !== ids[index * 32 + 5]) t.fail(`id ${index}`)
      entry.clearAccepted(index)
      if (entry.accepted(index)) t.fail(`cleared ${index}`)
    }
    t.equal(entry.acceptedCount, 0)
  }), { numRuns: 60 })
})

t.test('the same parts make the same bytes, whatever stood there', async (t) => {
  for (const count of [1, 3, 4, 5, 8, 9, 31, 32, 33]) {
    const parts = { count, ids: idsOf(count, 1), codes: new Uint16Array(count) }
    const batch = Uint8Array.of(1, 2, 3)
    const outs = [0x00, 0xff].map((fill) => {
      const out = new Uint8Array(logEntryBytes(count, 3)).fill(fill)
      writeLogEntry(out, 0, parts, batch)
      return out
    })
    t.same(outs[0], outs[1], `${count}`)
  }
})

t.test('room that is too small, and bytes that are no entry, are broken invariants and nothing worse', async (t) => {
  const parts = { count: 9, ids: idsOf(9, 0), codes: new Uint16Array(9) }
  const bytes = logEntryBytes(9, 40)
  t.throws(() => writeLogEntry(new Uint8Array(bytes - 1), 0, parts, new Uint8Array(40)), { name: 'AssertionFailure' })
  const good = new Uint8Array(bytes)
  writeLogEntry(good, 0, parts, new Uint8Array(40))
  const entry = new LogEntryView()
  for (let length = 0; length < bytes; length++) {
    t.throws(() => entry.reset(good, 0, length), { name: 'AssertionFailure' }, `cut at ${length}`)
  }
  // The head decides where everything is: no change of it may make the view read outside.
  for (let bit = 0; bit < 48 * 8; bit++) {
    const bad = good.slice()
    bad[bit >> 3]! ^= 1 << (bit & 7)
    try {
      entry.reset(bad)
    } catch (error) {
      if ((error as Error).name !== 'AssertionFailure') t.fail(`bit ${bit}: ${(error as Error).name}`)
      continue
    }
    if (entry.idsOffset + entry.count * 32 > bytes || entry.batchOffset + entry.batchLength > bytes) t.fail(`bit ${bit} reaches outside`)
  }
})
