import { DbError, isDbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'
import { parseStrictJson } from '../record/strict-json.ts'
import { encodeBatch } from '../wire/batch.codec.ts'
import type { Exchange } from './exchange.ts'
import { readBody } from './body.ts'
import { DECODE_SLICE_ITEMS } from './front-limits.ts'
import { errorOfRefusal, gateWrite, processingDeadline, type HandlerParts, type RequestInfo } from './handler.ts'
import { itemFromJson, textOf, type Item } from './items.ts'
import { JSON_TYPE } from './media.ts'
import { countsOf, refusalOfAck, refusedResult, resultsOfAck, type ItemResult } from './results.ts'
import { Submitter } from './submitter.ts'

/** `POST /v1/assert`: one assertion as a JSON object, or several as an array. */
export function handleAssert(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  if (gateWrite(exchange, request, [JSON_TYPE], parts) === undefined) return
  const { config } = parts.options
  readBody(exchange, request.contentLength, config.frameBytesMax, parts.body, (body) => {
    const upload = new JsonUpload(exchange, parts)
    upload.start(body)
  })
}

class JsonUpload {
  readonly #exchange: Exchange
  readonly #parts: HandlerParts
  #values: readonly unknown[] = []
  #single = false
  readonly #items: Item[] = []
  /** Where each item stood in the array. */
  readonly #indexes: number[] = []
  readonly #refused: ItemResult[] = []

  constructor(exchange: Exchange, parts: HandlerParts) {
    this.#exchange = exchange
    this.#parts = parts
  }

  start(body: Uint8Array): void {
    this.#try(() => {
      const value = parseStrictJson(textOf(body))
      this.#single = !Array.isArray(value)
      this.#values = Array.isArray(value) ? value as unknown[] : [value]
      const { batchAssertionsMax } = this.#parts.options.config
      if (this.#values.length === 0) throw new DbError('batch_empty', 'the array is empty')
      if (this.#values.length > batchAssertionsMax) {
        throw new DbError('batch_too_large', `an array has at most ${batchAssertionsMax} assertions, not ${this.#values.length}`)
      }
      processingDeadline(this.#exchange, this.#parts)
      this.#decode(0)
    })
  }

  /** In slices, so that a long array does not hold up everybody else. */
  #decode(from: number): void {
    const to = Math.min(from + DECODE_SLICE_ITEMS, this.#values.length)
    const { clock } = this.#parts.options
    const nowMs = clock.wallMs()
    for (let i = from; i < to; i++) this.#decodeOne(i, nowMs)
    if (to === this.#values.length) return this.#submit()
    clock.timer(0, () => {
      if (this.#exchange.open) this.#try(() => this.#decode(to))
    })
  }

  #decodeOne(index: number, nowMs: number): void {
    try {
      this.#items.push(itemFromJson(this.#values[index], this.#single ? '' : `/${index}`, nowMs))
      this.#indexes.push(index)
    } catch (error) {
      if (!isDbError(error)) throw error
      this.#refused.push(refusedResult(index, error))
    }
  }

  #submit(): void {
    if (this.#items.length === 0) return this.#answer([])
    const { admission, slots, options: { config } } = this.#parts
    const submitter = new Submitter(admission, slots, this.#exchange.address)
    this.#exchange.onClose(() => submitter.close())
    const requestId = submitter.nextRequestId
    const frame = encodeBatch({ requestId, items: this.#items })
    if (frame.length > config.frameBytesMax) {
      throw new DbError('frame_too_large', `the assertions take ${frame.length} bytes as a batch, more than ${config.frameBytesMax}`)
    }
    const refusal = submitter.submit(requestId, this.#items.length, frame, (ack) => this.#try(() => this.#acked(ack)))
    if (refusal !== undefined) throw errorOfRefusal(refusal)
  }

  #acked(ack: AckView): void {
    const refusal = refusalOfAck(ack)
    if (refusal !== undefined) throw refusal
    this.#answer(resultsOfAck(ack, this.#items.map(({ id }) => id), this.#indexes))
  }

  #answer(submitted: ItemResult[]): void {
    const results = [...submitted, ...this.#refused].sort((a, b) => a.index - b.index)
    const { created, duplicate, refused } = countsOf(results)
    if (refused === results.length) return this.#answerRefused(results)
    if (this.#single) return this.#answerSingle(results[0]!)
    const status = created === results.length ? 201 : duplicate === results.length ? 200 : 207
    this.#exchange.json(status, { created, duplicate, refused, results })
  }

  #answerSingle({ index: _, ...result }: ItemResult): void {
    this.#exchange.json(result.status === 'created' ? 201 : 200, result, [['location', `/v1/assertions/${result.id}`]])
  }

  /** Nothing was stored: the status is that of the first refusal. */
  #answerRefused(results: ItemResult[]): void {
    const first = results[0]!
    if (first.status !== 'refused') return
    const { code, detail, pointer } = first
    const error = new DbError(code, detail, pointer === undefined ? {} : { pointer })
    this.#exchange.problem(error, this.#single ? {} : { members: { results } })
  }

  #try(step: () => void): void {
    this.#parts.guard(this.#exchange, step)
  }
}
