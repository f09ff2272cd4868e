import { ByteBuffer } from 'flatbuffers'
import type { Clock } from '../base/clock.ts'
import type { Lsn } from '../base/lsn.ts'
import { QueryReply } from '../fbs/stemedb/query-reply.ts'
import type { Exchange } from './exchange.ts'
import { APPLIED_POLL_MS } from './front-limits.ts'
import type { Pipeline } from './pipeline.ts'

interface Waiter {
  readonly exchange: Exchange
  readonly lsn: Lsn
  readonly then: () => void
}

/** Questions under way. Both tables hold one entry an open HTTP request at most. */
export class Queries {
  readonly #pipeline: Pipeline
  readonly #clock: Clock
  readonly #asked = new Map<bigint, (reply: QueryReply) => void>()
  #waiters: Waiter[] = []
  #polling = false
  #lastRequestId = 0n

  constructor(pipeline: Pipeline, clock: Clock) {
    this.#pipeline = pipeline
    this.#clock = clock
  }

  /**
   * Sends a request. `onReply` is called once, with views that are valid during the call, unless the exchange ends
   * before. False: the rings are full and nothing was sent.
   */
  ask(exchange: Exchange, encode: (requestId: bigint) => Uint8Array, onReply: (reply: QueryReply) => void): boolean {
    const requestId = ++this.#lastRequestId
    this.#asked.set(requestId, onReply)
    exchange.onClose(() => this.#asked.delete(requestId))
    const sent = this.#pipeline.query(encode(requestId))
    if (!sent) this.#asked.delete(requestId)
    return sent
  }

  /**
   * The same for one whom no exchange stands for: `onReply` is called once, whatever happens meanwhile. How many ask so
   * is the caller's to bound.
   */
  askAlone(encode: (requestId: bigint) => Uint8Array, onReply: (reply: QueryReply) => void): boolean {
    const requestId = ++this.#lastRequestId
    const sent = this.#pipeline.query(encode(requestId))
    if (sent) this.#asked.set(requestId, onReply)
    return sent
  }

  /** From the pipeline. A reply that nobody waits for any more is dropped. */
  reply(bytes: Uint8Array): void {
    const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes))
    const requestId = reply.requestId()
    const onReply = this.#asked.get(requestId)
    this.#asked.delete(requestId)
    onReply?.(reply)
  }

  /** Calls `then` when what was acked with `lsn` can be read, unless the exchange ends before. */
  whenApplied(exchange: Exchange, lsn: Lsn, then: () => void): void {
    if (this.#pipeline.status().appliedLsn >= lsn) return then()
    this.#waiters.push({ exchange, lsn, then })
    this.#poll()
  }

  #poll(): void {
    if (this.#polling || this.#waiters.length === 0) return
    this.#polling = true
    this.#clock.timer(APPLIED_POLL_MS, () => {
      this.#polling = false
      const { appliedLsn } = this.#pipeline.status()
      const waiting = this.#waiters.filter(({ exchange }) => exchange.open)
      this.#waiters = waiting.filter(({ lsn }) => lsn > appliedLsn)
      for (const { lsn, then } of waiting) if (lsn <= appliedLsn) then()
      this.#poll()
    })
  }
}
