import { DbError, isDbError } from '../base/errors.ts'
import type { QueryReply } from '../fbs/stemedb/query-reply.ts'
import { parseStrictJson } from '../record/strict-json.ts'
import { refusalOf } from '../wire/query-reply.codec.ts'
import { askAudited } from './audit/ask-audited.ts'
import { whenReadable } from './ask.ts'
import { readBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { QUERIES_MAX, QUERIES_UNDER_WAY_MAX, RETRY_AFTER_OVERLOADED_MS, repliesBytesMax } from './front-limits.ts'
import { processingDeadline, type HandlerParts, type RequestInfo } from './handler.ts'
import { textOf } from './items.ts'
import { JSON_TYPE, mediaTypeOf, negotiate } from './media.ts'
import { problemOf } from './problem.ts'
import { encodeQuery, replyToJson } from './query.codec.ts'
import { askedQueryOf, type AskedQuery, type GivenParameters } from './query-spec.ts'
import { QUERY_PARAMETERS } from './schemas-query.ts'

/** `POST /v1/query`: several queries, answered in one response. */
export function handleQueries(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const encoded = request.contentEncoding !== '' && request.contentEncoding !== 'identity'
  if (mediaTypeOf(request.contentType) !== JSON_TYPE || encoded) throw new DbError('media_type_unsupported', `the body must be ${JSON_TYPE}`)
  if (negotiate(request.accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
  readBody(exchange, request.contentLength, parts.options.config.frameBytesMax, parts.body, (body) => {
    parts.guard(exchange, () => {
      const queries = queriesOf(parseStrictJson(textOf(body)))
      processingDeadline(exchange, parts, true)
      new Queries(exchange, parts, queries).start()
    })
  })
}

function queriesOf(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new DbError('field_invalid', 'the body must be an array of queries', { pointer: '' })
  if (value.length === 0) throw new DbError('batch_empty', 'the array is empty')
  if (value.length > QUERIES_MAX) throw new DbError('batch_too_large', `an array has at most ${QUERIES_MAX} queries, not ${value.length}`)
  return value as unknown[]
}

/** The query of a JSON object. @throws {DbError} `field_invalid`, `parameter_invalid` */
function askedOf(value: unknown, index: number, limitMax: number): AskedQuery {
  const pointer = `/${index}`
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DbError('field_invalid', `${pointer} must be a JSON object`, { pointer })
  }
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(QUERY_PARAMETERS.properties, name)) throw new DbError('parameter_invalid', `${name} is no parameter of a query`, { parameter: name })
  }
  return askedQueryOf(value as GivenParameters, limitMax)
}

/** Queries of one request: a few at a time under way, answered together when all are done. */
class Queries {
  readonly #exchange: Exchange
  readonly #parts: HandlerParts
  readonly #asked: (AskedQuery | undefined)[]
  /** JSON of each result. */
  readonly #results: string[]
  #bytes = 0
  #next = 0
  #done = 0

  constructor(exchange: Exchange, parts: HandlerParts, queries: readonly unknown[]) {
    this.#exchange = exchange
    this.#parts = parts
    this.#results = queries.map(() => '')
    this.#asked = queries.map((query, i) => {
      try {
        return this.#checked(askedOf(query, i, parts.options.config.queryLimitMax))
      } catch (error) {
        this.#refuse(i, error)
        return undefined
      }
    })
  }

  /** When what all of them want to see can be read. */
  start(): void {
    const minLsn = this.#asked.reduce((most, asked) => Math.max(most, asked?.spec.minLsn ?? 0), 0)
    whenReadable(this.#exchange, this.#parts, minLsn, () => {
      for (let i = 0; i < QUERIES_UNDER_WAY_MAX; i++) this.#askNext()
    })
  }

  /** One that waits for what is not there must not hold up the others. */
  #checked(asked: AskedQuery): AskedQuery {
    const { minLsn = 0 } = asked.spec
    const { durableLsn } = this.#parts.options.pipeline.status()
    if (minLsn <= durableLsn) return asked
    throw new DbError('lsn_in_future', `min_lsn is ${minLsn}, the last durable LSN of this node is ${durableLsn}`, { parameter: 'min_lsn' })
  }

  #askNext(): void {
    while (this.#next < this.#asked.length) {
      const index = this.#next++
      const asked = this.#asked[index]
      if (asked === undefined) this.#finished()
      else if (this.#ask(index, asked)) return
    }
  }

  /** False: it is answered already. */
  #ask(index: number, { spec, fields }: AskedQuery): boolean {
    const { guard, options: { clock, metrics } } = this.#parts
    const startedMonoMs = clock.monoMs()
    const sent = askAudited(this.#exchange, this.#parts, 'query', (requestId) => encodeQuery(requestId, spec), (reply) => guard(this.#exchange, () => {
      metrics.inc('queries_total', { endpoint: 'query' })
      metrics.observe('query_latency_seconds', { endpoint: 'query' }, (clock.monoMs() - startedMonoMs) / 1000)
      this.#answered(index, reply, { isList: spec.isList === true, fields })
      this.#finished()
      this.#askNext()
    }))
    if (sent) return true
    this.#refuse(index, new DbError('overloaded', 'too many queries are under way', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS }))
    this.#finished()
    return false
  }

  #answered(index: number, reply: QueryReply, shape: NonNullable<Parameters<typeof replyToJson>[1]>): void {
    const refusal = refusalOf(reply)
    if (refusal !== undefined) return this.#refuse(index, refusal)
    const json = JSON.stringify(replyToJson(reply, shape))
    const bytes = Buffer.byteLength(json)
    if (this.#bytes + bytes > repliesBytesMax(this.#parts.options.config)) {
      return this.#refuse(index, new DbError('frame_too_large', 'the answers before it fill the response: ask for it alone'))
    }
    this.#bytes += bytes
    this.#results[index] = json
  }

  #refuse(index: number, error: unknown): void {
    if (!isDbError(error)) throw error
    this.#results[index] = JSON.stringify({ problem: problemOf(error, this.#exchange.requestId) })
  }

  #finished(): void {
    if (++this.#done < this.#results.length) return
    const headers = [['content-type', JSON_TYPE], ['cache-control', 'no-store']] as const
    this.#exchange.respond(200, headers, `{"results":[${this.#results.join(',')}]}`)
  }
}
