import type { Blake3Kernel } from './blake3-kernel.ts'
import {
  BLOCK_BYTES, CHUNK_BYTES, FLAG_CHUNK_END, FLAG_CHUNK_START, FLAG_ROOT, HASH_BYTES, IV, LANES, LANE_INPUT, LANE_OUTPUT,
  LEAF_SCRATCH, LEAF_TAG, MEMORY_BYTES, MIXINGS, NODE_SCRATCH, NODE_TAG, SCHEDULE, SCRATCH_STRIDE,
} from './blake3.layout.ts'

/**
 * BLAKE3 of four inputs at a time, one in each 32-bit lane of WebAssembly's 128-bit vectors. A batch is hundreds of
 * short inputs, and a library's hasher pays a call and an allocation for each: this one is ten times as fast on them.
 *
 * The module is assembled here when it is loaded, so that there is no binary to trust and no tool to install: about 7 kB of
 * straight code from the same tables that the plain kernel uses. Tests compare the two, and both with hash-wasm.
 */

type Code = readonly (number | Code)[]

// Opcodes (WebAssembly Core Specification 2.0, chapter 5.4).
const I32 = 0x7f
const V128 = 0x7b
const END = 0x0b
const I32_ADD = 0x6a
const I32_SHL = 0x74
const I32_SHR_U = 0x76
const I32_LT_S = 0x48
const I32_EQZ = 0x45
const I32_SUB = 0x6b
const I32_AND = 0x71

/** Unsigned LEB128. */
function uleb(value: number): number[] {
  const bytes: number[] = []
  do {
    const low = value & 0x7f
    value >>>= 7
    bytes.push(value === 0 ? low : low | 0x80)
  } while (value !== 0)
  return bytes
}

/** Signed LEB128, of values that are not negative. */
function sleb(value: number): number[] {
  const bytes = uleb(value)
  if ((bytes[bytes.length - 1]! & 0x40) !== 0) {
    bytes[bytes.length - 1]! |= 0x80
    bytes.push(0)
  }
  return bytes
}

function flat(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === 'number') into.push(part)
    else flat(part, into)
  }
  return into
}

const le32 = (word: number): number[] => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]

const get = (local: number): Code => [0x20, uleb(local)]
const set = (local: number): Code => [0x21, uleb(local)]
const i32 = (value: number): Code => [0x41, sleb(value)]
const simd = (opcode: number): Code => [0xfd, uleb(opcode)]
const splat = simd(17)
const replaceLane = (lane: number): Code => [simd(28), lane]
const load = (offset: number): Code => [simd(0), 0, uleb(offset)]
const store = (offset: number): Code => [simd(11), 0, uleb(offset)]
const all32 = (word: number): Code => [simd(12), le32(word), le32(word), le32(word), le32(word)]
const shuffle = (...bytes: readonly number[]): Code => [simd(13), ...bytes]
const add = simd(174)
const sub = simd(177)
const minSigned = simd(182)
const xor = simd(81)
const and = simd(78)
const or = simd(80)
const select = simd(82)
const greater = simd(59)
const lessOrEqual = simd(61)
const anyTrue = simd(83)
const shiftLeft = (bits: number): Code => [i32(bits), simd(171)]
const shiftRight = (bits: number): Code => [i32(bits), simd(173)]

/** Lanes of 32 bits: 0..3 from the first operand, 4..7 from the second. */
const shuffle32 = (...lanes: readonly number[]): Code => shuffle(...lanes.flatMap((lane) => [0, 1, 2, 3].map((i) => lane * 4 + i)))

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

/** Turns four rows of four words into four columns. The state is free to help whenever this is done. */
function transpose(rows: readonly number[], columns: readonly number[]): Code {
  const pair = (low: number, high: number, to: number, lanes: readonly number[]): Code =>
    [get(low), get(high), shuffle32(...lanes), set(to)]
  return [
    pair(rows[0]!, rows[1]!, STATE, [0, 4, 1, 5]), pair(rows[0]!, rows[1]!, STATE + 1, [2, 6, 3, 7]),
    pair(rows[2]!, rows[3]!, STATE + 2, [0, 4, 1, 5]), pair(rows[2]!, rows[3]!, STATE + 3, [2, 6, 3, 7]),
    pair(STATE, STATE + 2, columns[0]!, [0, 1, 4, 5]), pair(STATE, STATE + 2, columns[1]!, [2, 3, 6, 7]),
    pair(STATE + 1, STATE + 3, columns[2]!, [0, 1, 4, 5]), pair(STATE + 1, STATE + 3, columns[3]!, [2, 3, 6, 7]),
  ]
}

