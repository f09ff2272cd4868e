import { HASH_BYTES, LANES } from './blake3.layout.ts'

/**
 * WebAssembly for hashing four inputs at a time, one in each 32-bit lane of its 128-bit vectors: a small assembler, and the loops over the
 * leaves and levels of a Merkle tree that every hash function shares. Modules are assembled when they are loaded, so that there is no binary to
 * trust and no tool to install.
 */

export type Code = readonly (number | Code)[]

// Opcodes (WebAssembly Core Specification 2.0, chapter 5.4).
export const I32 = 0x7f
export const V128 = 0x7b
export const END = 0x0b
export const I32_ADD = 0x6a
export const I32_SHL = 0x74
export const I32_SHR_U = 0x76
export const I32_LT_S = 0x48
export const I32_EQZ = 0x45
export const I32_SUB = 0x6b
export const I32_AND = 0x71

/** Unsigned LEB128. */
export function uleb(value: number): number[] {
  const bytes: number[] = []
  do {
    const low = value & 0x7f
    value >>>= 7
    bytes.push(value === 0 ? low : low | 0x80)
  } while (value !== 0)
  return bytes
}

/** Signed LEB128, of values that are not negative. */
export function sleb(value: number): number[] {
  const bytes = uleb(value)
  if ((bytes[bytes.length - 1]! & 0x40) !== 0) {
    bytes[bytes.length - 1]! |= 0x80
    bytes.push(0)
  }
  return bytes
}

export function flat(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === 'number') into.push(part)
    else flat(part, into)
  }
  return into
}

export const le32 = (word: number): number[] => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]

export const get = (local: number): Code => [0x20, uleb(local)]
export const set = (local: number): Code => [0x21, uleb(local)]
export const i32 = (value: number): Code => [0x41, sleb(value)]
export const simd = (opcode: number): Code => [0xfd, uleb(opcode)]
export const splat = simd(17)
export const replaceLane = (lane: number): Code => [simd(28), lane]
export const load = (offset: number): Code => [simd(0), 0, uleb(offset)]
export const store = (offset: number): Code => [simd(11), 0, uleb(offset)]
export const all32 = (word: number): Code => [simd(12), le32(word), le32(word), le32(word), le32(word)]
export const shuffle = (...bytes: readonly number[]): Code => [simd(13), ...bytes]
export const add = simd(174)
export const sub = simd(177)
export const minSigned = simd(182)
export const xor = simd(81)
export const and = simd(78)
export const or = simd(80)
export const select = simd(82)
export const greater = simd(59)
export const lessOrEqual = simd(61)
export const anyTrue = simd(83)
export const shiftLeft = (bits: number): Code => [i32(bits), simd(171)]
export const shiftRight = (bits: number): Code => [i32(bits), simd(173)]

/** Lanes of 32 bits: 0..3 from the first operand, 4..7 from the second. */
export const shuffle32 = (...lanes: readonly number[]): Code => shuffle(...lanes.flatMap((lane) => [0, 1, 2, 3].map((i) => lane * 4 + i)))

/** Turns four rows of four words into four columns. Four locals from `free` on are written over. */
export function transpose(rows: readonly number[], columns: readonly number[], free: number): Code {
  const pair = (low: number, high: number, to: number, lanes: readonly number[]): Code =>
    [get(low), get(high), shuffle32(...lanes), set(to)]
  return [
    pair(rows[0]!, rows[1]!, free, [0, 4, 1, 5]), pair(rows[0]!, rows[1]!, free + 1, [2, 6, 3, 7]),
    pair(rows[2]!, rows[3]!, free + 2, [0, 4, 1, 5]), pair(rows[2]!, rows[3]!, free + 3, [2, 6, 3, 7]),
    pair(free, free + 2, columns[0]!, [0, 1, 4, 5]), pair(free, free + 2, columns[1]!, [2, 3, 6, 7]),
    pair(free + 1, free + 3, columns[2]!, [0, 1, 4, 5]), pair(free + 1, free + 3, columns[3]!, [2, 3, 6, 7]),
  ]
}

