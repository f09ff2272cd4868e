import { DbError } from '../../base/errors.ts'
import { parseServerFrame, type Welcome } from '../../client/frames.ts'
import type { NodeUrls } from '../../client/urls.ts'
import { isAcks, isWelcome, readAcks, type FastAck } from './acks-reader.ts'
import { openNodeSocket, type RawSocket } from './raw-ws.ts'
import type { FrameRun } from './source.ts'

export interface ConnectionHandlers {
  ack(connection: LoadConnection, view: DataView, ack: FastAck): void
  /** After all acks of one message. */
  acked(connection: LoadConnection): void
  closed(connection: LoadConnection, reason: string): void
}

/** One connection of a load run, with its credit and its window. */
export class LoadConnection {
  readonly index: number
  readonly #handlers: ConnectionHandlers
  #socket: RawSocket | undefined
  #onWelcome: ((welcome: Welcome) => void) | undefined
  #creditBytes = 0
  #availableBytes = 0
  #lastError = ''
  isOpen = false
  /** Frames sent and not answered. */
  inFlight = 0
  /** Time before which nothing is sent, after a refusal that said so. */
  pausedUntilMs = 0

  constructor(index: number, handlers: ConnectionHandlers) {
    this.index = index
    this.#handlers = handlers
  }

  /** Connects; resolves with the welcome. @throws {DbError} as rejection */
  async open(urls: NodeUrls, timeoutMs: number): Promise<Welcome> {
    let refuse: ((error: DbError) => void) | undefined
    const welcomed = new Promise<Welcome>((resolve, reject) => {
      this.#onWelcome = resolve
      refuse = reject
    })
    this.#socket = await openNodeSocket(urls, timeoutMs, {
      message: (bytes) => this.#message(bytes),
      closed: (reason) => {
        this.isOpen = false
        const why = this.#lastError === '' ? reason : this.#lastError
        refuse?.(new DbError('unreachable', `no welcome: ${why}`))
        this.#handlers.closed(this, why)
      },
    })
    const welcome = await welcomed
    this.#creditBytes = welcome.creditBytes
    this.#availableBytes = welcome.creditBytes
    this.isOpen = true
    return welcome
  }

  #message(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (isAcks(view)) {
      const credit = readAcks(view, (ack) => {
        this.inFlight--
        this.#handlers.ack(this, view, ack)
      })
      this.#availableBytes = Math.min(this.#creditBytes, this.#availableBytes + credit)
      this.#handlers.acked(this)
      return
    }
    const frame = parseServerFrame(bytes.slice())
    if (isWelcome(view) && frame.kind === 'welcome') this.#onWelcome?.(frame.welcome)
    else if (frame.kind === 'error') this.#lastError = `${frame.error.code}: ${frame.error.message}`
  }

  /** Frames of that size that credit and window allow now. */
  room(frameBytes: number, window: number, nowMs: number): number {
    if (!this.isOpen || nowMs < this.pausedUntilMs) return 0
    return Math.min(window - this.inFlight, Math.floor(this.#availableBytes / frameBytes))
  }

  send(run: FrameRun, payloadBytes: number): void {
    this.inFlight += run.count
    this.#availableBytes -= run.count * payloadBytes
    this.#socket!.write(run.bytes, run.release)
  }

  close(): void {
    this.isOpen = false
    this.#socket?.close()
  }
}

