import { writeU32Be } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { EntryArena } from './entry-arena.ts'
import {
  ENTRIES_LIST, ENTRIES_NODE, ENTRY_KEY, ENTRY_KEY_BYTES, ENTRY_VALUE_BYTES, NODE_COUNT, NODE_KEY_BYTES, NODE_KEY_LEVEL,
  NODE_KEY_NUMBER, NODE_KEY_RUN, NODE_OFFSETS, NODE_PREFIX_WORDS, nodeHeaderBytes,
} from './entry-runs.layout.ts'
import { SP_TAIL_BYTES } from './keyspace.layout.ts'

export const ENTRY_LIST_KEY: Uint8Array = Uint8Array.of(ENTRIES_LIST)

export function nodeKey(run: number, level: number, number: number, key: Uint8Array = new Uint8Array(NODE_KEY_BYTES)): Uint8Array {
  key[0] = ENTRIES_NODE
  writeU32Be(key, NODE_KEY_RUN, run)
  key[NODE_KEY_LEVEL] = level
  writeU32Be(key, NODE_KEY_NUMBER, number)
  return key
}

const ENTRY_KEY_WORD = ENTRY_KEY / 4

/** Packs nodes into a buffer of its own. */
export class NodePacker {
  #out = new Uint8Array(32 * 1024)
  #words = new Uint32Array(this.#out.buffer)
  #halves = new Uint16Array(this.#out.buffer)
  /** Nobody reads it: it keeps the reads of `#makeRoom` alive. */
  touched = 0

  /** The node of the entries `order[from..to)`, which ascend. Valid until the next call. */
  pack(arena: EntryArena, order: Uint32Array, from: number, to: number): Uint8Array {
    const { words: source, keyStarts, keyEnds } = arena
    const count = to - from
    const prefixWords = commonBytes(arena, order[from]!, order[to - 1]!) >>> 2
    const headerWords = nodeHeaderBytes(count) >>> 2
    this.#makeRoom(arena, order, from, to, headerWords + prefixWords)
    const words = this.#words
    const halves = this.#halves
    let at = headerWords
    // Whatever stands between the offsets and the first entry.
    words[at - 1] = 0
    halves[NODE_COUNT / 2] = count
    halves[NODE_PREFIX_WORDS / 2] = prefixWords
    for (let word = keyStarts[order[from]!]! >>> 2, end = word + prefixWords; word < end; word++) words[at++] = source[word]!
    for (let n = from; n < to; n++) {
      const entry = order[n]!
      halves[NODE_OFFSETS / 2 + n - from] = at
      const key = keyStarts[entry]! >>> 2
      const end = (keyEnds[entry]! + 3) >>> 2
      for (let word = key - ENTRY_KEY_WORD; word < key; word++) words[at++] = source[word]!
      for (let word = key + prefixWords; word < end; word++) words[at++] = source[word]!
    }
    return this.#out.subarray(0, at * 4)
  }

  /** Looks at each entry on the way: they lie all over the arena, and so the cache misses of all of them overlap. */
  #makeRoom({ words, keyStarts, keyEnds }: EntryArena, order: Uint32Array, from: number, to: number, fixedWords: number): void {
    let bytes = fixedWords * 4
    let touched = 0
    for (let n = from; n < to; n++) {
      const start = keyStarts[order[n]!]!
      const end = keyEnds[order[n]!]!
      bytes += end - start + ENTRY_KEY + 3
      touched ^= words[(start >>> 2) - ENTRY_KEY_WORD]! ^ words[(end - 1) >>> 2]!
    }
    this.touched = touched
    if (bytes <= this.#out.length) return
    this.#out = new Uint8Array((bytes * 2 + 3) & ~3)
    this.#words = new Uint32Array(this.#out.buffer)
    this.#halves = new Uint16Array(this.#out.buffer)
  }
}

/** How many bytes two keys share; all between them in order share those too. */
export function commonBytes({ bytes, keyStarts, keyEnds }: EntryArena, a: number, b: number): number {
  const startA = keyStarts[a]!
  const startB = keyStarts[b]!
  const length = Math.min(keyEnds[a]! - startA, keyEnds[b]! - startB)
  let at = 0
  while (at < length && bytes[startA + at] === bytes[startB + at]) at++
  return at
}

/** A node as it lies in the store. */
export class EntryNode {
  readonly count: number
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array
  readonly #halves: Uint16Array
  readonly #prefixBytes: number
  readonly #prefix: number

