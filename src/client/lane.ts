import { assert } from '../base/assert.ts'
import type { LaneItem } from './acks.ts'

/** Bytes that a batch adds to an assertion: its table, vector length, padding; and its signature where it has one. */
const ITEM_OVERHEAD_BYTES = 48
const ITEM_SIGNATURE_BYTES = 72
/** The batch's own table, agent, signature. */
export const BATCH_OVERHEAD_BYTES = 256

export interface LaneLimits {
  readonly assertionsMax: number
  /** Of a whole frame. */
  readonly bytesMax: number
  readonly signedSingly: boolean
}

/** Where assertions of one stream (or of all single `assert` calls) gather until they are a batch. */
export class Lane {
  #items: LaneItem[] = []
  #bytes = BATCH_OVERHEAD_BYTES

  get count(): number {
    return this.#items.length
  }

  /** Upper bound of what an encoded assertion of that many bytes takes in a frame. */
  static itemBytes(encodedBytes: number, signedSingly: boolean): number {
    return encodedBytes + ITEM_OVERHEAD_BYTES + (signedSingly ? ITEM_SIGNATURE_BYTES : 0)
  }

  /** Whether an item of that many encoded bytes must go into another batch. */
  isFullFor(encodedBytes: number, limits: LaneLimits): boolean {
    if (this.#items.length === 0) return false
    return this.#items.length >= limits.assertionsMax
      || this.#bytes + Lane.itemBytes(encodedBytes, limits.signedSingly) > limits.bytesMax
  }

  add(item: LaneItem, limits: LaneLimits): void {
    this.#items.push(item)
    if (!('error' in item)) this.#bytes += Lane.itemBytes(item.encoded.length, limits.signedSingly)
  }

  /** The items, which become one batch; the lane is empty. */
  take(): LaneItem[] {
    assert(this.#items.length > 0, 'an empty batch')
    const items = this.#items
    this.#items = []
    this.#bytes = BATCH_OVERHEAD_BYTES
    return items
  }
}
