import type { HttpRequest, HttpResponse, WebSocket, WebSocketBehavior, us_socket_context_t } from 'uWebSockets.js'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { peekRequestId } from '../wire/batch.codec.ts'
import { LIST_ITEMS_MAX, isQueriesFrame, isQueryFrame } from '../wire/queries.codec.ts'
import { peekQueryCount } from '../wire/query-peek.ts'
import { addressText, whoOf, type Auditor } from './audit/auditor.ts'
import { SessionAudit } from './audit/session-audit.ts'
import type { Admission } from './admission.ts'
import type { ConnectionGate } from './connection-gate.ts'
import { feedFrameKind } from './feed-frames.codec.ts'
import type { LensWatchParts } from './feed-lens.ts'
import { SocketFeed } from './feed-socket.ts'
import { RETRY_AFTER_DEFAULT_MS, creditBytesOf, messageBytesMax } from './front-limits.ts'
import { SUBPROTOCOL, encodeErrorFrame, encodeWelcome, isBatchFrame, peekAssertionCount } from './frames.codec.ts'
import type { FrontOptions } from './hooks.ts'
import { QUERY_FRAME_BYTES_MAX } from './pipeline.ts'
import { addressKey } from './rate-limiter.ts'
import { Outbox, Session, type CloseReason, type SocketData } from './session.ts'
import type { SlotTable } from './slots.ts'
import { StreamQueries } from './stream-queries.ts'

/** RFC 6455, section 7.4.1, and the IANA registry. */
const CLOSE_UNSUPPORTED_DATA = 1003
const CLOSE_POLICY = 1008
const CLOSE_TOO_BIG = 1009
const CLOSE_INTERNAL = 1011
const CLOSE_SERVICE_RESTART = 1012

const SOCKET_MESSAGES = Object.freeze({
  timeout: 'timed out', // "WebSocket timed out from inactivity"
  tooBig: 'too big', // "Received too big message"
})

export interface StreamParts {
  readonly options: FrontOptions
  readonly admission: Admission
  readonly slots: SlotTable
  readonly gate: ConnectionGate
  readonly feed: LensWatchParts
  readonly auditor: Auditor
  /** Answers an upgrade that is refused, as a problem. */
  readonly refuse: (res: HttpResponse, req: HttpRequest, error: DbError) => void
}

/** The WebSocket endpoint: sessions, their credit, and what they send (docs/formats/wire-frames.md). */
export class Stream {
  readonly outbox = new Outbox()
  readonly #parts: StreamParts
  readonly #sessions = new Set<Session>()
  readonly #creditBytes: number
  readonly #questions: StreamQueries

  constructor(parts: StreamParts) {
    this.#parts = parts
    this.#creditBytes = creditBytesOf(parts.options.config)
    this.#questions = new StreamQueries(parts.options, parts.admission)
  }

