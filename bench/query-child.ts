import { systemClock } from '../src/base/clock.ts'
// Request ids here are 64 bits of which a number has all, as LSNs are.
import { readLsn as readId, writeLsn as writeId } from '../src/base/lsn.ts'
import { seededRandom } from '../src/base/random.ts'
import { nodeUrlsOf } from '../src/client/urls.ts'
import { LatencyRecorder } from '../src/cli/load/latency.ts'
import { isAcks, readAcks } from '../src/cli/load/acks-reader.ts'
import { frameOf, headerBytesOf, openNodeSocket, type RawSocket } from '../src/cli/load/raw-ws.ts'
import { initHash } from '../src/record/claim.ts'
import { encodeAssertion } from '../src/wire/assertion.codec.ts'
import { encodeBatch } from '../src/wire/batch.codec.ts'
import { ListView, encodeList, identifierAt, isRepliesFrame, isReplyFrame } from '../src/wire/queries.codec.ts'
import { volatileFieldsOf } from '../src/wire/query-peek.ts'
import { decodeReply } from '../src/wire/query-reply.codec.ts'
import { encodeQuery } from '../src/wire/query-request.codec.ts'
import { PREDICATE, subjectOf, zipfPair } from './lib/keys.ts'
import type { ChildWork, FillReport, ReadReport, ReadWork } from './lib/query-child.types.ts'

// Fills a node with the claims of the query bench, or reads them, in a process of its own, as a client would: bench/query.ts.

const FILL_BATCH = 1000
const FILL_WINDOW = 4
/** Messages that are encoded before the clock starts. */
const FRAMES = 1024
/** Of an open loop, that are told apart: more than are ever under way. */
const MESSAGES = 65_536
/** A reply may leave out an id of 0. */
const FIRST_ID = 1
/** Replies that are decoded in full, to know that they are answers. */
const LOOKED_AT = 500
/** Of an open loop, before what is measured: for so long two slow cores are also busy with compiling this process's code. */
const OPEN_WARMUP_MS = 3000
const DRAIN_MS_MAX = 20_000

const SERR = 0x52524553

async function connect(url: string, message: (bytes: Uint8Array) => void): Promise<RawSocket> {
  return openNodeSocket(nodeUrlsOf(url), 10_000, { message, closed: (reason) => { if (!done) throw new Error(`the connection was closed: ${reason}`) } })
}
let done = false

const agent = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66))

/** As `fillClaims` of bench/lib/query-postgres.ts has it. */
const claimOf = (pair: number, candidate: number): Uint8Array => encodeAssertion({
  subject: subjectOf(pair), predicate: PREDICATE, object: { kind: 'text', value: `dose ${candidate % 4} mg` }, confidence: candidate * 37 % 101 / 100,
  sourceClass: candidate % 6 as 0, sourceHash: new Uint8Array(32).fill(candidate), lifecycle: 'proposed', agent,
  assertedAtMs: 1_750_000_000_000 + candidate, note: `claim ${candidate} of pair ${pair}, as a table of some trial has it`,
})

async function fill(url: string, count: number, claimAt: (i: number) => Uint8Array): Promise<FillReport> {
  let next = 0
  let acked = 0
  await new Promise<void>((resolve, reject) => {
    let socket: RawSocket | undefined
    const send = (): void => {
      const items = Array.from({ length: Math.min(FILL_BATCH, count - next) }, (_, i) => ({ assertion: claimAt(next + i) }))
      socket!.write(frameOf(encodeBatch({ requestId: BigInt(next + 1), items })))
      next += items.length
    }
    connect(url, (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (!isAcks(view)) return
      readAcks(view, (ack) => {
        if (ack.refused !== 0) return reject(new Error(`refused with ${ack.refused}`))
        acked += ack.accepted
        if (next < count) send()
        else if (acked === count) resolve()
      })
    }).then((open) => {
      socket = open
      for (let i = 0; i < FILL_WINDOW && next < count; i++) send()
    }, reject)
  })
  return { assertions: acked, tenthHlc: String(await tenthHlcOf(url, claimAt)) }
}

