import type { Clock } from '../base/clock.ts'
import { readLsn, type Lsn } from '../base/lsn.ts'
import { wordSum } from '../base/word-sum.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import { fieldAt } from '../wire/queries.codec.ts'
import { volatileFieldsOf } from '../wire/query-peek.ts'
import { QUERY_KINDS } from '../wire/query-request.codec.ts'
import type { Dependencies } from './dependencies.ts'

/** Longer requests are not looked for. */
const REQUEST_BYTES_MAX = 4096
/** Longer replies are not kept: they cost much and are asked for rarely. */
const REPLY_BYTES_MAX = 64 * 1024
/** Time for which an answer that depends on the time of day, by decay or trust, is kept: in it no half-life moves a weight by a millionth. */
export const TIMED_ANSWER_MS_MAX = 1000
/** What an entry is counted with beside its bytes: so the bound in bytes is one of entries, too. */
const ENTRY_OVERHEAD_BYTES = 512

// Slots of fbs/query.fbs.
const REQUEST_KIND = 1
const REQUEST_EXPLAIN = 25
const REPLY_REQUEST_ID = 0
const REPLY_REFUSED = 1
const REPLY_SEEN_LSN = 6

export interface AnswerCacheDependencies {
  /** Works an answer out; its reads are noted in `dependencies`. */
  readonly answer: (request: Uint8Array) => Uint8Array
  readonly dependencies: Dependencies
  readonly appliedLsn: () => Lsn
  readonly clock: Clock
  readonly bytesMax: number
  readonly metrics: ThreadMetrics
}

interface Entry {
  /** The request without its id and `min_lsn`. */
  readonly request: Uint8Array
  readonly reply: Uint8Array
  readonly view: DataView
  readonly requestIdAt: number
  readonly seenLsnAt: number
  readonly snapshot: Int32Array
  /** 0: it does not depend on the time. */
  readonly endMonoMs: number
  isUsed: boolean
}

/**
 * Answers through lenses that a lens thread has given, by the bytes of the request but its id and `min_lsn`. An answer is used again as long as nothing was
 * written of any pair that it was made of, votes and other records included (dependencies.ts): never one that is older than an
 * applied LSN which was read before the question, so `seen_lsn` is that LSN, and it is true.
 *
 * Bounded in bytes; the clock algorithm makes room: an answer that was used since the hand passed it last stays for another round.
 */
export class AnswerCache {
  readonly #deps: AnswerCacheDependencies
  readonly #entries = new Map<number, Entry>()
  #hand: Iterator<[number, Entry]> = this.#entries.entries()
  #bytes = 0
  readonly #key = new Uint8Array(REQUEST_BYTES_MAX)

