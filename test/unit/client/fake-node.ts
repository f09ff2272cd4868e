import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Builder } from 'flatbuffers'
import { WebSocketServer, type WebSocket } from 'ws'
import { ERROR_CODES, type ErrorName } from '../../../src/base/error-codes.ts'
import { toHex } from '../../../src/base/bytes.ts'
import { Ack } from '../../../src/fbs/stemedb/ack.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { ErrorFrame } from '../../../src/fbs/stemedb/error-frame.ts'
import { Found } from '../../../src/fbs/stemedb/found.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { Outcome } from '../../../src/fbs/stemedb/outcome.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { Receipt } from '../../../src/fbs/stemedb/receipt.ts'
import { Signature } from '../../../src/fbs/stemedb/signature.ts'
import { Welcome } from '../../../src/fbs/stemedb/welcome.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import { assertionIdOf, initHash } from '../../../src/record/claim.ts'
import { decodeAssertion, encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BatchView } from '../../../src/wire/batch.codec.ts'
import { ListView, encodeList, isQueriesFrame } from '../../../src/wire/queries.codec.ts'
import { idPlaceOf, volatileFieldsOf } from '../../../src/wire/query-peek.ts'

/** A node's WebSocket and by-id reads in a hundred lines, which does to its clients what a test tells it to. */
export interface FakeOutcome {
  index: number
  code: number
  lsn?: number
}

export interface FakeAck {
  requestId: bigint
  firstLsn?: number
  accepted?: number
  refused?: ErrorName
  retryAfterMs?: number
  detail?: string
  outcomes?: FakeOutcome[]
}

export function encodeAcks(acks: readonly FakeAck[], creditBytes: number): Uint8Array {
  const builder = new Builder(256)
  const offsets = acks.map((ack) => {
    const detail = ack.refused === undefined ? 0 : builder.createString(ack.detail ?? 'because')
    const outcomes = ack.outcomes ?? []
    builder.startVector(24, outcomes.length, 8)
    for (const { index, code, lsn = 0 } of outcomes.toReversed()) Outcome.createOutcome(builder, BigInt(lsn), BigInt(lsn) << 16n, index, code)
    const vector = builder.endVector()
    Ack.startAck(builder)
    Ack.addRequestId(builder, ack.requestId)
    Ack.addFirstLsn(builder, BigInt(ack.firstLsn ?? 0))
    Ack.addFirstHlc(builder, BigInt(ack.firstLsn ?? 0) << 16n)
    Ack.addAccepted(builder, ack.accepted ?? 0)
    if (ack.refused !== undefined) Ack.addRefused(builder, ERROR_CODES[ack.refused].number)
    if (detail !== 0) Ack.addDetail(builder, detail)
    Ack.addRetryAfterMs(builder, ack.retryAfterMs ?? 0)
    if (outcomes.length > 0) Ack.addOutcomes(builder, vector)
    return Ack.endAck(builder)
  })
  builder.finish(Acks.createAcks(builder, Acks.createAcksVector(builder, offsets), creditBytes), 'SACK')
  return builder.asUint8Array()
}

export interface FakeWelcome {
  realm: string
  signaturesRequired: boolean
  creditBytes: number
  frameBytesMax: number
  batchAssertionsMax: number
  protocolVersion: number
}

export const NODE_ID = new Uint8Array(32).fill(7)

export function encodeWelcome(welcome: FakeWelcome): Uint8Array {
  const builder = new Builder(256)
  const realm = builder.createString(welcome.realm)
  Welcome.startWelcome(builder)
  Welcome.addProtocolVersion(builder, welcome.protocolVersion)
  Welcome.addNodeId(builder, Hash.createHash(builder, [...NODE_ID]))
  Welcome.addRealm(builder, realm)
  Welcome.addSignaturesRequired(builder, welcome.signaturesRequired)
  Welcome.addFrameBytesMax(builder, welcome.frameBytesMax)
  Welcome.addBatchAssertionsMax(builder, welcome.batchAssertionsMax)
  Welcome.addCreditBytes(builder, welcome.creditBytes)
  builder.finish(Welcome.endWelcome(builder), 'SWEL')
  return builder.asUint8Array()
}

