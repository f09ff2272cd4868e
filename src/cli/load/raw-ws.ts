import * as net from 'node:net'
import * as tls from 'node:tls'
import { systemClock } from '../../base/clock.ts'
import { DbError, errnoOf } from '../../base/errors.ts'
import { systemSecrets } from '../../base/random.ts'
import { KiB, MiB } from '../../base/units.ts'
import { SUBPROTOCOL } from '../../client/link.ts'
import type { NodeUrls } from '../../client/urls.ts'

/**
 * A WebSocket client (RFC 6455) that does only what a load generator needs, at a fraction of the cost of a whole one: whole
 * prepared frames out in one write, messages in as views of the receive buffer, no events, no copies. It masks with the
 * key 0, which leaves the payload as it is: legal on the wire, but of no use against the proxies that masking
 * protects, so this is no client for the open internet.
 */

/** Longest message taken from a server. */
export const MESSAGE_BYTES_MAX = 16 * MiB
const HANDSHAKE_BYTES_MAX = 16 * KiB
const RECEIVE_BUFFER_BYTES = 64 * KiB

const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** Bytes that stand before a client's payload: opcode, length, mask key. */
export function headerBytesOf(payloadBytes: number): number {
  return payloadBytes < 126 ? 6 : payloadBytes < 65_536 ? 8 : 14
}

/** Writes the header of a final client frame with the mask key 0; the payload follows unchanged. Returns the end. */
export function writeHeader(out: Uint8Array, offset: number, payloadBytes: number, opcode: number = OPCODE.binary): number {
  const end = offset + headerBytesOf(payloadBytes)
  out.fill(0, offset, end)
  out[offset] = 0x80 | opcode
  if (payloadBytes < 126) {
    out[offset + 1] = 0x80 | payloadBytes
  } else if (payloadBytes < 65_536) {
    out[offset + 1] = 0x80 | 126
    out[offset + 2] = payloadBytes >> 8
    out[offset + 3] = payloadBytes & 255
  } else {
    out[offset + 1] = 0x80 | 127
    const view = new DataView(out.buffer, out.byteOffset, out.byteLength)
    view.setUint32(offset + 2, Math.floor(payloadBytes / 0x1_0000_0000))
    view.setUint32(offset + 6, payloadBytes >>> 0)
  }
  return end
}

/** A whole frame of one payload. */
export function frameOf(payload: Uint8Array, opcode: number = OPCODE.binary): Uint8Array {
  const frame = new Uint8Array(headerBytesOf(payload.length) + payload.length)
  frame.set(payload, writeHeader(frame, 0, payload.length, opcode))
  return frame
}

export interface MessageSink {
  /** `bytes` are valid during the call only. */
  message(bytes: Uint8Array): void
  ping(payload: Uint8Array): void
  closed(reason: string): void
}

/** Cuts a byte stream of unmasked server frames into messages. Bounded by {@link MESSAGE_BYTES_MAX}. */
export class FrameParser {
  readonly #sink: MessageSink
  #carry = new Uint8Array(0)
  #fragments: Uint8Array[] = []
  #fragmentBytes = 0

  constructor(sink: MessageSink) {
    this.#sink = sink
  }