  constructor(deps: AnswerCacheDependencies) {
    this.#deps = deps
  }

  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#entries.size
  }

  /** A QueryReply for any bytes, valid until the next call. */
  answer(request: Uint8Array): Uint8Array {
    const { dependencies, metrics } = this.#deps
    const { length } = request
    dependencies.begin(this.#deps.appliedLsn())
    if (length > REQUEST_BYTES_MAX) {
      metrics.inc('answer_cache_misses_total')
      return this.#deps.answer(request)
    }
    this.#key.set(request)
    const key = new DataView(this.#key.buffer, 0, length)
    const { requestId, minLsn } = volatileFieldsOf(key)
    const idLow = requestId < 0 ? 0 : key.getUint32(requestId, true)
    const idHigh = requestId < 0 ? 0 : key.getUint32(requestId + 4, true)
    const leastLsn = minLsn < 0 ? 0 : readLsn(key, minLsn)
    zero(key, requestId)
    zero(key, minLsn)
    const hash = wordSum(key, 0, length)
    const kept = this.#kept(hash, length, leastLsn)
    if (kept !== undefined) {
      kept.view.setUint32(kept.requestIdAt, idLow, true)
      kept.view.setUint32(kept.requestIdAt + 4, idHigh, true)
      metrics.inc('answer_cache_hits_total')
      return kept.reply
    }
    metrics.inc('answer_cache_misses_total')
    const reply = this.#deps.answer(request)
    this.#keep(hash, key, reply)
    return reply
  }

  /** The answer to the request in `#key`, with `seen_lsn` of now; undefined where there is none that still holds. */
  #kept(hash: number, length: number, leastLsn: number): Entry | undefined {
    const { appliedLsn, dependencies, clock, metrics } = this.#deps
    const entry = this.#entries.get(hash)
    if (entry === undefined || !isSame(entry.request, this.#key, length)) return undefined
    // Before the pairs' LSNs: what was applied up to here has moved them already.
    const seenLsn = appliedLsn()
    if (leastLsn > seenLsn) return undefined
    if (!dependencies.holds(entry.snapshot) || entry.endMonoMs !== 0 && clock.monoMs() >= entry.endMonoMs) {
      this.#drop(hash, entry)
      metrics.inc('answer_cache_stale_total')
      return undefined
    }
    entry.isUsed = true
    entry.view.setUint32(entry.seenLsnAt, seenLsn >>> 0, true)
    entry.view.setUint32(entry.seenLsnAt + 4, Math.floor(seenLsn / 0x1_0000_0000), true)
    return entry
  }

  #keep(hash: number, key: DataView, reply: Uint8Array): void {
    const { bytesMax, dependencies, clock } = this.#deps
    if (!dependencies.isBounded || reply.length > REPLY_BYTES_MAX) return
    const table = key.getUint32(0, true)
    if (u8At(key, table, REQUEST_KIND) !== QUERY_KINDS.lens || u8At(key, table, REQUEST_EXPLAIN) !== 0) return
    const kept = reply.slice()
    const view = new DataView(kept.buffer)
    const root = view.getUint32(0, true)
    const requestIdAt = fieldAt(view, root, REPLY_REQUEST_ID, 8)
    const seenLsnAt = fieldAt(view, root, REPLY_SEEN_LSN, 8)
    // A builder leaves zeros out, and then there is no place for others; refusals may be for a reason that passes.
    if (requestIdAt < 0 || seenLsnAt < 0 || fieldAt(view, root, REPLY_REFUSED, 2) >= 0) return
    const entry: Entry = {
      request: this.#key.slice(0, key.byteLength), reply: kept, view, requestIdAt, seenLsnAt, snapshot: dependencies.snapshot(),
      endMonoMs: dependencies.usesTime ? clock.monoMs() + TIMED_ANSWER_MS_MAX : 0, isUsed: false,
    }
    const bytes = bytesOf(entry)
    if (bytes > bytesMax) return
    const other = this.#entries.get(hash)
    if (other !== undefined) this.#drop(hash, other)
    while (this.#bytes + bytes > bytesMax) this.#evict()
    this.#entries.set(hash, entry)
    this.#setBytes(this.#bytes + bytes)
  }

  /** Only with at least one entry. */
  #evict(): void {
    for (;;) {
      const next = this.#hand.next()
      if (next.done === true) {
        this.#hand = this.#entries.entries()
        continue
      }
      const [hash, entry] = next.value
      if (!entry.isUsed) {
        this.#drop(hash, entry)
        this.#deps.metrics.inc('answer_cache_evictions_total')
        return
      }
      entry.isUsed = false
    }
  }

  #drop(hash: number, entry: Entry): void {
    this.#entries.delete(hash)
    this.#setBytes(this.#bytes - bytesOf(entry))
  }

  #setBytes(bytes: number): void {
    this.#bytes = bytes
    this.#deps.metrics.set('answer_cache_bytes', bytes)
  }
}

const bytesOf = ({ request, reply, snapshot }: Entry): number => ENTRY_OVERHEAD_BYTES + request.length + reply.length + snapshot.byteLength

function u8At(view: DataView, table: number, slot: number): number {
  const at = fieldAt(view, table, slot, 1)
  return at < 0 ? 0 : view.getUint8(at)
}

function zero(view: DataView, at: number): void {
  if (at < 0) return
  view.setUint32(at, 0, true)
  view.setUint32(at + 4, 0, true)
}

function isSame(request: Uint8Array, key: Uint8Array, length: number): boolean {
  if (request.length !== length) return false
  for (let i = 0; i < length; i++) if (request[i] !== key[i]) return false
  return true
}
