import { ByteBuffer } from 'flatbuffers'
import { must } from '../src/base/assert.ts'
import { systemClock } from '../src/base/clock.ts'
import { encodeSubscribe, parseFeedFrame } from '../src/client/feed-frames.ts'
import { nodeUrlsOf } from '../src/client/urls.ts'
import { LoadConnection } from '../src/cli/load/connection.ts'
import { LatencyRecorder } from '../src/cli/load/latency.ts'
import { frameOf, openNodeSocket } from '../src/cli/load/raw-ws.ts'
import { Delivery } from '../src/fbs/stemedb/delivery.ts'
import { Found } from '../src/fbs/stemedb/found.ts'
import { initHash } from '../src/record/claim.ts'
import { AssertionView } from '../src/wire/assertion-view.ts'
import { encodeAssertion } from '../src/wire/assertion.codec.ts'
import { encodeBatch } from '../src/wire/batch.codec.ts'
import { benchSubscriptions, feedClaim, feedClaimNumber, matchesBelow, type BenchSubscription } from './lib/feed-claims.ts'
import type { FeedReport, FeedWork } from './lib/feed-child.types.ts'

// A writer at a rate and its subscribers, in a process of its own and by one clock: bench/lib/feed-works.ts. It ends with an error where a
// subscriber gets anything but its matches, each once and in order.

const WRITERS = 4
/** Assertions of a batch; at 10,000/s one is due every 5 ms. */
const BATCH = 50
/** Connections that are opened at a time. */
const OPENED_AT_ONCE = 50
/** Deliveries that are compared with what was written, byte by byte. */
const LOOKED_AT = 2000
const DRAIN_MS_MAX = 60_000
/** After everything has come: time for what should not. */
const SURPLUS_MS = 300
const POLL_MS = 5

const SSBD = 0x4442_5353
const SDLV = 0x564c_4453
const SSUE = 0x4555_5353

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** What one subscriber has got. */
class Receiver {
  readonly subscription: BenchSubscription
  isSubscribed = false
  got = 0
  #lastLsn = 0n
  /** A bit for each of its matches, by how many come before it. */
  #seen = new Uint8Array(64)

  constructor(subscription: BenchSubscription) {
    this.subscription = subscription
  }