  /** @throws {DbError} `malformed_frame` where the stream is no WebSocket stream of a server. */
  push(chunk: Uint8Array): void {
    // `slice` of a Buffer is a view: what is kept would be overwritten by the next read.
    let bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.#carry.length > 0) {
      bytes = new Uint8Array(this.#carry.length + chunk.length)
      bytes.set(this.#carry)
      bytes.set(chunk, this.#carry.length)
    }
    const used = this.#frames(bytes)
    this.#carry = used === bytes.length ? EMPTY : bytes.slice(used)
  }

  /** Handles the whole frames of `bytes`; the count of bytes used. */
  #frames(bytes: Uint8Array): number {
    let at = 0
    while (bytes.length - at >= 2) {
      const first = bytes[at]!
      const second = bytes[at + 1]!
      let length = second & 127
      let start = at + 2
      if ((second & 128) !== 0 || (first & 0x70) !== 0) throw malformed('a masked or extended server frame')
      if (length === 126) {
        if (bytes.length - at < 4) break
        length = (bytes[at + 2]! << 8) | bytes[at + 3]!
        start = at + 4
      } else if (length === 127) {
        if (bytes.length - at < 10) break
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        length = view.getUint32(at + 2) * 0x1_0000_0000 + view.getUint32(at + 6)
        start = at + 10
      }
      if (length + this.#fragmentBytes > MESSAGE_BYTES_MAX) throw malformed(`a message of more than ${MESSAGE_BYTES_MAX} bytes`)
      if (bytes.length - start < length) break
      this.#frame(first & 15, (first & 128) !== 0, bytes.subarray(start, start + length))
      at = start + length
    }
    return at
  }

  #frame(opcode: number, final: boolean, payload: Uint8Array): void {
    switch (opcode) {
      case OPCODE.binary:
      case OPCODE.text:
        if (final && this.#fragments.length === 0) return this.#sink.message(payload)
        if (this.#fragments.length > 0) throw malformed('a new message inside a fragmented one')
        return this.#fragment(payload, final)
      case OPCODE.continuation:
        if (this.#fragments.length === 0) throw malformed('a continuation of nothing')
        return this.#fragment(payload, final)
      case OPCODE.ping: return this.#sink.ping(payload)
      case OPCODE.pong: return
      case OPCODE.close: return this.#sink.closed(closeReason(payload))
      default: throw malformed(`opcode ${opcode}`)
    }
  }

  #fragment(payload: Uint8Array, final: boolean): void {
    this.#fragments.push(payload.slice())
    this.#fragmentBytes += payload.length
    if (!final) return
    const whole = Buffer.concat(this.#fragments)
    this.#fragments = []
    this.#fragmentBytes = 0
    this.#sink.message(whole)
  }
}

const EMPTY = new Uint8Array(0)

const malformed = (what: string): DbError => new DbError('malformed_frame', `the server sent ${what}`)

function closeReason(payload: Uint8Array): string {
  if (payload.length < 2) return 'closed by the server'
  const text = new TextDecoder().decode(payload.subarray(2))
  return `closed by the server with ${(payload[0]! << 8) | payload[1]!}${text === '' ? '' : ` (${text})`}`
}

export interface RawSocketOptions {
  readonly host: string
  readonly port: number
  readonly secure: boolean
  readonly path: string
  readonly subprotocol: string
  readonly timeoutMs: number
}

export interface RawSocketHandlers {
  /** `bytes` are valid during the call only. */
  message(bytes: Uint8Array): void
  /** Called once, also after an error. */
  closed(reason: string): void
}

/** One connection, after its handshake. */
export class RawSocket {
  readonly #socket: net.Socket
  readonly #handlers: RawSocketHandlers
  #closed = false
  #reason = ''

  constructor(socket: net.Socket, handlers: RawSocketHandlers) {
    this.#socket = socket
    this.#handlers = handlers
  }

  /** Writes whole frames (see {@link writeHeader}), which must stay unchanged until `written` is called. */
  write(frames: Uint8Array, written?: () => void): void {
    if (this.#closed) return written?.()
    this.#socket.write(frames, written)
  }

  /** Bytes that wait in this process. */
  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  /** Says goodbye; `closed` is called when the other side has agreed or does not answer. */
  close(): void {
    if (this.#closed) return
    this.#reason ||= 'closed by this side'
    this.#socket.end(frameOf(new Uint8Array([0x03, 0xe8]), OPCODE.close))
  }

  /** Wires the parser to the socket. Used by {@link openRawSocket}. */
  attach(rest: Uint8Array): (chunk: Uint8Array) => void {
    const parser = new FrameParser({
      message: (bytes) => this.#handlers.message(bytes),
      ping: (payload) => this.write(frameOf(payload, OPCODE.pong)),
      closed: (reason) => {
        this.#reason ||= reason
        this.#socket.end(frameOf(new Uint8Array([0x03, 0xe8]), OPCODE.close))
      },
    })
    const push = (chunk: Uint8Array): void => {
      if (this.#closed) return
      try {
        parser.push(chunk)
      } catch (error) {
        this.#reason ||= error instanceof Error ? error.message : String(error)
        this.#socket.destroy()
      }
    }
    this.#socket.on('error', (error) => { this.#reason ||= errnoOf(error) ?? error.message })
    this.#socket.on('close', () => {
      this.#closed = true
      this.#handlers.closed(this.#reason === '' ? 'connection lost' : this.#reason)
    })
    if (rest.length > 0) push(rest)
    return push
  }
}

/**
 * Connects to the WebSocket of a node.
 * @throws {DbError} as {@link openRawSocket}
 */
export function openNodeSocket(urls: NodeUrls, timeoutMs: number, handlers: RawSocketHandlers): Promise<RawSocket> {
  const { protocol, hostname, port, pathname } = new URL(urls.webSocket)
  const secure = protocol === 'wss:'
  return openRawSocket({
    host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || (secure ? 443 : 80)), secure, path: pathname, subprotocol: SUBPROTOCOL, timeoutMs,
  }, handlers)
}

/**
 * Connects and upgrades.
 * @throws {DbError} `unreachable` where nobody listens, `protocol_unsupported` where the answer is no upgrade,
 *   `timeout` after `timeoutMs`.
 */
function openRawSocket(options: RawSocketOptions, handlers: RawSocketHandlers): Promise<RawSocket> {
  return new Promise((resolve, reject) => {
    let receive: ((chunk: Uint8Array) => void) | undefined
    let head: Uint8Array = EMPTY
    const where = `${options.host}:${options.port}`
    const key = Buffer.from(systemSecrets.bytes(16)).toString('base64')
    const fail = (error: DbError): void => {
      socket.destroy()
      reject(error)
    }
    const onHandshake = (chunk: Uint8Array): void => {
      head = Buffer.concat([head, chunk])
      const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) {
        if (head.length > HANDSHAKE_BYTES_MAX) fail(new DbError('protocol_unsupported', `${where} does not answer with HTTP`))
        return
      }
      const answer = text.toString('latin1', 0, end)
      if (!/^HTTP\/1\.1 101 /.test(answer)) {
        return fail(new DbError('protocol_unsupported', `${where} refused the WebSocket: ${answer.split('\r\n')[0]}`))
      }
      const raw = new RawSocket(socket, handlers)
      stopTimer()
      socket.off('error', onError)
      receive = raw.attach(EMPTY)
      const rest = head.slice(end + 4)
      resolve(raw)
      // After `resolve`, so that the caller has the socket when the first message is handled.
      if (rest.length > 0) queueMicrotask(() => receive?.(rest))
    }
    const onData = (chunk: Uint8Array): void => receive === undefined ? onHandshake(chunk.slice()) : receive(chunk)
    const socket = connectSocket(options, onData)
    const onError = (error: Error): void => {
      stopTimer()
      fail(new DbError('unreachable', `cannot connect to ${where}: ${errnoOf(error) ?? error.message}`))
    }
    const stopTimer = systemClock.timer(options.timeoutMs, () => {
      fail(new DbError('timeout', `no answer from ${where} in ${options.timeoutMs} ms`))
    })
    socket.once('error', onError)
    socket.once(options.secure ? 'secureConnect' : 'connect', () => {
      socket.setNoDelay(true)
      socket.write(
        `GET ${options.path} HTTP/1.1\r\nHost: ${where}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n`
        + `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ${options.subprotocol}\r\n\r\n`,
      )
    })
  })
}

/** A plain or TLS socket whose chunks are valid during `onData` only. */
export function connectSocket(options: Pick<RawSocketOptions, 'host' | 'port' | 'secure'>, onData: (chunk: Uint8Array) => void): net.Socket {
  if (options.secure) {
    const socket = tls.connect({ host: options.host, port: options.port, servername: net.isIP(options.host) === 0 ? options.host : '' })
    socket.on('data', onData)
    return socket
  }
  // One buffer for all reads of this socket: a chunk is handled before the next read overwrites it.
  const buffer = Buffer.allocUnsafe(RECEIVE_BUFFER_BYTES)
  return net.connect({
    host: options.host,
    port: options.port,
    onread: {
      buffer,
      callback: (count) => {
        onData(buffer.subarray(0, count))
        return true
      },
    },
  })
}
