import fc from 'fast-check'
import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import {
  ASKER_FRAME_OFFSET, ASKER_GENERATION_OFFSET, ASKER_HTTP, ASKER_QUERIES_OFFSET, ASKER_RECEIVED_MONO_MS_OFFSET, ASKER_SLOT_OFFSET,
} from '../../../src/query/asker.layout.ts'
import { LensStage } from '../../../src/query/lens-stage.ts'
import { Bell } from '../../../src/ring/bell.ts'
import { RingReader, RingWriter, createRing } from '../../../src/ring/ring.ts'
import { LIST_ITEMS_MAX, ListView, encodeList, isRepliesFrame } from '../../../src/wire/queries.codec.ts'

/** A frame of replies as the front finds it in the ring. */
interface Got {
  readonly slot: number
  readonly generation: number
  readonly queries: number
  readonly receivedMonoMs: number
  readonly isList: boolean
  readonly replies: readonly string[]
}

const SINGLE = [0, 0, 0, 0, ...Buffer.from('SQRQ')]
const single = (text: string): Uint8Array => Uint8Array.from([...SINGLE, ...Buffer.from(text)])

interface RigOptions {
  readonly replyBytesMax?: number
  readonly ringBytes?: number
  /** Milliseconds that an answer takes. */
  readonly answerMs?: number
  /** By the text of the question; left out: an echo. */
  readonly answer?: (text: string) => Uint8Array
}

/** A stage over real rings, which answers by echo. */
class Rig {
  readonly stage: LensStage
  readonly asked: string[] = []
  readonly space: Bell
  reports = 0
  monoMs = 0
  readonly #requests: RingWriter
  readonly #replies: RingReader
  readonly #writer: RingWriter

  constructor({ replyBytesMax = 1024, ringBytes = 1 << 19, answerMs = 0, answer }: RigOptions = {}) {
    const requests = createRing(1 << 19)
    const replies = createRing(ringBytes)
    this.#requests = new RingWriter(requests, Bell.create())
    this.#replies = new RingReader(replies)
    this.#writer = new RingWriter(replies, Bell.create())
    this.space = this.#writer.space
    const clock: Clock = { wallMs: () => 0, monoMs: () => this.monoMs, timer: () => () => undefined }
    this.stage = new LensStage({
      requests: new RingReader(requests), replies: this.#writer, replyBytesMax, clock, report: () => void this.reports++,
      answer: (request) => {
        const text = Buffer.from(request.subarray(SINGLE.length)).toString()
        this.asked.push(text)
        this.monoMs += answerMs
        return answer === undefined ? Uint8Array.from([...Buffer.alloc(8), ...Buffer.from(text)]) : answer(text)
      },
    })
  }

