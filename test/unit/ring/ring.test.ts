import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import t from 'tap'
import { Bell } from '../../../src/ring/bell.ts'
import { Marks } from '../../../src/ring/marks.ts'
import { frameSpan } from '../../../src/ring/ring.layout.ts'
import { RingReader, RingWriter, createRing } from '../../../src/ring/ring.ts'

t.test('any interleaving of writes and reads gives the frames back in order', (t) => {
  fc.assert(fc.property(
    fc.array(fc.oneof(fc.nat({ max: 2000 }).map((bytes) => ({ bytes })), fc.constant('read' as const)), { maxLength: 400 }),
    (steps) => {
      const buffer = createRing(4096)
      const writer = new RingWriter(buffer, Bell.create())
      const reader = new RingReader(buffer)
      const expected: Uint8Array[] = []
      let stamp = 0
      const read = (): void => {
        const found = reader.peek()
        if (found !== expected.length > 0) throw new Error('peek disagrees with the model')
        if (!found) return
        const want = expected.shift()!
        if (Buffer.compare(Buffer.from(reader.frame()), want) !== 0) throw new Error('other bytes')
        if (reader.payloadOffset % 8 !== 0) throw new Error('not aligned')
        reader.release()
      }
      for (const step of steps) {
        if (step === 'read') {
          read()
          continue
        }
        const payload = new Uint8Array(step.bytes).fill(++stamp & 255)
        const used = expected.reduce((sum, frame) => sum + frameSpan(frame.length), 0)
        const taken = writer.write(payload)
        if (taken) expected.push(payload)
        else if (used === 0) throw new Error('an empty ring refused a frame of half its size')
      }
      while (expected.length > 0) read()
      read()
    },
  ), { numRuns: 300 })
  t.end()
})

t.test('counters wrap at 2^32', (t) => {
  const buffer = createRing(4096)
  const control = new Int32Array(buffer, 0, 32)
  const near = -64 // 2^32 - 64 as i32
  control[0] = near
  control[16] = near
  const writer = new RingWriter(buffer, Bell.create())
  const reader = new RingReader(buffer)
  for (let i = 0; i < 100; i++) {
    t.ok(writer.write(new Uint8Array(i + 1).fill(i)))
    t.ok(reader.peek())
    t.equal(reader.payloadBytes, i + 1)
    t.equal(reader.frame()[i], i)
    reader.release()
  }
  t.equal(reader.peek(), false)
  t.end()
})

t.test('nothing is visible before publish, and a second reserve forgets the first', (t) => {
  const buffer = createRing(4096)
  const writer = new RingWriter(buffer, Bell.create())
  const reader = new RingReader(buffer)
  t.ok(writer.reserve(100) >= 0)
  t.equal(reader.peek(), false)
  const at = writer.reserve(8)
  writer.bytes.fill(7, at, at + 8)
  writer.publish()
  t.ok(reader.peek())
  t.same([...reader.frame()], [7, 7, 7, 7, 7, 7, 7, 7])
  t.equal(reader.fill() > 0, true)
  reader.release()
  t.equal(reader.fill(), 0)
  t.throws(() => writer.reserve(4096), /a frame of 4096 bytes/)
  t.end()
})

t.test('two threads: a million bytes of frames cross in order through a small ring, with sleeps on both sides', async (t) => {
  const buffer = createRing(8192)
  const bell = Bell.create()
  const count = 20_000
  const ringUrl = new URL('../../../src/ring/ring.js', import.meta.url).href
  const bellUrl = new URL('../../../src/ring/bell.js', import.meta.url).href
  const producer = new Worker(`
    const { workerData } = require('node:worker_threads')
    ;(async () => {
      const { RingWriter } = await import('${ringUrl}')
      const { Bell } = await import('${bellUrl}')
      const writer = new RingWriter(workerData.buffer, new Bell(workerData.bell))
      for (let i = 0; i < ${count}; i++) {
        const bytes = 4 + (i * 37) % 900
        let at
        while ((at = writer.reserve(bytes)) < 0) writer.waitForSpace(bytes, 1000)
        writer.view.setUint32(at, i, true)
        writer.publish()
      }
    })()
  `, { eval: true, workerData: { buffer, bell: bell.buffer } })
  const reader = new RingReader(buffer)
  let next = 0
  let wrong = 0
  while (next < count) {
    const prepared = bell.prepare()
    let any = false
    while (reader.peek()) {
      any = true
      if (reader.view.getUint32(reader.payloadOffset, true) !== next || reader.payloadBytes !== 4 + (next * 37) % 900) wrong++
      next++
      reader.release()
    }
    if (!any && !await bell.waitAsync(prepared, 5000)) break
  }
  t.equal(next, count)
  t.equal(wrong, 0)
  await producer.terminate()
})

t.test('bell: a ring between prepare and wait is not slept over', async (t) => {
  const bell = Bell.create()
  const prepared = bell.prepare()
  bell.ring()
  t.equal(bell.wait(prepared, 10_000), true)
  t.equal(await bell.waitAsync(prepared, 10_000), true)
  t.equal(bell.wait(bell.prepare(), 1), false)
})

t.test('marks keep positions and numbers', (t) => {
  const marks = new Marks()
  const other = new Marks(marks.buffer)
  marks.setDurable({ segmentId: 0xffff_fffe, offset: 0xffff_fff8 }, 2 ** 52 + 1, 0xffff_ffff_ffff_fffen)
  t.same(other.durablePosition, { segmentId: 0xffff_fffe, offset: 0xffff_fff8 })
  t.equal(other.durableLsn, 2 ** 52 + 1)
  t.equal(other.durableHlc, 0xffff_ffff_ffff_fffen)
  marks.setApplied({ segmentId: 1, offset: 64 }, 5)
  marks.setIdsFlushed(4)
  marks.setRefusal(33)
  t.same([other.appliedLsn, other.appliedPosition, other.idsFlushedLsn, other.refusal], [5, { segmentId: 1, offset: 64 }, 4, 33])
  t.end()
})
