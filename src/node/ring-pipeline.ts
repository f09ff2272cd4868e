import type { Clock } from '../base/clock.ts'
import { errorNameOf, type ErrorName } from '../base/error-codes.ts'
import { AckView } from '../commit/ack.layout.ts'
import { RECEIPT_FRAME_OFFSET } from '../commit/receipt-stage.ts'
import {
  SUBMIT_BATCH_OFFSET, SUBMIT_GENERATION_OFFSET, SUBMIT_RECEIVED_MONO_MS_OFFSET, SUBMIT_SLOT_OFFSET, submitBytes,
} from '../commit/submit.layout.ts'
import type { Pipeline, PipelineHandler, PipelineStatus } from '../front/pipeline.ts'
import type { RING_KINDS } from '../observe/metrics.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import {
  ASKER_FRAME_OFFSET, ASKER_GENERATION_OFFSET, ASKER_HTTP, ASKER_QUERIES_OFFSET, ASKER_RECEIVED_MONO_MS_OFFSET, ASKER_SLOT_OFFSET,
} from '../query/asker.layout.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { RingReader, RingWriter } from '../ring/ring.ts'
import type { NodeMemory } from './memory.ts'

/** Frames taken from each ring before the event loop gets its turn again. */
const DRAIN_FRAMES_MAX = 2048
/** Longest sleep of the front's loop, in milliseconds: a bound, not a schedule. */
const IDLE_MS_MAX = 1000
/** Of questions that may wait for a lens thread before another one is woken: some ten of the usual ones, which take it 50 us. */
const LENS_QUEUE_BYTES = 2048

/** The front's end of all its rings: spreads work over the verify and lens threads, and hands out what comes back. */
export class RingPipeline implements Pipeline {
  handler: PipelineHandler = { ack() {}, receipt() {}, reply() {}, replies() {}, feed() {}, flush() {} }
  /** Set while the node starts or stops: new work is refused with it. */
  unavailable: ErrorName | undefined = 'starting'

  readonly #marks: Marks
  readonly #clock: Clock
  readonly #metrics: ThreadMetrics
  readonly #bell: Bell
  readonly #submitted: readonly RingWriter[]
  readonly #queries: readonly RingWriter[]
  readonly #acks: RingReader
  readonly #receipts: readonly RingReader[]
  readonly #replies: readonly RingReader[]
  readonly #feedCommands: RingWriter
  readonly #feedMessages: RingReader
  /** Rings between other threads: looked at for their fill, never read from. */
  readonly #others: { readonly commit: readonly RingReader[], readonly merkle: readonly RingReader[] }
  readonly #ack = new AckView()
  readonly #afterSubmit: () => void
  #nextVerify = 0

