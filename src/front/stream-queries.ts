import { Builder } from 'flatbuffers'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { writeRefusal } from '../query/reply.codec.ts'
import { encodeList } from '../wire/queries.codec.ts'
import { peekMinLsn, peekRequestIds } from '../wire/query-peek.ts'
import type { Admission } from './admission.ts'
import { APPLIED_POLL_MS, WAITING_QUERIES_BYTES_MAX } from './front-limits.ts'
import type { FrontOptions } from './hooks.ts'
import type { Session } from './session.ts'

/** A frame whose `min_lsn` can not be read yet. */
interface Waiting {
  readonly session: Session
  readonly queries: number
  readonly frame: Uint8Array
  readonly minLsn: Lsn
  readonly endMonoMs: number
}

/**
 * Queries that come over WebSockets. They go to a lens thread as they are, behind the number of their connection; the replies come
 * back ready to send. So nothing of a query is decoded here (but for the audit, where that is on), and there is no table of what is under way: what a connection may have
 * unanswered is a count.
 */
export class StreamQueries {
  readonly #options: FrontOptions
  readonly #admission: Admission
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #polling = false

  constructor(options: FrontOptions, admission: Admission) {
    this.#options = options
    this.#admission = admission
  }

  /** Takes a frame, or refuses each of its queries. `frame` is valid during the call only. */
  ask(session: Session, queries: number, frame: Uint8Array): void {
    const { config, pipeline, clock } = this.#options
    if (this.#admission.draining) return this.#refuse(session, frame, 'shutting_down')
    if (session.openQueries + queries > config.sessionQueriesMax) {
      return this.#refuse(session, frame, 'overloaded', `a connection may have ${config.sessionQueriesMax} queries unanswered`)
    }
    const minLsn = peekMinLsn(frame)
    if (minLsn === 0) return this.#send(session, queries, frame)
    const { appliedLsn, durableLsn } = pipeline.status()
    if (minLsn <= appliedLsn) return this.#send(session, queries, frame)
    if (minLsn > durableLsn) {
      return this.#refuse(session, frame, 'lsn_in_future', `min_lsn is ${minLsn}, the last durable LSN of this node is ${durableLsn}`)
    }
    if (this.#waitingBytes + frame.length > WAITING_QUERIES_BYTES_MAX) {
      return this.#refuse(session, frame, 'overloaded', 'too many queries wait for their min_lsn')
    }
    session.openQueries += queries
    this.#waitingBytes += frame.length
    this.#waiting.push({ session, queries, frame: frame.slice(), minLsn, endMonoMs: clock.monoMs() + config.processingTimeoutMs })
    this.#poll()
  }

  #send(session: Session, queries: number, frame: Uint8Array): void {
    const { handle } = session
    if (handle === undefined) return
    if (!this.#options.pipeline.ask(handle.slot, handle.generation, queries, frame)) return this.#refuse(session, frame, 'overloaded')
    session.openQueries += queries
    session.audit?.asked(frame)
  }

  #poll(): void {
    const { clock, config, pipeline } = this.#options
    if (this.#polling || this.#waiting.length === 0) return
    this.#polling = true
    clock.timer(APPLIED_POLL_MS, () => {
      this.#polling = false
      const { appliedLsn } = pipeline.status()
      const nowMonoMs = clock.monoMs()
      const waiting = this.#waiting
      this.#waiting = waiting.filter((each) => each.minLsn > appliedLsn && each.endMonoMs > nowMonoMs && each.session.handle !== undefined)
      const still = new Set(this.#waiting)
      for (const each of waiting) {
        if (still.has(each)) continue
        this.#waitingBytes -= each.frame.length
        // A connection that has gone was told of nothing, and counts nothing any more.
        if (each.session.handle === undefined) continue
        each.session.openQueries -= each.queries
        if (each.minLsn <= appliedLsn) this.#send(each.session, each.queries, each.frame)
        else this.#refuse(each.session, each.frame, 'lsn_not_reached', `LSN ${each.minLsn} was not indexed within ${config.processingTimeoutMs} ms`)
      }
      this.#poll()
    })
  }

  /** Answers each query of a frame with the same refusal, in one message. */
  #refuse(session: Session, frame: Uint8Array, code: ErrorName, detail = ERROR_CODES[code].action): void {
    this.#admission.refused(code)
    const error = new DbError(code, detail, code === 'lsn_in_future' ? { parameter: 'min_lsn' } : {})
    const replies = peekRequestIds(frame).map((requestId) => writeRefusal(new Builder(256), requestId, error))
    session.send(replies.length === 1 ? replies[0]! : encodeList('SQRR', replies))
  }
}
