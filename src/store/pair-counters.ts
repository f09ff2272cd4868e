import { wordSum } from '../base/word-sum.ts'
import { SP_TAIL_BYTES } from './keyspace.layout.ts'

/** A power of two. Pairs that share a counter cost each other an answer that was kept, nothing else. */
const COUNTERS = 1 << 18

/** The keys of what a batch of ingest has written, as `EntryArena` holds them. */
export interface WrittenKeys {
  readonly count: number
  readonly bytes: Uint8Array
  /** Where each key begins and ends in `bytes`. */
  readonly keyStarts: Uint32Array
  readonly keyEnds: Uint32Array
}

/**
 * How often something was written for each (subject, predicate), in shared memory, by a hash: what lets a reader on another thread keep
 * an answer for exactly as long as it is right.
 *
 * The writer moves the counters after its write can be read and **before** it moves the applied mark. A reader takes the counter before
 * it reads, and keeps both: while the counter is the same, no write has been announced that the answer does not have. So an answer
 * that passes the check has everything up to an applied LSN that was read before the check.
 *
 * A counter wraps after 2^32 writes; to be fooled, a reader would have to ask again after exactly as many.
 */
export class PairCounters {
  static readonly BYTES = COUNTERS * Int32Array.BYTES_PER_ELEMENT

  readonly #counters: Int32Array
  #bytes: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)

  constructor(buffer: SharedArrayBuffer) {
    this.#counters = new Int32Array(buffer)
  }

  /** Which counter is that of a pair. @param pair subject, zero, predicate, zero: how its index keys begin */
  indexOf(pair: Uint8Array): number {
    return this.#indexAt(pair, 0, pair.length)
  }

  value(index: number): number {
    return Atomics.load(this.#counters, index)
  }

  /** Counts what was written. Ingest only, between its write and its mark. */
  written(keys: WrittenKeys): void {
    for (let i = 0; i < keys.count; i++) {
      const start = keys.keyStarts[i]!
      Atomics.add(this.#counters, this.#indexAt(keys.bytes, start, keys.keyEnds[i]! - SP_TAIL_BYTES - start), 1)
    }
  }

  #indexAt(bytes: Uint8Array, start: number, length: number): number {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const sum = wordSum(this.#view, start, length)
    // Low bits of a product depend on low bits only: fold the high ones in.
    return (sum ^ sum >>> 16) & (COUNTERS - 1)
  }
}
