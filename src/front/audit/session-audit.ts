import { ByteBuffer } from 'flatbuffers'
import { QueryReply } from '../../fbs/stemedb/query-reply.ts'
import { requestIdOf } from '../../query/plan.ts'
import { LIST_ITEMS_MAX, ListView, isQueriesFrame, isRepliesFrame } from '../../wire/queries.codec.ts'
import type { AuditWho } from './audit-record.ts'
import type { AuditedQuery, Auditor } from './auditor.ts'

/** What the audit calls questions over the WebSocket. */
const ENDPOINT = 'stream'

/**
 * Records the questions of one WebSocket connection. Their frames pass by whole, so that they are looked into here once more: that costs
 * who has the audit on, and nobody else. What is open is bounded by `sessionQueriesMax`.
 *
 * A reply is told to whom it belongs by its `request_id`. Of several open questions with one id, which a client can not tell apart
 * either, the first is taken.
 */
export class SessionAudit {
  readonly #auditor: Auditor
  readonly #who: AuditWho
  readonly #list = new ListView()
  readonly #open = new Map<bigint, AuditedQuery[]>()

  constructor(auditor: Auditor, who: AuditWho) {
    this.#auditor = auditor
    this.#who = who
  }

  /** Questions of which a record will be made. */
  get openCount(): number {
    let count = 0
    for (const { length } of this.#open.values()) count += length
    return count
  }

  /** A frame of a client went to a lens thread. Whatever it holds; its memory may be reused after the call. */
  asked(frame: Uint8Array): void {
    if (!isQueriesFrame(frame)) return this.#begin(frame)
    const list = this.#list.reset(frame)
    // A frame with nothing in it is answered, too.
    for (let i = 0; i < Math.min(Math.max(1, list.count), LIST_ITEMS_MAX); i++) this.#begin(list.item(i))
  }

  /** A frame of replies, "SQRP" or "SQRR", of this node's own making. */
  answered(frame: Uint8Array): void {
    if (this.#open.size === 0) return
    if (!isRepliesFrame(frame)) return this.#end(frame)
    const list = this.#list.reset(frame)
    for (let i = 0; i < list.count; i++) this.#end(list.item(i))
  }

  /** The connection is gone: nobody is left to be answered. */
  close(): void {
    for (const queries of this.#open.values()) for (const query of queries) query.end(undefined)
    this.#open.clear()
  }

  #begin(request: Uint8Array): void {
    const query = this.#auditor.begin(this.#who, ENDPOINT, request)
    if (query === undefined) return
    const id = requestIdOf(request)
    const same = this.#open.get(id)
    if (same === undefined) this.#open.set(id, [query])
    else same.push(query)
  }

  #end(bytes: Uint8Array): void {
    const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes))
    const id = reply.requestId()
    const queries = this.#open.get(id)
    queries?.shift()?.end(reply)
    if (queries?.length === 0) this.#open.delete(id)
  }
}
