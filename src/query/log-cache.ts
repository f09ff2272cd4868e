import { assert } from '../base/assert.ts'
import { copyRange } from '../base/bytes.ts'
import { isDbError } from '../base/errors.ts'
import type { WalPosition } from '../base/lsn.ts'
import { KiB } from '../base/units.ts'
import type { ReadRange } from './log-walker.ts'

/** What is read and kept at a time: a page of the page cache. */
export const LOG_BLOCK_BYTES = 4 * KiB
/** A longer range is read as it is: an assertion with a vector would push out what many share. */
const CACHED_RANGE_BYTES_MAX = 4 * LOG_BLOCK_BYTES
/** Blocks of a segment, of which the largest has 1 GiB. */
const BLOCKS_PER_SEGMENT = 2 ** 18

/**
 * Blocks of the log that were read lately, for one thread: to find an assertion takes half a dozen small reads near to each
 * other, and many queries read the same ones. What is durable never changes, so what is kept up to the durable end is
 * exact for ever; what lies behind it in a block is not kept.
 *
 * Which block makes room is found by the clock algorithm (Corbató, "A Paging Experiment with the Multics System", 1969).
 */
export class LogCache {
  readonly #readRange: ReadRange
  readonly #durableEnd: () => WalPosition
  readonly #bytes: Uint8Array
  /** By block. */
  readonly #slots = new Map<number, number>()
  /** By slot: which block, how many bytes of it are known, whether it was used since the hand passed. */
  readonly #blocks: Float64Array
  readonly #known: Uint16Array
  readonly #used: Uint8Array
  #hand = 0
  #hits = 0
  #misses = 0

  /**
   * @param bytesMax at least one block
   * @param durableEnd where the next record will begin; asked before a block is read
   */
  constructor(readRange: ReadRange, bytesMax: number, durableEnd: () => WalPosition) {
    const slots = Math.floor(bytesMax / LOG_BLOCK_BYTES)
    assert(slots >= 1, 'a cache has room for a block')
    this.#readRange = readRange
    this.#durableEnd = durableEnd
    this.#bytes = new Uint8Array(slots * LOG_BLOCK_BYTES)
    this.#blocks = new Float64Array(slots).fill(-1)
    this.#known = new Uint16Array(slots)
    this.#used = new Uint8Array(slots)
  }

  get hits(): number {
    return this.#hits
  }

  get misses(): number {
    return this.#misses
  }

  /** As the reader that it stands before. */
  readonly readRange: ReadRange = (segmentId, offset, length, out) => {
    if (length > CACHED_RANGE_BYTES_MAX) return this.#readRange(segmentId, offset, length, out)
    for (let done = 0; done < length;) {
      const at = offset + done
      const within = at % LOG_BLOCK_BYTES
      const part = Math.min(length - done, LOG_BLOCK_BYTES - within)
      const slot = this.#slotOf(segmentId, (at - within) / LOG_BLOCK_BYTES, within + part)
      // Not all of it can be kept: the rest is read as it is, also where that fails.
      if (slot < 0) return this.#readRest(segmentId, offset, length, done, out)
      const from = slot * LOG_BLOCK_BYTES + within
      copyRange(this.#bytes, from, out, done, part)
      done += part
    }
  }

  #readRest(segmentId: number, offset: number, length: number, done: number, out: Uint8Array): void {
    this.#readRange(segmentId, offset + done, length - done, done === 0 ? out : out.subarray(done))
  }

  /** The slot that has at least the first `needed` bytes of a block; -1 where they can not be kept. */
  #slotOf(segmentId: number, block: number, needed: number): number {
    const key = segmentId * BLOCKS_PER_SEGMENT + block
    const found = this.#slots.get(key)
    if (found !== undefined && this.#known[found]! >= needed) {
      this.#hits++
      this.#used[found] = 1
      return found
    }
    this.#misses++
    const start = block * LOG_BLOCK_BYTES
    const durable = this.#durableEnd()
    const end = segmentId < durable.segmentId ? LOG_BLOCK_BYTES : segmentId > durable.segmentId ? 0 : Math.min(LOG_BLOCK_BYTES, durable.offset - start)
    if (end < needed) return -1
    const slot = found ?? this.#freeSlot()
    if (!this.#fill(slot, segmentId, start, end)) {
      if (found !== undefined) this.#forget(slot)
      return -1
    }
    this.#slots.set(key, slot)
    this.#blocks[slot] = key
    this.#known[slot] = end
    this.#used[slot] = 1
    return slot
  }

  /** False where the block is not whole, as the last of a file may be, or can not be read. */
  #fill(slot: number, segmentId: number, start: number, length: number): boolean {
    const from = slot * LOG_BLOCK_BYTES
    try {
      this.#readRange(segmentId, start, length, this.#bytes.subarray(from, from + length))
      return true
    } catch (error) {
      if (!isDbError(error)) throw error
      return false
    }
  }

  #freeSlot(): number {
    for (;;) {
      const slot = this.#hand
      this.#hand = (slot + 1) % this.#used.length
      if (this.#used[slot] === 1) this.#used[slot] = 0
      else {
        this.#forget(slot)
        return slot
      }
    }
  }

  #forget(slot: number): void {
    const key = this.#blocks[slot]!
    if (key >= 0) this.#slots.delete(key)
    this.#blocks[slot] = -1
    this.#known[slot] = 0
  }
}
