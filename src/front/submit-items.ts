import { DbError } from '../base/errors.ts'
import type { AckView } from '../commit/ack.layout.ts'
import { encodeBatch } from '../wire/batch.codec.ts'
import type { Exchange } from './exchange.ts'
import { errorOfRefusal, processingDeadline, type HandlerParts } from './handler.ts'
import type { Item } from './items.ts'
import { countsOf, refusalOfAck, resultsOfAck, type ItemResult } from './results.ts'
import { Submitter } from './submitter.ts'

/** Who signed a batch as a whole. */
export interface BatchSignature {
  readonly agent: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Submits assertions as one batch, as `POST /v1/assert` does, and calls `answer` with what became of each when all that was taken is
 * durable. Where none was taken, the exchange is answered with the first one's problem.
 * @throws {DbError} `frame_too_large`, and why nothing can be written now
 */
export function submitItems(
  exchange: Exchange, parts: HandlerParts, items: readonly Item[], signed: BatchSignature | undefined, answer: (results: readonly ItemResult[]) => void,
): void {
  const { admission, slots, guard, options: { config } } = parts
  processingDeadline(exchange, parts)
  const submitter = new Submitter(admission, slots, exchange.address)
  exchange.onClose(() => submitter.close())
  const requestId = submitter.nextRequestId
  const frame = encodeBatch({ requestId, items, ...signed })
  if (frame.length > config.frameBytesMax) {
    throw new DbError('frame_too_large', `the assertions take ${frame.length} bytes as a batch, more than ${config.frameBytesMax}`)
  }
  const acked = (ack: AckView): void => {
    const refusal = refusalOfAck(ack)
    if (refusal !== undefined) throw refusal
    const results = resultsOfAck(ack, items.map(({ id }) => id), items.map((_, i) => i))
    const [first] = results
    if (first?.status !== 'refused' || countsOf(results).refused < results.length) return answer(results)
    exchange.problem(new DbError(first.code, first.detail), items.length === 1 ? {} : { members: { results } })
  }
  const refusal = submitter.submit(requestId, items.length, frame, (ack) => guard(exchange, () => acked(ack)))
  if (refusal !== undefined) throw errorOfRefusal(refusal)
}
