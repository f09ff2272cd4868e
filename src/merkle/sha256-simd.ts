import { HASH_BYTES } from './blake3.layout.ts'
import {
  SHA256_BLOCK_BYTES, SHA256_IV, SHA256_K, SHA256_LEAF_SCRATCH, SHA256_MEMORY_BYTES, SHA256_NODE_SCRATCH, SHA256_SCRATCH_STRIDE,
} from './sha256.layout.ts'
import { prepareScratch, type Sha256Kernel } from './sha256-kernel.ts'
import {
  END, I32_ADD, I32_LT_S, add, all32, get, i32, load, or, select, set, shiftLeft, shiftRight, shuffle, store, transpose, treeModule, xor,
  type Code, type TreeExports,
} from './tree-wasm.ts'

/**
 * SHA-256 of four inputs at a time (tree-wasm.ts). A library pays a call for each hash of 33 or 65 bytes, which costs more than the
 * hash: 0.42 us a leaf and its share of nodes, against 2.0 us for one hash by sodium and 6 by node:crypto. FIPS 180-4, 6.2.2, word by word.
 */

// hash4(input 0..3, length 4..7, output 8)
const LENGTH = 4
const OUTPUT = 8
const OFFSET = 9
const CV = 10
const STATE = CV + 8
const WORD = STATE + 8
const ROW = WORD + 16
const FREE = ROW + 4
const T1 = FREE + 4
const VECTORS = T1 + 1 - CV

/** Every 32-bit lane's bytes the other way round: SHA-256 is big-endian. */
const swapBytes: Code = [set(T1), get(T1), get(T1), shuffle(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12)]

const rotated = (local: number, bits: number): Code => [get(local), shiftRight(bits), get(local), shiftLeft(32 - bits), or]
const rotations = (local: number, a: number, b: number, c: number): Code =>
  [rotated(local, a), rotated(local, b), xor, rotated(local, c), xor]
const mixed = (local: number, a: number, b: number, shift: number): Code =>
  [rotated(local, a), rotated(local, b), xor, get(local), shiftRight(shift), xor]

function loadWords(): Code {
  return [0, 1, 2, 3].map((quarter) => [
    [0, 1, 2, 3].map((lane) => [get(lane), get(OFFSET), I32_ADD, load(quarter * 16), swapBytes, set(ROW + lane)]),
    transpose([ROW, ROW + 1, ROW + 2, ROW + 3], [0, 1, 2, 3].map((i) => WORD + quarter * 4 + i), FREE),
  ])
}

/** The words a to h move by one place a round: here their names do. */
function round(index: number): Code {
  const place = (letter: number): number => STATE + ((letter - index) & 7)
  const [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(place) as [number, number, number, number, number, number, number, number]
  const word = (back: number): number => WORD + ((index - back) & 15)
  const schedule: Code = index < 16 ? [] : [
    get(word(16)), mixed(word(15), 7, 18, 3), add, get(word(7)), add, mixed(word(2), 17, 19, 10), add, set(word(16)),
  ]
  return [
    schedule,
    // Ch takes f where e is set, else g; Maj takes c where a and b differ, else a.
    get(h), rotations(e, 6, 11, 25), add, get(f), get(g), get(e), select, add, all32(SHA256_K[index]!), add, get(word(16)), add, set(T1),
    get(d), get(T1), add, set(d),
    get(T1), rotations(a, 2, 13, 22), add, get(c), get(a), get(a), get(b), xor, select, add, set(h),
  ]
}

function hash4(): Code {
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  return [
    SHA256_IV.map((word, i) => [all32(word), set(CV + i)]),
    [0x03, 0x40],
    loadWords(),
    eight.map((i) => [get(CV + i), set(STATE + i)]),
    Array.from({ length: 64 }, (_, index) => round(index)),
    eight.map((i) => [get(CV + i), get(STATE + i), add, set(CV + i)]),
    // Leaves have one block and nodes two: the padding stands in the scratch inputs.
    [get(OFFSET), i32(SHA256_BLOCK_BYTES), I32_ADD, set(OFFSET), get(OFFSET), get(LENGTH), I32_LT_S, 0x0d, 0, END],
    [0, 1].map((half) => [
      transpose([0, 1, 2, 3].map((i) => CV + half * 4 + i), [ROW, ROW + 1, ROW + 2, ROW + 3], FREE),
      [0, 1, 2, 3].map((lane) => [get(OUTPUT), get(ROW + lane), swapBytes, store(lane * HASH_BYTES + half * 16)]),
    ]),
  ]
}

/** The kernel, or undefined where WebAssembly or its vectors are not to be had (a content security policy, an old browser). */
export function simdSha256Kernel(): Sha256Kernel | undefined {
  let exports: TreeExports
  try {
    const scratch = { leaf: SHA256_LEAF_SCRATCH, node: SHA256_NODE_SCRATCH, stride: SHA256_SCRATCH_STRIDE }
    exports = new WebAssembly.Instance(new WebAssembly.Module(treeModule(hash4(), VECTORS, scratch, SHA256_MEMORY_BYTES))).exports as unknown as TreeExports
  } catch {
    return undefined
  }
  const memory = new Uint8Array(exports.memory.buffer)
  prepareScratch(memory)
  return { memory, leaves: (at, count) => exports.leaves(at, count), level: (at, count) => exports.level(at, count) }
}
