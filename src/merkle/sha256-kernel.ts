import { HASH_BYTES, LANES, LEAF_INPUT_BYTES, LEAF_TAG, NODE_INPUT_BYTES, NODE_TAG } from './blake3.layout.ts'
import {
  SHA256_BLOCK_BYTES, SHA256_IV, SHA256_K, SHA256_LEAF_SCRATCH, SHA256_MEMORY_BYTES, SHA256_NODE_SCRATCH, SHA256_SCRATCH_STRIDE,
} from './sha256.layout.ts'

/** Leaves and levels of the tree of RFC 9162 over SHA-256, in a memory of its own (sha256.layout.ts). Not reentrant; one a thread. */
export interface Sha256Kernel {
  readonly memory: Uint8Array
  /** Replaces `count` ids at byte `at` by their leaf hashes. */
  leaves(at: number, count: number): void
  /** Replaces `count` nodes at byte `at` by the `ceil(count / 2)` nodes of the level above; an odd last one rises as it is. */
  level(at: number, count: number): void
}

const K = Int32Array.from(SHA256_K, (word) => word | 0)
const words = new Int32Array(64)

/** One block into the state (FIPS 180-4, 6.2.2). */
function compress(state: Uint32Array, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++, at += 4) words[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15]!
    const y = words[i - 2]!
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    words[i] = (words[i - 16]! + s0 + words[i - 7]! + s1) | 0
  }
  let a = state[0]! | 0
  let b = state[1]! | 0
  let c = state[2]! | 0
  let d = state[3]! | 0
  let e = state[4]! | 0
  let f = state[5]! | 0
  let g = state[6]! | 0
  let h = state[7]! | 0
  for (let i = 0; i < 64; i++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + sum1 + (g ^ (e & (f ^ g))) + K[i]! + words[i]!) | 0
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (sum0 + ((a & b) | (c & (a | b)))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
}

const state = new Uint32Array(8)

/** Hashes whole blocks that carry their own padding. */
function digestBlocks(bytes: Uint8Array, at: number, blocks: number, out: Uint8Array, outOffset: number): void {
  state.set(SHA256_IV)
  for (let block = 0; block < blocks; block++) compress(state, bytes, at + block * SHA256_BLOCK_BYTES)
  for (let i = 0; i < 8; i++) {
    const word = state[i]!
    const to = outOffset + i * 4
    out[to] = word >>> 24
    out[to + 1] = word >>> 16
    out[to + 2] = word >>> 8
    out[to + 3] = word
  }
}

const blocksOf = (length: number): number => Math.floor((length + 8) / SHA256_BLOCK_BYTES) + 1

/** Puts the padding of an input of `length` bytes behind it (FIPS 180-4, 5.1.1); what lies between must be zero. */
function pad(bytes: Uint8Array, at: number, length: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const end = at + blocksOf(length) * SHA256_BLOCK_BYTES
  bytes[at + length] = 0x80
  view.setUint32(end - 8, Math.floor(length / 0x2000_0000))
  view.setUint32(end - 4, length * 8)
}

/** SHA-256 (FIPS 180-4) of any bytes, in plain TypeScript: for browsers, and for what is hashed once. */
export function sha256(input: Uint8Array): Uint8Array {
  const blocks = blocksOf(input.length)
  const padded = new Uint8Array(blocks * SHA256_BLOCK_BYTES)
  padded.set(input)
  pad(padded, 0, input.length)
  const digest = new Uint8Array(HASH_BYTES)
  digestBlocks(padded, 0, blocks, digest, 0)
  return digest
}

/** Tags and padding of all scratch inputs, in a memory of zeros. */
export function prepareScratch(memory: Uint8Array): void {
  for (let lane = 0; lane < LANES; lane++) {
    const offset = lane * SHA256_SCRATCH_STRIDE
    memory[SHA256_LEAF_SCRATCH + offset] = LEAF_TAG
    memory[SHA256_NODE_SCRATCH + offset] = NODE_TAG
    pad(memory, SHA256_LEAF_SCRATCH + offset, LEAF_INPUT_BYTES)
    pad(memory, SHA256_NODE_SCRATCH + offset, NODE_INPUT_BYTES)
  }
}

/** Plain TypeScript: the reference, and what runs where WebAssembly SIMD does not. */
export class ScalarSha256Kernel implements Sha256Kernel {
  readonly memory = new Uint8Array(SHA256_MEMORY_BYTES)

  constructor() {
    prepareScratch(this.memory)
  }

  leaves(at: number, count: number): void {
    const { memory } = this
    for (let i = 0; i < count; i++) {
      const from = at + i * HASH_BYTES
      memory.copyWithin(SHA256_LEAF_SCRATCH + 1, from, from + HASH_BYTES)
      digestBlocks(memory, SHA256_LEAF_SCRATCH, 1, memory, from)
    }
  }

  level(at: number, count: number): void {
    const { memory } = this
    const pairs = count >> 1
    for (let i = 0; i < pairs; i++) {
      const from = at + i * 2 * HASH_BYTES
      memory.copyWithin(SHA256_NODE_SCRATCH + 1, from, from + 2 * HASH_BYTES)
      digestBlocks(memory, SHA256_NODE_SCRATCH, 2, memory, at + i * HASH_BYTES)
    }
    if (count % 2 === 1) {
      const odd = at + (count - 1) * HASH_BYTES
      memory.copyWithin(at + pairs * HASH_BYTES, odd, odd + HASH_BYTES)
    }
  }
}
