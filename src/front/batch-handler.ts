import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'
import { peekRequestId } from '../wire/batch.codec.ts'
import { AcksEncoder } from './acks.codec.ts'
import { readBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { isBatchFrame, peekAssertionCount } from './frames.codec.ts'
import { errorOfRefusal, gateWrite, processingDeadline, type HandlerParts, type RequestInfo } from './handler.ts'
import { ACKS_TYPE, BATCH_TYPE, JSON_TYPE, NDJSON_TYPE, negotiate } from './media.ts'
import { NdjsonUpload } from './ndjson-handler.ts'
import { errorOfCode, refusalOfAck } from './results.ts'
import { Submitter } from './submitter.ts'

const DUPLICATE = ERROR_CODES.duplicate.number

/** `POST /v1/assert/batch`: NDJSON of any length, or one FlatBuffers Batch. */
export function handleBatch(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const type = gateWrite(exchange, request, [NDJSON_TYPE, BATCH_TYPE], parts)
  if (type === undefined) return
  if (type === NDJSON_TYPE) return void new NdjsonUpload(exchange, parts)
  const answerType = negotiate(request.accept, [JSON_TYPE, ACKS_TYPE])
  if (answerType === undefined) {
    return exchange.problem(new DbError('not_acceptable', `the answer is ${JSON_TYPE} or ${ACKS_TYPE}`))
  }
  readBody(exchange, request.contentLength, parts.options.config.frameBytesMax, parts.body, (frame) => {
    parts.guard(exchange, () => submitFrame(exchange, frame, answerType, parts))
  })
}

function submitFrame(exchange: Exchange, frame: Uint8Array, answerType: string, parts: HandlerParts): void {
  const { admission, slots, options: { config } } = parts
  if (!isBatchFrame(frame)) throw new DbError('malformed_frame', 'the body is no Batch ("SBAT")')
  const submitter = new Submitter(admission, slots, exchange.address)
  exchange.onClose(() => submitter.close())
  processingDeadline(exchange, parts)
  const count = peekAssertionCount(frame, config.batchAssertionsMax)
  const refusal = submitter.submit(peekRequestId(frame) ?? 0n, count, frame, (ack) => {
    parts.guard(exchange, () => answerFrame(exchange, ack, answerType))
  })
  if (refusal !== undefined) throw errorOfRefusal(refusal)
}

interface OutcomeJson {
  index: number
  status: 'duplicate' | 'refused'
  code: string
  lsn?: number
  hlc?: string
}

function outcomesOf(ack: AckView): OutcomeJson[] {
  return Array.from({ length: ack.outcomeCount }, (_, i) => {
    const index = ack.outcomeIndex(i)
    const { code } = errorOfCode(ack.outcomeCode(i))
    return code === 'duplicate'
      ? { index, status: 'duplicate', code, lsn: Number(ack.outcomeLsn(i)), hlc: String(ack.outcomeHlc(i)) }
      : { index, status: 'refused', code }
  })
}

function answerFrame(exchange: Exchange, ack: AckView, answerType: string): void {
  const refusal = refusalOfAck(ack)
  if (refusal !== undefined) throw refusal
  const created = ack.accepted
  let duplicate = 0
  for (let i = 0; i < ack.outcomeCount; i++) if (ack.outcomeCode(i) === DUPLICATE) duplicate++
  const refused = ack.outcomeCount - duplicate
  if (created + duplicate === 0) {
    return exchange.problem(errorOfCode(ack.outcomeCode(0)), { members: { outcomes: outcomesOf(ack) } })
  }
  const status = ack.outcomeCount === 0 ? 201 : created + refused === 0 ? 200 : 207
  if (answerType === ACKS_TYPE) {
    const encoder = new AcksEncoder()
    encoder.add(ack)
    return exchange.respond(status, [['content-type', ACKS_TYPE], ['cache-control', 'no-store'], ['vary', 'accept']], encoder.finish())
  }
  const first = created === 0 ? {} : { first_lsn: Number(ack.firstLsn), first_hlc: String(ack.firstHlc) }
  exchange.json(status, { created, duplicate, refused, ...first, outcomes: outcomesOf(ack) }, [['vary', 'accept']])
}
