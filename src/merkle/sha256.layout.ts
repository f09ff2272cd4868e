import { HASH_BYTES, LANES } from './blake3.layout.ts'

/** Constants of SHA-256 (FIPS 180-4, 4.2.2 and 5.3.3) and the memory map that both kernels share. */
export const SHA256_BLOCK_BYTES = 64

/** The first 32 bits of the fractional part of a root, which is exact enough in a double for all that FIPS 180-4 takes. */
const fraction = (root: number): number => Math.floor((root - Math.floor(root)) * 0x1_0000_0000)

const PRIMES: readonly number[] = (() => {
  const primes: number[] = []
  for (let candidate = 2; primes.length < 64; candidate++) if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate)
  return primes
})()

export const SHA256_IV: readonly number[] = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)))
export const SHA256_K: readonly number[] = PRIMES.map((prime) => fraction(Math.cbrt(prime)))

/** Most leaves that are hashed at a time: those of one tile (C2SP tlog-tiles). */
export const TILE_HASHES = 256

// A kernel's memory. Scratch inputs of a tag and one or two hashes; their padding stands behind them, always.
const SCRATCH_BYTES = 2 * SHA256_BLOCK_BYTES
export const SHA256_SCRATCH_STRIDE = SCRATCH_BYTES
export const SHA256_LEAF_SCRATCH = 0
export const SHA256_NODE_SCRATCH = SHA256_LEAF_SCRATCH + LANES * SCRATCH_BYTES
/** Hashes under way; a group of four may read and write up to 8 slots behind the last. */
export const SHA256_TREE = SHA256_NODE_SCRATCH + LANES * SCRATCH_BYTES
export const SHA256_MEMORY_BYTES = Math.ceil((SHA256_TREE + (TILE_HASHES + 2 * LANES) * HASH_BYTES) / 65_536) * 65_536
