import { bytesEqual } from '../../base/bytes.ts'
import { systemClock } from '../../base/clock.ts'
import type { NodeUrls } from '../../client/urls.ts'
import { HASH_BYTES } from '../../record/limits.ts'
import { ListView, encodeList, isRepliesFrame, isReplyFrame } from '../../wire/queries.codec.ts'
import { idPlaceOf } from '../../wire/query-peek.ts'
import { decodeReply } from '../../wire/query-reply.codec.ts'
import { encodeQuery } from '../../wire/query-request.codec.ts'
import { frameOf, headerBytesOf, openNodeSocket, type RawSocket } from './raw-ws.ts'

/** Ids of one message; a connection has one under way. */
export const IDS_PER_MESSAGE = 64

const OPEN_TIMEOUT_MS = 10_000
const ANSWER_TIMEOUT_MS = 15_000

/** `failed`: nobody said whether it is there. */
export type Outcome = 'found' | 'missing' | 'failed'

interface Asked {
  readonly ids: readonly Uint8Array[]
  readonly outcomes: Outcome[]
  readonly stopTimer: () => void
  readonly resolve: (outcomes: readonly Outcome[]) => void
  left: number
}

/** A message that asks for so many ids, numbered from 1: 0 is what a number that is absent reads as. */
class IdsMessage {
  readonly count: number
  readonly #frame: Uint8Array
  /** By question, where its id stands. */
  readonly #places: readonly number[]

  constructor(count: number) {
    const none = new Uint8Array(HASH_BYTES)
    const payload = encodeList('SQRS', Array.from({ length: count }, (_, i) => encodeQuery(BigInt(i + 1), { kind: 'id', id: none })))
    const list = new ListView().reset(payload)
    this.count = count
    this.#frame = frameOf(payload)
    this.#places = Array.from({ length: count }, (_, i) => headerBytesOf(payload.length) + idPlaceOf(list.view, list.start(i)))
  }

  /** The frame, valid until the next call. */
  of(ids: readonly Uint8Array[]): Uint8Array {
    ids.forEach((id, i) => { this.#frame.set(id, this.#places[i]!) })
    return this.#frame
  }
}

/** Asks a node for assertions by their ids, many in a message: a request for each costs both sides ten times as much. */
export class ReadBackConnection {
  readonly #list = new ListView()
  /** Of the last question, for the next: to encode one takes longer than all else here. What was answered was sent, and can be written over. */
  #message: IdsMessage | undefined
  #socket: RawSocket | undefined
  #asked: Asked | undefined

  /** @throws {DbError} as `openNodeSocket` */
  async open(urls: NodeUrls): Promise<void> {
    this.#socket = await openNodeSocket(urls, OPEN_TIMEOUT_MS, { message: (bytes) => this.#receive(bytes), closed: () => this.#end() })
  }

  get isOpen(): boolean {
    return this.#socket !== undefined
  }

  /** What became of each of at most {@link IDS_PER_MESSAGE} ids. Ask again when it has resolved; it never rejects. */
  ask(ids: readonly Uint8Array[]): Promise<readonly Outcome[]> {
    return new Promise((resolve) => {
      const outcomes = ids.map((): Outcome => 'failed')
      if (this.#socket === undefined || ids.length === 0) return resolve(outcomes)
      const stopTimer = systemClock.timer(ANSWER_TIMEOUT_MS, () => this.close())
      this.#asked = { ids, outcomes, stopTimer, resolve, left: ids.length }
      if (this.#message?.count !== ids.length) this.#message = new IdsMessage(ids.length)
      this.#socket.write(this.#message.of(ids))
    })
  }

  close(): void {
    this.#socket?.close()
    this.#end()
  }

  #receive(bytes: Uint8Array): void {
    if (isRepliesFrame(bytes)) {
      const { count } = this.#list.reset(bytes)
      for (let i = 0; i < count; i++) this.#reply(this.#list.item(i))
    } else if (isReplyFrame(bytes)) this.#reply(bytes)
  }

  /** @throws {DbError} for what is no reply, which ends the connection */
  #reply(bytes: Uint8Array): void {
    const asked = this.#asked
    const reply = decodeReply(bytes)
    const place = Number(reply.requestId) - 1
    const id = asked?.ids[place]
    if (asked === undefined || id === undefined) return
    if (reply.refused === undefined) {
      const { found } = reply.result
      if (found === undefined) asked.outcomes[place] = 'missing'
      else if (bytesEqual(found.id, id)) asked.outcomes[place] = 'found'
    }
    if (--asked.left === 0) this.#settle(asked)
  }

  #settle(asked: Asked): void {
    this.#asked = undefined
    asked.stopTimer()
    asked.resolve(asked.outcomes)
  }

  #end(): void {
    this.#socket = undefined
    if (this.#asked !== undefined) this.#settle(this.#asked)
  }
}
