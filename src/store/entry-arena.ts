import { grownBytes } from '../base/bytes.ts'
import { ENTRY_BYTES_MAX, ENTRY_KEY, ENTRY_KEY_BYTES, ENTRY_VALUE_BYTES, entryBytes } from './entry-runs.layout.ts'

/**
 * Entries of the index by subject and predicate on their way into a run, one behind the other at multiples of 4, each with its
 * whole key (entry-runs.layout.ts): so they are copied by words. Memory grows to the largest set there was, and is kept.
 */
export class EntryArena {
  count = 0
  bytes: Uint8Array
  words: Uint32Array
  /** Of each entry's key: where it begins and ends in `bytes`. */
  keyStarts: Uint32Array
  keyEnds: Uint32Array
  /** Where the next entry begins. */
  end = 0

  /** @param entries for how many there is memory at first */
  constructor(entries = 1024) {
    this.bytes = new Uint8Array(entries * 64 + ENTRY_BYTES_MAX)
    this.words = new Uint32Array(this.bytes.buffer)
    this.keyStarts = new Uint32Array(entries)
    this.keyEnds = new Uint32Array(entries)
  }

  clear(): void {
    this.count = 0
    this.end = 0
  }

  /**
   * Makes room for one more entry, whatever its size. Write its value from `end` on and its key from `end + ENTRY_KEY`, then
   * call {@link added}.
   */
  room(): void {
    if (this.end + ENTRY_BYTES_MAX > this.bytes.length) this.#growBytes()
    if (this.count === this.keyStarts.length) this.#growKeys()
  }

  /** The entry that was written since `room`. */
  added(keyBytes: number): void {
    const start = this.end + ENTRY_KEY
    const end = start + keyBytes
    this.bytes[this.end + ENTRY_KEY_BYTES] = keyBytes
    this.bytes[this.end + ENTRY_KEY_BYTES + 1] = keyBytes >>> 8
    for (let at = end; (at & 3) !== 0; at++) this.bytes[at] = 0
    this.keyStarts[this.count] = start
    this.keyEnds[this.count++] = end
    this.end += entryBytes(keyBytes)
  }

  /** A view of a key, valid until the next `room`. */
  key(i: number): Uint8Array {
    return this.bytes.subarray(this.keyStarts[i]!, this.keyEnds[i]!)
  }

  /** A view of a value, likewise. */
  value(i: number): Uint8Array {
    const at = this.keyStarts[i]! - ENTRY_KEY
    return this.bytes.subarray(at, at + ENTRY_VALUE_BYTES)
  }

  #growBytes(): void {
    const bytes = grownBytes(this.bytes, this.bytes.length * 2)
    this.bytes = bytes
    this.words = new Uint32Array(bytes.buffer)
  }

  #growKeys(): void {
    this.keyStarts = doubled(this.keyStarts)
    this.keyEnds = doubled(this.keyEnds)
  }
}

function doubled(from: Uint32Array): Uint32Array {
  const to = new Uint32Array(from.length * 2)
  to.set(from)
  return to
}
