import type * as net from 'node:net'
import { systemClock } from '../../base/clock.ts'
import { DbError, errnoOf } from '../../base/errors.ts'
import { KiB, MiB } from '../../base/units.ts'
import { connectSocket } from './raw-ws.ts'

const HEAD_BYTES_MAX = 16 * KiB
const BODY_BYTES_MAX = 1 * MiB
const ANSWER_TIMEOUT_MS = 15_000

export interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** One keep-alive HTTP/1.1 connection with one request at a time: a fraction of what node:http costs. */
export class GetConnection {
  readonly #host: string
  readonly #socket: net.Socket
  #pending: { resolve: (answer: Answer) => void, reject: (error: DbError) => void } | undefined
  #received = Buffer.alloc(0)
  #failure: DbError | undefined
  #lastUsedMs = 0

  constructor(base: URL) {
    const secure = base.protocol === 'https:'
    this.#host = base.host
    const host = base.hostname.replace(/^\[|\]$/g, '')
    this.#socket = connectSocket({ host, port: Number(base.port || (secure ? 443 : 80)), secure }, (chunk) => this.#data(chunk))
    this.#socket.setNoDelay(true)
    this.#socket.on('error', (error) => this.#fail(errnoOf(error) ?? error.message))
    this.#socket.on('close', () => this.#fail('connection closed'))
    this.#socket.setTimeout(ANSWER_TIMEOUT_MS, () => this.#socket.destroy(new Error('timed out')))
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  get(path: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure)
      this.#pending = { resolve, reject }
      this.#lastUsedMs = systemClock.monoMs()
      this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nAccept: application/json\r\n\r\n`)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #fail(why: string): void {
    this.#failure ??= new DbError('unreachable', `reading: ${why}`, { afterMs: systemClock.monoMs() - this.#lastUsedMs })
    this.#pending?.reject(this.#failure)
    this.#pending = undefined
  }

  #data(chunk: Uint8Array): void {
    this.#received = this.#received.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#received, chunk])
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#received.length > HEAD_BYTES_MAX) this.#socket.destroy(new Error('an answer without an end of its head'))
      return
    }
    const head = this.#received.toString('latin1', 0, end)
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN)
    if (!(length <= BODY_BYTES_MAX)) return void this.#socket.destroy(new Error('an answer without a usable content-length'))
    if (this.#received.length < end + 4 + length) return
    const body = this.#received.subarray(end + 4, end + 4 + length)
    this.#received = this.#received.subarray(end + 4 + length)
    const pending = this.#pending
    this.#pending = undefined
    pending?.resolve({ status: Number(head.slice(9, 12)), body })
  }
}
