import fc from 'fast-check'
import t from 'tap'
import { LIST_ITEMS_MAX, ListView, ListWriter, encodeList, isQueriesFrame, isQueryFrame } from '../../../src/wire/queries.codec.ts'
import { peekMinLsn, peekQueryCount, peekRequestIds } from '../../../src/wire/query-peek.ts'
import { encodeQuery } from '../../../src/wire/query-request.codec.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'

const itemsOf = (frame: Uint8Array): Uint8Array[] => {
  const view = new ListView().reset(frame)
  return Array.from({ length: view.count }, (_, i) => view.item(i))
}

t.test('what is written verifies, and reads back, whatever the writer held before', async (t) => {
  const writer = new ListWriter('SQRS')
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 }), (items) => {
    writer.clear()
    for (const item of items) writer.add(item)
    const frame = writer.finish().slice()
    return verifyBuffer('Queries', frame) === 0 && isQueriesFrame(frame) && !isQueryFrame(frame)
      && Buffer.from(frame).equals(encodeList('SQRS', items)) && frame.length <= writer.byteLength + 16
      && itemsOf(frame).every((item, i) => Buffer.from(item).equals(items[i]!)) && itemsOf(frame).length === items.length
      && itemsOf(frame).every((item) => item.byteOffset % 8 === 0)
  }))
  const full = Array.from({ length: LIST_ITEMS_MAX }, (_, i) => new Uint8Array(500).fill(i))
  const frame = encodeList('SQRR', full)
  t.equal(verifyBuffer('Replies', frame), 0)
  t.strictSame(itemsOf(frame), full)
  t.throws(() => encodeList('SQRR', [...full, new Uint8Array(1)]))
  const one = new ListWriter('SQRR')
  one.add(Uint8Array.of(1, 2, 3))
  t.strictSame(one.only(), Uint8Array.of(1, 2, 3))
})

t.test('what is peeked is what the encoder was given', async (t) => {
  const query = fc.record({ id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), minLsn: fc.integer({ min: 0, max: 2 ** 48 }), subject: fc.string({ maxLength: 40 }) })
  fc.assert(fc.property(fc.array(query, { minLength: 1, maxLength: 20 }), (queries) => {
    const frames = queries.map(({ id, minLsn, subject }) => encodeQuery(id, { kind: 'lens', subject, minLsn }))
    const frame = encodeList('SQRS', frames)
    const most = Math.max(...queries.map(({ minLsn }) => minLsn))
    return peekQueryCount(frame) === queries.length && peekMinLsn(frame) === most
      && peekRequestIds(frame).every((id, i) => id === queries[i]!.id) && peekMinLsn(frames[0]!) === queries[0]!.minLsn
      && peekRequestIds(frames[0]!)[0] === queries[0]!.id
  }))
  t.strictSame([peekQueryCount(encodeList('SQRS', [])), peekRequestIds(encodeList('SQRS', []))], [1, [0n]])
})

t.test('any bytes: nothing is read outside, and nothing thrown', async (t) => {
  const good = encodeList('SQRS', Array.from({ length: 5 }, (_, i) => encodeQuery(BigInt(i), { kind: 'lens', subject: 'a', minLsn: i })))
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 12 }), fc.nat(good.length), (changes, cut) => {
    const bytes = good.slice(0, cut)
    for (const [at, value] of changes) if (at < bytes.length && (at < 4 || at > 7)) bytes[at] = value
    peekRequestIds(bytes)
    return peekQueryCount(bytes) >= 1 && peekMinLsn(bytes) >= 0 && new ListView().reset(bytes).item(0).length <= bytes.length
  }), { numRuns: 2000 })
  t.pass()
})
