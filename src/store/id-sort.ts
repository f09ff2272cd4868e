import { ID_ENTRY_WORDS } from './id-runs.codec.ts'

/** Entries of a bucket on average, and most buckets: what they count stays in the nearest caches. */
const BUCKET_ENTRIES_MEAN = 4
const BUCKETS_MAX = 2 ** 16

/**
 * Orders entries by their fingerprint (hi, lo) as unsigned numbers: one pass puts them into buckets between the lowest and the highest upper half,
 * an insertion sort settles what is left. Fingerprints are uniform, whoever makes the ids, because they are keyed: so a bucket has a few.
 * Scratch memory is kept between calls.
 */
export class FingerprintSorter {
  readonly #starts = new Uint32Array(BUCKETS_MAX + 1)
  #order = new Uint32Array(0)

  /**
   * The numbers 0..count of the entries in `words`, {@link ID_ENTRY_WORDS} each and the halves of the fingerprint first, in order; valid
   * until the next call.
   */
  order(words: Uint32Array, count: number): Uint32Array {
    if (this.#order.length < count) this.#order = new Uint32Array(count)
    this.#scatter(words, count)
    this.#settle(words, count)
    return this.#order
  }

  #scatter(words: Uint32Array, count: number): void {
    const starts = this.#starts
    const order = this.#order
    let least = 0xffff_ffff
    let most = 0
    for (let i = 0, at = 0; i < count; i++, at += ID_ENTRY_WORDS) {
      const hi = words[at]!
      if (hi < least) least = hi
      if (hi > most) most = hi
    }
    // At least one bit: a shift by 32 would be one by 0.
    const bucketBits = Math.max(1, 32 - Math.clz32(Math.min(BUCKETS_MAX - 1, count / BUCKET_ENTRIES_MEAN)))
    const shift = Math.max(0, 32 - Math.clz32(most - least) - bucketBits)
    const buckets = count === 0 ? 0 : (most - least >>> shift) + 1
    starts.fill(0, 0, buckets + 1)
    for (let i = 0, at = 0; i < count; i++, at += ID_ENTRY_WORDS) starts[(words[at]! - least >>> shift) + 1]!++
    for (let bucket = 1; bucket < buckets; bucket++) starts[bucket]! += starts[bucket - 1]!
    for (let i = 0, at = 0; i < count; i++, at += ID_ENTRY_WORDS) order[starts[words[at]! - least >>> shift]!++] = i
  }

  #settle(words: Uint32Array, count: number): void {
    const order = this.#order
    for (let n = 1; n < count; n++) {
      const entry = order[n]!
      const hi = words[entry * ID_ENTRY_WORDS]!
      let to = n
      for (; to > 0; to--) {
        const before = order[to - 1]! * ID_ENTRY_WORDS
        const beforeHi = words[before]!
        if (beforeHi < hi || (beforeHi === hi && words[before + 1]! <= words[entry * ID_ENTRY_WORDS + 1]!)) break
        order[to] = order[to - 1]!
      }
      order[to] = entry
    }
  }
}
