import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'
import { parseStrictJson } from '../record/strict-json.ts'
import { encodeBatch } from '../wire/batch.codec.ts'
import type { Refusal } from './admission.ts'
import { BodyWatch, bodyTooSlow, outOfBodyMemory } from './body.ts'
import type { Exchange } from './exchange.ts'
import {
  DECODE_SLICE_ITEMS, NDJSON_BATCHES_MAX, NDJSON_BATCH_ASSERTIONS_MAX, NDJSON_BATCH_BYTES_MAX,
  NDJSON_PROGRESS_BYTES,
} from './front-limits.ts'
import { errorOfRefusal, type HandlerParts } from './handler.ts'
import { itemFromJson, textOf, type Item } from './items.ts'
import { LineSplitter } from './line-splitter.ts'
import { NDJSON_TYPE } from './media.ts'
import { problemOf } from './problem.ts'
import { countsOf, refusalOfAck, refusedResult, resultsOfAck, type ItemResult } from './results.ts'
import { Submitter } from './submitter.ts'

/** Lines that go together: one batch, and what is said of those that could not be part of it. */
class Cut {
  readonly items: Item[] = []
  /** Where each item stood among the lines. */
  readonly indexes: number[] = []
  readonly refused: ItemResult[] = []
  bytes = 0
  /** Since when it has been offered in vain. */
  offeredSinceMonoMs: number | undefined

  get lines(): number {
    return this.items.length + this.refused.length
  }

  refuseAll(error: DbError): ItemResult[] {
    return [...this.refused, ...this.items.map(({ id }, i) => refusedResult(this.indexes[i]!, error, id))]
  }
}

const WAITING_HELPS = new Set<string>(['overloaded', 'rate_limited'])

/**
 * `POST /v1/assert/batch` with NDJSON: any number of lines in bounded memory. Lines are cut into batches as they come
 * and answered as their acks come, a line each. What the node can not take yet is not read from the socket.
 */
export class NdjsonUpload {
  readonly #exchange: Exchange
  readonly #parts: HandlerParts
  readonly #submitter: Submitter
  readonly #splitter = new LineSplitter()
  readonly #watch: BodyWatch
  readonly #counts = { created: 0, duplicate: 0, refused: 0 }
  #cut = new Cut()
  /** Found the rings full, or its address out of rate; nothing is read until it is through. */
  #held: Cut | undefined
  #linesSeen = 0
  #budgetBytes = 0
  /** Of lines since the last one that was an assertion. */
  #idleBytes = 0
  #bodyEnded = false
  #readerBehind = false
  #sliced = false
  /** Sent and not acked. */
  readonly #underWay = new Set<Cut>()
  #cancelAckTimer: (() => void) | undefined
  readonly #linesMax: number
  /** Why nothing more is taken. What is under way is still answered. */
  #ending: DbError | undefined