// leaves(at 0, count 1) and level(at 0, count 1), with a counter, a source and a target.
const AT = 0
const COUNT = 1
const INDEX = 2
const SOURCE = 3
const ODD = 4

/** Inputs of the four lanes, `stride` bytes apart, each with its tag in the first byte. */
export interface TreeScratch {
  readonly leaf: number
  readonly node: number
  readonly stride: number
}

/** Calls hash4 on `groups` inputs of `inputBytes` each from AT on, four a turn, each copied behind its tag first. */
function treeLoop({ stride }: TreeScratch, scratch: number, inputBytes: number, groups: Code): Code {
  const lanes = [0, 1, 2, 3]
  const scaled = (bytes: number): Code => [get(INDEX), i32(Math.log2(bytes)), I32_SHL]
  const copyIn = (lane: number): Code => Array.from({ length: inputBytes / 16 }, (_, i) => [
    i32(scratch + lane * stride), get(SOURCE), load(lane * inputBytes + i * 16), store(1 + i * 16),
  ])
  const isLeft: Code = [get(INDEX), groups, I32_LT_S]
  return [
    0x02, 0x40, isLeft, I32_EQZ, 0x0d, 0,
    0x03, 0x40,
    get(AT), scaled(inputBytes), I32_ADD, set(SOURCE), lanes.map(copyIn),
    lanes.map((lane) => i32(scratch + lane * stride)), lanes.map(() => i32(inputBytes + 1)),
    get(AT), scaled(HASH_BYTES), I32_ADD, 0x10, 0,
    get(INDEX), i32(LANES), I32_ADD, set(INDEX), isLeft, 0x0d, 0, END,
    END,
  ]
}

function level(scratch: TreeScratch): Code {
  const pairs: Code = [get(COUNT), i32(1), I32_SHR_U]
  const slot = (index: Code): Code => [get(AT), index, i32(Math.log2(HASH_BYTES)), I32_SHL, I32_ADD]
  return [
    // The last group of four may write over an odd last node: take it first.
    get(COUNT), i32(1), I32_AND, 0x04, 0x40,
    slot([get(COUNT), i32(1), I32_SUB]), set(SOURCE),
    get(SOURCE), load(0), set(ODD), get(SOURCE), load(16), set(ODD + 1), END,
    treeLoop(scratch, scratch.node, 2 * HASH_BYTES, pairs),
    get(COUNT), i32(1), I32_AND, 0x04, 0x40,
    slot(pairs), set(SOURCE),
    get(SOURCE), get(ODD), store(0), get(SOURCE), get(ODD + 1), store(16), END,
  ]
}

/**
 * A module of one memory with `hash4`, `leaves` and `level`.
 * @param hash4 code of (input 0..3, length 4..7, output 8), over `vectors` locals of 128 bits behind an i32 at 9
 */
export function treeModule(hash4: Code, vectors: number, scratch: TreeScratch, memoryBytes: number): Uint8Array<ArrayBuffer> {
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
    section(5, vector([[0, uleb(memoryBytes / 65_536)]])),
    section(7, vector([
      exported('memory', 2, 0), exported('hash4', 0, 0), exported('leaves', 0, 1), exported('level', 0, 2),
    ])),
    section(10, vector([
      sized([locals([[1, I32], [vectors, V128]]), hash4, END]),
      sized([locals([[2, I32]]), treeLoop(scratch, scratch.leaf, HASH_BYTES, get(COUNT)), END]),
      sized([locals([[2, I32], [2, V128]]), level(scratch), END]),
    ])),
  ]))
}

export interface TreeExports {
  readonly memory: WebAssembly.Memory
  hash4(
    input0: number, input1: number, input2: number, input3: number,
    length0: number, length1: number, length2: number, length3: number, output: number,
  ): void
  leaves(at: number, count: number): void
  level(at: number, count: number): void
}
