import fc from 'fast-check'
import t from 'tap'
import { backoffMs } from '../../../src/client/backoff.ts'
import { Outbox, type OutboxEntry } from '../../../src/client/outbox.ts'

const frame = (bytes: number): Uint8Array => new Uint8Array(bytes)

t.test('credit: sent and unacked bytes stay within it', async (t) => {
  const box = new Outbox()
  for (let i = 1n; i <= 5n; i++) box.add(i, frame(40), false)
  t.equal(box.next(0), undefined, 'nothing is sent without a connection')
  box.connected(100)
  const first = box.next(0)
  const second = box.next(0)
  t.strictSame([first?.requestId, second?.requestId, box.next(0)], [1n, 2n, undefined])
  box.answered(first!)
  box.settle(first!)
  t.equal(box.next(0), undefined, 'not before the credit is given back')
  box.creditBack(40)
  t.equal(box.next(0)?.requestId, 3n)
  t.equal(box.count, 4)
  t.equal(box.bytes, 160)
})

t.test('a frame larger than the credit goes when nothing else is in flight', async (t) => {
  const box = new Outbox()
  box.add(1n, frame(10), false)
  box.add(2n, frame(500), false)
  box.connected(100)
  const small = box.next(0)!
  t.equal(box.next(0), undefined)
  box.answered(small)
  box.settle(small)
  t.equal(box.next(0)?.requestId, 2n)
})

t.test('a lost connection puts all unsettled batches back, in order', async (t) => {
  const box = new Outbox()
  for (let i = 1n; i <= 4n; i++) box.add(i, frame(10), i === 2n)
  box.connected(1000)
  const entries = [box.next(0)!, box.next(0)!, box.next(0)!]
  box.delay(entries[0]!, 50)
  box.answered(entries[1]!)
  box.disconnected()
  t.equal(box.inFlight, 0)
  box.connected(1000)
  t.strictSame([1, 2, 3, 4].map(() => box.next(0)?.requestId), [1n, 2n, 3n, 4n], 'also the one that was delayed, and the one that waits for a receipt')
})

t.test('a refused batch comes back when it is due', async (t) => {
  const box = new Outbox()
  box.add(1n, frame(10), false)
  box.connected(1000)
  const entry = box.next(0)!
  box.delay(entry, 30)
  t.equal(entry.refusals, 1)
  t.equal(box.nextDueMs(), 30)
  t.equal(box.next(29), undefined)
  t.equal(box.next(30)?.requestId, 1n)
  t.equal(box.nextDueMs(), undefined)
})

type Step = { kind: 'add', bytes: number } | { kind: 'send' } | { kind: 'ack', nth: number } | { kind: 'refuse', nth: number } | { kind: 'cut' }
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), bytes: fc.integer({ min: 1, max: 150 }) }),
  fc.constant({ kind: 'send' as const }),
  fc.record({ kind: fc.constant('ack' as const), nth: fc.nat(20) }),
  fc.record({ kind: fc.constant('refuse' as const), nth: fc.nat(20) }),
  fc.constant({ kind: 'cut' as const }),
)

t.test('under any history: credit kept, nothing lost, nothing settled twice', async (t) => {
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 50, max: 200 }), (steps, credit) => {
    const box = new Outbox()
    const open = new Map<bigint, number>()
    let inFlight: OutboxEntry[] = []
    let next = 1n
    let now = 0
    box.connected(credit)
    for (const s of steps) {
      now++
      if (s.kind === 'add') {
        open.set(next, s.bytes)
        box.add(next++, frame(s.bytes), false)
      } else if (s.kind === 'send') {
        const entry = box.next(now)
        if (entry !== undefined) inFlight.push(entry)
      } else if (s.kind === 'cut') {
        box.disconnected()
        inFlight = []
        box.connected(credit)
      } else {
        const entry = inFlight[s.nth % Math.max(1, inFlight.length)]
        if (entry === undefined) continue
        inFlight = inFlight.filter((e) => e !== entry)
        box.creditBack(entry.frame.length)
        if (s.kind === 'refuse') box.delay(entry, now + 2)
        else {
          box.answered(entry)
          box.settle(entry)
          open.delete(entry.requestId)
        }
      }
      const flying = inFlight.reduce((sum, entry) => sum + entry.frame.length, 0)
      if (inFlight.length > 1 && flying > credit) throw new Error(`${flying} bytes in flight with a credit of ${credit}`)
      if (box.count !== open.size) throw new Error(`${box.count} kept of ${open.size}`)
      if (box.bytes !== [...open.values()].reduce((a, b) => a + b, 0)) throw new Error('bytes do not add up')
      if (box.inFlight !== inFlight.length) throw new Error('in flight does not add up')
    }
    // All of it can still be sent and settled.
    box.disconnected()
    box.connected(credit)
    const seen: bigint[] = []
    for (let entry = box.next(now); entry !== undefined; entry = box.next(now)) {
      seen.push(entry.requestId)
      box.creditBack(entry.frame.length)
      box.answered(entry)
      box.settle(entry)
    }
    if (seen.join() !== [...open.keys()].sort((a, b) => Number(a - b)).join()) throw new Error(`${seen.join()} came out`)
  }), { numRuns: 300 })
  t.pass('held')
})

t.test('backoff grows, is capped and spread', async (t) => {
  const options = { baseMs: 100, capMs: 1000 }
  t.equal(backoffMs(0, options, 0), 50)
  t.equal(backoffMs(0, options, 0.999999) <= 100, true)
  t.equal(backoffMs(2, options, 0), 200)
  t.equal(backoffMs(2, options, 0.5), 300)
  t.equal(backoffMs(50, options, 0), 500)
  t.ok(backoffMs(1e9, options, 1) <= 1000, 'no overflow')
})
