import {
  BLOCK_BYTES, CHUNK_BYTES, FLAG_CHUNK_END, FLAG_CHUNK_START, FLAG_ROOT, HASH_BYTES, IV, LANES, LANE_INPUT, LANE_OUTPUT,
  LEAF_INPUT_BYTES, LEAF_SCRATCH, LEAF_TAG, MEMORY_BYTES, MIXINGS, NODE_INPUT_BYTES, NODE_SCRATCH, NODE_TAG, SCHEDULE,
  SCRATCH_STRIDE,
} from './blake3.layout.ts'

/** BLAKE3 of short inputs, over a memory of its own (blake3.layout.ts). Not reentrant; one a thread. */
export interface Blake3Kernel {
  readonly memory: Uint8Array
  /** LANE_INPUT, CHUNK_BYTES and LANE_OUTPUT, for those who may not import the map. */
  readonly laneInput: number
  readonly laneBytes: number
  readonly laneOutput: number
  /**
   * Hashes the inputs at LANE_INPUT, one each {@link CHUNK_BYTES}, of `length0..3` bytes, into LANE_OUTPUT. The
   * lengths are at most CHUNK_BYTES, and every input is zero-filled to a multiple of 64.
   */
  hashLanes(length0: number, length1: number, length2: number, length3: number): void
  /** Replaces `count` ids at byte `at` by their leaf hashes. */
  leaves(at: number, count: number): void
  /** Replaces `count` nodes at byte `at` by the `ceil(count / 2)` nodes of the level above; an odd last one rises as it is. */
  level(at: number, count: number): void
}

/** Plain TypeScript: the reference, and what runs where WebAssembly SIMD does not. */
export class ScalarKernel implements Blake3Kernel {
  readonly memory = new Uint8Array(MEMORY_BYTES)
  readonly laneInput = LANE_INPUT
  readonly laneBytes = CHUNK_BYTES
  readonly laneOutput = LANE_OUTPUT
  readonly #lanes: readonly Uint8Array[] = Array.from({ length: LANES }, (_, lane) =>
    this.memory.subarray(LANE_INPUT + lane * CHUNK_BYTES, LANE_INPUT + (lane + 1) * CHUNK_BYTES))
  readonly #cv = new Uint32Array(8)
  readonly #state = new Uint32Array(16)
  readonly #words = new Uint32Array(16)

  constructor() {
    for (let lane = 0; lane < LANES; lane++) {
      this.memory[LEAF_SCRATCH + lane * SCRATCH_STRIDE] = LEAF_TAG
      this.memory[NODE_SCRATCH + lane * SCRATCH_STRIDE] = NODE_TAG
    }
  }

  hashLanes(length0: number, length1: number, length2: number, length3: number): void {
    const lengths = [length0, length1, length2, length3]
    for (let lane = 0; lane < LANES; lane++) {
      this.#hash(this.#lanes[lane]!.byteOffset, lengths[lane]!, LANE_OUTPUT + lane * HASH_BYTES)
    }
  }

  leaves(at: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const from = at + i * HASH_BYTES
      this.memory.copyWithin(LEAF_SCRATCH + 1, from, from + HASH_BYTES)
      this.#hash(LEAF_SCRATCH, LEAF_INPUT_BYTES, from)
    }
  }

  level(at: number, count: number): void {
    const pairs = count >> 1
    for (let i = 0; i < pairs; i++) {
      const from = at + i * 2 * HASH_BYTES
      this.memory.copyWithin(NODE_SCRATCH + 1, from, from + 2 * HASH_BYTES)
      this.#hash(NODE_SCRATCH, NODE_INPUT_BYTES, at + i * HASH_BYTES)
    }
    if (count % 2 === 1) {
      const odd = at + (count - 1) * HASH_BYTES
      this.memory.copyWithin(at + pairs * HASH_BYTES, odd, odd + HASH_BYTES)
    }
  }

  #hash(from: number, length: number, to: number): void {
    this.#cv.set(IV)
    let offset = 0
    do {
      const isLast = length - offset <= BLOCK_BYTES
      const flags = (offset === 0 ? FLAG_CHUNK_START : 0) | (isLast ? FLAG_CHUNK_END | FLAG_ROOT : 0)
      this.#compress(from + offset, Math.min(BLOCK_BYTES, length - offset), flags)
      offset += BLOCK_BYTES
    } while (offset < length)
    for (let i = 0; i < HASH_BYTES; i++) this.memory[to + i] = this.#cv[i >> 2]! >>> ((i & 3) * 8)
  }

  #compress(block: number, blockLength: number, flags: number): void {
    const { memory } = this
    const cv = this.#cv
    const state = this.#state
    const words = this.#words
    for (let i = 0; i < 16; i++) {
      const at = block + i * 4
      words[i] = memory[at]! | (memory[at + 1]! << 8) | (memory[at + 2]! << 16) | (memory[at + 3]! << 24)
    }
    for (let i = 0; i < 8; i++) state[i] = cv[i]!
    for (let i = 0; i < 4; i++) state[8 + i] = IV[i]!
    state[12] = 0
    state[13] = 0
    state[14] = blockLength
    state[15] = flags
    for (const schedule of SCHEDULE) {
      for (let i = 0; i < 8; i++) {
        const [a, b, c, d] = MIXINGS[i]!
        mix(state, a, b, c, d, words[schedule[2 * i]!]!, words[schedule[2 * i + 1]!]!)
      }
    }
    for (let i = 0; i < 8; i++) cv[i] = state[i]! ^ state[i + 8]!
  }
}

const rotateRight = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits))

function mix(state: Uint32Array, a: number, b: number, c: number, d: number, x: number, y: number): void {
  state[a] = state[a]! + state[b]! + x
  state[d] = rotateRight(state[d]! ^ state[a]!, 16)
  state[c] = state[c]! + state[d]!
  state[b] = rotateRight(state[b]! ^ state[c]!, 12)
  state[a] = state[a]! + state[b]! + y
  state[d] = rotateRight(state[d]! ^ state[a]!, 8)
  state[c] = state[c]! + state[d]!
  state[b] = rotateRight(state[b]! ^ state[c]!, 7)
}
