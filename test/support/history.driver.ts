import { ByteBuffer } from 'flatbuffers'
import WebSocket from 'ws'
import { systemClock } from '../../src/base/clock.ts'
import { ERROR_CODES, errorNameOf, type ErrorName } from '../../src/base/error-codes.ts'
import { seededRandom, type Random } from '../../src/base/random.ts'
import type { Ack } from '../../src/fbs/stemedb/ack.ts'
import { Acks } from '../../src/fbs/stemedb/acks.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import type { Claim, ClaimSource } from './history.claims.ts'
import { printOfJson } from './history.claims.ts'
import { getAll } from './history.http.ts'
import type { FoundClaim, History } from './history.ts'
import { SUBPROTOCOL } from './server.ts'

/** File identifier of a frame: its bytes 4 to 7. */
export const frameKind = (frame: Uint8Array): string => String.fromCharCode(...frame.subarray(4, 8))

export interface StreamShape {
  readonly connections: number
  /** Largest batch; every second connection sends single assertions only. */
  readonly batchMax: number
  /** Batches under way on one connection. */
  readonly window: number
  /** Stops by itself after so many claims. */
  readonly claimsMax: number
  /** Part of the batches (0..1) that are acked ones sent once more. */
  readonly resendRate: number
  /** Pause after each ack, to bound the rate. */
  readonly pauseMs: number
}

export const DEFAULT_SHAPE: StreamShape = { connections: 64, batchMax: 32, window: 2, claimsMax: 100_000, resendRate: 0.05, pauseMs: 0 }

/** An ack, as it came. */
export interface AckEvent {
  readonly monoMs: number
  readonly firstLsn: number
  readonly accepted: number
  /** Error name where the whole batch was refused. */
  readonly refused: ErrorName | undefined
  readonly latencyMs: number
}

interface Sent {
  readonly ids: readonly string[]
  readonly claims: readonly Claim[]
  readonly sentAtMs: number
}

/** What was acked lately, to be sent once more. Bounded. */
const RECENT_BATCHES_MAX = 256

const SETTLE_MS_MAX = 5000

/**
 * A mixed stream over WebSockets of a client that is not ours (`ws`), with our codec's frames. Keeps the history; knows
 * nothing else of the server. Never throws for what the server does: that is what the history is for.
 */
export class Stream {
  readonly #url: string
  readonly #history: History
  readonly #claims: ClaimSource
  readonly #shape: StreamShape
  readonly #random: Random
  readonly #sockets: WebSocket[] = []
  readonly #sent = new Map<bigint, Sent>()
  readonly #recent: Sent[] = []
  #nextRequest = 1n
  #stopped = false
  #claimsMade = 0
  /** Every ack since the start, in the order of arrival. */
  readonly acks: AckEvent[] = []
  /** Refusals of whole batches and of items, by name. */
  readonly refusals = new Map<ErrorName, number>()
  /** Answers of the server that break the protocol. */
  readonly faults: string[] = []
  #closedCount = 0

  constructor(url: string, history: History, claims: ClaimSource, seed: number, shape: Partial<StreamShape> = {}) {
    this.#url = url
    this.#history = history
    this.#claims = claims
    this.#shape = { ...DEFAULT_SHAPE, ...shape }
    this.#random = seededRandom(seed)
  }

  /** Connects all sockets and begins to send; resolves when all have been welcomed or have failed. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#shape.connections }, (_, i) => this.#connect(i)))
  }

  get unacked(): number { return this.#sent.size }
  get closedCount(): number { return this.#closedCount }
  get claimsMade(): number { return this.#claimsMade }

  #connect(index: number): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, SUBPROTOCOL, { perMessageDeflate: false })
      socket.binaryType = 'nodebuffer'
      this.#sockets.push(socket)
      socket.on('error', () => resolve()) // the close that follows counts
      socket.on('close', () => { this.#closedCount++; resolve() })
      socket.on('message', (data: Buffer) => {
        const kind = frameKind(data)
        if (kind === 'SWEL') {
          resolve()
          for (let i = 0; i < this.#shape.window; i++) this.#send(socket, index)
        } else if (kind === 'SACK') this.#takeAcks(socket, index, data)
        else this.faults.push(`frame ${kind} of ${data.length} bytes`)
      })
    })
  }

  #nextBatch(index: number): Sent {
    const again = this.#recent.length > 0 && this.#random.u32() / 2 ** 32 < this.#shape.resendRate
    if (again) {
      const { ids, claims } = this.#recent[this.#random.u32() % this.#recent.length]!
      return { ids, claims, sentAtMs: systemClock.monoMs() }
    }
    const count = index % 2 === 0 ? 1 : 1 + this.#random.u32() % this.#shape.batchMax
    const claims = Array.from({ length: count }, () => this.#claims.next())
    this.#claimsMade += count
    this.#history.attempt(claims)
    return { ids: claims.map((claim) => claim.id), claims, sentAtMs: systemClock.monoMs() }
  }

  #send(socket: WebSocket, index: number): void {
    if (this.#stopped || socket.readyState !== WebSocket.OPEN || this.#claimsMade >= this.#shape.claimsMax) return
    const batch = this.#nextBatch(index)
    this.#sendBatch(socket, batch)
  }

  #sendBatch(socket: WebSocket, batch: Sent): void {
    const requestId = this.#nextRequest++
    this.#sent.set(requestId, batch)
    socket.send(encodeBatch({ requestId, items: batch.claims.map((claim) => ({ assertion: claim.bytes })) }))
  }

  /** Sends claims that the history leaves open once more over one connection, in batches as they were, and waits. */
  async resend(batches: readonly (readonly Claim[])[]): Promise<void> {
    const socket = this.#sockets.find((s) => s.readyState === WebSocket.OPEN)
    if (socket === undefined) return
    for (const claims of batches) {
      for (const claim of claims) this.#history.resent(claim.id)
      this.#sendBatch(socket, { ids: claims.map((claim) => claim.id), claims, sentAtMs: systemClock.monoMs() })
    }
    await this.settle()
  }

