import fc from 'fast-check'
import { ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { toHex } from '../../../src/base/bytes.ts'
import type { WalPosition } from '../../../src/base/lsn.ts'
import { Delivery } from '../../../src/fbs/stemedb/delivery.ts'
import { Feed } from '../../../src/feed/feed.ts'
import { CURSORS_MAX } from '../../../src/feed/feed.ts'
import { readMessage, type FeedListener } from '../../../src/feed/feed-message.codec.ts'
import { decodeCommand, encodeCommand, type FeedCommand } from '../../../src/feed/feed-command.codec.ts'
import type { FeedFilter } from '../../../src/feed/filter.ts'
import type { LogPlace } from '../../../src/feed/subscription.ts'
import { noMetrics } from '../../../src/observe/thread-metrics.ts'
import { initHash } from '../../../src/record/claim.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { createRing, RingReader, RingWriter } from '../../../src/ring/ring.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { verifyBuffer, verifyFault } from '../../../src/wire/verifier.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { LogBuilder, type Written } from '../ingest/log-builder.ts'

const ALL: FeedFilter = { subject: undefined, subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined }
const LAG_BYTES_MAX = 1024 * 1024

interface Heard {
  readonly lsns: number[]
  readonly items: { readonly lsn: number, readonly id: string, readonly hlc: bigint, readonly bytes: string }[]
  fromLsn: number | undefined
  reachedLsn: number
  end: { readonly code: number, readonly detail: string, readonly lastLsn: number } | undefined
  /** Bytes that came since the last report. */
  unreported: number
}

/** A feed over a log that a test writes, with a clock that it moves, and the front's end of its ring. */
class FeedUnderTest implements FeedListener {
  readonly log: LogBuilder
  readonly feed: Feed
  readonly heard = new Map<number, Heard>()
  readonly faults: string[] = []
  readonly reader: RingReader
  nowMs = 1000
  applied: WalPosition
  appliedLsn = 0
  openLogs = 0
  openLogsMost = 0
  readonly #points: LogPlace[] = []

  constructor({ ringBytes = 256 * 1024, windowBytes = 16 * 1024, segmentBytes = 256 * 1024, firstLsn = 1 } = {}) {
    this.log = new LogBuilder(new MemoryDisk(), '/wal', { segmentBytes })
    const buffer = createRing(ringBytes)
    this.reader = new RingReader(buffer)
    this.applied = this.log.durablePosition
    this.feed = new Feed({
      out: new RingWriter(buffer, Bell.create()),
      openLog: () => {
        const log = this.log.reader()
        this.openLogsMost = Math.max(this.openLogsMost, ++this.openLogs)
        const close = log.close.bind(log)
        log.close = () => {
          this.openLogs--
          close()
        }
        return log
      },
      placeOf: (lsn) => (lsn < firstLsn ? undefined : this.#points.findLast(({ lsnFirst }) => lsnFirst <= lsn) ?? { position: this.log.recovered.first, lsnFirst: 1 }),
      appliedLsn: () => this.appliedLsn, appliedPosition: () => this.applied, durableLsn: () => this.log.lastLsn,
      clock: { monoMs: () => this.nowMs, wallMs: () => this.nowMs, timer: () => () => undefined },
      metrics: noMetrics, windowBytes, lagBytesMax: LAG_BYTES_MAX, stallMsMax: 30_000, walSegmentBytes: segmentBytes,
    })
  }

  /** A commit group, applied. Every third one is a point of the index. */
  write(count: number, refused?: (index: number) => boolean): void {
    const before = this.log.written.length
    this.log.append(count, refused)
    this.log.commit()
    this.applied = this.log.durablePosition
    this.appliedLsn = this.log.lastLsn
    const first = this.log.written[before]
    if (first !== undefined && this.#points.length * 3 <= before) {
      this.#points.push({ lsnFirst: first.lsn, position: { segmentId: first.segmentId, offset: first.recordOffset } })
    }
  }

  subscribe(subscription: number, fromLsn = 0, filter = ALL, sink = subscription, untilLsn = 0): void {
    this.heard.set(subscription, { lsns: [], items: [], fromLsn: undefined, reachedLsn: 0, end: undefined, unreported: 0 })
    this.command({ kind: 'subscribe', subscription, sink, filter, fromLsn, untilLsn })
  }

  command(command: FeedCommand): void {
    this.feed.command(decodeCommand(encodeCommand(command)))
  }

  report(subscription: number): void {
    const heard = this.heard.get(subscription)!
    this.command({ kind: 'consumed', sink: subscription, bytes: heard.unreported })
    heard.unreported = 0
  }

  drain(): number {
    let count = 0
    for (; this.reader.peek(); count++) {
      readMessage(this.reader.frame().slice(), this)
      this.reader.release()
    }
    return count
  }

  /** Until nothing happens any more; takes what comes, and says so. */
  settle(reports = true): void {
    for (let idle = 0; idle < 2;) {
      const outcome = this.feed.step(true)
      const taken = this.drain()
      if (reports) for (const [number, { unreported }] of this.heard) if (unreported > 0) this.report(number)
      idle = outcome === 'idle' && taken === 0 ? idle + 1 : 0
    }
  }

  /** What should have come of the log from an LSN on. */
  expected(fromLsn: number, wants: (written: Written) => boolean = () => true): number[] {
    return this.log.written.filter((written) => written.lsn >= fromLsn && wants(written)).map(({ lsn }) => lsn)
  }

  subscribed(subscription: number, fromLsn: number): void {
    this.heard.get(subscription)!.fromLsn = fromLsn
  }

  delivery(subscriptions: readonly number[], frame: Uint8Array): void {
    if (verifyBuffer('Delivery', frame) !== 0) this.faults.push(verifyFault())
    const delivery = Delivery.getRootAsDelivery(new ByteBuffer(frame))
    const items = Array.from({ length: delivery.itemsLength() }, (_, i) => {
      const found = delivery.items(i)!
      const id = found.id()!
      return { lsn: Number(found.lsn()), hlc: found.hlc(), id: toHex(id.bb!.bytes().slice(id.bb_pos, id.bb_pos + 32)), bytes: toHex(found.assertionArray()!) }
    })
    for (const subscription of subscriptions) {
      const heard = this.heard.get(subscription)
      if (heard?.end !== undefined) this.faults.push(`a delivery to ${subscription} after its end`)
      if (heard === undefined) continue
      if (heard.fromLsn === undefined) this.faults.push(`a delivery to ${subscription} before its begin`)
      heard.unreported += frame.length
      for (const item of items) {
        heard.lsns.push(item.lsn)
        heard.items.push(item)
      }
    }
  }

  reached(entries: readonly { readonly subscription: number, readonly lsn: number }[]): void {
    for (const { subscription, lsn } of entries) this.heard.get(subscription)!.reachedLsn = lsn
  }

  ended(subscription: number, code: number, detail: string, lastLsn: number): void {
    this.heard.get(subscription)!.end = { code, detail, lastLsn }
  }
}

t.before(initHash)

t.test('from the begin, from the middle, from now: everything once, in order, and as it was written', async (t) => {
  const world = new FeedUnderTest({ windowBytes: 1024 * 1024 })
  for (let n = 0; n < 60; n++) world.write(1 + (n % 7), (index) => index === 2)
  world.log.mark()
  world.subscribe(1, 1)
  world.subscribe(2, 57)
  world.subscribe(3)
  world.settle()
  const now = world.appliedLsn + 1
  for (let n = 0; n < 20; n++) {
    world.write(3)
    world.settle()
  }
  t.strictSame(world.faults, [])
  t.strictSame([...world.heard.values()].map(({ fromLsn }) => fromLsn), [1, 57, now])
  for (const [number, from] of [[1, 1], [2, 57], [3, now]] as const) t.strictSame(world.heard.get(number)!.lsns, world.expected(from), `subscription ${number}`)
  t.strictSame(world.heard.get(1)!.items.map(({ id, hlc, bytes }) => ({ id, hlc, bytes })),
    world.log.written.map(({ id, hlc, assertion }) => ({ id: toHex(id), hlc, bytes: toHex(encodeAssertion(assertion)) })))
  t.equal(world.openLogs, 1, 'all three are carried by one cursor')
  world.feed.heartbeat()
  world.settle()
  t.strictSame([...world.heard.values()].map(({ reachedLsn }) => reachedLsn), [world.appliedLsn, world.appliedLsn, world.appliedLsn])
})

t.test('any interleaving of writes, credits, subscribers and a ring that is full: exactly once and in order', async (t) => {
  const wantsSize = ({ assertion }: Written): boolean => assertion.predicate === 'size'
  const SIZE: FeedFilter = { ...ALL, predicate: 'size' }
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), count: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('subscribe' as const), back: fc.integer({ min: 0, max: 400 }), filtered: fc.boolean() }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('step' as const), times: fc.integer({ min: 1, max: 4 }), follow: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('report' as const), which: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(), how: fc.constantFrom('unsubscribe' as const, 'close' as const) }) },
  )
  let heldSeen = 0
  fc.assert(fc.property(fc.array(step, { minLength: 10, maxLength: 80 }), (steps) => {
    const world = new FeedUnderTest({ ringBytes: 128 * 1024, windowBytes: 2048, segmentBytes: 64 * 1024 })
    const filtered = new Set<number>()
    const gone = new Set<number>()
    const pick = (which: number): number | undefined => [...world.heard.keys()].filter((number) => !gone.has(number))[which % Math.max(1, world.heard.size - gone.size)]
    let next = 1
    for (const one of steps) {
      if (one.do === 'write') world.write(one.count)
      else if (one.do === 'subscribe' && next < 30) {
        world.subscribe(next, one.back === 0 ? 0 : Math.max(1, world.log.lastLsn + 1 - one.back), one.filtered ? SIZE : ALL)
        if (one.filtered) filtered.add(next)
        next++
      } else if (one.do === 'step') for (let n = 0; n < one.times; n++) world.feed.step(one.follow)
      else if (one.do === 'drain') world.drain()
      else if (one.do === 'report') {
        const number = pick(one.which)
        if (number !== undefined) world.report(number)
      } else if (one.do === 'end') {
        const number = pick(one.which)
        if (number === undefined) continue
        gone.add(number)
        world.command(one.how === 'close' ? { kind: 'close', sink: number } : { kind: 'unsubscribe', subscription: number })
      }
      world.feed.report()
      heldSeen = Math.max(heldSeen, world.openLogs)
    }
    world.settle()
    if (world.faults.length > 0) throw new Error(world.faults.join())
    if (world.openLogsMost > CURSORS_MAX) throw new Error(`${world.openLogsMost} logs are open`)
    for (const [number, heard] of world.heard) {
      const all = world.expected(heard.fromLsn ?? Infinity, filtered.has(number) ? wantsSize : undefined)
      const upTo = heard.end?.lastLsn ?? Infinity
      const expected = gone.has(number) ? all.slice(0, heard.lsns.length) : all
      if (JSON.stringify(heard.lsns) !== JSON.stringify(expected)) throw new Error(`${number} from ${heard.fromLsn}: ${heard.lsns.join()} and not ${expected.join()}`)
      if (heard.end !== undefined && all.filter((lsn) => lsn <= upTo).length !== heard.lsns.length) throw new Error(`${number} ended at ${upTo}, and has ${heard.lsns.length}`)
    }
    return true
  }), { numRuns: 150 })
  t.ok(heldSeen > 1, 'some were behind while others were not')
})

