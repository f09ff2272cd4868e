import { must } from '../base/assert.ts'
import type { AckView } from '../commit/ack.layout.ts'
import type { Admission, Refusal } from './admission.ts'
import type { SlotHandle, SlotOwner, SlotTable } from './slots.ts'

interface Waiting {
  readonly frameBytes: number
  readonly onAck: (ack: AckView) => void
}

/** Submits the batches of one HTTP request, each with a request id of its own, and hears of their acks. */
export class Submitter implements SlotOwner {
  readonly #admission: Admission
  readonly #slots: SlotTable
  readonly #address: string
  readonly #handle: SlotHandle
  readonly #waiting = new Map<bigint, Waiting>()
  #nextRequestId = 1n
  #closed = false

  /** @throws {AssertionFailure} where there is no slot: the server never has more requests than slots. */
  constructor(admission: Admission, slots: SlotTable, address: string) {
    this.#admission = admission
    this.#slots = slots
    this.#address = address
    this.#handle = must(slots.acquire(this), 'a slot for an HTTP request')
  }

  /** Batches that are not acked. */
  get pending(): number {
    return this.#waiting.size
  }

  /** The id that the next frame must carry. */
  get nextRequestId(): bigint {
    return this.#nextRequestId
  }

  /**
   * Offers a frame that carries `requestId`. `onAck` is called once, perhaps before this returns, unless the submitter
   * is closed before; the ack is valid during the call.
   */
  submit(requestId: bigint, count: number, frame: Uint8Array, onAck: (ack: AckView) => void): Refusal | undefined {
    this.#waiting.set(requestId, { frameBytes: frame.length, onAck })
    const refusal = this.#admission.submit(this.#handle, this.#address, count, frame)
    if (refusal !== undefined) this.#waiting.delete(requestId)
    else if (requestId === this.#nextRequestId) this.#nextRequestId++
    return refusal
  }

  onAck(ack: AckView): void {
    // A frame that is too broken to have an id is acked with another one; it can only be the one that waits.
    const requestId = this.#waiting.has(ack.requestId) || this.#waiting.size !== 1 ? ack.requestId : this.#only()
    const waiting = this.#waiting.get(requestId)
    if (waiting === undefined) return
    this.#waiting.delete(requestId)
    this.#admission.settled(waiting.frameBytes)
    waiting.onAck(ack)
  }

  #only(): bigint {
    return must(this.#waiting.keys().next().value, 'a batch that waits')
  }

  /** Receipts go to WebSocket sessions only: this request is answered by its ack. */
  onReceipt(): void {}

  /** Questions of HTTP requests go another way (queries.ts). */
  onReplies(): void {}

  /** Acks that come from now on reach nobody. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const { frameBytes } of this.#waiting.values()) this.#admission.settled(frameBytes)
    this.#waiting.clear()
    this.#slots.release(this.#handle)
  }
}
