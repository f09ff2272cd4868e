import fc from 'fast-check'
import t from 'tap'
import { encodeCommand } from '../../../src/feed/feed-command.codec.ts'
import { readMessage } from '../../../src/feed/feed-message.codec.ts'
import { FeedStage, gatherMsFor } from '../../../src/feed/feed-stage.ts'
import { Feed } from '../../../src/feed/feed.ts'
import { noMetrics } from '../../../src/observe/thread-metrics.ts'
import { initHash } from '../../../src/record/claim.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { Marks } from '../../../src/ring/marks.ts'
import { createRing, RingReader, RingWriter } from '../../../src/ring/ring.ts'
import { MemoryDisk } from '../../support/memory-disk.ts'
import { LogBuilder } from '../ingest/log-builder.ts'

/** Longest time for which a subscriber may wait for what is applied, by the stage's own doing: it gathers for 4 ms. */
const GATHER_MS = 4

await initHash()

/** The stage with one subscriber at the end of a log, over a clock that goes on by so much each time that it is read. */
function following(ticks: readonly number[]): { readonly write: () => boolean, readonly settle: () => number, readonly delivered: () => number, readonly pass: (ms: number) => void } {
  const log = new LogBuilder(new MemoryDisk(), '/wal')
  const marks = new Marks()
  const commands = createRing(64 * 1024)
  const messages = createRing(256 * 1024)
  const reader = new RingReader(messages)
  let nowMs = 10_000
  let reads = 0
  const clock = { wallMs: () => nowMs, monoMs: () => (nowMs += ticks[reads++ % ticks.length]!), timer: () => () => undefined }
  const feed = new Feed({
    out: new RingWriter(messages, Bell.create()), openLog: () => log.reader(), placeOf: () => ({ position: log.recovered.first, lsnFirst: 1 }),
    appliedLsn: () => marks.appliedLsn, appliedPosition: () => marks.appliedPosition, durableLsn: () => log.lastLsn, clock, metrics: noMetrics,
    windowBytes: 2 ** 30, lagBytesMax: 2 ** 30, stallMsMax: 30_000, walSegmentBytes: 2 ** 20,
  })
  const stage = new FeedStage({ feed, commands: new RingReader(commands), marks, clock, heartbeatMs: 60_000, gatherMsMax: 64 })
  let lsns = 0
  const apply = (): void => {
    log.append(1)
    log.commit()
    marks.setApplied(log.durablePosition, log.lastLsn)
  }
  apply()
  const filter = { subject: undefined, subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined }
  new RingWriter(commands, marks.followerBell).write(encodeCommand({ kind: 'subscribe', subscription: 1, sink: 1, filter, fromLsn: 1, untilLsn: 0 }))
  return {
    /** Returns whether the stage is woken by it. */
    write() {
      const before = marks.followerBell.prepare()
      apply()
      return marks.followerBell.prepare() !== before
    },
    /** Steps until it would sleep. Returns for how long. */
    settle() {
      while (stage.step() !== 'idle') { /* it has more to do */ }
      const sleepMs = stage.idleMs()
      for (; reader.peek(); reader.release()) {
        readMessage(reader.frame().slice(), { subscribed: () => undefined, delivery: () => { lsns++ }, reached: () => undefined, ended: () => undefined })
      }
      return sleepMs
    },
    delivered: () => lsns,
    pass(ms) { nowMs += ms },
  }
}

t.test('whenever it sleeps, it is rung for what comes or looks by itself soon, however the clock goes on within a step', (t) => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 7 }), (ticks) => {
    const stage = following(ticks)
    for (let round = 0; round < 30; round++) {
      const sleepMs = stage.settle()
      if (stage.write()) continue
      if (sleepMs > GATHER_MS) return false
      stage.pass(sleepMs)
    }
    return true
  }), { numRuns: 300 })
  t.end()
})

t.test('what comes shortly after a delivery waits for the rest of the 4 ms, and shares them', (t) => {
  const stage = following([0])
  stage.settle()
  t.equal(stage.delivered(), 1, 'history')
  t.ok(stage.write(), 'what comes after a while wakes it')
  stage.settle()
  t.equal(stage.delivered(), 2)
  t.notOk(stage.write(), 'it does not want to be woken again yet')
  t.equal(stage.settle(), GATHER_MS)
  t.equal(stage.delivered(), 2)
  t.notOk(stage.write())
  stage.pass(GATHER_MS)
  stage.settle()
  t.equal(stage.delivered(), 3, 'two of them in one message')
  stage.pass(100)
  stage.settle()
  t.ok(stage.write(), 'again after a while')
  stage.settle()
  t.equal(stage.delivered(), 4)
  t.end()
})

t.test('the faster the stream, the longer deliveries gather, within the bound', (t) => {
  t.same([0, 1, 10, 50, 100, 160, 1000].map((assertionsPerMs) => gatherMsFor(assertionsPerMs, 64)), [4, 4, 4, 20, 40, 64, 64])
  t.same([0, 1000].map((assertionsPerMs) => gatherMsFor(assertionsPerMs, 0)), [0, 0])
  t.end()
})

t.test('deliveries of a fast stream gather for longer, and of a slow one for the least again', (t) => {
  const stage = following([0])
  stage.settle()
  stage.write()
  t.equal(stage.settle(), GATHER_MS)
  for (let i = 0; i < 200; i++) stage.write()
  stage.pass(GATHER_MS)
  t.equal(stage.settle(), 20, '50 a millisecond')
  stage.write()
  stage.pass(20)
  t.equal(stage.settle(), GATHER_MS)
  t.end()
})
