import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { Bell } from '../ring/bell.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import { LIST_ITEMS_MAX, ListView, ListWriter, isQueriesFrame } from '../wire/queries.codec.ts'
import {
  ASKER_FRAME_OFFSET, ASKER_GENERATION_OFFSET, ASKER_HTTP, ASKER_QUERIES_OFFSET, ASKER_RECEIVED_MONO_MS_OFFSET, ASKER_SLOT_OFFSET,
} from './asker.layout.ts'

/** Bytes of replies that are gathered for one asker before they are sent. */
const GATHER_BYTES = 64 * 1024
/** Time for which an answer waits for the next ones, in milliseconds. */
const GATHER_MS = 1
/** A look at the clock costs as much as an answer that was kept. */
const CLOCK_EVERY = 4
/** What a frame of several replies takes beside them, at most: head and offsets, and table, length and padding of the last. */
const FRAME_OVERHEAD_BYTES = 64 + 4 * LIST_ITEMS_MAX
const ITEM_OVERHEAD_BYTES = 24

export interface LensDependencies {
  readonly requests: RingReader
  readonly replies: RingWriter
  /** Answers one QueryRequest buffer with a QueryReply of at most `replyBytesMax` bytes; never throws for bad input. */
  readonly answer: (request: Uint8Array) => Uint8Array
  readonly replyBytesMax: number
  readonly clock: Clock
  /** Called with each frame of replies. */
  readonly report?: () => void
}

/**
 * Answers queries, one after the other. Replies to one asker that are ready together leave as one frame: so a message of dozens of
 * queries costs the front as much as one query does.
 */
export class LensStage implements Stage {
  readonly blockedOn: Bell
  readonly #deps: LensDependencies
  readonly #list = new ListView()
  readonly #out = new ListWriter('SQRR', 2 * GATHER_BYTES)
  readonly #gatherBytes: number
  /** Room in the ring that any step may need. */
  readonly #roomBytes: number
  /** Queries of the frame at hand that are answered. */
  #done = 0
  // The frame at hand, in the ring.
  #frame: Uint8Array = new Uint8Array(0)
  #isList = false
  #queries = 0
  // Whose it is, and what is gathered.
  #slot = 0
  #generation = 0
  #receivedMonoMs = 0
  /** Queries that leave with the next frame. */
  #settled = 0

  constructor(deps: LensDependencies) {
    const { replies, replyBytesMax } = deps
    this.#deps = deps
    this.blockedOn = replies.space
    const overhead = ASKER_FRAME_OFFSET + FRAME_OVERHEAD_BYTES + ITEM_OVERHEAD_BYTES
    this.#gatherBytes = Math.min(GATHER_BYTES, replies.payloadBytesMax - replyBytesMax - overhead)
    assert(this.#gatherBytes > 0, 'a reply may be larger than its ring takes')
    this.#roomBytes = this.#gatherBytes + replyBytesMax + overhead
  }

  step(): StepOutcome {
    const { requests, replies, clock } = this.#deps
    if (!requests.peek()) return 'idle'
    if (!replies.hasRoom(this.#roomBytes)) return 'blocked'
    this.#openAsker()
    this.#openFrame()
    const endMonoMs = clock.monoMs() + GATHER_MS
    for (let answers = 1; this.#answerNext(); answers++) {
      if (this.#slot === ASKER_HTTP || this.#isFull()) break
      if (answers % CLOCK_EVERY === 0 && clock.monoMs() >= endMonoMs) break
    }
    this.#send()
    return 'progress'
  }

  idleMs(): number {
    return 1000
  }

  finish(): void {
    // Nothing is kept between steps of a drained ring.
  }

  #openAsker(): void {
    const { view, payloadOffset: at } = this.#deps.requests
    this.#slot = view.getUint32(at + ASKER_SLOT_OFFSET, true)
    this.#generation = view.getUint32(at + ASKER_GENERATION_OFFSET, true)
    this.#receivedMonoMs = view.getFloat64(at + ASKER_RECEIVED_MONO_MS_OFFSET, true)
  }

  #isFull(): boolean {
    return this.#out.count === LIST_ITEMS_MAX || this.#out.byteLength >= this.#gatherBytes
  }

  #openFrame(): void {
    const { bytes, view, payloadOffset: at, payloadBytes } = this.#deps.requests
    this.#frame = bytes.subarray(at + ASKER_FRAME_OFFSET, at + payloadBytes)
    // The front has counted the same way. A frame without any query is answered as the broken one that it is.
    this.#queries = view.getUint32(at + ASKER_QUERIES_OFFSET, true)
    this.#isList = isQueriesFrame(this.#frame)
    if (this.#isList) this.#list.reset(this.#frame)
  }

  /** Answers one query. False where the asker has no other at hand. */
  #answerNext(): boolean {
    const { requests, answer, replyBytesMax } = this.#deps
    const reply = answer(this.#isList ? this.#list.item(this.#done) : this.#frame)
    assert(reply.length <= replyBytesMax, 'a reply is within its bound')
    this.#out.add(reply)
    this.#settled++
    if (++this.#done < this.#queries) return true
    this.#done = 0
    requests.release()
    if (!requests.peek() || !this.#isSameAsker()) return false
    this.#openFrame()
    return true
  }

  #isSameAsker(): boolean {
    const { view, payloadOffset: at } = this.#deps.requests
    return view.getUint32(at + ASKER_SLOT_OFFSET, true) === this.#slot && view.getUint32(at + ASKER_GENERATION_OFFSET, true) === this.#generation
  }

  #send(): void {
    const { replies } = this.#deps
    const out = this.#out
    const frame = out.count === 1 ? out.only() : out.finish()
    const at = replies.reserve(ASKER_FRAME_OFFSET + frame.length)
    assert(at >= 0, 'a reply found no room')
    const { view } = replies
    view.setUint32(at + ASKER_SLOT_OFFSET, this.#slot, true)
    view.setUint32(at + ASKER_GENERATION_OFFSET, this.#generation, true)
    view.setUint32(at + ASKER_QUERIES_OFFSET, this.#settled, true)
    view.setFloat64(at + ASKER_RECEIVED_MONO_MS_OFFSET, this.#receivedMonoMs, true)
    replies.bytes.set(frame, at + ASKER_FRAME_OFFSET)
    replies.publish()
    out.clear()
    this.#deps.report?.()
    this.#settled = 0
  }
}
