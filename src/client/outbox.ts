import { assert, must } from '../base/assert.ts'

/** One sealed batch, from its seal to its last answer. */
export interface OutboxEntry {
  readonly requestId: bigint
  /** A whole `Batch` frame. */
  readonly frame: Uint8Array
  readonly wantsReceipt: boolean
  /** Times that the server refused it with a retryable code. */
  refusals: number
  /** It has been answered on this connection, and waits for its receipt alone. */
  acked: boolean
}

interface Delayed {
  readonly entry: OutboxEntry
  readonly dueMs: number
}

/**
 * Which batches to send when: the client's part of the flow control, as a pure state machine.
 *
 * Invariants:
 * - an entry is in exactly one place (waiting, sent, delayed) from `add` until `settle`;
 * - the bytes of sent and unacked frames never exceed the connection's credit, but for a single frame that is larger than it;
 * - after `disconnected` every unsettled entry is waiting again, in the order of its request id: sending it twice is
 *   safe, because ids are content hashes.
 */
export class Outbox {
  #waiting: OutboxEntry[] = []
  readonly #sent = new Map<bigint, OutboxEntry>()
  #delayed: Delayed[] = []
  #bytes = 0
  #connected = false
  #creditBytes = 0
  #availableBytes = 0
  #inFlight = 0

  /** Entries that are not settled. */
  get count(): number {
    return this.#waiting.length + this.#sent.size + this.#delayed.length
  }

  /** Bytes of their frames. */
  get bytes(): number {
    return this.#bytes
  }

  /** Sent on this connection and not acked. */
  get inFlight(): number {
    return this.#inFlight
  }

  add(requestId: bigint, frame: Uint8Array, wantsReceipt: boolean): void {
    this.#waiting.push({ requestId, frame, wantsReceipt, refusals: 0, acked: false })
    this.#bytes += frame.length
  }

  /** A connection is there, with so much credit. */
  connected(creditBytes: number): void {
    assert(!this.#connected, 'connected twice')
    this.#connected = true
    this.#creditBytes = creditBytes
    this.#availableBytes = creditBytes
  }

  disconnected(): void {
    this.#connected = false
    this.#inFlight = 0
    const all = [...this.#sent.values(), ...this.#delayed.map((d) => d.entry), ...this.#waiting]
    this.#sent.clear()
    this.#delayed = []
    for (const entry of all) entry.acked = false
    this.#waiting = all.sort((a, b) => (a.requestId < b.requestId ? -1 : 1))
  }

  /** The next entry that may be sent now; it counts as sent. Call until it is undefined. */
  next(nowMs: number): OutboxEntry | undefined {
    if (!this.#connected) return undefined
    this.#wake(nowMs)
    const entry = this.#waiting[0]
    if (entry === undefined) return undefined
    if (this.#inFlight > 0 && entry.frame.length > this.#availableBytes) return undefined
    this.#waiting.shift()
    this.#sent.set(entry.requestId, entry)
    this.#inFlight++
    this.#availableBytes -= entry.frame.length
    return entry
  }

  /** When a delayed entry comes due, on the same scale as `next`'s `nowMs`; undefined where none waits. */
  nextDueMs(): number | undefined {
    return this.#delayed.length === 0 ? undefined : Math.min(...this.#delayed.map((d) => d.dueMs))
  }

  #wake(nowMs: number): void {
    if (this.#delayed.length === 0) return
    const due = this.#delayed.filter((d) => d.dueMs <= nowMs)
    if (due.length === 0) return
    this.#delayed = this.#delayed.filter((d) => d.dueMs > nowMs)
    // Before the others: they are older, and somebody has waited for them.
    this.#waiting.unshift(...due.map((d) => d.entry))
  }

  /** The sent entry of that id, or undefined where the server names one that it was not sent. */
  sent(requestId: bigint): OutboxEntry | undefined {
    return this.#sent.get(requestId)
  }

  /** The server answered the entry's batch: it is in flight no more. It stays until `settle` or `delay`. */
  answered(entry: OutboxEntry): void {
    assert(this.#sent.has(entry.requestId), 'an answer to an entry that was not sent')
    if (entry.acked) return
    entry.acked = true
    this.#landed()
  }

  /** Credit that the server gave back. Never more than the connection has. */
  creditBack(bytes: number): void {
    this.#availableBytes = Math.min(this.#creditBytes, this.#availableBytes + bytes)
  }

  /** Nothing more comes for it. */
  settle(entry: OutboxEntry): void {
    const known = must(this.#sent.get(entry.requestId), 'the entry to settle')
    this.#sent.delete(known.requestId)
    this.#bytes -= known.frame.length
    if (!known.acked) this.#landed()
  }

  /** The server refused it for now: send it again at `dueMs`. */
  delay(entry: OutboxEntry, dueMs: number): void {
    assert(this.#sent.delete(entry.requestId), 'a refusal of an entry that was not sent')
    if (!entry.acked) this.#landed()
    entry.acked = false
    entry.refusals++
    this.#delayed.push({ entry, dueMs })
  }

  /** Takes everything out, for a client that gives up. */
  drain(): OutboxEntry[] {
    this.disconnected()
    const all = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    return all
  }

  #landed(): void {
    this.#inFlight--
    // Nothing in flight: whatever the server forgot to give back is ours again.
    if (this.#inFlight === 0) this.#availableBytes = this.#creditBytes
  }
}