  #takeAcks(socket: WebSocket, index: number, frame: Buffer): void {
    const now = systemClock.monoMs()
    const acks = Acks.getRootAsAcks(new ByteBuffer(frame))
    for (let i = 0; i < acks.acksLength(); i++) {
      const ack = acks.acks(i)!
      const sent = this.#sent.get(ack.requestId())
      if (sent === undefined) {
        this.faults.push(`ack of request ${ack.requestId()}, which is not under way`)
        continue
      }
      this.#sent.delete(ack.requestId())
      this.#takeAck(ack, sent, now)
      const retryMs = ack.retryAfterMs()
      const pauseMs = Math.max(this.#shape.pauseMs, ack.refused() === 0 ? 0 : Math.min(retryMs || 20, 200))
      if (pauseMs === 0) this.#send(socket, index)
      else setTimeout(() => this.#send(socket, index), pauseMs)
    }
  }

  #countRefusal(name: ErrorName, count: number): void {
    this.refusals.set(name, (this.refusals.get(name) ?? 0) + count)
  }

  #takeAck(ack: Ack, sent: Sent, now: number): void {
    const refused = ack.refused() === 0 ? undefined : errorNameOf(ack.refused())
    this.acks.push({ monoMs: now, firstLsn: Number(ack.firstLsn()), accepted: ack.accepted(), refused, latencyMs: now - sent.sentAtMs })
    if (refused !== undefined) {
      this.#countRefusal(refused, sent.ids.length)
      for (const id of sent.ids) this.#settleAs(id, refused)
      return
    }
    const special = new Map<number, { code: number; lsn: number }>()
    for (let i = 0; i < ack.outcomesLength(); i++) {
      const outcome = ack.outcomes(i)!
      special.set(outcome.index(), { code: outcome.code(), lsn: Number(outcome.lsn()) })
    }
    let lsn = Number(ack.firstLsn())
    let fresh = 0
    sent.ids.forEach((id, i) => {
      const outcome = special.get(i)
      if (outcome === undefined) {
        this.#history.acked(id, lsn++)
        fresh++
      } else if (outcome.code === ERROR_CODES.duplicate.number) this.#history.acked(id, outcome.lsn)
      else {
        this.#countRefusal(errorNameOf(outcome.code), 1)
        this.#settleAs(id, errorNameOf(outcome.code))
      }
    })
    if (fresh !== ack.accepted()) this.faults.push(`an ack counts ${ack.accepted()} new ones where ${fresh} have no outcome of their own`)
    if (this.#recent.length < RECENT_BATCHES_MAX) this.#recent.push(sent)
    else this.#recent[this.#random.u32() % RECENT_BATCHES_MAX] = sent
  }

  #settleAs(id: string, name: ErrorName): void {
    const outcome = ERROR_CODES[name].outcome
    if (outcome === 'fail') this.#history.refused(id)
    else if (outcome === 'info') this.#history.unknown(id)
    else this.faults.push(`${name} as a refusal`)
  }

  /** No more new batches. */
  pause(): void {
    this.#stopped = true
  }

  /** Waits until nothing is under way, all connections are closed, or time is up. */
  async settle(msMax = SETTLE_MS_MAX): Promise<void> {
    const end = systemClock.monoMs() + msMax
    while (this.#sent.size > 0 && this.#closedCount < this.#sockets.length && systemClock.monoMs() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** Ends the stream; what has no answer by now is unknown from here on. Returns those batches. */
  finish(): (readonly Claim[])[] {
    this.#stopped = true
    for (const socket of this.#sockets) socket.terminate()
    const open = [...this.#sent.values()]
    for (const sent of open) for (const id of sent.ids) this.#history.unknown(id)
    this.#sent.clear()
    return open.map((sent) => sent.claims)
  }
}

/** The JSON that GET /v1/assertions/{id} answers with: what this needs of it. */
interface AssertionJson {
  readonly id: string
  readonly lsn: number | string
  readonly assertion: Record<string, unknown>
}

/** Reads every id by itself over HTTP. @throws {Error} on any status but 200 and 404. */
export async function readClaims(port: number, ids: readonly string[]): Promise<Map<string, FoundClaim>> {
  const found = new Map<string, FoundClaim>()
  const path = (id: string): string => `/v1/assertions/${id}`
  await getAll(port, ids.map(path), (asked, response) => {
    if (response.status === 404) return
    if (response.status !== 200) throw new Error(`${asked}: ${response.status} ${response.body}`)
    const json = JSON.parse(response.body) as AssertionJson
    found.set(json.id, { id: json.id, lsn: Number(json.lsn), print: printOfJson(json.assertion) })
  })
  return found
}