/** The HLC of the tenth claim, as a list of its pair tells it: written again, it is a duplicate with its stamp. */
async function tenthHlcOf(url: string, claimAt: (i: number) => Uint8Array): Promise<bigint> {
  return new Promise((resolve, reject) => {
    connect(url, (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (isAcks(view)) readAcks(view, (ack) => resolve(view.getBigUint64(ack.outcomesAt + 8, true)))
    }).then((socket) => socket.write(frameOf(encodeBatch({ requestId: 1n, items: [{ assertion: claimAt(9) }] }))), reject)
  })
}

function framesOf(run: ReadWork): Uint8Array[] {
  const random = seededRandom(run.seed)
  const asOfHlc = run.asOf === undefined ? undefined : BigInt(run.asOf)
  return Array.from({ length: FRAMES }, (_, f) => {
    const queries = Array.from({ length: run.perFrame }, (_q, i) => {
      const subject = subjectOf(run.pair ?? zipfPair(random, run.range, run.pairs))
      return encodeQuery(BigInt(f * run.perFrame + i + 1), { kind: 'lens', subject, predicate: PREDICATE, lens: run.lens, leaveOut: run.leaveOut, asOfHlc })
    })
    return queries.length === 1 ? queries[0]! : encodeList('SQRS', queries)
  })
}

class Reader {
  readonly #run: ReadWork
  readonly #frames: readonly Uint8Array[]
  /** By frame, where the request ids of its queries stand: nothing else changes when one is sent again. */
  readonly #idPlaces: readonly Uint32Array[]
  readonly #list = new ListView()
  readonly #latencies = new LatencyRecorder()
  readonly #sockets: RawSocket[] = []
  /** Queries under way, by connection. */
  readonly #underWay: Int32Array
  readonly #next: Int32Array
  /** By number of the message, modulo: when it was due. */
  readonly #due = new Float64Array(MESSAGES)
  /** Likewise: its queries that are not answered yet. */
  readonly #unanswered = new Uint16Array(MESSAGES)
  /** Messages that were due before it are not measured. */
  #measuredFromMonoMs = 0
  #sentFrames = 0
  #answers = 0
  #looked = 0
  #stopped = false

  constructor(run: ReadWork) {
    this.#run = run
    const payloads = framesOf(run)
    this.#frames = payloads.map((payload) => frameOf(payload))
    this.#idPlaces = payloads.map((payload) => this.#idPlacesOf(payload))
    this.#underWay = new Int32Array(run.connections)
    this.#next = Int32Array.from({ length: run.connections }, (_, i) => i * FRAMES / run.connections | 0)
  }

  async run(): Promise<ReadReport> {
    const { connections, url, seconds, rate } = this.#run
    for (let i = 0; i < connections; i++) this.#sockets.push(await connect(url, (bytes) => this.#message(i, bytes)))
    const cpu = process.cpuUsage()
    const start = systemClock.monoMs()
    if (rate === undefined) for (let i = 0; i < connections; i++) this.#fillWindow(i)
    else await this.#openLoop(rate, start)
    if (rate === undefined) await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    this.#stopped = true
    const queries = this.#answers
    const perSecond = queries / ((systemClock.monoMs() - start) / 1000)
    await this.#drained()
    const used = process.cpuUsage(cpu)
    done = true
    const { p50Ms, p99Ms } = this.#latencies.summary()
    return { queries, perSecond, p50Ms, p99Ms, cpuSeconds: (used.user + used.system) / 1e6 }
  }

  async #drained(): Promise<void> {
    const end = systemClock.monoMs() + DRAIN_MS_MAX
    while (this.#underWay.some((count) => count > 0)) {
      if (systemClock.monoMs() > end) throw new Error(`${this.#underWay.reduce((a, b) => a + b)} queries were never answered`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  #fillWindow(connection: number): void {
    const { perFrame, window } = this.#run
    while (!this.#stopped && this.#underWay[connection]! <= (window - 1) * perFrame) {
      const frame = this.#frames[this.#next[connection]!]!
      this.#next[connection] = (this.#next[connection]! + 1) % FRAMES
      this.#underWay[connection]! += perFrame
      this.#sockets[connection]!.write(frame)
    }
  }

  #idPlacesOf(payload: Uint8Array): Uint32Array {
    const { perFrame } = this.#run
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
    const list = perFrame > 1 ? this.#list.reset(payload) : undefined
    return Uint32Array.from({ length: perFrame }, (_, i) => headerBytesOf(payload.length) + volatileFieldsOf(view, list?.start(i)).requestId)
  }

