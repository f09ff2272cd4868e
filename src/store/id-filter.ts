import { assert } from '../base/assert.ts'

const BLOCK_WORDS = 8
const BLOCK_BYTES = BLOCK_WORDS * 4
const HEADER_BYTES = 64
/** Header word: 1 once the filter holds every id of the store. */
const COMPLETE_INDEX = 0
/** Header word: ids added, for metrics; wraps. */
const ADDED_INDEX = 1
/** Header word: the stage that ids are added to, from 0; all before it are full. */
const STAGE_INDEX = 2
/** Header word: ids added to that stage. */
const STAGE_ADDED_INDEX = 3
/** Header word: log2 of the bytes of the first stage. */
const FIRST_BITS_INDEX = 4
/**
 * Bits of a stage for each of its ids: a quarter of them are set when it is full, and 0.002% of new ids are taken for known ones. One such costs a
 * look into every run, which is milliseconds where the page cache does not have them: 1,000 times what an id costs otherwise.
 */
const BITS_AN_ID = 32

/** The odd multipliers of the Parquet format's split-block Bloom filter. */
const SALTS = Int32Array.of(
  0x47b6137b, 0x44974d91, 0x8824ad5b | 0, 0xa2b7289d | 0, 0x705495c7, 0x2df1424b, 0x9efc4947 | 0, 0x5c6bfb31,
)

/**
 * Tells new ids from known ones: `false` is certain, `true` means "look". A split-block Bloom filter (Putze, Sanders,
 * Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; Apache Parquet's BloomFilter.md): a fingerprint
 * sets one bit in each of the eight words of one 32-byte block, so that a look costs one cache line.
 *
 * It grows in stages, each twice as large as the one before (Almeida, Baquero, Preguica, Hutchison, "Scalable Bloom Filters", 2007): a look costs one cache line
 * for each. Their memory is reserved from the start and taken by the operating system's leave when a stage is written to, since nobody could hand
 * another buffer to threads that never return to their event loops.
 *
 * It lives in shared memory, with one writer at a time: whoever replays at a start, then the commit thread. A reader may
 * be a moment behind, which is why the commit thread asks again before it hands out an LSN.
 */
export class IdFilter {
  readonly buffer: SharedArrayBuffer
  readonly #header: Int32Array
  readonly #words: Int32Array
  readonly #stages: readonly Stage[]
  /** What this side has seen of the header's word: it never goes back. */
  #isComplete = false

