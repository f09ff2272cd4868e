import type { Lsn } from '../base/lsn.ts'
import { wordSum } from '../base/word-sum.ts'
import { SP_TAIL_BYTES } from './keyspace.layout.ts'

/**
 * A power of two: 8 MiB. At 70,000 pairs a second a slot is about 30 s old when another pair's write renews it, so that most pairs have
 * nothing to do with the runs of the last seconds, which are many and small.
 */
const SLOTS = 1 << 21
/** Small integers are the cheapest keys of a Map. */
const HASH_MASK = 2 ** 30 - 1
const LSN_BITS = 2 ** 32

/** The keys of what a batch of ingest has written, as `EntryArena` holds them. */
export interface WrittenKeys {
  readonly count: number
  readonly bytes: Uint8Array
  /** Where each key begins and ends in `bytes`. */
  readonly keyStarts: Uint32Array
  readonly keyEnds: Uint32Array
}

/**
 * Up to which LSN something was written for each (subject, predicate), in shared memory, by a hash. It lets a reader on another thread
 * keep an answer for exactly as long as it is right, and leave alone the runs of the index that are newer than the pair's last entry.
 *
 * The writer moves a pair's LSN after its write can be read and **before** it moves the applied mark. So who reads the applied mark first,
 * and then this, knows of every write up to that mark. A reader of answers takes the LSN before it reads, and keeps both:
 * while it is the same, no write has been announced that the answer does not have.
 *
 * A slot holds the low 32 bits of an LSN, 0 for none since the start. Pairs that share one are taken to be written together: that costs
 * a kept answer or a look at a run, nothing else.
 */
export class PairLsns {
  static readonly BYTES = SLOTS * Int32Array.BYTES_PER_ELEMENT

  readonly #slots: Int32Array
  #bytes: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)

  constructor(buffer: SharedArrayBuffer) {
    this.#slots = new Int32Array(buffer)
  }

  /**
   * A number of 30 bits for a pair.
   * @param pair its first `length` bytes are subject, zero, predicate, zero: how the pair's index keys begin. It costs less where one array
   * serves pair after pair.
   */
  hashOf(pair: Uint8Array, length: number): number {
    return this.#hashAt(pair, 0, length)
  }

  /** Which slot is that of a pair. @param hash `hashOf` it */
  indexOf(hash: number): number {
    return hash & (SLOTS - 1)
  }

  /** What a slot holds: it changes with every batch of ingest that writes a pair of it. */
  value(index: number): number {
    return Atomics.load(this.#slots, index)
  }

  /**
   * Nothing was written for a pair with an LSN above this one, as far as it is applied.
   * @param value of its slot
   * @param startLsn what was there before this process wrote anything
   * @param durableLsn asked for now, after the slot was read: no slot is beyond it
   */
  lastLsn(value: number, startLsn: Lsn, durableLsn: () => Lsn): Lsn {
    if (value === 0) return startLsn
    const newest = durableLsn()
    // The greatest LSN up to `newest` that ends so: one that was written long ago is taken to be newer than it is.
    return newest - ((newest - value) % LSN_BITS + LSN_BITS) % LSN_BITS
  }

  /** Notes what was written. Ingest only, between its write and its mark. @param lsn of the last assertion of what was written */
  written(keys: WrittenKeys, lsn: Lsn): void {
    // 0 has a meaning of its own; 1 more is newer, which does no harm.
    const value = lsn | 0 || 1
    const slots = this.#slots
    for (let i = 0; i < keys.count; i++) {
      const start = keys.keyStarts[i]!
      // Without Atomics: the applied mark, which is stored with them afterwards, makes these visible to whoever reads it first.
      slots[this.indexOf(this.#hashAt(keys.bytes, start, keys.keyEnds[i]! - SP_TAIL_BYTES - start))] = value
    }
  }

  #hashAt(bytes: Uint8Array, start: number, length: number): number {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const sum = wordSum(this.#view, start, length)
    // Low bits of a product depend on low bits only: fold the high ones in.
    return (sum ^ sum >>> 16) & HASH_MASK
  }
}