  /** Queries of all connections that are owed an answer. */
  get openQueries(): number {
    let open = 0
    for (const session of this.#sessions) open += session.openQueries
    return open
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  behavior(): WebSocketBehavior<SocketData> {
    const { config } = this.#parts.options
    return {
      compression: 0,
      maxPayloadLength: messageBytesMax(config),
      maxBackpressure: config.sendBufferBytesMax,
      closeOnBackpressureLimit: true,
      idleTimeout: config.idleTimeoutSeconds,
      sendPingsAutomatically: true,
      upgrade: (res, req, context) => this.#upgrade(res, req, context),
      open: (socket) => this.#open(socket),
      message: (socket, message, isBinary) => this.#message(socket.getUserData().session, message, isBinary),
      drain: (socket) => socket.getUserData().session.feed?.drained(),
      close: (socket, _code, message) => this.#close(socket.getUserData().session, message),
    }
  }

  /** Records what is still open as unanswered: it will not be answered in time. */
  closeAudits(): void {
    for (const session of this.#sessions) session.audit?.close()
  }

  /** Ends all sessions, telling them to come back. */
  closeAll(): void {
    for (const session of [...this.#sessions]) {
      session.closeReason = 'drain'
      session.socket?.end(CLOSE_SERVICE_RESTART, 'shutting_down')
    }
  }

  #upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
    const { admission, options, refuse, auditor } = this.#parts
    const offered = req.getHeader('sec-websocket-protocol').split(',').map((name) => name.trim())
    if (!offered.includes(SUBPROTOCOL)) {
      return refuse(res, req, new DbError('protocol_unsupported', `the subprotocol must be ${SUBPROTOCOL}`))
    }
    const retryAfterMs = RETRY_AFTER_DEFAULT_MS
    if (admission.draining) return refuse(res, req, new DbError('shutting_down', 'the node is shutting down', { retryAfterMs }))
    if (this.#sessions.size >= options.config.sessionsMax) {
      return refuse(res, req, new DbError('connections_exhausted', `there are ${options.config.sessionsMax} connections already`, { retryAfterMs }))
    }
    const session = new Session(addressKey(res.getRemoteAddress()), this.outbox, admission)
    if (auditor.mode !== 'off') session.audit = new SessionAudit(auditor, whoOf(req.getHeader('x-agent-id'), addressText(res.getRemoteAddressAsText())))
    options.metrics.inc('http_requests_total', { route: 'websocket', status: '101' })
    res.upgrade<SocketData>({ session }, req.getHeader('sec-websocket-key'), SUBPROTOCOL, req.getHeader('sec-websocket-extensions'), context)
  }

  #open(socket: WebSocket<SocketData>): void {
    const { config, nodeId, version, pipeline, metrics } = this.#parts.options
    const session = socket.getUserData().session
    session.socket = socket
    session.handle = this.#parts.slots.acquire(session)
    this.#sessions.add(session)
    metrics.inc('connections_total')
    metrics.set('connections', this.#sessions.size)
    session.send(encodeWelcome({ config, nodeId, version, status: pipeline.status() }))
  }

  #close(session: Session, message: ArrayBuffer): void {
    const { admission, slots, gate, options: { metrics } } = this.#parts
    session.socket = undefined
    session.feed?.close()
    session.audit?.close()
    // uWebSockets' filter sees an upgraded socket come, not go.
    gate.closed()
    this.#sessions.delete(session)
    if (session.handle !== undefined) slots.release(session.handle)
    session.handle = undefined
    admission.settled(session.unackedBytes)
    session.unackedBytes = 0
    session.openQueries = 0
    metrics.inc('connections_closed_total', { reason: session.closeReason ?? reasonOf(message) })
    metrics.set('connections', this.#sessions.size)
  }

  #message(session: Session, message: ArrayBuffer, isBinary: boolean): void {
    // An exception would leave through uWebSockets and end the process.
    try {
      this.#receive(session, new Uint8Array(message), isBinary)
    } catch (error) {
      this.#parts.options.onFault?.(error)
      this.#fail(session, 'internal', 'the node failed on this frame', CLOSE_INTERNAL)
    }
  }

  #receive(session: Session, frame: Uint8Array, isBinary: boolean): void {
    const { options: { config, metrics }, admission } = this.#parts
    // Frames that come after this side has closed are nobody's.
    if (session.handle === undefined || session.closeReason !== undefined) return
    metrics.inc('received_bytes_total', frame.length)
    if (!isBinary) return this.#fail(session, 'malformed_frame', 'text frames are not part of stemedb.v1', CLOSE_UNSUPPORTED_DATA)
    if (frame.length > config.frameBytesMax) {
      return this.#fail(session, 'frame_too_large', `a frame has at most ${config.frameBytesMax} bytes, not ${frame.length}`, CLOSE_TOO_BIG)
    }
    const feedKind = feedFrameKind(frame)
    if (feedKind !== undefined) return this.#receiveOfFeed(session, feedKind, frame)
    if (isQueryFrame(frame) || isQueriesFrame(frame)) return this.#ask(session, frame)
    if (!isBatchFrame(frame)) {
      return this.#fail(session, 'malformed_frame', 'the frame is no Batch ("SBAT"), query ("SQRQ", "SQRS") or subscription ("SSUB", "SUNS")', CLOSE_UNSUPPORTED_DATA)
    }
    if (session.unackedBytes + frame.length > this.#creditBytes) {
      return this.#fail(session, 'credit_exceeded', `${session.unackedBytes} bytes are unacked, ${frame.length} came, the credit is ${this.#creditBytes}`, CLOSE_POLICY)
    }
    const count = admission.rate.on ? peekAssertionCount(frame, config.batchAssertionsMax) : 1
    const refusal = admission.submit(session.handle, session.address, count, frame)
    if (refusal === undefined) {
      session.unackedBytes += frame.length
      return
    }
    admission.refused(refusal.code)
    metrics.inc('acks_total')
    const requestId = peekRequestId(frame) ?? 0n
    this.outbox.encoderOf(session).addRefused(requestId, ERROR_CODES[refusal.code].number, refusal.retryAfterMs, frame.length)
    this.outbox.flush()
  }

  #receiveOfFeed(session: Session, kind: 'subscribe' | 'unsubscribe', frame: Uint8Array): void {
    session.feed ??= new SocketFeed(session, this.#parts.feed)
    try {
      session.feed[kind](frame)
    } catch (error) {
      if (!isDbError(error)) throw error
      this.#fail(session, error.code, error.message, CLOSE_UNSUPPORTED_DATA)
    }
  }

  #ask(session: Session, frame: Uint8Array): void {
    if (frame.length > QUERY_FRAME_BYTES_MAX) {
      return this.#fail(session, 'frame_too_large', `a frame of queries has at most ${QUERY_FRAME_BYTES_MAX} bytes, not ${frame.length}`, CLOSE_TOO_BIG)
    }
    const queries = peekQueryCount(frame)
    if (queries > LIST_ITEMS_MAX) {
      return this.#fail(session, 'frame_too_large', `a frame has at most ${LIST_ITEMS_MAX} queries, not ${queries}`, CLOSE_TOO_BIG)
    }
    this.#questions.ask(session, queries, frame)
  }

  /** Says what is wrong, then closes. */
  #fail(session: Session, code: ErrorName, detail: string, closeCode: number): void {
    this.#parts.admission.refused(code)
    this.outbox.sendAcks(session)
    if (!session.send(encodeErrorFrame(code, detail))) return
    session.closeReason = closeCode === CLOSE_INTERNAL ? 'other' : 'protocol'
    session.socket?.end(closeCode, code)
  }
}

function reasonOf(message: ArrayBuffer): CloseReason {
  const text = Buffer.from(message).toString('latin1')
  if (text.includes(SOCKET_MESSAGES.timeout)) return 'idle'
  return text.includes(SOCKET_MESSAGES.tooBig) ? 'protocol' : 'client'
}