  /** @throws {Error} where it is not its, or not in order, or has come before. */
  take(number: number, lsn: bigint): void {
    const { residue, period } = this.subscription
    const which = (number - residue) / period
    if (!Number.isInteger(which) || which < 0) throw new Error(`claim ${number} came to one who has not asked for it: ${JSON.stringify(this.subscription.filter)}`)
    if (lsn <= this.#lastLsn) throw new Error(`LSN ${lsn} came behind LSN ${this.#lastLsn}`)
    this.#lastLsn = lsn
    if (which >> 3 >= this.#seen.length) {
      const grown = new Uint8Array(2 * (which >> 3))
      grown.set(this.#seen)
      this.#seen = grown
    }
    const bit = 1 << (which & 7)
    if ((this.#seen[which >> 3]! & bit) !== 0) throw new Error(`claim ${number} came twice`)
    this.#seen[which >> 3]! |= bit
    this.got++
  }
}

/** The writer: batches that fall due at even distances, on a grid of a millisecond. */
class Writer {
  readonly #connections: LoadConnection[] = []
  readonly #batchesPerMs: number
  #startMs = 0
  #sent = 0
  acked = 0

  constructor(rate: number) {
    this.#batchesPerMs = rate / BATCH / 1000
  }

  get assertions(): number {
    return this.#sent * BATCH
  }

  async open(url: string): Promise<void> {
    for (let i = 0; i < WRITERS; i++) {
      const connection = new LoadConnection(i, {
        ack: (_connection, _view, ack) => {
          if (ack.refused !== 0 || ack.accepted !== BATCH) throw new Error(`a batch was not taken: ${ack.accepted} of ${BATCH}, code ${ack.refused}`)
          this.acked += ack.accepted
        },
        acked: () => undefined,
        closed: (_connection, reason) => { if (!done) throw new Error(`a writer's connection was closed: ${reason}`) },
      })
      await connection.open(nodeUrlsOf(url), 10_000)
      this.#connections.push(connection)
    }
  }

  /** When the batch that has this claim was due. */
  dueMs(number: number): number {
    return this.#startMs + Math.ceil(Math.floor(number / BATCH) / this.#batchesPerMs)
  }

  /** Until `stopped`. */
  async run(stopped: () => boolean): Promise<void> {
    this.#startMs = systemClock.monoMs()
    // Encoded ahead: what is due goes out at once.
    let next = this.#encoded()
    while (!stopped()) {
      const due = Math.floor(this.#batchesPerMs * Math.floor(systemClock.monoMs() - this.#startMs)) + 1
      while (this.#sent < due && this.#send(next)) next = this.#encoded()
      await sleep(1)
    }
  }

  async drained(): Promise<void> {
    const end = systemClock.monoMs() + DRAIN_MS_MAX
    while (this.acked < this.assertions) {
      if (systemClock.monoMs() > end) throw new Error(`${this.assertions - this.acked} assertions were never acked`)
      await sleep(POLL_MS)
    }
  }

  #encoded(): { readonly payloadBytes: number, readonly bytes: Uint8Array } {
    const first = this.#sent * BATCH
    const items = Array.from({ length: BATCH }, (_, i) => ({ assertion: encodeAssertion(feedClaim(first + i)) }))
    const payload = encodeBatch({ requestId: BigInt(this.#sent + 1), items })
    return { payloadBytes: payload.length, bytes: frameOf(payload) }
  }

  /** False where no connection has credit. */
  #send({ payloadBytes, bytes }: { readonly payloadBytes: number, readonly bytes: Uint8Array }): boolean {
    for (let i = 0; i < WRITERS; i++) {
      const connection = this.#connections[(this.#sent + i) % WRITERS]!
      if (connection.room(payloadBytes, Number.MAX_SAFE_INTEGER, 0) === 0) continue
      connection.send({ bytes, firstIndex: this.#sent, count: 1, release: undefined }, payloadBytes)
      this.#sent++
      return true
    }
    return false
  }
}

class FeedBench {
  readonly #work: FeedWork
  readonly #writer: Writer
  readonly #receivers: readonly Receiver[]
  readonly #latencies = new LatencyRecorder()
  readonly #view = new AssertionView()
  readonly #delivery = new Delivery()
  readonly #found = new Found()
  readonly #measuredFrom: number
  #deliveries = 0
  #looked = 0
  #stopped = false

  constructor(work: FeedWork) {
    this.#work = work
    this.#writer = new Writer(work.rate)
    this.#measuredFrom = work.rate * work.warmupMs / 1000
    const all = benchSubscriptions(work.isMatched)
    this.#receivers = Array.from({ length: work.subscribers }, (_, i) => new Receiver(all[Math.floor(i * all.length / work.subscribers)]!))
  }

  async run(): Promise<FeedReport> {
    await this.#subscribe()
    await this.#writer.open(this.#work.url)
    process.stdin.once('end', () => { this.#stopped = true }).resume()
    process.stdout.write(`${JSON.stringify({ ready: true })}\n`)
    const cpu = process.cpuUsage()
    const startMs = systemClock.monoMs()
    await this.#writer.run(() => this.#stopped)
    const perSecond = this.#writer.acked / ((systemClock.monoMs() - startMs) / 1000)
    await this.#writer.drained()
    await this.#allDelivered()
    const used = process.cpuUsage(cpu)
    await sleep(SURPLUS_MS)
    this.#check(true)
    const { p50Ms, p99Ms, maxMs } = this.#latencies.summary()
    return {
      assertions: this.#writer.assertions, perSecond, deliveries: this.#deliveries, p50Ms, p99Ms, maxMs, cpuSeconds: (used.user + used.system) / 1e6,
    }
  }

  async #subscribe(): Promise<void> {
    const { url } = this.#work
    for (let from = 0; from < this.#receivers.length; from += OPENED_AT_ONCE) {
      await Promise.all(this.#receivers.slice(from, from + OPENED_AT_ONCE).map((receiver) => this.#open(url, receiver)))
    }
    const end = systemClock.monoMs() + DRAIN_MS_MAX
    while (!this.#receivers.every(({ isSubscribed }) => isSubscribed)) {
      if (systemClock.monoMs() > end) throw new Error('not all were subscribed')
      await sleep(POLL_MS)
    }
  }

  async #open(url: string, receiver: Receiver): Promise<void> {
    const socket = await openNodeSocket(nodeUrlsOf(url), 10_000, {
      message: (bytes) => this.#message(receiver, bytes),
      closed: (reason) => { if (!done) throw new Error(`a subscriber's connection was closed: ${reason}`) },
    })
    const { subject, subjectIsPrefix, predicate, tiers, agent } = receiver.subscription.filter
    socket.write(frameOf(encodeSubscribe({
      subscriptionId: 1n, subject, subjectIsPrefix: subjectIsPrefix ?? false, predicate, tiers: tiers ?? 0, agent, lens: undefined, fromLsn: 0,
    })))
  }

  #message(receiver: Receiver, bytes: Uint8Array): void {
    const identifier = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(4, true)
    if (identifier === SDLV) return this.#deliver(receiver, bytes)
    if (identifier === SSBD) receiver.isSubscribed = true
    if (identifier !== SSUE) return
    const end = parseFeedFrame('SSUE', new ByteBuffer(bytes.slice()))
    throw new Error(`a subscription has ended: ${JSON.stringify(end, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`)
  }

  #deliver(receiver: Receiver, bytes: Uint8Array): void {
    const nowMs = systemClock.monoMs()
    const delivery = Delivery.getRootAsDelivery(new ByteBuffer(bytes), this.#delivery)
    const count = delivery.itemsLength()
    for (let i = 0; i < count; i++) {
      const found = must(delivery.items(i, this.#found))
      const assertion = must(found.assertionArray())
      const number = feedClaimNumber(this.#view.reset(assertion).assertedAtMs)
      receiver.take(number, found.lsn())
      if (this.#looked++ < LOOKED_AT && Buffer.compare(assertion, encodeAssertion(feedClaim(number))) !== 0) throw new Error(`claim ${number} came as another one`)
      if (number >= this.#measuredFrom) this.#latencies.record(nowMs - this.#writer.dueMs(number))
    }
    this.#deliveries += count
  }

  async #allDelivered(): Promise<void> {
    const end = systemClock.monoMs() + DRAIN_MS_MAX
    while (!this.#check(systemClock.monoMs() > end)) await sleep(POLL_MS)
  }

  /** Whether each has as many as there are for it. @param mustHold where they may not be under way any more. */
  #check(mustHold: boolean): boolean {
    const wrong = this.#receivers.filter(({ got, subscription }) => got !== matchesBelow(subscription, this.#writer.assertions))
    if (wrong.length === 0) return true
    if (!mustHold) return false
    const { got, subscription } = wrong[0]!
    throw new Error(`${wrong.length} subscribers have not what they should, the first one ${got} instead of ${matchesBelow(subscription, this.#writer.assertions)}`)
  }
}

let done = false
const work = JSON.parse(process.argv[2] ?? '{}') as FeedWork
await initHash()
const report = await new FeedBench(work).run()
done = true
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit())