t.test('who reads nothing gets no more than its window, and is ended; others go on', async (t) => {
  const world = new FeedUnderTest({ windowBytes: 8 * 1024, ringBytes: 1024 * 1024 })
  world.subscribe(1)
  world.subscribe(2)
  world.settle()
  for (let n = 0; n < 100; n++) {
    world.write(10)
    world.feed.step(true)
    world.drain()
    world.report(2)
  }
  const bytes = world.heard.get(1)!.unreported
  t.ok(bytes > 2000 && bytes <= 8 * 1024, `${bytes} bytes are under way to the one who reads nothing`)
  world.nowMs += 29_000
  world.feed.endTheSlow()
  world.settle(false)
  t.equal(world.heard.get(1)!.end, undefined, 'not yet')
  world.nowMs += 2000
  world.feed.endTheSlow()
  for (let n = 0; n < 20; n++) {
    world.settle(false)
    world.report(2)
  }
  const { end, lsns } = world.heard.get(1)!
  t.match(end, { code: ERROR_CODES.subscriber_too_slow.number, lastLsn: lsns.at(-1)! })
  t.equal(world.heard.get(2)!.end, undefined)
  t.strictSame(world.heard.get(2)!.lsns, world.expected(1))
  world.subscribe(3, end!.lastLsn + 1)
  world.settle()
  t.strictSame([...lsns, ...world.heard.get(3)!.lsns], world.expected(1), 'who comes again from there has everything once')
})

