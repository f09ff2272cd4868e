import { SCHEMA, type FieldSchema, type TableName, type TableSchema } from '../../src/fbs/schema.ts'
import type { Random } from '../../src/base/random.ts'
import { INTERESTING, pick, viewOf, type Mutation } from './mutations.ts'

/** Where something of the format stands: `at` in the buffer, `size` bytes wide. */
interface Place {
  readonly kind: 'offset' | 'length' | 'entry' | 'vtable' | 'size' | 'scalar' | 'text'
  readonly at: number
  readonly size: number
}

const PLACES_MAX = 1000
const DEPTH_MAX = 10
/** Items of a vector that are looked at: a batch's later ones are like its first. */
const ITEMS_MAX = 8

/** Walks a buffer as far as it is one, and notes the places that a mutation can aim at. */
class Walk {
  readonly places: Place[] = []
  /** Where tables, vectors and strings begin: what offsets may be bent to. */
  readonly targets: number[] = []
  readonly vtables: number[] = []
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.#view = viewOf(bytes)
  }

  root(name: TableName, base: number, depth = 0): void {
    try {
      this.#note('offset', base, 4)
      this.#table(SCHEMA[name], base + this.#view.getUint32(base, true), depth)
    } catch (error) {
      // It left the buffer: what was seen until then is enough.
      if (!(error instanceof RangeError)) throw error
    }
  }

  #note(kind: Place['kind'], at: number, size: number): void {
    if (this.places.length < PLACES_MAX && at + size <= this.#view.byteLength) this.places.push({ kind, at, size })
  }

  #table(schema: TableSchema, at: number, depth: number): void {
    if (depth > DEPTH_MAX || this.places.length >= PLACES_MAX) return
    const vtable = at - this.#view.getInt32(at, true)
    const bytes = this.#view.getUint16(vtable, true)
    this.targets.push(at)
    this.vtables.push(vtable)
    this.#note('vtable', at, 4)
    this.#note('size', vtable, 2)
    this.#note('size', vtable + 2, 2)
    for (const field of schema.fields) {
      const entry = 4 + 2 * field.slot
      if (entry + 2 > bytes) break
      this.#note('entry', vtable + entry, 2)
      const offset = this.#view.getUint16(vtable + entry, true)
      if (offset !== 0) this.#field(field, at + offset, depth)
    }
  }

  #field(field: FieldSchema, at: number, depth: number): void {
    if (field.kind === 'scalar' || field.kind === 'struct') return this.#note('scalar', at, field.size)
    this.#note('offset', at, 4)
    const target = at + this.#view.getUint32(at, true)
    if (field.kind === 'table') return this.#table(SCHEMA[field.target as TableName], target, depth + 1)
    this.targets.push(target)
    this.#note('length', target, 4)
    const count = this.#view.getUint32(target, true)
    const start = target + 4
    if (field.kind === 'nested') return this.root(field.target as TableName, start, depth + 1)
    if (field.kind === 'string') return this.#note('text', start, count)
    for (let i = 0; i < Math.min(count, ITEMS_MAX); i++) {
      if (field.kind === 'vector') this.#note('scalar', start + i * field.size, field.size)
      else if (field.kind === 'tables') {
        this.#note('offset', start + 4 * i, 4)
        this.#table(SCHEMA[field.target as TableName], start + 4 * i + this.#view.getUint32(start + 4 * i, true), depth + 1)
      }
    }
  }
}

/** Pieces of text that decoders treat differently: overlong, surrogate, cut off, beyond Unicode, zero, controls, separators. */
const TEXTS = ['c080', 'eda080', 'edb080', 'e282', 'f4908080', 'f0', '80', 'ff', '00', '0a', '7f', 'c285', 'e280a8', 'e280ae', 'efbbbf', 'efbfbe', '2f2f', '2e2e2f', '3a2f2f', '2f', 'cc81']
  .map((hex) => Buffer.from(hex, 'hex'))
const F64 = [Number.NaN, Infinity, -Infinity, -0, 1, 1 + Number.EPSILON, -1, 5e-324, 1e308, 2 ** 53]

function bend(bytes: Uint8Array, walk: Walk, { kind, at, size }: Place, random: Random): void {
  const view = viewOf(bytes)
  switch (kind) {
    case 'offset': {
      const to = (random.u32() & 3) === 0 ? bytes.length - (random.u32() % 9) : pick(walk.targets, random) + ((random.u32() & 3) === 0 ? 4 : 0)
      view.setUint32(at, to - at, true)
      return
    }
    case 'vtable':
      view.setInt32(at, at - pick(walk.vtables, random) - ((random.u32() & 3) === 0 ? 2 : 0), true)
      return
    case 'length': {
      const exact = bytes.length - at - 4
      view.setUint32(at, pick([0, 1, view.getUint32(at, true) + 1, view.getUint32(at, true) - 1, exact, exact + 1, exact >> 2, exact >> 5, pick(INTERESTING, random)], random), true)
      return
    }
    case 'entry':
    case 'size':
      view.setUint16(at, pick([0, 2, 4, 6, view.getUint16(at, true) + 2, view.getUint16(at, true) - 2, view.getUint16(pick(walk.places, random).at & ~1, true), pick(INTERESTING, random)], random), true)
      return
    case 'scalar':
      if (size === 8 && (random.u32() & 1) === 0) view.setFloat64(at, pick(F64, random), true)
      else if (size === 1) bytes[at] = pick([0, 1, 2, 3, 4, 5, 6, 7, 128, 255], random)
      else bytes.fill(pick([0, 1, 0x7f, 0x80, 0xff], random), at + random.u32() % size, at + size)
      return
    case 'text':
      if (size > 0) bytes.set(pick(TEXTS, random).subarray(0, size), at + random.u32() % Math.max(1, size - 3))
  }
}

/** A mutation that keeps to the shape of a buffer with this root and bends one of its parts. */
export function flatbufferMutation(root: TableName): Mutation {
  return (bytes, random) => {
    const walk = new Walk(bytes)
    walk.root(root, 0)
    if (walk.places.length === 0 || walk.targets.length === 0) return bytes
    try {
      bend(bytes, walk, pick(walk.places, random), random)
    } catch (error) {
      // A place at the very end of a buffer that was cut: it stays as it is.
      if (!(error instanceof RangeError)) throw error
    }
    return bytes
  }
}
