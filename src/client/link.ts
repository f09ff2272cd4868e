import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import { backoffMs, type BackoffOptions } from './backoff.ts'
import { parseServerFrame, type ServerFrame, type Welcome } from './frames.ts'
import type { ClientPlatform, WebSocketFactory, WebSocketLike } from './platform.ts'

export const SUBPROTOCOL = 'stemedb.v1'
export const PROTOCOL_VERSION = 1

export interface LinkOptions {
  readonly url: string
  readonly openSocket: WebSocketFactory
  readonly platform: ClientPlatform
  readonly connectTimeoutMs: number
  readonly backoff: BackoffOptions
  /** Attempts in a row that may fail before the link gives up: at the start, and once there has been a connection. */
  readonly firstAttemptsMax: number
  readonly attemptsMax: number
}

export interface LinkHandlers {
  /** A connection is there and has said its limits. May throw a DbError: then the link fails for good with it. */
  up(welcome: Welcome): void
  /** Acks and receipts. */
  frame(frame: ServerFrame): void
  /** The connection is gone; another one is tried after `retryInMs`. */
  down(reason: DbError, retryInMs: number): void
  /** There will be no other connection. Called once, and nothing after it. */
  failed(reason: DbError): void
}

const OPEN = 1

/**
 * Keeps one WebSocket to a node: opens it, waits for the welcome frame, reopens it with backoff. It fails for good
 * where trying again can not help: a server that does not speak the protocol, that says so, or that sends
 * nonsense, and after too many attempts in a row.
 */
export class Link {
  readonly #options: LinkOptions
  readonly #handlers: LinkHandlers
  #socket: WebSocketLike | undefined
  #welcomed = false
  #everUp = false
  #attempts = 0
  #stopped = false
  #stopTimer: (() => void) | undefined
  /** What the server said before it closed. */
  #lastError: DbError | undefined

  constructor(options: LinkOptions, handlers: LinkHandlers) {
    this.#options = options
    this.#handlers = handlers
  }

  /** Opens a connection. Called once. */
  start(): void {
    const { openSocket, url, platform, connectTimeoutMs } = this.#options
    let socket: WebSocketLike
    try {
      socket = openSocket(url, SUBPROTOCOL)
    } catch (error) {
      return this.#fail(new DbError('parameter_invalid', `${url}: ${error instanceof Error ? error.message : String(error)}`))
    }
    this.#socket = socket
    this.#welcomed = false
    this.#lastError = undefined
    socket.binaryType = 'arraybuffer'
    this.#stopTimer = platform.timer(connectTimeoutMs, () => {
      this.#lastError ??= new DbError('timeout', `no welcome from ${url} in ${connectTimeoutMs} ms`)
      this.#lost(socket, 1006, '')
      socket.close()
    })
    // The reason stands in `close`, which always follows.
    socket.addEventListener('error', () => undefined)
    socket.addEventListener('message', (event) => this.#message(socket, event.data))
    socket.addEventListener('close', (event) => this.#lost(socket, event.code, event.reason))
  }

  /** Whether frames can be sent. */
  get isUp(): boolean {
    return this.#welcomed && this.#socket?.readyState === OPEN
  }

  send(frame: Uint8Array): void {
    if (!this.isUp) return
    this.#socket!.send(frame as Uint8Array<ArrayBuffer>)
  }

  /** Closes and stays closed; `failed` is not called. */
  stop(): void {
    this.#stopped = true
    this.#stopTimer?.()
    this.#socket?.close(1000, 'done')
    this.#socket = undefined
  }

  #message(socket: WebSocketLike, data: unknown): void {
    if (socket !== this.#socket || this.#stopped) return
    try {
      if (!(data instanceof ArrayBuffer)) throw new DbError('malformed_frame', 'the server sent a text message')
      this.#frame(parseServerFrame(new Uint8Array(data)))
    } catch (error) {
      if (!isDbError(error)) throw error
      this.#fail(error)
    }
  }

  #frame(frame: ServerFrame): void {
    if (frame.kind === 'error') {
      this.#lastError = frame.error
      if (!ERROR_CODES[frame.error.code].retryable) this.#fail(frame.error)
      return
    }
    if (this.#welcomed === (frame.kind === 'welcome')) {
      throw new DbError('malformed_frame', `the server sent ${frame.kind === 'welcome' ? 'a second welcome' : 'no welcome first'}`)
    }
    if (frame.kind !== 'welcome') return this.#handlers.frame(frame)
    if (frame.welcome.protocolVersion !== PROTOCOL_VERSION) {
      throw new DbError('protocol_unsupported', `the server speaks version ${frame.welcome.protocolVersion}, this client ${PROTOCOL_VERSION}`)
    }
    this.#welcomed = true
    this.#everUp = true
    this.#attempts = 0
    this.#stopTimer?.()
    this.#handlers.up(frame.welcome)
  }

  #lost(socket: WebSocketLike, code: number, reason: string): void {
    if (socket !== this.#socket || this.#stopped) return
    this.#socket = undefined
    this.#stopTimer?.()
    const { url, firstAttemptsMax, attemptsMax, backoff, platform } = this.#options
    const wasUp = this.#welcomed
    this.#welcomed = false
    const error = this.#lastError ?? new DbError('unreachable',
      wasUp ? `the connection to ${url} was lost (${code}${reason === '' ? '' : ` ${reason}`})` : `cannot connect to ${url}`)
    if (++this.#attempts >= (this.#everUp ? attemptsMax : firstAttemptsMax)) return this.#fail(error)
    const delayMs = backoffMs(this.#attempts - 1, backoff, platform.random())
    this.#stopTimer = platform.timer(delayMs, () => this.start())
    this.#handlers.down(error, delayMs)
  }

  #fail(error: DbError): void {
    if (this.#stopped) return
    this.stop()
    this.#handlers.failed(error)
  }
}