  /** @throws {DbError} `store_corrupt` where its parts do not add up. */
  constructor(bytes: Uint8Array) {
    if (bytes.length < NODE_OFFSETS || bytes.length % 4 !== 0) damaged()
    // The store gives memory of our own, but nobody promises where it begins.
    const own = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
    this.#bytes = own
    this.#words = new Uint32Array(own.buffer, own.byteOffset, own.length / 4)
    this.#halves = new Uint16Array(own.buffer, own.byteOffset, own.length / 2)
    this.count = this.#halves[NODE_COUNT / 2]!
    this.#prefixBytes = this.#halves[NODE_PREFIX_WORDS / 2]! * 4
    this.#prefix = nodeHeaderBytes(this.count)
    if (!this.#isSound()) damaged()
  }

  /** Entries fill the node behind the prefix, one behind the other, to its end: nothing is read elsewhere. */
  #isSound(): boolean {
    let at = this.#prefix + this.#prefixBytes
    for (let i = 0; i < this.count; i++) {
      if (at + ENTRY_KEY > this.#bytes.length || this.offset(i) !== at) return false
      const keyBytes = this.#keyBytes(at)
      if (keyBytes < this.#prefixBytes) return false
      at = (at + ENTRY_KEY + keyBytes - this.#prefixBytes + 3) & ~3
    }
    return this.count > 0 && at === this.#bytes.length
  }

  /** Where entry `i` begins, in bytes from the start of the node; a multiple of 4. */
  offset(i: number): number {
    return this.#halves[NODE_OFFSETS / 2 + i]! * 4
  }

  #keyBytes(offset: number): number {
    return this.#halves[(offset + ENTRY_KEY_BYTES) / 2]!
  }

  /** Appends entries `from..to` to `arena`. */
  copyTo(arena: EntryArena, from: number, to: number): void {
    const source = this.#words
    const prefix = this.#prefix >>> 2
    const entries = prefix + (this.#prefixBytes >>> 2)
    let word = from === to ? 0 : this.offset(from) >>> 2
    for (let i = from; i < to; i++) {
      arena.room()
      const { words } = arena
      let at = arena.end >>> 2
      const keyBytes = this.#keyBytes(word * 4)
      const key = word + ENTRY_KEY_WORD
      while (word < key) words[at++] = source[word++]!
      for (let shared = prefix; shared < entries; shared++) words[at++] = source[shared]!
      for (const end = key + ((keyBytes - this.#prefixBytes + 3) >>> 2); word < end;) words[at++] = source[word++]!
      arena.added(keyBytes)
    }
  }

  /** A copy of key `i`. */
  key(i: number): Uint8Array {
    const key = new Uint8Array(this.#keyBytes(this.offset(i)))
    this.copyKey(i, 0, key, 0)
    return key
  }

  /** Whether key `i` is `prefix` and a tail of {@link SP_TAIL_BYTES} bytes. */
  isOfPair(i: number, prefix: Uint8Array): boolean {
    const bytes = this.#bytes
    const at = this.offset(i)
    if (this.#keyBytes(at) !== prefix.length + SP_TAIL_BYTES) return false
    const shared = Math.min(this.#prefixBytes, prefix.length)
    // From behind: keys that are neighbours differ late.
    for (let n = prefix.length - 1, from = at + ENTRY_KEY + n - this.#prefixBytes; n >= shared; n--) if (bytes[from--] !== prefix[n]) return false
    for (let n = shared - 1, from = this.#prefix + n; n >= 0; n--) if (bytes[from--] !== prefix[n]) return false
    return true
  }

  /** Copies key `i` from its byte `start` on to `out`. */
  copyKey(i: number, start: number, out: Uint8Array, outOffset: number): void {
    const bytes = this.#bytes
    const at = this.offset(i)
    const length = this.#keyBytes(at)
    let n = start
    for (; n < this.#prefixBytes && n < length; n++) out[outOffset++] = bytes[this.#prefix + n]!
    for (let from = at + ENTRY_KEY + n - this.#prefixBytes; n < length; n++) out[outOffset++] = bytes[from++]!
  }

  /** The number at a multiple of 4 of the node's bytes. */
  u32(at: number): number {
    return this.#words[at >>> 2]!
  }

  /** The number at a multiple of 2. */
  u16(at: number): number {
    return this.#halves[at >>> 1]!
  }

  /** A copy of value `i`: `ENTRY_VALUE_BYTES` bytes. */
  value(i: number): Uint8Array {
    const at = this.offset(i)
    return this.#bytes.slice(at, at + ENTRY_VALUE_BYTES)
  }

  /** How many keys are below `key`; with `orEqual`, at or below it. */
  rank(key: Uint8Array, orEqual: boolean): number {
    const bytes = this.#bytes
    const common = Math.min(this.#prefixBytes, key.length)
    for (let n = 0; n < common; n++) {
      const difference = bytes[this.#prefix + n]! - key[n]!
      if (difference !== 0) return difference < 0 ? this.count : 0
    }
    if (key.length < this.#prefixBytes) return 0
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      const difference = this.#compareRest(middle, key)
      if (difference < 0 || (orEqual && difference === 0)) low = middle + 1
      else high = middle
    }
    return low
  }

  #compareRest(i: number, key: Uint8Array): number {
    const bytes = this.#bytes
    const offset = this.offset(i)
    const length = this.#keyBytes(offset)
    const common = Math.min(length, key.length)
    for (let n = this.#prefixBytes, at = offset + ENTRY_KEY; n < common; n++) {
      const difference = bytes[at++]! - key[n]!
      if (difference !== 0) return difference
    }
    return length - key.length
  }
}

function damaged(): never {
  throw new DbError('store_corrupt', 'a page of the index of subjects is damaged; run "stemedb store rebuild"')
}