t.test('who was at the end and falls too far behind is ended; history itself is not "behind"', async (t) => {
  const world = new FeedUnderTest({ windowBytes: 4096, ringBytes: 1024 * 1024 })
  world.subscribe(1)
  world.settle()
  while (world.applied.segmentId < 8) world.write(200)
  world.settle(false)
  world.subscribe(2, 1)
  for (let n = 0; n < 10; n++) {
    world.feed.step(true)
    world.drain()
  }
  world.nowMs += 1000
  world.feed.endTheSlow()
  for (let n = 0; n < 10; n++) {
    world.feed.step(true)
    world.drain()
  }
  t.equal(world.heard.get(1)!.end?.code, ERROR_CODES.subscriber_too_slow.number)
  t.equal(world.heard.get(2)!.end, undefined, 'one that reads history is where it wanted to be')
  world.settle()
  t.strictSame(world.heard.get(2)!.lsns, world.expected(1))
})

t.test('refusals, and ends that were asked for', async (t) => {
  const world = new FeedUnderTest({ firstLsn: 5 })
  for (let n = 0; n < 10; n++) world.write(2)
  world.subscribe(1, 22)
  world.subscribe(2, 4)
  world.subscribe(3, 21)
  world.subscribe(4, 6, ALL, 4, 9)
  world.settle()
  t.match(world.heard.get(1)!.end, { code: ERROR_CODES.lsn_in_future.number, lastLsn: 0 })
  t.match(world.heard.get(2)!.end, { code: ERROR_CODES.lsn_unavailable.number, lastLsn: 0 })
  t.match(world.heard.get(3), { fromLsn: 21, end: undefined })
  const page = world.heard.get(4)!
  t.equal(page.end?.code, 0)
  t.ok(page.end!.lastLsn >= 9)
  t.strictSame(page.lsns, world.expected(6).filter((lsn) => lsn <= page.end!.lastLsn))
  world.command({ kind: 'unsubscribe', subscription: 3 })
  world.settle()
  t.match(world.heard.get(3)!.end, { code: 0, lastLsn: 20 })
  t.equal(world.feed.subscriptionCount, 0)
  t.equal(world.openLogs, 0, 'nothing is read for nobody')
})

t.test('damage in the log ends those who need the place, and no others', async (t) => {
  const world = new FeedUnderTest()
  for (let n = 0; n < 50; n++) world.write(20)
  const victim = world.log.written[300]!
  const file = world.log.disk.open(`/wal/${String(victim.segmentId).padStart(10, '0')}.wal`, 'write')
  file.pwrite(Uint8Array.of(0xff), 0, 1, victim.recordOffset + 100)
  file.close()
  world.subscribe(1, 1)
  world.subscribe(2)
  world.settle()
  world.write(5)
  world.settle()
  const { end, lsns } = world.heard.get(1)!
  t.equal(end?.code, ERROR_CODES.wal_corrupt.number)
  t.ok(lsns.length > 200, 'what stands before it came')
  t.strictSame(lsns, world.expected(1).slice(0, lsns.length))
  t.strictSame(world.heard.get(2)!.lsns, world.expected(1001))
})