export function encodeError(code: ErrorName): Uint8Array {
  const builder = new Builder(64)
  const name = builder.createString(code)
  const detail = builder.createString('as told')
  builder.finish(ErrorFrame.createErrorFrame(builder, ERROR_CODES[code].number, name, detail), 'SERR')
  return builder.asUint8Array()
}

export function encodeReceipt(requestId: bigint, batchRoot: Uint8Array): Uint8Array {
  const builder = new Builder(256)
  Receipt.startPathVector(builder, 0)
  const path = builder.endVector()
  Receipt.startReceipt(builder)
  Receipt.addRequestId(builder, requestId)
  Receipt.addNodeId(builder, Hash.createHash(builder, [...NODE_ID]))
  Receipt.addBatchRoot(builder, Hash.createHash(builder, [...batchRoot]))
  Receipt.addDurability(builder, 1)
  Receipt.addLeafCount(builder, 1)
  Receipt.addPath(builder, path)
  Receipt.addGroupRoot(builder, Hash.createHash(builder, [...batchRoot]))
  Receipt.addSignature(builder, Signature.createSignature(builder, [...new Uint8Array(64)]))
  builder.finish(Receipt.endReceipt(builder), 'SRCP')
  return builder.asUint8Array()
}

/** @param id of what is found; undefined: nothing is */
function encodeFoundReply(requestId: bigint, id: Uint8Array | undefined): Uint8Array {
  const builder = new Builder(512)
  let found = 0
  if (id !== undefined) {
    const assertion = Found.createAssertionVector(builder, encodeAssertion({
      subject: 's', predicate: 'p', object: { kind: 'boolean', value: true }, confidence: 1, sourceClass: 0, sourceHash: new Uint8Array(32), lifecycle: 'proposed',
      agent: new Uint8Array(32), assertedAtMs: 0,
    }))
    Found.startFound(builder)
    Found.addId(builder, Hash.createHash(builder, [...id]))
    Found.addAssertion(builder, assertion)
    found = Found.endFound(builder)
  }
  QueryReply.startQueryReply(builder)
  QueryReply.addRequestId(builder, requestId)
  if (found !== 0) QueryReply.addFound(builder, found)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return builder.asUint8Array()
}

/** As `/v1/assertions/{id}` has it: a claim that says nothing of itself. */
export const STORED = {
  id: '', lsn: 0, hlc: '1', signed_by: 'nobody',
  assertion: {
    subject: 's', predicate: 'p', object: { type: 'boolean', value: true }, confidence: 1, source_class: 'regulatory', source_hash: '00'.repeat(32), lifecycle: 'proposed',
    agent: 'did:key:z6Mkfake', asserted_at: 0,
  },
}

/** @param body JSON, or text as it stands */
export function answer(response: ServerResponse, status: number, body: object | string): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  response.writeHead(status, { 'content-length': Buffer.byteLength(text), 'content-type': typeof body === 'string' ? 'text/html' : 'application/json' })
  response.end(text)
}

export interface ReceivedBatch {
  readonly requestId: bigint
  readonly ids: readonly Uint8Array[]
  readonly bytes: Uint8Array
  readonly wantsReceipt: boolean
  readonly socket: WebSocket
}

export class FakeNode {
  readonly welcome: FakeWelcome = {
    realm: 'default', signaturesRequired: true, creditBytes: 1 << 20, frameBytesMax: 1 << 20, batchAssertionsMax: 4096, protocolVersion: 1,
  }
  readonly batches: ReceivedBatch[] = []
  readonly stored = new Map<string, number>()
  /** Most bytes that were unacked on one connection at a time. */
  unackedBytesMax = 0
  connections = 0
  /** What refusals of batches say. */
  refusalDetail = 'because'
  /** What to do with a batch; the default stores and acks it. */
  onBatch: (batch: ReceivedBatch) => void = (batch) => this.ack(batch)
  onConnection: (socket: WebSocket) => void = (socket) => socket.send(encodeWelcome(this.welcome))
  /** What to do with a request; the default answers those by id. */
  onRequest: (url: string, response: ServerResponse) => void = (url, response) => this.#read(url, response)
  readonly #http: Server
  readonly #unacked = new Map<WebSocket, number>()

