import type * as net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../base/clock.ts'
import { toHex } from '../../base/bytes.ts'
import { DbError, errnoOf } from '../../base/errors.ts'
import { KiB, MiB } from '../../base/units.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import type { CheckReport } from './load.types.ts'
import type { Outcomes } from './outcomes.ts'
import { connectSocket } from './raw-ws.ts'
import type { FrameMaker } from './template.ts'

const HEAD_BYTES_MAX = 16 * KiB
const BODY_BYTES_MAX = 1 * MiB
/** Ids that are asked for again; more are counted as missing at once. */
const RETRY_IDS_MAX = 100_000
const MISSING_SHOWN_MAX = 20
/** Indexes may lag behind the acks: ids that are not there yet are asked for again so long. */
const RETRY_MS_MAX = 20_000
const RETRY_PAUSE_MS = 250
const ANSWER_TIMEOUT_MS = 15_000

interface Answer {
  readonly status: number
  readonly body: Buffer
}

/** One keep-alive HTTP/1.1 connection with one request at a time: a fraction of what node:http costs. */
class GetConnection {
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
    this.#failure ??= new DbError('unreachable', `reading back: ${why}`, { afterMs: systemClock.monoMs() - this.#lastUsedMs })
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

export interface CheckInput {
  readonly base: string
  readonly maker: FrameMaker
  readonly outcomes: Outcomes
  readonly connections: number
  readonly onProgress: ((read: number, elapsedMs: number) => void) | undefined
}

function* storedIds(maker: FrameMaker, outcomes: Outcomes): Generator<string> {
  const ids = new Uint8Array(maker.batch * HASH_BYTES)
  for (const { frame, except } of outcomes.stored()) {
    maker.idsInto(ids, frame)
    for (let i = 0; i < maker.batch; i++) {
      if (except?.has(i) !== true) yield toHex(ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
    }
  }
}

/** Reads every id that was acked; each must be there, under its own id. */
export async function checkStored(input: CheckInput): Promise<CheckReport> {
  const base = new URL(input.base)
  const startMs = systemClock.monoMs()
  let read = 0
  let found = 0
  let failed = 0
  let retry: string[] = []
  let lost = 0
  const missingIds: string[] = []

  const ask = async (connection: GetConnection, id: string): Promise<number> => {
    const { status, body } = await connection.get(`/v1/assertions/${id}`)
    return status === 200 && body.indexOf(id) < 0 ? 0 : status
  }
  const pass = async (ids: Iterator<string>, onMiss: (id: string, status: number) => void): Promise<void> => {
    const worker = async (): Promise<void> => {
      let connection = new GetConnection(base)
      try {
        for (let next = ids.next(); next.done !== true; next = ids.next()) {
          if (connection.failed) connection = new GetConnection(base)
          const status = await ask(connection, next.value).catch(() => 0)
          if (status === 200) found++
          else onMiss(next.value, status)
          if (++read % 1000 === 0) input.onProgress?.(read, systemClock.monoMs() - startMs)
        }
      } finally {
        connection.close()
      }
    }
    await Promise.all(Array.from({ length: input.connections }, worker))
  }

  const miss = (id: string): void => {
    if (retry.length < RETRY_IDS_MAX) retry.push(id)
    else lost++
  }
  await pass(storedIds(input.maker, input.outcomes), miss)
  const total = read
  while (retry.length > 0 && systemClock.monoMs() - startMs < RETRY_MS_MAX) {
    await sleep(RETRY_PAUSE_MS)
    const again = retry
    retry = []
    await pass(again.values(), miss)
  }
  const last = retry
  retry = []
  await pass(last.values(), (id, status) => {
    if (status === 404) lost++
    else failed++
    if (missingIds.length < MISSING_SHOWN_MAX) missingIds.push(id)
  })
  return { read: total, found, missing: lost, failed, seconds: (systemClock.monoMs() - startMs) / 1000, missingIds }
}
