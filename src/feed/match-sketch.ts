/** Hash values that are told apart; a power of two. At ten thousand filters half of what matches nothing is still dismissed. */
const SLOTS = 1 << 14

/** An odd multiplier near 2^32 over the golden ratio (Knuth 1998, TAOCP 3, 6.4); high bits are folded down after each step, as MurmurHash3 does (Appleby 2011). */
const MULTIPLIER = 0x9e37_79b1 | 0
const FOLD = 15
/** Bytes that are hashed at a time. */
const WORD = 4
/** Begins of the hashes of each kind of key, so that kinds share one table. */
export const SUBJECT_BASIS = 0x811c_9dc5 | 0
export const PREDICATE_BASIS = 0x2f0b_4c47 | 0
export const AGENT_BASIS = 0x5bd1_e995 | 0
/** Over a hash of all of a subject: a whole one is no prefix of the same bytes. */
export const WHOLE = 0x6b43_a9b5 | 0

const mixed = (hash: number, word: number): number => {
  const h = Math.imul(hash ^ word, MULTIPLIER)
  return h ^ (h >>> FOLD)
}

/** Where the whole words of a text of `length` bytes end. */
export const wordsEnd = (length: number): number => length & -WORD

/** Goes on from `hash` over whole words, from `from` to `until`. */
export function hashWords(hash: number, view: DataView, from: number, until: number): number {
  let h = hash
  for (let i = from; i < until; i += WORD) h = mixed(h, view.getUint32(i, true))
  return h
}

/** Ends a hash over whole words with the up to three bytes behind them. What goes on over more of the text goes on from `hash`. */
export function hashRest(hash: number, view: DataView, from: number, until: number): number {
  let rest = until - from
  for (let i = from; i < until; i++) rest = rest << 8 | view.getUint8(i)
  return mixed(hash, rest)
}

/** Hash of the `length` bytes at `start`. */
export function hashAt(basis: number, view: DataView, start: number, length: number): number {
  const end = start + wordsEnd(length)
  return hashRest(hashWords(basis, view, start, end), view, end, start + length)
}

/** The same of Latin-1 text. */
export function hashText(basis: number, text: string): number {
  const bytes = Buffer.from(text, 'latin1')
  return hashAt(basis, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)
}

/**
 * Says of most keys that no filter has them, without making a text of their bytes: a count for each hash value, as of a counting Bloom filter (Fan
 * et al. 2000) with one hash. What it does not dismiss has to be looked up.
 */
export class MatchSketch {
  readonly #counts = new Uint32Array(SLOTS)
  /** A bit for each count that is not zero: 2 KiB, which stay in the first cache where the counts would not. */
  readonly #bits = new Uint32Array(SLOTS / 32)

  add(hash: number): void {
    const slot = slotOf(hash)
    this.#counts[slot]!++
    this.#bits[slot >> 5]! |= 1 << (slot & 31)
  }

  /** Of a hash that was added. */
  remove(hash: number): void {
    const slot = slotOf(hash)
    if (--this.#counts[slot]! === 0) this.#bits[slot >> 5]! &= ~(1 << (slot & 31))
  }

  has(hash: number): boolean {
    const slot = slotOf(hash)
    return (this.#bits[slot >> 5]! >>> (slot & 31) & 1) !== 0
  }
}

const slotOf = (hash: number): number => hash & (SLOTS - 1)
