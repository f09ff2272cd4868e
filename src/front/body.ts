import type { Clock } from '../base/clock.ts'
import { concatBytes, copyBytes } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Exchange } from './exchange.ts'
import { BODY_EVICT_AFTER_MS, BODY_TICK_MS, RETRY_AFTER_OVERLOADED_MS } from './front-limits.ts'

/** Bytes of bodies that may be in memory, over all requests: what bounds the node when many send large ones slowly. */
export class BodyBudget {
  readonly bytesMax: number
  #usedBytes = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** False: nothing was taken. */
  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.bytesMax) return false
    this.#usedBytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
  }
}

/**
 * Requests whose bodies are on their way, the one without progress for longest first. They do not count as requests under
 * way, or as many slow ones would shut out everybody; beyond the bound the slowest is ended for a new one.
 */
export class ArrivingBodies {
  readonly #bodiesMax: number
  readonly #watches = new Set<BodyWatch>()

  constructor(bodiesMax: number) {
    this.#bodiesMax = bodiesMax
  }

  get count(): number {
    return this.#watches.size
  }

  /** @throws {DbError} `overloaded` where there are too many, and all of them make progress. */
  add(watch: BodyWatch): void {
    if (this.#watches.size >= this.#bodiesMax && !this.#endSlowest()) {
      throw new DbError('overloaded', 'too many bodies are on their way', { retryAfterMs: RETRY_AFTER_OVERLOADED_MS })
    }
    this.#watches.add(watch)
  }

  progressed(watch: BodyWatch): void {
    if (this.#watches.delete(watch)) this.#watches.add(watch)
  }

  remove(watch: BodyWatch): void {
    this.#watches.delete(watch)
  }

  #endSlowest(): boolean {
    for (const slowest of this.#watches) {
      if (slowest.idleMs >= BODY_EVICT_AFTER_MS) slowest.end()
      break
    }
    return this.#watches.size < this.#bodiesMax
  }
}

export interface BodyParts {
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  readonly budget: BodyBudget
  readonly arriving: ArrivingBodies
  readonly ingressTimeoutMs: number
}

export const bodyTooSlow = (waitedMs: number): DbError =>
  new DbError('body_timeout', `the body did not come within ${waitedMs} ms`)

export const outOfBodyMemory = (): DbError =>
  new DbError('overloaded', 'the bodies of other requests fill the memory that is set aside for them')

/**
 * Watches a body's arrival: calls `late` when nothing has called {@link BodyWatch.progress} for the timeout, and again,
 * unless stopped. Keeps uWebSockets' own, stricter clock from cutting the connection before.
 */
export class BodyWatch {
  readonly #exchange: Exchange
  readonly #parts: BodyParts
  readonly #late: (waitedMs: number) => void
  #lastMonoMs: number
  #cancel: (() => void) | undefined
  #stopped = false

  /** @throws {DbError} `overloaded` where too many bodies are on their way. */
  constructor(exchange: Exchange, parts: BodyParts, late: (waitedMs: number) => void) {
    this.#exchange = exchange
    this.#parts = parts
    this.#late = late
    this.#lastMonoMs = parts.clock.monoMs()
    parts.arriving.add(this)
    this.#arm()
    exchange.onClose(() => this.stop())
  }

  /** Since the last progress. */
  get idleMs(): number {
    return this.#parts.clock.monoMs() - this.#lastMonoMs
  }

  progress(): void {
    this.#lastMonoMs = this.#parts.clock.monoMs()
    this.#parts.arriving.progressed(this)
  }

  /** Its place is wanted by another one. */
  end(): void {
    this.#late(Math.round(this.idleMs))
  }

  stop(): void {
    this.#stopped = true
    this.#parts.arriving.remove(this)
    this.#cancel?.()
    this.#cancel = undefined
  }

  #arm(): void {
    const { clock, ingressTimeoutMs } = this.#parts
    const leftMs = this.#lastMonoMs + ingressTimeoutMs - clock.monoMs()
    this.#cancel = clock.timer(Math.max(1, Math.min(BODY_TICK_MS, Math.ceil(leftMs))), () => this.#tick())
  }

  #tick(): void {
    this.#cancel = undefined
    const { ingressTimeoutMs } = this.#parts
    if (this.idleMs >= ingressTimeoutMs) this.#late(ingressTimeoutMs)
    if (this.#stopped) return
    this.#exchange.rearm()
    this.#arm()
  }
}

/**
 * Takes a whole body into memory and hands it over: `done` is called once, with bytes that are valid during the call
 * only, or never, where the exchange was answered (413, 408, 503) or aborted.
 * @param contentLength what the request says, undefined where it says nothing.
 */
export function readBody(
  exchange: Exchange, contentLength: number | undefined, bytesMax: number, parts: BodyParts, done: (body: Uint8Array) => void,
): void {
  const fail = (error: DbError): void => exchange.problem(error)
  const tooLarge = (): void => fail(new DbError('frame_too_large', `a body has at most ${bytesMax} bytes`))
  if (contentLength !== undefined && contentLength > bytesMax) return tooLarge()
  const chunks: Uint8Array[] = []
  let heldBytes = 0
  const watch = new BodyWatch(exchange, parts, (waitedMs) => fail(bodyTooSlow(waitedMs)))
  exchange.onClose(() => parts.budget.give(heldBytes))
  exchange.onData((chunk, isLast) => {
    parts.metrics.inc('received_bytes_total', chunk.length)
    if (!exchange.open) return
    if (heldBytes + chunk.length > bytesMax) return tooLarge()
    if (isLast) {
      watch.stop()
      return done(chunks.length === 0 ? chunk : concatBytes(...chunks, chunk))
    }
    if (!parts.budget.take(chunk.length)) return fail(outOfBodyMemory())
    heldBytes += chunk.length
    chunks.push(copyBytes(chunk))
  })
}