  constructor(http: Server) {
    this.#http = http
  }

  static async start(): Promise<FakeNode> {
    await initHash()
    const http = createServer((request, response) => {
      node.onRequest(request.url ?? '', response)
    })
    const node = new FakeNode(http)
    const sockets = new WebSocketServer({ server: http, path: '/v1/stream', handleProtocols: () => 'stemedb.v1' })
    sockets.on('connection', (socket) => node.#connected(socket))
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return node
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
  }

  #connected(socket: WebSocket): void {
    this.connections++
    this.#unacked.set(socket, 0)
    socket.on('error', () => undefined)
    socket.on('message', (data) => {
      const bytes = new Uint8Array(data as Buffer).slice()
      if (isQueriesFrame(bytes)) return socket.send(this.#repliesTo(bytes))
      const unacked = this.#unacked.get(socket)! + bytes.length
      this.#unacked.set(socket, unacked)
      this.unackedBytesMax = Math.max(this.unackedBytesMax, unacked)
      const view = new BatchView().reset(bytes)
      const ids = Array.from({ length: view.count }, (_, i) =>
        assertionIdOf(decodeAssertion(bytes.slice(view.itemOffset(i), view.itemOffset(i) + view.itemLength(i)))))
      const batch = { requestId: view.requestId, ids, bytes, wantsReceipt: (view.flags & 1) !== 0, socket }
      this.batches.push(batch)
      this.onBatch(batch)
    })
    this.onConnection(socket)
  }

  #read(url: string, response: ServerResponse): void {
    const id = url.split('/').pop() ?? ''
    const lsn = this.stored.get(id)
    answer(response, lsn === undefined ? 404 : 200, lsn === undefined ? { code: 'not_found', detail: 'no' } : { ...STORED, id, lsn })
  }

  /** To questions by id: what is stored is found, as a claim that says nothing of itself but its id. */
  #repliesTo(queries: Uint8Array): Uint8Array {
    const list = new ListView().reset(queries)
    return encodeList('SQRR', Array.from({ length: list.count }, (_, i) => {
      const { requestId } = volatileFieldsOf(list.view, list.start(i))
      const at = idPlaceOf(list.view, list.start(i))
      const id = queries.slice(at, at + 32)
      return encodeFoundReply(list.view.getBigUint64(requestId, true), this.stored.has(toHex(id)) ? id : undefined)
    }))
  }

  /** Bytes of a batch that are given back with its ack. */
  credit(batch: ReceivedBatch): number {
    this.#unacked.set(batch.socket, this.#unacked.get(batch.socket)! - batch.bytes.length)
    return batch.bytes.length
  }

  /** Stores what is new and acks as a node does; sends the receipt where one was asked for. */
  ack(batch: ReceivedBatch): void {
    const outcomes: FakeOutcome[] = []
    const firstLsn = this.stored.size + 1
    for (const [index, id] of batch.ids.entries()) {
      const known = this.stored.get(toHex(id))
      if (known !== undefined) outcomes.push({ index, code: ERROR_CODES.duplicate.number, lsn: known })
      else this.stored.set(toHex(id), this.stored.size + 1)
    }
    const accepted = batch.ids.length - outcomes.length
    batch.socket.send(encodeAcks([{ requestId: batch.requestId, firstLsn: accepted > 0 ? firstLsn : 0, accepted, outcomes }], this.credit(batch)))
    if (!batch.wantsReceipt) return
    const ids = new Uint8Array(32 * batch.ids.length)
    batch.ids.forEach((id, i) => ids.set(id, 32 * i))
    batch.socket.send(encodeReceipt(batch.requestId, rootOfIds(ids)))
  }

  refuse(batch: ReceivedBatch, code: ErrorName, retryAfterMs = 0): void {
    batch.socket.send(encodeAcks([{ requestId: batch.requestId, refused: code, retryAfterMs, detail: this.refusalDetail }], this.credit(batch)))
  }

  /** Cuts all connections, as a kill would. */
  cut(): void {
    for (const socket of this.#unacked.keys()) socket.terminate()
  }

  async stop(): Promise<void> {
    this.cut()
    this.#http.closeAllConnections()
    await new Promise<void>((resolve) => this.#http.close(() => resolve()))
  }
}
