/** Constants of BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020) and the memory map that both kernels share. */
export const HASH_BYTES = 32

/** Longest input of a single chunk: what the kernels take. Longer ones need BLAKE3's own tree; see record/ for those. */
export const CHUNK_BYTES = 1024
export const BLOCK_BYTES = 64

export const IV: readonly number[] = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]

export const FLAG_CHUNK_START = 1
export const FLAG_CHUNK_END = 2
export const FLAG_ROOT = 8

const PERMUTATION: readonly number[] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]

/** Which message word each of the 7 rounds' 16 places takes: the permutation applied 0 to 6 times. */
export const SCHEDULE: readonly (readonly number[])[] = (() => {
  const rounds = [Array.from({ length: 16 }, (_, i) => i)]
  while (rounds.length < 7) {
    const last = rounds[rounds.length - 1]!
    rounds.push(PERMUTATION.map((from) => last[from]!))
  }
  return rounds
})()

/** The state words a, b, c, d of the 8 mixings of a round: 4 columns, then 4 diagonals. */
export const MIXINGS: readonly (readonly [number, number, number, number])[] = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
]

/** Inputs that are hashed side by side. */
export const LANES = 4

/** Domain tags of RFC 9162, 2.1.1. */
export const LEAF_TAG = 0
export const NODE_TAG = 1
export const LEAF_INPUT_BYTES = 1 + HASH_BYTES
export const NODE_INPUT_BYTES = 1 + 2 * HASH_BYTES

/** Most leaves of one tree: the memory below is sized for them. */
export const TREE_LEAVES_MAX = 65_536

// A kernel's memory. Scratch inputs are zero behind their last byte, always.
const SCRATCH_BYTES = 2 * BLOCK_BYTES
export const LEAF_SCRATCH = 0
export const NODE_SCRATCH = LEAF_SCRATCH + LANES * SCRATCH_BYTES
export const SCRATCH_STRIDE = SCRATCH_BYTES
/** One input a lane, each up to {@link CHUNK_BYTES}, zero-filled by the writer up to a multiple of 64. */
export const LANE_INPUT = NODE_SCRATCH + LANES * SCRATCH_BYTES
/** One digest a lane. */
export const LANE_OUTPUT = LANE_INPUT + LANES * CHUNK_BYTES
/** Leaves of the tree under way; a group of four pairs may read and write up to 8 slots behind the last. */
export const TREE = LANE_OUTPUT + LANES * HASH_BYTES
export const MEMORY_BYTES = Math.ceil((TREE + (TREE_LEAVES_MAX + 2 * LANES) * HASH_BYTES) / 65_536) * 65_536
