import { STATUS_CODES } from 'node:http'
import type { HttpResponse } from 'uWebSockets.js'
import { assert } from '../base/assert.ts'
import type { DbError } from '../base/errors.ts'
import type { AuditWho } from './audit/audit-record.ts'
import { BODY_SKIP_BYTES_MAX } from './front-limits.ts'
import { PROBLEM_MEDIA_TYPE, problemHeaders, problemOf } from './problem.ts'

const REQUEST_TIMEOUT = 408

export type Headers = readonly (readonly [name: string, value: string])[]
export type Body = string | Uint8Array

/** What an exchange needs of the server around it. */
export interface ExchangeHost {
  readonly realm: string
  /** Fields of every response: rate limits, `connection: close` while draining. */
  commonHeaders(exchange: Exchange): Headers
  /** Once an exchange, when it is answered (with the status) or aborted (with 0). */
  onEnd(exchange: Exchange, status: number): void
  onRefused(error: DbError): void
}

export interface ExchangeAbout {
  readonly requestId: string
  readonly operationId: string
  readonly address: string
  /** Who asks, for the audit; undefined where that is off. */
  readonly who?: AuditWho | undefined
  readonly head: boolean
  /** Of the body that is announced; infinite where its length is not known, 0 where there is none. */
  readonly bodyBytes: number
}

/**
 * One HTTP request and its response. uWebSockets forbids touching a response that was ended or aborted; here that is a
 * no-op, so that late callbacks need not ask.
 */
export class Exchange {
  readonly requestId: string
  /** Operation in routes.ts. */
  readonly operationId: string
  /** What the rate of its peer is counted under; '' where nobody counts. */
  readonly address: string
  /** Who asks, for the audit; undefined where that is off. */
  readonly who: AuditWho | undefined
  readonly #head: boolean
  readonly #host: ExchangeHost
  #res: HttpResponse | undefined
  #status = 0
  #streaming = false
  #paused = false
  /** The rest of the body is so long that cutting the connection is cheaper than reading on. */
  #bodyLeft: boolean
  #closers: (() => void)[] = []
  /** Fields that were added on the way. */
  readonly #added: (readonly [name: string, value: string])[] = []

  constructor(res: HttpResponse, host: ExchangeHost, about: ExchangeAbout) {
    this.requestId = about.requestId
    this.operationId = about.operationId
    this.address = about.address
    this.who = about.who
    this.#head = about.head
    this.#host = host
    this.#res = res
    this.#bodyLeft = about.bodyBytes > BODY_SKIP_BYTES_MAX
    res.onAborted(() => this.#end())
  }

  /** Neither answered nor aborted. */
  get open(): boolean {
    return this.#res !== undefined
  }

  /** The status line is out: what goes wrong now must be said in the body. */
  get streaming(): boolean {
    return this.#streaming
  }

  /** Only the header is wanted. */
  get isHead(): boolean {
    return this.#head
  }

  /** Calls `close` once when the exchange ends, whichever way; at once where it has. */
  onClose(close: () => void): void {
    if (this.open) this.#closers.push(close)
    else close()
  }

  /** A field of the response, whatever that will be. */
  addHeader(name: string, value: string): void {
    this.#added.push([name, value])
  }

  /** Chunks are valid during the call only. */
  onData(receive: (chunk: Uint8Array, isLast: boolean) => void): void {
    this.#res?.onData((chunk, isLast) => {
      if (isLast) this.#bodyLeft = false
      receive(new Uint8Array(chunk), isLast)
    })
  }

  /** Stops and restarts the reading of the body. */
  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#res?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#res?.resume()
  }

  /** uWebSockets cuts bodies slower than 16 KiB/s after 10 s; resuming starts its clock anew. Deadlines are ours. */
  rearm(): void {
    if (this.#paused || this.#res === undefined) return
    this.#res.pause()
    this.#res.resume()
  }

  /** Answers in one piece. */
  respond(status: number, headers: Headers, body: Body): void {
    this.#finish(status, headers, body)
  }

  /** Answers with no body at all (304, 204). */
  respondEmpty(status: number, headers: Headers): void {
    this.#finish(status, headers, undefined)
  }

  json(status: number, value: unknown, headers: Headers = []): void {
    this.respond(status, [['content-type', 'application/json'], ['cache-control', 'no-store'], ...headers], JSON.stringify(value))
  }

  /**
   * Answers with problem details.
   * @param more members and fields of this problem alone.
   */
  problem(error: DbError, more: { members?: object, headers?: Headers } = {}): void {
    if (!this.open) return
    const problem = problemOf(error, this.requestId)
    this.#host.onRefused(error)
    const headers: Headers = [
      ['content-type', PROBLEM_MEDIA_TYPE], ['cache-control', 'no-store'],
      ...problemHeaders(problem, this.#host.realm), ...(more.headers ?? []),
    ]
    this.#finish(problem.status, headers, JSON.stringify({ ...problem, ...more.members }))
  }

  /** Sends the status line; parts follow by {@link write}. */
  startStream(status: number, headers: Headers): void {
    const res = this.#res
    if (res === undefined) return
    assert(!this.#streaming, 'a response starts once')
    this.#streaming = true
    this.#status = status
    res.cork(() => this.#writeHead(res, status, headers))
  }

  /** False: the reader is behind; write again after {@link onWritable}. */
  write(part: string): boolean {
    const res = this.#res
    if (res === undefined) return true
    let ready = true
    res.cork(() => {
      ready = res.write(part)
    })
    return ready
  }

  onWritable(ready: () => void): void {
    this.#res?.onWritable(() => {
      ready()
      return true
    })
  }

  endStream(lastPart: string): void {
    const res = this.#res
    if (res === undefined) return
    this.resume()
    res.cork(() => {
      res.write(lastPart)
      res.end('', this.#bodyLeft)
    })
    this.#end()
  }

  /** Cuts the connection: the reader has gone silent. */
  abort(): void {
    this.#res?.close()
  }

  #finish(status: number, headers: Headers, body: Body | undefined): void {
    const res = this.#res
    if (res === undefined) return
    // A body that came too slowly would go on so, as the begin of a next request.
    const closeConnection = this.#bodyLeft || status === REQUEST_TIMEOUT
    this.#status = status
    // A connection that is left paused would never read its next request.
    this.resume()
    res.cork(() => {
      this.#writeHead(res, status, headers)
      // Its arguments stay away: it takes an undefined length for one.
      if (body === undefined) return void res.endWithoutBody()
      // A HEAD behind which the connection must go is not told the length: endWithoutBody() says that it closes, and does not.
      if (!this.#head || closeConnection) return void res.end(this.#head ? '' : body, closeConnection)
      res.writeHeader('content-length', String(typeof body === 'string' ? Buffer.byteLength(body) : body.length))
      res.endWithoutBody()
    })
    this.#end()
  }

  #writeHead(res: HttpResponse, status: number, headers: Headers): void {
    res.writeStatus(`${status} ${STATUS_CODES[status] ?? 'Unknown'}`)
    res.writeHeader('x-request-id', this.requestId)
    for (const [name, value] of this.#host.commonHeaders(this)) res.writeHeader(name, value)
    for (const [name, value] of this.#added) res.writeHeader(name, value)
    for (const [name, value] of headers) res.writeHeader(name, value)
  }

  #end(): void {
    if (this.#res === undefined) return
    this.#res = undefined
    const closers = this.#closers
    this.#closers = []
    for (const close of closers) close()
    this.#host.onEnd(this, this.#status)
  }
}
