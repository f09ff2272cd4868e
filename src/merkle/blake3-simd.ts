import type { Blake3Kernel } from './blake3-kernel.ts'
import {
  BLOCK_BYTES, CHUNK_BYTES, FLAG_CHUNK_END, FLAG_CHUNK_START, FLAG_ROOT, HASH_BYTES, IV, LANES, LANE_INPUT, LANE_OUTPUT,
  LEAF_SCRATCH, LEAF_TAG, MEMORY_BYTES, MIXINGS, NODE_SCRATCH, NODE_TAG, SCHEDULE, SCRATCH_STRIDE,
} from './blake3.layout.ts'
import {
  I32_ADD, I32_AND, I32_EQZ, I32_SUB, END, add, all32, and, anyTrue, get, greater, i32, lessOrEqual, load, minSigned, or, replaceLane, select,
  set, shiftLeft, shiftRight, shuffle, splat, store, sub, transpose, treeModule, xor, type Code, type TreeExports,
} from './tree-wasm.ts'

/**
 * BLAKE3 of four inputs at a time, one in each 32-bit lane of WebAssembly's 128-bit vectors. A batch is hundreds of
 * short inputs, and a library's hasher pays a call and an allocation for each: this one is ten times as fast on them.
 *
 * The module is assembled here when it is loaded, so that there is no binary to trust and no tool to install: about 7 kB of
 * straight code from the same tables that the plain kernel uses. Tests compare the two, and both with hash-wasm.
 */

// hash4(input 0..3, length 4..7, output 8)
const OUTPUT = 8
const OFFSET = 9
const CV = 10
const STATE = CV + 8
const WORD = STATE + 16
const ROW = WORD + 16
const LENGTHS = ROW + 4
const LEFT = LENGTHS + 1
const ACTIVE = LEFT + 1
const TEMP = ACTIVE + 1
const VECTORS = TEMP + 1 - CV

/** `local = local ^ other`, rotated right; by a byte shuffle where the distance is whole bytes. */
function xorRotate(local: number, other: number, bits: number): Code {
  const mixed: Code = [get(local), get(other), xor]
  if (bits % 8 === 0) {
    const bytes = Array.from({ length: 16 }, (_, i) => (i & ~3) | ((i + bits / 8) & 3))
    return [mixed, set(TEMP), get(TEMP), get(TEMP), shuffle(...bytes), set(local)]
  }
  return [mixed, set(TEMP), get(TEMP), shiftRight(bits), get(TEMP), shiftLeft(32 - bits), or, set(local)]
}

function mix([a, b, c, d]: readonly [number, number, number, number], x: number, y: number): Code {
  const [sa, sb, sc, sd] = [STATE + a, STATE + b, STATE + c, STATE + d]
  const addTo = (to: number, from: number): Code => [get(to), get(from), add, set(to)]
  return [
    addTo(sa, sb), addTo(sa, WORD + x), xorRotate(sd, sa, 16), addTo(sc, sd), xorRotate(sb, sc, 12),
    addTo(sa, sb), addTo(sa, WORD + y), xorRotate(sd, sa, 8), addTo(sc, sd), xorRotate(sb, sc, 7),
  ]
}

function loadWords(): Code {
  return [0, 1, 2, 3].map((quarter) => [
    [0, 1, 2, 3].map((lane) => [get(lane), get(OFFSET), I32_ADD, load(quarter * 16), set(ROW + lane)]),
    transpose([ROW, ROW + 1, ROW + 2, ROW + 3], [0, 1, 2, 3].map((i) => WORD + quarter * 4 + i), STATE),
  ])
}

function compress(): Code {
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  return [
    // A lane whose input has ended goes on with what lies there, and keeps its value. An empty input has one block.
    [get(LENGTHS), get(OFFSET), splat, sub, set(LEFT)],
    [get(LEFT), all32(0), greater, i32(0), get(OFFSET), I32_EQZ, I32_SUB, splat, or, set(ACTIVE)],
    loadWords(),
    eight.map((i) => [get(CV + i), set(STATE + i)]),
    [0, 1, 2, 3].map((i) => [all32(IV[i]!), set(STATE + 8 + i)]),
    [all32(0), set(STATE + 12), all32(0), set(STATE + 13)],
    [get(LEFT), all32(BLOCK_BYTES), minSigned, set(STATE + 14)],
    [get(LEFT), all32(BLOCK_BYTES), lessOrEqual, all32(FLAG_CHUNK_END | FLAG_ROOT), and],
    [get(OFFSET), I32_EQZ, i32(FLAG_CHUNK_START), I32_AND, splat, or, set(STATE + 15)],
    SCHEDULE.map((schedule) => MIXINGS.map((places, i) => mix(places, schedule[2 * i]!, schedule[2 * i + 1]!))),
    eight.map((i) => [get(STATE + i), get(STATE + 8 + i), xor, get(CV + i), get(ACTIVE), select, set(CV + i)]),
  ]
}

function hash4(): Code {
  const outputs = [0, 1].map((half) => [
    transpose([0, 1, 2, 3].map((i) => CV + half * 4 + i), [ROW, ROW + 1, ROW + 2, ROW + 3], STATE),
    [0, 1, 2, 3].map((lane) => [get(OUTPUT), get(ROW + lane), store(lane * HASH_BYTES + half * 16)]),
  ])
  return [
    IV.map((word, i) => [all32(word), set(CV + i)]),
    [get(4), splat, get(5), replaceLane(1), get(6), replaceLane(2), get(7), replaceLane(3), set(LENGTHS)],
    [0x03, 0x40, compress(), get(OFFSET), i32(BLOCK_BYTES), I32_ADD, set(OFFSET)],
    [get(LENGTHS), get(OFFSET), splat, greater, anyTrue, 0x0d, 0, END],
    outputs,
  ]
}

/** The kernel, or undefined where WebAssembly or its vectors are not to be had (a content security policy, an old browser). */
export function simdKernel(): Blake3Kernel | undefined {
  let exports: TreeExports
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(treeModule(hash4(), VECTORS, { leaf: LEAF_SCRATCH, node: NODE_SCRATCH, stride: SCRATCH_STRIDE }, MEMORY_BYTES))).exports as unknown as TreeExports
  } catch {
    return undefined
  }
  const memory = new Uint8Array(exports.memory.buffer)
  for (let lane = 0; lane < LANES; lane++) {
    memory[LEAF_SCRATCH + lane * SCRATCH_STRIDE] = LEAF_TAG
    memory[NODE_SCRATCH + lane * SCRATCH_STRIDE] = NODE_TAG
  }
  return {
    memory,
    laneInput: LANE_INPUT,
    laneBytes: CHUNK_BYTES,
    laneOutput: LANE_OUTPUT,
    hashLanes: (length0, length1, length2, length3) => exports.hash4(
      LANE_INPUT, LANE_INPUT + CHUNK_BYTES, LANE_INPUT + 2 * CHUNK_BYTES, LANE_INPUT + 3 * CHUNK_BYTES,
      length0, length1, length2, length3, LANE_OUTPUT,
    ),
    leaves: (at, count) => exports.leaves(at, count),
    level: (at, count) => exports.level(at, count),
  }
}
