import fc from 'fast-check'
import t from 'tap'
import { DbError } from '../../../src/base/errors.ts'
import { LOG_BLOCK_BYTES, LogCache } from '../../../src/query/log-cache.ts'
import type { ReadRange } from '../../../src/query/log-walker.ts'

/** A log of two segments that grows at its end; what is not durable yet holds other bytes than it will. */
class GrowingLog {
  readonly segments: Uint8Array[]
  durable: { segmentId: number, offset: number }
  reads = 0

  constructor(bytes: number) {
    this.segments = [1, 2].map((seed) => Uint8Array.from({ length: bytes }, (_, i) => i * seed * 31 >> 3))
    this.durable = { segmentId: 2, offset: 0 }
  }

  byteAt(segmentId: number, offset: number): number {
    const isDurable = segmentId < this.durable.segmentId || (segmentId === this.durable.segmentId && offset < this.durable.offset)
    return isDurable ? this.segments[segmentId - 1]![offset]! : 0xee
  }

  readonly readRange: ReadRange = (segmentId, offset, length, out) => {
    this.reads++
    if (offset + length > this.segments[segmentId - 1]!.length) throw new DbError('wal_corrupt', 'not there')
    for (let i = 0; i < length; i++) out[i] = this.byteAt(segmentId, offset + i)
  }
}

const SEGMENT_BYTES = 6 * LOG_BLOCK_BYTES + 1000

const step = fc.record({
  segmentId: fc.constantFrom(1, 2), offset: fc.nat({ max: SEGMENT_BYTES - 1 }), length: fc.oneof(fc.nat({ max: 600 }), fc.nat({ max: 5 * LOG_BLOCK_BYTES })),
  grow: fc.nat({ max: 3000 }),
})

t.test('what a cache gives is what the log has, while it grows', async () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (steps, slots) => {
    const log = new GrowingLog(SEGMENT_BYTES)
    const cache = new LogCache(log.readRange, slots * LOG_BLOCK_BYTES + 7, () => log.durable)
    for (const { segmentId, offset, length, grow } of steps) {
      const end = Math.min(SEGMENT_BYTES, offset + length)
      const got = new Uint8Array(end - offset + 3).fill(7)
      cache.readRange(segmentId, offset, end - offset, got)
      for (let i = offset; i < end; i++) if (got[i - offset] !== log.byteAt(segmentId, i)) throw new Error(`byte ${i} of segment ${segmentId} is ${got[i - offset]}`)
      if (got[end - offset] !== 7) throw new Error('more was written than asked for')
      log.durable = { segmentId: 2, offset: Math.min(SEGMENT_BYTES, log.durable.offset + grow) }
    }
  }), { numRuns: 150 })
})

t.test('a block is read once as long as there is room, and the one not used goes', async (t) => {
  const log = new GrowingLog(SEGMENT_BYTES)
  const cache = new LogCache(log.readRange, 2 * LOG_BLOCK_BYTES, () => log.durable)
  const read = (block: number): void => cache.readRange(1, block * LOG_BLOCK_BYTES + 5, 100, new Uint8Array(100))
  for (const block of [0, 0, 1, 0, 1]) read(block)
  t.equal(log.reads, 2)
  t.match(cache, { hits: 3, misses: 2 })
  for (const block of [2, 3, 4, 5]) read(block)
  t.equal(log.reads, 6)
  read(0)
  t.equal(log.reads, 7, 'it had to go')
})

t.test('what can not be read stays so, and is asked for each time', async (t) => {
  const log = new GrowingLog(SEGMENT_BYTES)
  const cache = new LogCache(log.readRange, 4 * LOG_BLOCK_BYTES, () => log.durable)
  const beyond = (): void => cache.readRange(1, SEGMENT_BYTES - 10, 20, new Uint8Array(20))
  t.throws(beyond, { code: 'wal_corrupt' })
  t.throws(beyond, { code: 'wal_corrupt' })
  cache.readRange(1, SEGMENT_BYTES - 10, 10, new Uint8Array(10))
})
