import { once } from 'node:events'
import { ByteBuffer } from 'flatbuffers'
import WebSocket from 'ws'
import { ERROR_CODES, errorNameOf, type ErrorName } from '../../src/base/error-codes.ts'
import { Acks } from '../../src/fbs/stemedb/acks.ts'
import { ErrorFrame } from '../../src/fbs/stemedb/error-frame.ts'
import { Receipt } from '../../src/fbs/stemedb/receipt.ts'
import { Welcome } from '../../src/fbs/stemedb/welcome.ts'
import { ListView } from '../../src/wire/queries.codec.ts'
import { decodeReply, type DecodedReply } from '../../src/wire/query-reply.codec.ts'
import { frameKind } from '../support/history.driver.ts'
import { SUBPROTOCOL, within } from '../support/server.ts'

export interface PlainOutcome {
  readonly index: number
  readonly code: ErrorName
  readonly lsn: number
}

export interface PlainAck {
  readonly requestId: bigint
  readonly firstLsn: number
  readonly firstHlc: bigint
  readonly accepted: number
  readonly refused: ErrorName | undefined
  readonly retryAfterMs: number
  readonly outcomes: readonly PlainOutcome[]
}

export interface Closing {
  readonly code: number
  readonly reason: string
}

const ANSWER_MS_MAX = 10_000

/** A connection by the `ws` client that keeps what came; every wait is bounded. */
export class Socket {
  readonly socket: WebSocket
  readonly acks: PlainAck[] = []
  readonly errors: { readonly code: ErrorName, readonly detail: string }[] = []
  readonly receipts: Receipt[] = []
  /** Of queries, in the order in which they came. */
  readonly replies: DecodedReply[] = []
  /** Messages that brought them. */
  replyFrames = 0
  creditReturned = 0
  welcome: Welcome | undefined
  readonly closed: Promise<Closing>
  #wake: () => void = () => undefined

  /** @param localAddress to connect from; absent: what the system takes. @param headers of the upgrade, beside its own */
  constructor(url: string, protocols: string | string[] = SUBPROTOCOL, localAddress?: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false, headers, ...(localAddress === undefined ? {} : { localAddress }) })
    this.socket.binaryType = 'nodebuffer'
    this.socket.on('message', (data: Buffer) => this.#take(data))
    this.socket.on('error', () => undefined) // the close that follows tells
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() })
        this.#wake()
      })
    })
  }

  /** Connected and welcomed. @throws {Error} where it is not, in time. */
  static async open(url: string, localAddress?: string, headers?: Record<string, string>): Promise<Socket> {
    const socket = new Socket(url, SUBPROTOCOL, localAddress, headers)
    await socket.until(() => socket.welcome !== undefined)
    return socket
  }

  /** Waits until something holds that frames bring about. @throws {Error} where it does not, in time. */
  async until(holds: () => boolean, msMax = ANSWER_MS_MAX): Promise<void> {
    const end = Date.now() + msMax
    while (!holds()) {
      if (this.socket.readyState === WebSocket.CLOSED && !holds()) throw new Error('closed before what was waited for')
      if (Date.now() > end) throw new Error(`nothing within ${msMax} ms`)
      await within(new Promise<void>((resolve) => { this.#wake = resolve }), 50)
    }
  }

  /** Sends a frame and waits for one more ack. */
  async ask(frame: Uint8Array): Promise<PlainAck> {
    const count = this.acks.length
    this.socket.send(frame)
    await this.until(() => this.acks.length > count)
    return this.acks.at(-1)!
  }

  /** Sends a frame of queries and waits for that many more replies: by request id. */
  async query(frame: Uint8Array, count = 1): Promise<Map<bigint, DecodedReply>> {
    const before = this.replies.length
    this.socket.send(frame)
    await this.until(() => this.replies.length >= before + count)
    return new Map(this.replies.slice(before).map((reply) => [reply.requestId, reply]))
  }

  /** How the connection ended. @throws {Error} where it does not, in time. */
  async ending(msMax = ANSWER_MS_MAX): Promise<Closing> {
    const closing = await within(this.closed, msMax)
    if (closing === undefined) throw new Error(`still open after ${msMax} ms`)
    return closing
  }

  async close(): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return
    this.socket.close()
    await within(once(this.socket, 'close'), 2000)
  }

  #take(frame: Buffer): void {
    const buffer = new ByteBuffer(frame)
    switch (frameKind(frame)) {
      case 'SWEL': this.welcome = Welcome.getRootAsWelcome(buffer); break
      case 'SACK': this.#takeAcks(Acks.getRootAsAcks(buffer)); break
      case 'SRCP': this.receipts.push(Receipt.getRootAsReceipt(buffer)); break
      case 'SQRP': this.#takeReplies([frame]); break
      case 'SQRR': {
        const list = new ListView().reset(frame)
        this.#takeReplies(Array.from({ length: list.count }, (_, i) => list.item(i)))
        break
      }
      case 'SERR': {
        const error = ErrorFrame.getRootAsErrorFrame(buffer)
        this.errors.push({ code: errorNameOf(error.code()), detail: error.detail() ?? '' })
        break
      }
      default: this.errors.push({ code: 'internal', detail: `a frame of kind ${frameKind(frame)}` })
    }
    this.#wake()
  }

  #takeReplies(replies: readonly Uint8Array[]): void {
    this.replyFrames++
    for (const reply of replies) this.replies.push(decodeReply(reply))
  }

  #takeAcks(acks: Acks): void {
    this.creditReturned += acks.creditBytes()
    for (let i = 0; i < acks.acksLength(); i++) {
      const ack = acks.acks(i)!
      this.acks.push({
        requestId: ack.requestId(), firstLsn: Number(ack.firstLsn()), firstHlc: ack.firstHlc(), accepted: ack.accepted(),
        refused: ack.refused() === 0 ? undefined : errorNameOf(ack.refused()),
        retryAfterMs: ack.retryAfterMs(),
        outcomes: Array.from({ length: ack.outcomesLength() }, (_, k) => {
          const outcome = ack.outcomes(k)!
          return { index: outcome.index(), code: errorNameOf(outcome.code()), lsn: Number(outcome.lsn()) }
        }),
      })
    }
  }
}

/** What an upgrade that is refused says: its status. */
export function refusedUpgrade(url: string, protocols: string | string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocols)
    socket.on('unexpected-response', (_request, response) => {
      resolve(response.statusCode ?? 0)
      response.destroy()
      socket.terminate()
    })
    socket.on('open', () => { socket.terminate(); reject(new Error('it was accepted')) })
    socket.on('error', reject)
  })
}

export const isFinal = (code: ErrorName): boolean => ERROR_CODES[code].outcome === 'fail'