  constructor(exchange: Exchange, parts: HandlerParts) {
    this.#exchange = exchange
    this.#parts = parts
    // May throw; nothing has been taken by then.
    this.#watch = new BodyWatch(exchange, parts.body, (waitedMs) => this.#late(waitedMs))
    this.#submitter = new Submitter(parts.admission, parts.slots, exchange.address)
    // Under a rate limit a batch is a second's worth, or the next one would wait longer than a request may.
    const { rate } = parts.admission
    this.#linesMax = rate.on ? Math.min(NDJSON_BATCH_ASSERTIONS_MAX, rate.ratePerSecond) : NDJSON_BATCH_ASSERTIONS_MAX
    exchange.onClose(() => {
      this.#cancelAckTimer?.()
      this.#submitter.close()
      parts.body.budget.give(this.#budgetBytes)
      this.#budgetBytes = 0
    })
    exchange.onWritable(() => this.#readerCaughtUp())
    exchange.onData((chunk, isLast) => this.#try(() => this.#receive(chunk, isLast)))
  }

  /** Nothing more can be taken from the body now. */
  get #stuck(): boolean {
    return this.#held !== undefined || this.#readerBehind || this.#sliced || this.#ending !== undefined
      || this.#submitter.pending >= NDJSON_BATCHES_MAX
  }

  #receive(chunk: Uint8Array, isLast: boolean): void {
    this.#parts.options.metrics.inc('received_bytes_total', chunk.length)
    if (!this.#exchange.open || this.#ending !== undefined) return
    this.#splitter.push(chunk)
    if (isLast) {
      this.#bodyEnded = true
      this.#splitter.end()
      this.#watch.stop()
    }
    this.#pump()
  }

  #pump(): void {
    if (!this.#exchange.open) return
    this.#takeLines()
    if (!this.#account()) this.#endWith(outOfBodyMemory())
    // Nothing under way: a batch need not be full. Otherwise more lines may come while it is.
    if (!this.#stuck && this.#cut.lines > 0 && (this.#bodyEnded || this.#submitter.pending === 0)) this.#send()
    if (!this.#finishIfDone()) this.#steer()
  }

  #takeLines(): void {
    for (let taken = 0; !this.#stuck; taken++) {
      if (taken === DECODE_SLICE_ITEMS) return this.#continueLater()
      const line = this.#splitter.next()
      if (line === undefined) break
      this.#takeLine(line)
      if (this.#cut.lines >= this.#linesMax || this.#cut.bytes >= NDJSON_BATCH_BYTES_MAX) this.#send()
    }
    const { frameBytesMax } = this.#parts.options.config
    if (!this.#stuck && this.#splitter.bufferedBytes > frameBytesMax) {
      this.#endWith(new DbError('frame_too_large', `a line has at most ${frameBytesMax} bytes`))
    }
  }

  /** Others get their turn before the next lines. */
  #continueLater(): void {
    this.#sliced = true
    this.#parts.options.clock.timer(0, () => {
      this.#sliced = false
      this.#try(() => this.#pump())
    })
  }

  #takeLine(line: Uint8Array): void {
    const index = this.#linesSeen
    this.#idleBytes += line.length + 1
    if (this.#idleBytes >= NDJSON_PROGRESS_BYTES) this.#progress()
    try {
      const text = textOf(line)
      if (text.trim() === '') return
      this.#linesSeen++
      const item = itemFromJson(parseStrictJson(text), '', this.#parts.options.clock.wallMs())
      this.#cut.items.push(item)
      this.#cut.indexes.push(index)
      this.#cut.bytes += item.assertion.length
      this.#progress()
    } catch (error) {
      if (!isDbError(error)) throw error
      this.#linesSeen = index + 1
      this.#cut.refused.push(refusedResult(index, error))
    }
  }

  #progress(): void {
    this.#idleBytes = 0
    this.#watch.progress()
  }

  /** Sends the lines taken so far on their way. */
  #send(): void {
    const cut = this.#cut
    this.#cut = new Cut()
    if (cut.items.length === 0) this.#emit(cut.refused)
    else this.#offer(cut)
  }

  #offer(cut: Cut): void {
    const requestId = this.#submitter.nextRequestId
    const frame = encodeBatch({ requestId, items: cut.items })
    if (frame.length > this.#parts.options.config.frameBytesMax) {
      // One huge assertion: a batch is cut as soon as it is large.
      return this.#emit(cut.refuseAll(new DbError('frame_too_large', 'the assertion does not fit into a frame')))
    }
    this.#underWay.add(cut)
    const refusal = this.#submitter.submit(requestId, cut.items.length, frame, (ack) => this.#try(() => this.#acked(cut, ack)))
    if (refusal !== undefined) {
      this.#underWay.delete(cut)
      return this.#refusedAtDoor(cut, refusal)
    }
    if (this.#cancelAckTimer === undefined) this.#armAckTimer()
  }

  /** Runs while anything is under way, and starts anew with every ack. */
  #armAckTimer(): void {
    this.#cancelAckTimer?.()
    this.#cancelAckTimer = undefined
    if (this.#underWay.size === 0) return
    const { clock, config } = this.#parts.options
    this.#cancelAckTimer = clock.timer(config.processingTimeoutMs, () => this.#try(() => this.#acksLate()))
  }

  /** What was sent may or may not be stored: say so, and end. */
  #acksLate(): void {
    const { processingTimeoutMs } = this.#parts.options.config
    const error = new DbError('timeout', `no ack within ${processingTimeoutMs} ms; resend, the id makes it safe`)
    this.#submitter.close()
    const unknown = [...this.#underWay].flatMap((cut) => cut.refuseAll(error))
    this.#underWay.clear()
    this.#emit(unknown)
    this.#endWith(error)
    this.#pump()
  }

  #refusedAtDoor(cut: Cut, refusal: Refusal): void {
    const { clock, config } = this.#parts.options
    cut.offeredSinceMonoMs ??= clock.monoMs()
    const waitedMs = clock.monoMs() - cut.offeredSinceMonoMs
    if (!WAITING_HELPS.has(refusal.code) || waitedMs >= config.processingTimeoutMs) {
      const error = errorOfRefusal(refusal)
      if (this.#linesSeen > cut.lines) this.#emit(cut.refuseAll(error))
      return this.#endWith(error)
    }
    this.#held = cut
    this.#parts.retryLater(this.#exchange, () => this.#try(() => this.#offerAgain(cut)))
  }

  #offerAgain(cut: Cut): void {
    this.#held = undefined
    this.#offer(cut)
    this.#pump()
  }