  ask(slot: number, generation: number, frame: Uint8Array, queries = 1, receivedMonoMs = 5): void {
    const bytes = new Uint8Array(ASKER_FRAME_OFFSET + frame.length)
    const view = new DataView(bytes.buffer)
    view.setUint32(ASKER_SLOT_OFFSET, slot, true)
    view.setUint32(ASKER_GENERATION_OFFSET, generation, true)
    view.setUint32(ASKER_QUERIES_OFFSET, queries, true)
    view.setFloat64(ASKER_RECEIVED_MONO_MS_OFFSET, receivedMonoMs, true)
    bytes.set(frame, ASKER_FRAME_OFFSET)
    if (!this.#requests.write(bytes)) throw new Error('the test asks more than its ring takes')
  }

  /** What is ready, at most so many frames. */
  take(framesMax = Infinity): Got[] {
    const got: Got[] = []
    while (got.length < framesMax && this.#replies.peek()) {
      const bytes = this.#replies.frame()
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      const frame = bytes.slice(ASKER_FRAME_OFFSET)
      const list = new ListView().reset(frame)
      const isList = isRepliesFrame(frame)
      const items = isList ? Array.from({ length: list.count }, (_, i) => list.item(i)) : [frame]
      got.push({
        slot: view.getUint32(ASKER_SLOT_OFFSET, true), generation: view.getUint32(ASKER_GENERATION_OFFSET, true),
        queries: view.getUint32(ASKER_QUERIES_OFFSET, true), receivedMonoMs: view.getFloat64(ASKER_RECEIVED_MONO_MS_OFFSET, true),
        isList, replies: items.map((item) => Buffer.from(item.subarray(8)).toString()),
      })
      this.#replies.release()
    }
    return got
  }

  /** Steps until nothing is left to do, taking what comes. */
  run(): Got[] {
    const got: Got[] = []
    for (;;) {
      const outcome = this.stage.step()
      got.push(...this.take())
      if (outcome === 'idle') return got
    }
  }

  /** Fills the ring of replies, as a front does that takes nothing. */
  fill(): void {
    while (this.#writer.write(new Uint8Array(ASKER_FRAME_OFFSET + 4096)));
  }
}

t.test('one question, one bare reply, to who asked', async (t) => {
  const rig = new Rig()
  t.equal(rig.stage.step(), 'idle')
  rig.ask(3, 9, single('a'), 1, 17.5)
  t.equal(rig.stage.step(), 'progress')
  t.strictSame(rig.take(), [{ slot: 3, generation: 9, queries: 1, receivedMonoMs: 17.5, isList: false, replies: ['a'] }])
  t.equal(rig.stage.step(), 'idle')
  t.equal(rig.reports, 1)
})

t.test('what one asker has at hand is answered in one frame; another one, or the next owner of a slot, gets its own', async (t) => {
  const rig = new Rig()
  rig.ask(1, 1, encodeList('SQRS', ['a', 'b'].map(single)), 2)
  rig.ask(1, 1, single('c'))
  rig.ask(2, 1, single('d'))
  // The connection in slot 1 has gone, and the slot has a new owner: the front tells them apart by the generation.
  rig.ask(1, 2, single('e'))
  for (const text of ['f', 'g']) rig.ask(ASKER_HTTP, 0, single(text))
  t.strictSame(rig.run().map(({ slot, generation, queries, isList, replies }) => [slot, generation, queries, isList, replies]), [
    [1, 1, 3, true, ['a', 'b', 'c']], [2, 1, 1, false, ['d']], [1, 2, 1, false, ['e']],
    [ASKER_HTTP, 0, 1, false, ['f']], [ASKER_HTTP, 0, 1, false, ['g']],
  ])
})

t.test('a full ring of replies: nothing is answered, nothing is lost, and it goes on when there is room', async (t) => {
  const rig = new Rig()
  rig.fill()
  rig.ask(1, 1, encodeList('SQRS', ['a', 'b'].map(single)), 2)
  for (let i = 0; i < 3; i++) t.equal(rig.stage.step(), 'blocked')
  t.equal(rig.stage.blockedOn, rig.space, 'it sleeps on the bell that room rings')
  t.strictSame(rig.asked, [], 'nobody works for an answer that has no place')
  t.equal(rig.reports, 0)
  rig.take()
  t.equal(rig.stage.step(), 'progress')
  t.match(rig.take(), [{ slot: 1, queries: 2, replies: ['a', 'b'] }])
})

t.test('a frame without any question is answered as the broken one that it is', async (t) => {
  const rig = new Rig()
  rig.ask(1, 1, encodeList('SQRS', []))
  rig.ask(1, 1, Uint8Array.of(1, 2, 3))
  t.match(rig.run(), [{ queries: 2, replies: ['', ''] }])
  t.strictSame(rig.asked, ['', ''])
})

t.test('an answer waits for the next ones no longer than a millisecond or so', async (t) => {
  const rig = new Rig({ answerMs: 0.5 })
  rig.ask(1, 1, encodeList('SQRS', Array.from({ length: 10 }, (_, i) => single(`${i}`))), 10)
  const got = rig.run()
  t.strictSame(got.map(({ queries }) => queries), [4, 4, 2], 'the clock is looked at with every fourth')
  t.strictSame(got.flatMap(({ replies }) => replies), Array.from({ length: 10 }, (_, i) => `${i}`))
})

t.test('the largest answers fit, in frames of their own; one beyond the bound is a bug and nothing of it leaves', async (t) => {
  const replyBytesMax = 64 * 1024
  const large = new Uint8Array(replyBytesMax).fill(0x78)
  const rig = new Rig({ replyBytesMax, answer: (text) => text === 'large' ? large : text === 'oversize' ? new Uint8Array(replyBytesMax + 1) : Uint8Array.from([...Buffer.alloc(8), 0x73]) })
  rig.ask(1, 1, encodeList('SQRS', ['small', 'large', 'large', 'small', 'large'].map(single)), 5)
  const got = rig.run()
  t.equal(got.reduce((sum, { queries }) => sum + queries, 0), 5)
  t.strictSame(got.flatMap(({ replies }) => replies.map((text) => text.length)), [1, large.length - 8, large.length - 8, 1, large.length - 8])
  t.ok(got.length >= 3, `${got.length} frames`)
  rig.ask(1, 1, single('oversize'))
  t.throws(() => rig.stage.step(), /within its bound/)
  t.strictSame(rig.take(), [])
})

t.test('a ring that can not take the largest answer is refused at the start', async (t) => {
  t.throws(() => new Rig({ replyBytesMax: 16 * 1024, ringBytes: 16 * 1024 }), /larger than its ring/)
})

const frames = fc.array(fc.record({
  slot: fc.constantFrom(1, 2, ASKER_HTTP), generation: fc.constantFrom(1, 2), questions: fc.integer({ min: 1, max: LIST_ITEMS_MAX }), taken: fc.integer({ min: 0, max: 3 }),
}), { maxLength: 12 })

t.test('whatever is asked and however slowly replies are taken: each question is answered once, in its order, to its asker', async () => {
  fc.assert(fc.property(frames, fc.integer({ min: 0, max: 3 }), (asked, answerQuarters) => {
    const rig = new Rig({ replyBytesMax: 2048, ringBytes: 32 * 1024, answerMs: answerQuarters / 4, answer: (text) => Uint8Array.from([...Buffer.alloc(8), ...Buffer.from(text.padEnd(300))]) })
    const expected = new Map<string, string[]>()
    const got: Got[] = []
    let number = 0
    for (const { slot, generation, questions, taken } of asked) {
      const count = slot === ASKER_HTTP ? 1 : questions
      const texts = Array.from({ length: count }, () => `${number++}`)
      rig.ask(slot, generation, count === 1 ? single(texts[0]!) : encodeList('SQRS', texts.map(single)), count)
      const key = `${slot} ${generation}`
      expected.set(key, [...expected.get(key) ?? [], ...texts])
      rig.stage.step()
      got.push(...rig.take(taken))
    }
    got.push(...rig.run())
    const answered = new Map<string, string[]>()
    for (const { slot, generation, queries, replies } of got) {
      if (queries !== replies.length) throw new Error('a frame says another number of answers than it has')
      const key = `${slot} ${generation}`
      answered.set(key, [...answered.get(key) ?? [], ...replies.map((text) => text.trim())])
    }
    if (JSON.stringify([...answered].sort()) !== JSON.stringify([...expected].sort())) throw new Error('answers were lost, repeated or misled')
  }), { numRuns: 40 })
})
