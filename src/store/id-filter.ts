import { assert } from '../base/assert.ts'

const BLOCK_WORDS = 8
const BLOCK_BYTES = BLOCK_WORDS * 4
const HEADER_BYTES = 64
/** Header word: 1 once the filter holds every id of the store. */
const COMPLETE_INDEX = 0
/** Header word: ids added, for metrics; wraps. */
const ADDED_INDEX = 1

/** The odd multipliers of the Parquet format's split-block Bloom filter. */
const SALTS = Int32Array.of(
  0x47b6137b, 0x44974d91, 0x8824ad5b | 0, 0xa2b7289d | 0, 0x705495c7, 0x2df1424b, 0x9efc4947 | 0, 0x5c6bfb31,
)

/**
 * Tells new ids from known ones: `false` is certain, `true` means "look". A split-block Bloom filter (Putze, Sanders,
 * Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; Apache Parquet's BloomFilter.md): a fingerprint
 * sets one bit in each of the eight words of one 32-byte block, so that a look costs one cache line.
 *
 * It lives in shared memory, with one writer at a time: whoever replays at a start, then the commit thread. A reader may
 * be a moment behind, which is why the commit thread asks again before it hands out an LSN.
 */
export class IdFilter {
  readonly buffer: SharedArrayBuffer
  readonly #header: Int32Array
  readonly #words: Int32Array
  readonly #blockShift: number
  /** What this side has seen of the header's word: it never goes back. */
  #isComplete = false

  /** @param buffer of {@link IdFilter.bytesFor}; a new one is all zero. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.#words = new Int32Array(buffer, HEADER_BYTES)
    const blockBits = Math.log2(this.#words.length / BLOCK_WORDS)
    assert(Number.isInteger(blockBits) && blockBits >= 1, 'id filter size is a power of two')
    this.#blockShift = 32 - blockBits
    // 2^32 blocks are 128 GiB: far beyond what the setting allows.
    assert(this.#blockShift >= 1, 'id filter has a block for at most 31 bits')
  }

  /** @param filterBytes a power of two, at least 64. */
  static create(filterBytes: number): IdFilter {
    return new IdFilter(new SharedArrayBuffer(IdFilter.bytesFor(filterBytes)))
  }

  static bytesFor(filterBytes: number): number {
    assert(filterBytes >= 2 * BLOCK_BYTES && Number.isInteger(Math.log2(filterBytes)), 'id filter size is a power of two')
    return HEADER_BYTES + filterBytes
  }

  /** False until {@link markComplete}: until then every id may be contained. */
  get complete(): boolean {
    return this.#isComplete ||= Atomics.load(this.#header, COMPLETE_INDEX) === 1
  }

  get addedCount(): number {
    return Atomics.load(this.#header, ADDED_INDEX) >>> 0
  }

  /** Says that all ids of the store have been added: from now on `false` counts. */
  markComplete(): void {
    Atomics.store(this.#header, COMPLETE_INDEX, 1)
  }

  /** Writer only. @param hi @param lo the fingerprint by IdHash. */
  add(hi: number, lo: number): void {
    const words = this.#words
    const block = (hi >>> this.#blockShift) * BLOCK_WORDS
    for (let i = 0; i < BLOCK_WORDS; i++) words[block + i]! |= 1 << (Math.imul(lo, SALTS[i]!) >>> 27)
    this.#header[ADDED_INDEX]!++
  }

  /**
   * Reads one word of the block of each of the first `count` fingerprints, so that the cache misses of all overlap and
   * `mayContain` and `add` find them at hand. The sum is for nothing but that the reads are not optimized away.
   */
  touch(his: Int32Array, count: number): number {
    const words = this.#words
    const shift = this.#blockShift
    let sum = 0
    for (let i = 0; i < count; i++) sum ^= words[(his[i]! >>> shift) * BLOCK_WORDS]!
    return sum
  }

  mayContain(hi: number, lo: number): boolean {
    // Before the words are read: a filter that became complete behind them would have others by then.
    if (!this.complete) return true
    const words = this.#words
    const block = (hi >>> this.#blockShift) * BLOCK_WORDS
    for (let i = 0; i < BLOCK_WORDS; i++) {
      if ((words[block + i]! & (1 << (Math.imul(lo, SALTS[i]!) >>> 27))) === 0) return false
    }
    return true
  }

  /** Share of bits that are set, over a sample: 0.5 is a filter at its best size, above it false alarms rise fast. */
  fillRatio(sampleWords = 4096): number {
    const step = Math.max(1, Math.floor(this.#words.length / sampleWords))
    let bits = 0
    let words = 0
    for (let i = 0; i < this.#words.length; i += step, words++) bits += popCount(this.#words[i]!)
    return bits / (words * 32)
  }
}

function popCount(value: number): number {
  let v = value
  v -= (v >>> 1) & 0x55555555
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