  #acked(cut: Cut, ack: AckView): void {
    this.#underWay.delete(cut)
    this.#armAckTimer()
    const refusal = refusalOfAck(ack)
    this.#emit(refusal === undefined
      ? [...resultsOfAck(ack, cut.items.map(({ id }) => id), cut.indexes), ...cut.refused].sort((a, b) => a.index - b.index)
      : cut.refuseAll(refusal))
    this.#pump()
  }

  #emit(results: ItemResult[]): void {
    if (results.length === 0 || !this.#exchange.open) return
    const { created, duplicate, refused } = countsOf(results)
    this.#counts.created += created
    this.#counts.duplicate += duplicate
    this.#counts.refused += refused
    if (!this.#exchange.streaming) {
      this.#exchange.startStream(207, [['content-type', NDJSON_TYPE], ['cache-control', 'no-store']])
    }
    const ready = this.#exchange.write(results.map((result) => `${JSON.stringify(result)}\n`).join(''))
    if (!ready) this.#waitForReader()
  }

  /** A reader that takes nothing for processingTimeoutMs loses its connection, as a slow WebSocket does. */
  #waitForReader(): void {
    if (this.#readerBehind) return
    this.#readerBehind = true
    const { clock, config } = this.#parts.options
    const cancel = clock.timer(config.processingTimeoutMs, () => {
      if (this.#readerBehind) this.#exchange.abort()
    })
    this.#exchange.onClose(cancel)
  }

  #readerCaughtUp(): void {
    this.#readerBehind = false
    this.#try(() => this.#pump())
  }

  #late(waitedMs: number): void {
    // Where this side has stopped reading, the client can not be late.
    if (this.#stuck) return this.#watch.progress()
    this.#endWith(bodyTooSlow(waitedMs))
    this.#finishIfDone()
  }

  #endWith(error: DbError): void {
    this.#ending ??= error
    this.#watch.stop()
  }

  #finishIfDone(): boolean {
    if (this.#submitter.pending > 0 || this.#readerBehind || this.#sliced) return false
    const error = this.#ending ?? (this.#linesSeen === 0 && this.#bodyEnded ? new DbError('batch_empty', 'there is no line') : undefined)
    const untaken = this.#held !== undefined || this.#cut.lines > 0 || this.#splitter.bufferedBytes > 0 || !this.#bodyEnded
    if (error === undefined && untaken) return false
    if (error !== undefined && !this.#exchange.streaming) {
      this.#exchange.problem(error)
      return true
    }
    const last = { done: error === undefined, ...this.#counts, request_id: this.#exchange.requestId }
    const problem = error === undefined ? {} : { problem: problemOf(error, this.#exchange.requestId) }
    this.#watch.stop()
    this.#exchange.endStream(`${JSON.stringify({ ...last, ...problem })}\n`)
    return true
  }

  /** Reads on, or not. */
  #steer(): void {
    if (this.#stuck || this.#splitter.bufferedBytes > this.#parts.options.config.frameBytesMax) this.#exchange.pause()
    else this.#exchange.resume()
  }

  /** Takes what the splitter holds out of the budget of all bodies. False: there is no more. */
  #account(): boolean {
    const { budget } = this.#parts.body
    const heldBytes = this.#splitter.bufferedBytes
    if (heldBytes > this.#budgetBytes && !budget.take(heldBytes - this.#budgetBytes)) return false
    if (heldBytes < this.#budgetBytes) budget.give(this.#budgetBytes - heldBytes)
    this.#budgetBytes = heldBytes
    return true
  }

  /** A fault of ours must not leave through uWebSockets, nor leave the client waiting. */
  #try(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#parts.options.onFault?.(error)
      this.#endWith(isDbError(error) ? error : new DbError('internal', ERROR_CODES.internal.action))
      this.#finishIfDone()
    }
  }
}