  /** @param buffer of {@link create}'s */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.#words = new Int32Array(buffer, HEADER_BYTES)
    this.#stages = stagesOf(2 ** this.#header[FIRST_BITS_INDEX]!, this.#words.byteLength)
  }

  /**
   * @param firstBytes of the first stage: a power of two, at least 64
   * @param bytesMax of all stages together; those that fit into it are reserved
   */
  static create(firstBytes: number, bytesMax = firstBytes): IdFilter {
    const firstBits = Math.log2(firstBytes)
    assert(firstBytes >= 2 * BLOCK_BYTES && Number.isInteger(firstBits), 'id filter size is a power of two')
    const bytes = stagesOf(firstBytes, bytesMax).reduce((sum, { blocks }) => sum + blocks * BLOCK_BYTES, 0)
    const buffer = new SharedArrayBuffer(HEADER_BYTES + bytes)
    new Int32Array(buffer)[FIRST_BITS_INDEX] = firstBits
    return new IdFilter(buffer)
  }

  /** False until {@link markComplete}: until then every id may be contained. */
  get complete(): boolean {
    return this.#isComplete ||= Atomics.load(this.#header, COMPLETE_INDEX) === 1
  }

  get addedCount(): number {
    return Atomics.load(this.#header, ADDED_INDEX) >>> 0
  }

  /** Stages that ids have been added to. */
  get stageCount(): number {
    return Atomics.load(this.#header, STAGE_INDEX) + 1
  }

  /** Says that all ids of the store have been added: from now on `false` counts. */
  markComplete(): void {
    Atomics.store(this.#header, COMPLETE_INDEX, 1)
  }

  /** Writer only. @param hi @param lo the fingerprint by IdHash. */
  add(hi: number, lo: number): void {
    const words = this.#words
    const header = this.#header
    const { firstWord, shift } = this.#stageWithRoom()
    const block = firstWord + (hi >>> shift) * BLOCK_WORDS
    for (let i = 0; i < BLOCK_WORDS; i++) words[block + i]! |= 1 << (Math.imul(lo, SALTS[i]!) >>> 27)
    header[ADDED_INDEX]!++
    header[STAGE_ADDED_INDEX]!++
  }

  /**
   * Reads one word of the block of each of the first `count` fingerprints, so that the cache misses of all overlap and
   * `mayContain` and `add` find them at hand. The sum is for nothing but that the reads are not optimized away.
   */
  touch(his: Int32Array, count: number, firstStage = 0): number {
    const words = this.#words
    let sum = 0
    for (let stage = Atomics.load(this.#header, STAGE_INDEX); stage >= firstStage; stage--) {
      const { firstWord, shift } = this.#stages[stage]!
      for (let i = 0; i < count; i++) sum ^= words[firstWord + (his[i]! >>> shift) * BLOCK_WORDS]!
    }
    return sum
  }

  mayContain(hi: number, lo: number): boolean {
    // Before the words are read: a filter that became complete behind them would have others by then.
    return !this.complete || this.mayContainFrom(0, hi, lo)
  }

  /** The same of what was added to `firstStage` and those behind it, complete or not. */
  mayContainFrom(firstStage: number, hi: number, lo: number): boolean {
    for (let stage = Atomics.load(this.#header, STAGE_INDEX); stage >= firstStage; stage--) {
      if (this.#contains(this.#stages[stage]!, hi, lo)) return true
    }
    return false
  }

  /** Writer only: the stage from which on the last `count` that were added stand. */
  stageOfLast(count: number): number {
    let stage = this.#header[STAGE_INDEX]!
    for (let left = count - this.#header[STAGE_ADDED_INDEX]!; left > 0 && stage > 0; stage--) left -= this.#stages[stage - 1]!.idsMax
    return stage
  }

  /** Share of bits of the youngest stage that are set, over a sample: above 0.3, where there is none to follow it, false alarms rise fast. */
  fillRatio(sampleWords = 4096): number {
    const { firstWord, blocks } = this.#stages[this.stageCount - 1]!
    const end = firstWord + blocks * BLOCK_WORDS
    const step = Math.max(1, Math.floor((end - firstWord) / sampleWords))
    let bits = 0
    let words = 0
    for (let i = firstWord; i < end; i += step, words++) bits += popCount(this.#words[i]!)
    return bits / (words * 32)
  }

  #contains({ firstWord, shift }: Stage, hi: number, lo: number): boolean {
    const words = this.#words
    const block = firstWord + (hi >>> shift) * BLOCK_WORDS
    for (let i = 0; i < BLOCK_WORDS; i++) {
      if ((words[block + i]! & (1 << (Math.imul(lo, SALTS[i]!) >>> 27))) === 0) return false
    }
    return true
  }

  /** The last one takes what is beyond its measure. */
  #stageWithRoom(): Stage {
    const header = this.#header
    const stage = header[STAGE_INDEX]!
    if (header[STAGE_ADDED_INDEX]! < this.#stages[stage]!.idsMax || stage + 1 === this.#stages.length) return this.#stages[stage]!
    header[STAGE_ADDED_INDEX] = 0
    Atomics.store(header, STAGE_INDEX, stage + 1)
    return this.#stages[stage + 1]!
  }
}

interface Stage {
  readonly firstWord: number
  readonly blocks: number
  /** Of a fingerprint's upper half, so that what is left numbers a block. */
  readonly shift: number
  readonly idsMax: number
}

function stagesOf(firstBytes: number, bytesMax: number): Stage[] {
  const stages: Stage[] = []
  let begin = 0
  for (let bytes = firstBytes; begin + bytes <= bytesMax; bytes *= 2) {
    const blocks = bytes / BLOCK_BYTES
    stages.push({ firstWord: begin / 4, blocks, shift: 32 - Math.log2(blocks), idsMax: Math.floor(bytes * 8 / BITS_AN_ID) })
    begin += bytes
  }
  return stages
}

function popCount(value: number): number {
  let v = value
  v -= (v >>> 1) & 0x55555555
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333)
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