function loadWords(): Code {
  return [0, 1, 2, 3].map((quarter) => [
    [0, 1, 2, 3].map((lane) => [get(lane), get(OFFSET), I32_ADD, load(quarter * 16), set(ROW + lane)]),
    transpose([ROW, ROW + 1, ROW + 2, ROW + 3], [0, 1, 2, 3].map((i) => WORD + quarter * 4 + i)),
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
    transpose([0, 1, 2, 3].map((i) => CV + half * 4 + i), [ROW, ROW + 1, ROW + 2, ROW + 3]),
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

// leaves(at 0, count 1) and level(at 0, count 1), with a counter, a source and a target.
const AT = 0
const COUNT = 1
const INDEX = 2
const SOURCE = 3
const ODD = 4

/** Calls hash4 on `groups` inputs of `inputBytes` each from AT on, four a turn, each copied behind its tag first. */
function treeLoop(scratch: number, inputBytes: number, groups: Code): Code {
  const lanes = [0, 1, 2, 3]
  const scaled = (bytes: number): Code => [get(INDEX), i32(Math.log2(bytes)), I32_SHL]
  const copyIn = (lane: number): Code => Array.from({ length: inputBytes / 16 }, (_, i) => [
    i32(scratch + lane * SCRATCH_STRIDE), get(SOURCE), load(lane * inputBytes + i * 16), store(1 + i * 16),
  ])
  const isLeft: Code = [get(INDEX), groups, I32_LT_S]
  return [
    0x02, 0x40, isLeft, I32_EQZ, 0x0d, 0,
    0x03, 0x40,
    get(AT), scaled(inputBytes), I32_ADD, set(SOURCE), lanes.map(copyIn),
    lanes.map((lane) => i32(scratch + lane * SCRATCH_STRIDE)), lanes.map(() => i32(inputBytes + 1)),
    get(AT), scaled(HASH_BYTES), I32_ADD, 0x10, 0,
    get(INDEX), i32(LANES), I32_ADD, set(INDEX), isLeft, 0x0d, 0, END,
    END,
  ]
}

function level(): Code {
  const pairs: Code = [get(COUNT), i32(1), I32_SHR_U]
  const slot = (index: Code): Code => [get(AT), index, i32(Math.log2(HASH_BYTES)), I32_SHL, I32_ADD]
  return [
    // The last group of four may write over an odd last node: take it first.
    get(COUNT), i32(1), I32_AND, 0x04, 0x40,
    slot([get(COUNT), i32(1), I32_SUB]), set(SOURCE),
    get(SOURCE), load(0), set(ODD), get(SOURCE), load(16), set(ODD + 1), END,
    treeLoop(NODE_SCRATCH, 2 * HASH_BYTES, pairs),
    get(COUNT), i32(1), I32_AND, 0x04, 0x40,
    slot(pairs), set(SOURCE),
    get(SOURCE), get(ODD), store(0), get(SOURCE), get(ODD + 1), store(16), END,
  ]
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const vector = (items: readonly Code[]): Code => [uleb(items.length), ...items]
  const sized = (code: Code): Code => {
    const bytes = flat(code)
    return [uleb(bytes.length), bytes]
  }
  const section = (id: number, content: Code): Code => [id, sized(content)]
  const type = (parameters: number): Code => [0x60, uleb(parameters), Array.from({ length: parameters }, () => I32), 0]
  const locals = (groups: readonly (readonly [number, number])[]): Code =>
    vector(groups.map(([count, kind]) => [uleb(count), kind]))
  const exported = (name: string, kind: number, index: number): Code =>
    [uleb(name.length), [...name].map((c) => c.charCodeAt(0)), kind, index]
  return Uint8Array.from(flat([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    section(1, vector([type(9), type(2)])),
    section(3, vector([[0], [1], [1]])),
    section(5, vector([[0, uleb(MEMORY_BYTES / 65_536)]])),
    section(7, vector([
      exported('memory', 2, 0), exported('hash4', 0, 0), exported('leaves', 0, 1), exported('level', 0, 2),
    ])),
    section(10, vector([
      sized([locals([[1, I32], [VECTORS, V128]]), hash4(), END]),
      sized([locals([[2, I32]]), treeLoop(LEAF_SCRATCH, HASH_BYTES, get(COUNT)), END]),
      sized([locals([[2, I32], [2, V128]]), level(), END]),
    ])),
  ]))
}

interface KernelExports {
  readonly memory: WebAssembly.Memory
  hash4(
    input0: number, input1: number, input2: number, input3: number,
    length0: number, length1: number, length2: number, length3: number, output: number,
  ): void
  leaves(at: number, count: number): void
  level(at: number, count: number): void
}

/** The kernel, or undefined where WebAssembly or its vectors are not to be had (a content security policy, an old browser). */
export function simdKernel(): Blake3Kernel | undefined {
  let exports: KernelExports
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes())).exports as unknown as KernelExports
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