  /** @param afterSubmit called when work was put into a ring: the inline mode runs its stages then. */
  constructor(memory: NodeMemory, clock: Clock, metrics: ThreadMetrics, afterSubmit: () => void = () => {}) {
    const { rings, bells } = memory
    this.#marks = new Marks(memory.marks)
    this.#clock = clock
    this.#metrics = metrics
    this.#bell = new Bell(bells.front)
    this.#submitted = rings.submitted.map((ring, i) => new RingWriter(ring, new Bell(bells.verify[i]!)))
    this.#queries = rings.queries.map((ring, i) => new RingWriter(ring, new Bell(bells.lens[i]!)))
    this.#acks = new RingReader(rings.acks)
    this.#receipts = rings.receipts.map((ring) => new RingReader(ring))
    this.#replies = rings.replies.map((ring) => new RingReader(ring))
    this.#feedCommands = new RingWriter(rings.feedCommands, this.#marks.followerBell)
    this.#feedMessages = new RingReader(rings.feedMessages)
    this.#others = {
      commit: rings.verified.map((ring) => new RingReader(ring)), merkle: rings.receiptRequests.map((ring) => new RingReader(ring)),
    }
    this.#afterSubmit = afterSubmit
  }

  submit(slot: number, generation: number, frame: Uint8Array): boolean {
    const first = this.#nextVerify
    const rings = this.#submitted
    for (let n = 0; n < rings.length; n++) {
      const ring = rings[(first + n) % rings.length]!
      const at = ring.reserve(submitBytes(frame.length))
      if (at < 0) continue
      ring.view.setUint32(at + SUBMIT_SLOT_OFFSET, slot, true)
      ring.view.setUint32(at + SUBMIT_GENERATION_OFFSET, generation, true)
      ring.view.setFloat64(at + SUBMIT_RECEIVED_MONO_MS_OFFSET, this.#clock.monoMs(), true)
      ring.bytes.set(frame, at + SUBMIT_BATCH_OFFSET)
      ring.publish()
      this.#nextVerify = (first + n + 1) % rings.length
      this.#afterSubmit()
      return true
    }
    this.#metrics.inc('ring_full_total', { ring: 'verify' })
    return false
  }

  query(request: Uint8Array): boolean {
    return this.ask(ASKER_HTTP, 0, 1, request)
  }

  ask(slot: number, generation: number, queries: number, frame: Uint8Array): boolean {
    const first = this.#lensFor()
    for (let n = 0; n < this.#queries.length; n++) {
      const ring = this.#queries[(first + n) % this.#queries.length]!
      const at = ring.reserve(ASKER_FRAME_OFFSET + frame.length)
      if (at < 0) continue
      ring.view.setUint32(at + ASKER_SLOT_OFFSET, slot, true)
      ring.view.setUint32(at + ASKER_GENERATION_OFFSET, generation, true)
      ring.view.setUint32(at + ASKER_QUERIES_OFFSET, queries, true)
      ring.view.setFloat64(at + ASKER_RECEIVED_MONO_MS_OFFSET, this.#clock.monoMs(), true)
      ring.bytes.set(frame, at + ASKER_FRAME_OFFSET)
      ring.publish()
      this.#afterSubmit()
      return true
    }
    this.#metrics.inc('ring_full_total', { ring: 'lens' })
    return false
  }

  /** The first lens thread that has next to nothing to do: waking another one costs more than a few questions. Otherwise the one that has least. */
  #lensFor(): number {
    let least = 0
    let leastBytes = Infinity
    for (let i = 0; i < this.#queries.length; i++) {
      const bytes = this.#queries[i]!.usedBytes()
      if (bytes < LENS_QUEUE_BYTES) return i
      if (bytes < leastBytes) [least, leastBytes] = [i, bytes]
    }
    return least
  }

  feed(command: Uint8Array): boolean {
    if (!this.#feedCommands.write(command)) return false
    this.#afterSubmit()
    return true
  }

  status(): PipelineStatus {
    const marks = this.#marks
    const refusal = marks.refusal
    return {
      durableLsn: marks.durableLsn,
      durableHlc: marks.durableHlc,
      appliedLsn: marks.appliedLsn,
      writable: this.unavailable ?? (refusal === 0 ? 'yes' : errorNameOf(refusal)),
    }
  }

  /** Hands out what the rings hold, at most a turn's worth; how many frames that were. */
  drain(): number {
    const acks = this.#drainAcks()
    let others = 0
    for (const ring of this.#receipts) {
      others += this.#drainRing(ring, (bytes, view, at, length) => {
        // The socket keeps the frame beyond this call: a copy.
        const frame = bytes.slice(at + RECEIPT_FRAME_OFFSET, at + length)
        this.handler.receipt(view.getUint32(at, true), view.getUint32(at + 4, true), frame)
      })
    }
    for (const ring of this.#replies) {
      others += this.#drainRing(ring, this.#handOver)
    }
    others += this.#drainRing(this.#feedMessages, (bytes, _view, at, length) => this.handler.feed(bytes.subarray(at, at + length)))
    if (acks + others > 0) this.handler.flush()
    return acks + others
  }

  /** Part of the fullest ring of each kind in use, 0..1. */
  fills(): Record<(typeof RING_KINDS)[number], number> {
    const fullest = (rings: readonly { fill(): number }[]): number => Math.max(0, ...rings.map((ring) => ring.fill()))
    return {
      verify: fullest(this.#submitted), lens: fullest(this.#queries), ack: this.#acks.fill(),
      receipt: fullest(this.#receipts), answer: fullest(this.#replies), feed: this.#feedMessages.fill(),
      commit: fullest(this.#others.commit), merkle: fullest(this.#others.merkle),
    }
  }

  /** Drains until `stopped` says so; sleeps on the front's bell, and leaves the event loop its turn after each drain. */
  async run(stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      const prepared = this.#bell.prepare()
      if (this.drain() === 0) await this.#bell.waitAsync(prepared, IDLE_MS_MAX)
      else await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  /** Wakes `run`, so that it looks at `stopped`. */
  wake(): void {
    this.#bell.ring()
  }

  readonly #handOver = (bytes: Uint8Array, view: DataView, at: number, length: number): void => {
    const frame = bytes.subarray(at + ASKER_FRAME_OFFSET, at + length)
    const slot = view.getUint32(at + ASKER_SLOT_OFFSET, true)
    if (slot === ASKER_HTTP) return this.handler.reply(frame)
    this.handler.replies(slot, view.getUint32(at + ASKER_GENERATION_OFFSET, true), view.getUint32(at + ASKER_QUERIES_OFFSET, true),
      view.getFloat64(at + ASKER_RECEIVED_MONO_MS_OFFSET, true), frame)
  }

  #drainAcks(): number {
    return this.#drainRing(this.#acks, (bytes, view, at) => this.handler.ack(this.#ack.reset(bytes, view, at)))
  }

  #drainRing(ring: RingReader, take: (bytes: Uint8Array, view: DataView, at: number, length: number) => void): number {
    let count = 0
    while (count < DRAIN_FRAMES_MAX && ring.peek()) {
      take(ring.bytes, ring.view, ring.payloadOffset, ring.payloadBytes)
      ring.release()
      count++
    }
    return count
  }
}