  /** Messages fall due at even distances, on a grid of a millisecond. What is due before `OPEN_WARMUP_MS` is not measured. */
  async #openLoop(rate: number, start: number): Promise<void> {
    this.#measuredFromMonoMs = start + OPEN_WARMUP_MS
    const { seconds, perFrame, connections } = this.#run
    const framesPerMs = rate / perFrame / 1000
    const framesMax = Math.floor(framesPerMs * (seconds * 1000 + OPEN_WARMUP_MS))
    while (this.#sentFrames < framesMax) {
      const due = Math.min(framesMax, 1 + Math.floor(framesPerMs * Math.floor(systemClock.monoMs() - start)))
      while (this.#sentFrames < due) this.#sendDue(this.#sentFrames % connections, start + Math.ceil(this.#sentFrames / framesPerMs))
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  }

  #sendDue(connection: number, dueMonoMs: number): void {
    const { perFrame } = this.#run
    const number = this.#sentFrames++
    this.#due[number % MESSAGES] = dueMonoMs
    // What was answered was sent, and can be written over; collecting thousands of copies a second stopped this process for 3 to 10 ms.
    const isFree = number < FRAMES || this.#unanswered[(number - FRAMES) % MESSAGES] === 0
    const frame = isFree ? this.#frames[number % FRAMES]! : this.#frames[number % FRAMES]!.slice()
    this.#unanswered[number % MESSAGES] = perFrame
    const view = new DataView(frame.buffer)
    const places = this.#idPlaces[number % FRAMES]!
    for (let i = 0; i < perFrame; i++) writeId(view, places[i]!, FIRST_ID + number * perFrame + i)
    this.#underWay[connection]! += perFrame
    this.#sockets[connection]!.write(frame)
  }

  #message(connection: number, bytes: Uint8Array): void {
    if (identifierAt(bytes) === SERR) throw new Error('the node closes the connection')
    const list = isRepliesFrame(bytes) ? this.#list.reset(bytes) : undefined
    if (list === undefined && !isReplyFrame(bytes)) return
    const count = list?.count ?? 1
    this.#underWay[connection]! -= count
    this.#answers += count
    for (let i = 0; i < count && this.#looked < LOOKED_AT; i++) this.#look(list === undefined ? bytes : list.item(i))
    if (this.#run.rate === undefined) this.#fillWindow(connection)
    else this.#measure(bytes, count, list)
  }

  #measure(bytes: Uint8Array, count: number, list: ListView | undefined): void {
    const nowMonoMs = systemClock.monoMs()
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let i = 0; i < count; i++) {
      // Replies have their id in the same slot as requests.
      const { requestId } = volatileFieldsOf(view, list?.start(i))
      const message = Math.floor((readId(view, requestId) - FIRST_ID) / this.#run.perFrame) % MESSAGES
      const due = this.#due[message]!
      this.#unanswered[message]!--
      if (due >= this.#measuredFromMonoMs) this.#latencies.record(nowMonoMs - due)
    }
  }

  #look(reply: Uint8Array): void {
    this.#looked++
    const decoded = decodeReply(reply.slice())
    if (decoded.refused !== undefined) throw new Error(`a query was refused: ${decoded.refused}: ${decoded.detail}`)
    const { winner, sides, candidates } = decoded.result.answers[0] ?? { winner: undefined, sides: [], candidates: 0 }
    if (winner === undefined && sides.length === 0 || candidates === 0) throw new Error('an answer without a winner')
  }
}

const work = JSON.parse(process.argv[2] ?? '{}') as ChildWork
await initHash()
const report = await (async (): Promise<FillReport | ReadReport> => {
  switch (work.work) {
    case 'fill': return fill(work.url, work.pairs * work.candidates, (i) => claimOf(i % work.pairs, i / work.pairs | 0))
    case 'versions': return fill(work.url, work.versions, (i) => claimOf(work.pair, i))
    case 'read': return new Reader(work).run()
  }
})()
done = true
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit())
