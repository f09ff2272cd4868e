import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { QUERY_ENDPOINTS } from '../observe/metrics.ts'
import type { Assertion } from '../record/assertion.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import { refusalOf } from '../wire/query-reply.codec.ts'
import { askAudited } from './audit/ask-audited.ts'
import type { Exchange } from './exchange.ts'
import { RETRY_AFTER_OVERLOADED_MS } from './front-limits.ts'
import { processingDeadline, type HandlerParts } from './handler.ts'
import { encodeIdQuery } from './query.codec.ts'

export type QueryEndpoint = (typeof QUERY_ENDPOINTS)[number]

/**
 * Sends a question to the lens threads and hands its reply to `answer`, unless that is a refusal or comes too late: then the
 * exchange is answered with the problem.
 * @throws {DbError} `overloaded` where the rings are full
 */
export function ask(
  exchange: Exchange, parts: HandlerParts, endpoint: QueryEndpoint,
  encode: (requestId: bigint) => Uint8Array, answer: (reply: QueryReply) => void,
): void {
  const { options: { clock, metrics }, guard } = parts
  const startedMonoMs = clock.monoMs()
  processingDeadline(exchange, parts, true)
  const sent = askAudited(exchange, parts, endpoint, encode, (reply) => guard(exchange, () => {
    metrics.inc('queries_total', { endpoint })
    metrics.observe('query_latency_seconds', { endpoint }, (clock.monoMs() - startedMonoMs) / 1000)
    answer(answered(reply))
  }))
  if (!sent) throw tooMany()
}

/**
 * Looks an assertion up that a write names, durable or indexed: a question of the node's own, which neither metrics nor the audit count.
 * `then` gets undefined where there is none.
 * @throws {DbError} `overloaded` where the rings are full
 */
export function findAssertion(exchange: Exchange, parts: HandlerParts, id: Uint8Array, then: (assertion: Assertion | undefined) => void): void {
  processingDeadline(exchange, parts)
  const sent = parts.queries.ask(exchange, (requestId) => encodeIdQuery(requestId, id), (reply) => parts.guard(exchange, () => {
    const bytes = answered(reply).found()?.assertionArray()
    then(bytes === null || bytes === undefined ? undefined : decodeAssertion(bytes))
  }))
  if (!sent) throw tooMany()
}

const tooMany = (): DbError => new DbError('overloaded', 'too many queries are under way', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS })

/** @throws {DbError} that a refusal stands for */
function answered(reply: QueryReply): QueryReply {
  const refusal = refusalOf(reply)
  if (refusal !== undefined) throw refusal
  return reply
}

/**
 * Calls `then` when what was acked with `minLsn` can be read: at once where it can, after a wait of at most processingTimeoutMs
 * where it is durable. Answers `lsn_not_reached` when that has passed.
 * @throws {DbError} `lsn_in_future` where this node has not given that LSN out
 */
export function whenReadable(exchange: Exchange, parts: HandlerParts, minLsn: Lsn, then: () => void): void {
  const { options: { clock, config, pipeline }, queries, guard } = parts
  const { appliedLsn, durableLsn } = pipeline.status()
  if (minLsn <= appliedLsn) return then()
  if (minLsn > durableLsn) {
    throw new DbError('lsn_in_future', `min_lsn is ${minLsn}, the last durable LSN of this node is ${durableLsn}`, { parameter: 'min_lsn' })
  }
  const cancel = clock.timer(config.processingTimeoutMs, () => {
    exchange.problem(new DbError('lsn_not_reached', `LSN ${minLsn} was not indexed within ${config.processingTimeoutMs} ms`))
  })
  exchange.onClose(cancel)
  queries.whenApplied(exchange, minLsn, () => {
    cancel()
    guard(exchange, then)
  })
}
