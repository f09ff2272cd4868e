import type { WebSocket } from 'uWebSockets.js'
import type { AckView } from '../commit/ack.layout.ts'
import type { CLOSE_REASONS } from '../observe/metrics.ts'
import type { SessionAudit } from './audit/session-audit.ts'
import { AcksEncoder } from './acks.codec.ts'
import type { Admission } from './admission.ts'
import { DIRTY_SESSIONS_MAX } from './front-limits.ts'
import type { SlotHandle, SlotOwner } from './slots.ts'

export type CloseReason = (typeof CLOSE_REASONS)[number]

/** `send` of uWebSockets: the message was dropped because too much waits already. */
const SEND_DROPPED = 2

/**
 * User data of a socket. uWebSockets copies its own properties onto the socket and hands that out as user data: an
 * object with methods would not survive, so it is wrapped.
 */
export interface SocketData {
  readonly session: Session
}

/** The live subscriptions of a connection (feed-socket.ts). */
export interface SessionFeed {
  /** Frames of a client. @throws {DbError} where they are none. */
  subscribe(frame: Uint8Array): void
  unsubscribe(frame: Uint8Array): void
  /** The socket has sent something of what waited. */
  drained(): void
  /** The connection is gone. */
  close(): void
}

/** One WebSocket connection. */
export class Session implements SlotOwner {
  /** What its rate is counted under. */
  readonly address: string
  /** Set at the open event. */
  handle: SlotHandle | undefined
  /** Undefined before the open and after the close event: nothing may touch it then. */
  socket: WebSocket<SocketData> | undefined
  /** Bytes of its batches that are not acked. */
  unackedBytes = 0
  /** Queries that are not answered. */
  openQueries = 0
  /** Acks of the drain under way. */
  encoder: AcksEncoder | undefined
  /** Records its questions; undefined where that is off. */
  audit: SessionAudit | undefined
  /** Its live subscriptions, where it has had one. */
  feed: SessionFeed | undefined
  /** Set where this side closes. */
  closeReason: CloseReason | undefined
  readonly #outbox: Outbox
  readonly #admission: Admission

  constructor(address: string, outbox: Outbox, admission: Admission) {
    this.address = address
    this.#outbox = outbox
    this.#admission = admission
  }

  onAck(ack: AckView): void {
    this.unackedBytes -= ack.frameBytes
    this.#admission.settled(ack.frameBytes)
    this.#outbox.encoderOf(this).add(ack)
  }

  onReceipt(frame: Uint8Array): void {
    // A receipt says that its batch is durable; the client should have read so in the ack before.
    this.#outbox.sendAcks(this)
    this.send(frame)
  }

  /** What the system has not taken yet of what was sent. */
  get bufferedBytes(): number {
    return this.socket?.getBufferedAmount() ?? 0
  }

  onReplies(queries: number, frame: Uint8Array): void {
    this.openQueries -= queries
    this.audit?.answered(frame)
    this.send(frame)
  }

  /**
   * A dropped message is a gap that nobody would notice: the connection ends with it.
   * @returns whether the connection still stands.
   */
  send(frame: Uint8Array): boolean {
    if (this.socket === undefined) return false
    if (this.socket.send(frame, true, false) !== SEND_DROPPED) return true
    this.closeReason = 'slow_reader'
    this.socket.close()
    return false
  }
}

/** Acks of one drain, one frame a session; encoders are lent and come back. */
export class Outbox {
  readonly #dirty: Session[] = []
  readonly #spare: AcksEncoder[] = []

  /** The session's encoder with room for one more ack. */
  encoderOf(session: Session): AcksEncoder {
    if (session.encoder?.full === true) this.sendAcks(session)
    if (session.encoder === undefined) {
      if (this.#dirty.length >= DIRTY_SESSIONS_MAX) this.flush()
      session.encoder = this.#spare.pop() ?? new AcksEncoder()
      this.#dirty.push(session)
    }
    return session.encoder
  }

  /** Sends what the session has; its encoder stays with it until the flush. */
  sendAcks(session: Session): void {
    const { encoder } = session
    if (encoder === undefined || encoder.count === 0) return
    session.send(encoder.finish())
  }

  flush(): void {
    for (const session of this.#dirty) {
      const { encoder } = session
      if (encoder === undefined) continue
      this.sendAcks(session)
      session.encoder = undefined
      if (encoder.reusable) this.#spare.push(encoder)
    }
    this.#dirty.length = 0
  }
}
