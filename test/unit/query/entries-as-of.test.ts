import fc from 'fast-check'
import t from 'tap'
import { hlcOf, type Hlc } from '../../../src/base/hlc.ts'
import type { EntryRange, IndexEntry } from '../../../src/query/candidate-source.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import { hashReady } from '../../../src/record/claim.ts'
import { NOW_MS, TestLog, claim } from './test-log.ts'

await hashReady

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

function read(log: TestLog, range: EntryRange): IndexEntry[] {
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn: () => log.nextLsn - 1 })
  const cursor = source.entries(range)
  const entries: IndexEntry[] = []
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) entries.push(entry)
  return entries
}

t.test('entries as of an HLC are those of all that are not newer, whatever the range', async (t) => {
  const steps = fc.array(fc.record({ subject: fc.constantFrom('a', 'a/b', 'ab'), predicate: fc.constantFrom('p', 'pq'), count: fc.integer({ min: 1, max: 90 }) }), { maxLength: 12 })
  const ranges = fc.constantFrom<EntryRange>(
    { subject: utf8(''), subjectIsPrefix: true, predicate: undefined }, { subject: utf8('a'), subjectIsPrefix: true, predicate: undefined },
    { subject: utf8('a'), subjectIsPrefix: false, predicate: undefined }, { subject: utf8('a'), subjectIsPrefix: false, predicate: utf8('p') },
  )
  fc.assert(fc.property(steps, ranges, fc.integer({ min: -1, max: 400 }), (batches, range, ms) => {
    const log = new TestLog()
    let made = 0
    for (const { subject, predicate, count } of batches) {
      log.append(Array.from({ length: count }, () => claim({ subject, predicate, object: { kind: 'number', value: made++ } })))
    }
    const asOfHlc: Hlc = hlcOf(NOW_MS + ms, 3)
    const place = ({ lsn, hlc, subject, predicate }: IndexEntry): string => `${Buffer.from(subject).toString()} ${Buffer.from(predicate).toString()} ${hlc} ${lsn}`
    t.strictSame(read(log, { ...range, asOfHlc }).map(place), read(log, range).filter(({ hlc }) => hlc <= asOfHlc).map(place))
  }), { numRuns: 60 })
})

t.test('what is newer costs a seek, not a step an entry', async (t) => {
  const log = new TestLog()
  const [first] = log.append([claim({ object: { kind: 'number', value: -1 } })])
  for (let i = 0; i < 20; i++) log.append(Array.from({ length: 200 }, (_, j) => claim({ object: { kind: 'number', value: i * 200 + j } })))
  let reads = 0
  const multiGet = log.store.multiGet.bind(log.store)
  log.store.multiGet = (column, keys) => {
    reads += keys.length
    return multiGet(column, keys)
  }
  const found = read(log, { subject: utf8('drug/'), subjectIsPrefix: true, predicate: undefined, asOfHlc: log.find(first!, 0)!.hlc })
  t.strictSame(found.map(({ lsn }) => lsn), [1])
  // A page holds 64 entries: stepping over 4000 of them would read 60 pages, and the list with each.
  t.ok(reads < 70, `${reads} nodes were read`)
})
