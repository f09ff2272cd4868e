import type { ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import type { FeedFilter } from '../feed/filter.ts'
import type { Exchange } from './exchange.ts'
import type { DeliveredFrame, HubSubscription } from './feed-hub.ts'
import type { HandlerParts } from './handler.ts'
import type { FoundJson } from './query.codec.ts'

/** A page ends when its matches have come to so many bytes of frames. */
const PAGE_BYTES_MAX = 4 * MiB
/** A page that has looked for so long ends where it is; half of processingTimeoutMs, where that is less. In milliseconds. */
const PAGE_MS_MAX = 2_000
/** The newest matches are looked for among so many LSNs per match wanted first, then eight times as many, and so on ... */
const NEWEST_LSNS_PER_MATCH = 4
const NEWEST_LSNS_MIN = 1024
const NEWEST_WIDER = 8
/** ... up to so many. */
const NEWEST_LSNS_MAX = 65_536

export interface PageOptions {
  readonly filter: FeedFilter
  readonly limit: number
  /** 0: the newest. */
  readonly fromLsn: Lsn
}

/** Answers with one page of matches, as JSON. @throws {DbError} `lsn_in_future`, and those of `FeedHub.subscribe` */
export function readPage(exchange: Exchange, { filter, limit, fromLsn }: PageOptions, parts: HandlerParts): void {
  const { pipeline, clock, config } = parts.options
  parts.feed.hub.checkOpen()
  const { appliedLsn, durableLsn } = pipeline.status()
  if (fromLsn > durableLsn + 1) {
    throw new DbError('lsn_in_future', `from_lsn is ${fromLsn}, the next LSN of this node is ${durableLsn + 1}`, { parameter: 'from_lsn' })
  }
  const answer = ({ items, nextLsn }: ScanResult): void => exchange.json(200, { items, next_lsn: nextLsn, applied_lsn: appliedLsn })
  if (fromLsn > appliedLsn || appliedLsn === 0) return answer({ items: [], nextLsn: Math.max(1, fromLsn) })
  const msMax = Math.min(PAGE_MS_MAX, config.processingTimeoutMs / 2)
  if (fromLsn > 0) {
    new LogScan(exchange, parts, { filter, fromLsn, untilLsn: appliedLsn, limit, keeps: 'first', msMax }, answer)
    return
  }
  const endMonoMs = clock.monoMs() + msMax
  const lookBack = (lsns: number, narrower?: ScanResult): void => {
    const from = Math.max(1, appliedLsn + 1 - lsns)
    const done = (result: ScanResult): void => {
      const { items, nextLsn } = result
      // Reading goes upwards: what a scan out of time has not come to is the newest.
      if (nextLsn <= appliedLsn) {
        if (narrower === undefined) throw new DbError('timeout', `the newest ${lsns} assertions were not looked through within ${msMax} ms`)
        return answer(narrower)
      }
      if (items.length >= limit || from === 1 || lsns >= NEWEST_LSNS_MAX) answer(result)
      else lookBack(Math.min(NEWEST_LSNS_MAX, lsns * NEWEST_WIDER), result)
    }
    new LogScan(exchange, parts, { filter, fromLsn: from, untilLsn: appliedLsn, limit, keeps: 'last', msMax: Math.max(0, endMonoMs - clock.monoMs()) }, done)
  }
  lookBack(Math.min(NEWEST_LSNS_MAX, Math.max(NEWEST_LSNS_MIN, limit * NEWEST_LSNS_PER_MATCH)))
}

interface ScanOptions {
  readonly filter: FeedFilter
  readonly fromLsn: Lsn
  readonly untilLsn: Lsn
  readonly limit: number
  /** Which matches count, where there are more than the limit. */
  readonly keeps: 'first' | 'last'
  /** It ends where it is after so long. */
  readonly msMax: number
}

interface ScanResult {
  readonly items: readonly FoundJson[]
  /** Everything from the begin of the scan to here was looked at. */
  readonly nextLsn: Lsn
}

interface Kept {
  readonly found: FoundJson
  readonly bytes: number
}

/** Reads one stretch of the log through the feed stage, and keeps the first or the last matches of it. */
class LogScan {
  readonly #exchange: Exchange
  readonly #parts: HandlerParts
  readonly #options: ScanOptions
  readonly #done: (result: ScanResult) => void
  readonly #kept: Kept[] = []
  #bytes = 0
  #nextLsn: Lsn | undefined
  readonly #subscription: HubSubscription

  /** @param done what it throws is the answer. */
  constructor(exchange: Exchange, parts: HandlerParts, options: ScanOptions, done: (result: ScanResult) => void) {
    const { feed: { hub }, options: { clock } } = parts
    this.#exchange = exchange
    this.#parts = parts
    this.#options = options
    this.#done = done
    const sink = hub.openSink(() => 0)
    const { filter, fromLsn, untilLsn, msMax } = options
    this.#subscription = hub.subscribe({ sink, filter, fromLsn, untilLsn }, {
      subscribed: () => undefined,
      deliver: (frame) => {
        this.#take(frame)
        return false
      },
      reached: () => undefined,
      ended: (code, detail, lastLsn) => {
        hub.closeSink(sink, [])
        this.#end(code, detail, lastLsn)
      },
    })
    const late = clock.timer(msMax, () => hub.unsubscribe(this.#subscription))
    exchange.onClose(() => {
      late()
      hub.closeSink(sink, [this.#subscription])
    })
  }

  #take(frame: DeliveredFrame): void {
    if (this.#nextLsn !== undefined) return
    const { limit, keeps } = this.#options
    const bytes = frame.bytes.length / frame.json.length
    for (const found of frame.json) {
      this.#kept.push({ found, bytes })
      this.#bytes += bytes
      const isFull = this.#kept.length >= limit || this.#bytes >= PAGE_BYTES_MAX
      if (keeps === 'first' && isFull) {
        this.#nextLsn = found.lsn + 1
        return this.#parts.feed.hub.unsubscribe(this.#subscription)
      }
      while (this.#kept.length > limit || (this.#bytes > PAGE_BYTES_MAX && this.#kept.length > 1)) this.#bytes -= this.#kept.shift()!.bytes
    }
  }

  #end(code: ErrorName | undefined, detail: string, lastLsn: Lsn): void {
    this.#parts.guard(this.#exchange, () => {
      if (code !== undefined) throw new DbError(code, detail)
      this.#done({ items: this.#kept.map(({ found }) => found), nextLsn: this.#nextLsn ?? lastLsn + 1 })
    })
  }
}
