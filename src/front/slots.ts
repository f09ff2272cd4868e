import { assert } from '../base/assert.ts'
import type { AckView } from '../commit/ack.layout.ts'

/** Whoever submits batches: a WebSocket session or an HTTP request. */
export interface SlotOwner {
  onAck(ack: AckView): void
  /** A ready "SRCP" frame, valid during the call. */
  onReceipt(frame: Uint8Array): void
  /** A ready "SQRP" or "SQRR" frame that answers so many queries, valid during the call. */
  onReplies(queries: number, frame: Uint8Array): void
}

export interface SlotHandle {
  readonly slot: number
  readonly generation: number
}

/**
 * Bounded table of owners. An ack names its owner by slot and generation, so that one that comes after its owner has
 * gone reaches nobody, even where the slot has a new owner. Grows with use, up to the maximum.
 */
export class SlotTable {
  readonly slotsMax: number
  readonly #owners: (SlotOwner | undefined)[] = []
  readonly #generations: number[] = []
  readonly #free: number[] = []

  constructor(slotsMax: number) {
    this.slotsMax = slotsMax
  }

  get used(): number {
    return this.#owners.length - this.#free.length
  }

  /** Undefined where the table is full. */
  acquire(owner: SlotOwner): SlotHandle | undefined {
    const slot = this.#free.pop() ?? this.#grow()
    if (slot === undefined) return undefined
    this.#owners[slot] = owner
    return { slot, generation: this.#generations[slot]! }
  }

  release({ slot, generation }: SlotHandle): void {
    assert(this.#owners[slot] !== undefined && this.#generations[slot] === generation, 'a slot is released once')
    this.#owners[slot] = undefined
    // Wraps after 2^32 uses of one slot; no ack is under way for that long.
    this.#generations[slot] = (generation + 1) >>> 0
    this.#free.push(slot)
  }

  ownerOf(slot: number, generation: number): SlotOwner | undefined {
    return this.#generations[slot] === generation ? this.#owners[slot] : undefined
  }

  #grow(): number | undefined {
    if (this.#owners.length >= this.slotsMax) return undefined
    this.#owners.push(undefined)
    this.#generations.push(1)
    return this.#owners.length - 1
  }
}
