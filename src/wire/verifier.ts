/**
 * Verifier for untrusted FlatBuffers, driven by the schema (src/fbs/schema.ts): after it has said 0, every field of
 * the root and of all it reaches can be read without leaving the buffer. It checks structure only; what the values
 * mean is for the reader. The rules are those of flatbuffers/verifier.h (alignment included, so that readers in other
 * languages may take the same bytes), and one more: nested buffers of one buffer have together no more bytes than it,
 * so that nobody makes us hash the same megabyte a thousand times.
 */
import { assert } from '../base/assert.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { SCHEMA, type FieldKind, type FieldSchema, type TableName, type TableSchema } from '../fbs/schema.ts'
import { VERIFY_DEPTH_MAX, VERIFY_TABLES_MAX } from '../record/limits.ts'

export interface VerifyLimits {
  /** Tables inside one another; a nested buffer's root is one level further in. */
  readonly depthMax: number
  /** Tables visited; one that is pointed to twice counts twice. */
  readonly tablesMax: number
}

export const VERIFY_LIMITS: VerifyLimits = Object.freeze({ depthMax: VERIFY_DEPTH_MAX, tablesMax: VERIFY_TABLES_MAX })

const MALFORMED = ERROR_CODES.malformed_frame.number
const MISSING = ERROR_CODES.field_missing.number

const OFFSET_BYTES = 4
const VTABLE_HEAD_BYTES = 4
const IDENTIFIER_BYTES = 4

// Kinds of what lies behind an offset.
const STRING = 1
const VECTOR = 2
const STRINGS = 3
const TABLE = 4
const TABLES = 5
const NESTED = 6
const OUT_OF_LINE: Readonly<Record<FieldKind, number>> = {
  scalar: 0, struct: 0, string: STRING, vector: VECTOR, strings: STRINGS, table: TABLE, tables: TABLES, nested: NESTED,
}

/** A field that points out of its table. */
interface Pointer {
  /** Of the field's entry in the vtable, in bytes. */
  readonly entry: number
  readonly kind: number
  readonly elementBytes: number
  readonly elementAlign: number
  target: Compiled | undefined
  readonly name: string
}

interface Compiled {
  readonly name: string
  /** As the u32 that it is on the wire; 0 where none is checked. */
  readonly identifier: number
  readonly fields: readonly FieldSchema[]
  /** By slot: what the field takes up in the table. */
  readonly inlineBytes: Int32Array
  readonly inlineAlign: Int32Array
  readonly required: Uint8Array
  readonly pointers: readonly Pointer[]
  /**
   * The vtable that was verified last, and where (modulo 8) the table stood in its buffer. Encoders repeat themselves,
   * and an equal vtable at an equal alignment needs no second look at its entries.
   */
  memoBytes: number
  memoPhase: number
  readonly memo: DataView
}

/** Longer vtables are verified each time. */
const MEMO_BYTES_MAX = 256

function compile(name: string, { identifier, fields }: TableSchema): Compiled {
  const slots = (fields.at(-1)?.slot ?? -1) + 1
  const inlineBytes = new Int32Array(slots)
  const inlineAlign = new Int32Array(slots).fill(1)
  const required = new Uint8Array(slots)
  const pointers: Pointer[] = []
  for (const field of fields) {
    const kind = OUT_OF_LINE[field.kind]
    inlineBytes[field.slot] = kind === 0 ? field.size : OFFSET_BYTES
    inlineAlign[field.slot] = kind === 0 ? field.align : OFFSET_BYTES
    required[field.slot] = field.required ? 1 : 0
    if (kind !== 0) {
      const entry = VTABLE_HEAD_BYTES + 2 * field.slot
      pointers.push({ entry, kind, elementBytes: field.size, elementAlign: field.align, target: undefined, name: field.name })
    }
  }
  return {
    name, identifier: identifierWord(identifier), fields, inlineBytes, inlineAlign, required, pointers,
    memoBytes: 0, memoPhase: 0, memo: new DataView(new ArrayBuffer(MEMO_BYTES_MAX)),
  }
}

function identifierWord(identifier: string): number {
  if (identifier === '') return 0
  assert(identifier.length === IDENTIFIER_BYTES, 'a file identifier has four characters')
  let word = 0
  for (let i = IDENTIFIER_BYTES - 1; i >= 0; i--) word = (word << 8) | identifier.charCodeAt(i)
  return word >>> 0
}

/** All tables of a schema, ready to verify. A module of one's own schema is what tests need. */
function compileAll(schema: Readonly<Record<string, TableSchema>>): ReadonlyMap<string, Compiled> {
  const compiled = new Map(Object.entries(schema).map(([name, table]) => [name, compile(name, table)]))
  for (const table of compiled.values()) {
    const targets = table.fields.filter((field) => OUT_OF_LINE[field.kind] !== 0)
    table.pointers.forEach((pointer, i) => {
      const target = targets[i]!.target
      pointer.target = target === '' ? undefined : compiled.get(target)
      assert(pointer.target !== undefined || target === '', () => `${table.name}.${pointer.name} names a known table`)
    })
  }
  return compiled
}

const COMPILED = compileAll(SCHEMA)

// State of the run; the verifier is synchronous and does not call out.
let view: DataView = new DataView(new ArrayBuffer(0))
/** The (nested) buffer that is being verified: what alignment counts from, and what nothing may leave. */
let base = 0
let end = 0
let tablesLeft = 0
let depthLeft = 0
let nestedBytesLeft = 0

let faultWhy = ''
let faultTable = ''
let faultField = ''

function fault(why: string, table: Compiled, field = ''): number {
  faultWhy = why
  faultTable = table.name
  faultField = field
  return MALFORMED
}

/** Why the last {@link verifyBuffer} that did not say 0 did not, for logs and problem details. */
export function verifyFault(): string {
  return `${faultTable}${faultField === '' ? '' : `.${faultField}`}: ${faultWhy}`
}

/**
 * Verifies `bytes` as a buffer with this root, and all buffers nested in it. `bytes` may lie anywhere in any kind of
 * ArrayBuffer; the caller sees to it that nobody writes to shared memory meanwhile.
 * @returns 0, or the number of `malformed_frame` or `field_missing`; {@link verifyFault} says why. Never throws, never
 * reads outside of `bytes`, and takes time linear in `limits.tablesMax` at most.
 */
export function verifyBuffer(root: TableName, bytes: Uint8Array, limits: VerifyLimits = VERIFY_LIMITS): number {
  view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  base = 0
  end = bytes.length
  tablesLeft = limits.tablesMax
  depthLeft = limits.depthMax
  nestedBytesLeft = bytes.length
  return verifyRoot(COMPILED.get(root)!)
}

/** The buffer from `base` to `end`. */
function verifyRoot(table: Compiled): number {
  const { identifier } = table
  if (end - base < OFFSET_BYTES + (identifier === 0 ? 0 : IDENTIFIER_BYTES)) return fault('too short for a buffer', table)
  if (identifier !== 0 && view.getUint32(base + OFFSET_BYTES, true) !== identifier) return fault('wrong file identifier', table)
  const offset = view.getUint32(base, true)
  if (offset === 0 || offset > end - base - OFFSET_BYTES) return fault('root lies outside of the buffer', table)
  return verifyTable(table, base + offset)
}

/** The caller has checked that the table's first four bytes lie in the buffer. */
function verifyTable(table: Compiled, at: number): number {
  if (--tablesLeft < 0) return fault('too many tables', table)
  if (depthLeft === 0) return fault('too deep', table)
  if (((at - base) & 3) !== 0) return fault('misaligned', table)
  const vtable = at - view.getInt32(at, true)
  if (vtable < base || vtable > end - VTABLE_HEAD_BYTES) return fault('vtable lies outside of the buffer', table)
  if (((vtable - base) & 1) !== 0) return fault('vtable is misaligned', table)
  const vtableBytes = view.getUint16(vtable, true)
  if (vtableBytes < VTABLE_HEAD_BYTES || (vtableBytes & 1) !== 0 || vtableBytes > end - vtable) return fault('vtable has a wrong size', table)
  const tableBytes = view.getUint16(vtable + 2, true)
  if (tableBytes < OFFSET_BYTES || tableBytes > end - at) return fault('table has a wrong size', table)
  if (!isMemoized(table, at, vtable, vtableBytes)) {
    const code = verifyVtable(table, at, vtable, vtableBytes, tableBytes)
    if (code !== 0) return code
    memoize(table, at, vtable, vtableBytes)
  }
  const { pointers } = table
  depthLeft--
  for (let i = 0; i < pointers.length; i++) {
    const pointer = pointers[i]!
    if (pointer.entry >= vtableBytes) break
    const offset = view.getUint16(vtable + pointer.entry, true)
    if (offset === 0) continue
    const code = verifyPointer(table, pointer, at + offset)
    if (code !== 0) return code
  }
  depthLeft++
  return 0
}

function isMemoized(table: Compiled, at: number, vtable: number, vtableBytes: number): boolean {
  if (vtableBytes !== table.memoBytes || ((at - base) & 7) !== table.memoPhase) return false
  const { memo } = table
  let i = 2
  for (; i + 4 <= vtableBytes; i += 4) {
    if (view.getInt32(vtable + i, true) !== memo.getInt32(i, true)) return false
  }
  return i === vtableBytes || view.getUint16(vtable + i, true) === memo.getUint16(i, true)
}

function memoize(table: Compiled, at: number, vtable: number, vtableBytes: number): void {
  if (vtableBytes > MEMO_BYTES_MAX) return
  for (let i = 0; i < vtableBytes; i += 2) table.memo.setUint16(i, view.getUint16(vtable + i, true), true)
  table.memoBytes = vtableBytes
  table.memoPhase = (at - base) & 7
}

/** Every field lies in the table, where its type may stand, and those that must be there are. */
function verifyVtable(table: Compiled, at: number, vtable: number, vtableBytes: number, tableBytes: number): number {
  const { inlineBytes, inlineAlign, required } = table
  for (let slot = 0; slot < inlineBytes.length; slot++) {
    const entry = VTABLE_HEAD_BYTES + 2 * slot
    const offset = entry < vtableBytes ? view.getUint16(vtable + entry, true) : 0
    if (offset === 0) {
      if (required[slot] === 0) continue
      fault('is missing', table, fieldName(table, slot))
      return MISSING
    }
    if (offset < OFFSET_BYTES || offset + inlineBytes[slot]! > tableBytes) return fault('lies outside of its table', table, fieldName(table, slot))
    if (((at + offset - base) & (inlineAlign[slot]! - 1)) !== 0) return fault('is misaligned', table, fieldName(table, slot))
  }
  // Fields of a newer schema: of unknown type, so nobody reads them; where they start is all that can be checked.
  for (let entry = VTABLE_HEAD_BYTES + 2 * inlineBytes.length; entry < vtableBytes; entry += 2) {
    const offset = view.getUint16(vtable + entry, true)
    if (offset !== 0 && (offset < OFFSET_BYTES || offset >= tableBytes)) return fault('an unknown field lies outside of its table', table)
  }
  return 0
}

const fieldName = (table: Compiled, slot: number): string => table.fields.find((field) => field.slot === slot)?.name ?? ''

/** What the offset at `field` points to. */
function verifyPointer(table: Compiled, pointer: Pointer, field: number): number {
  const offset = view.getUint32(field, true)
  // A vector or string has at least its length, a table its offset to the vtable.
  if (offset === 0 || offset > end - field - OFFSET_BYTES) return fault('points outside of the buffer', table, pointer.name)
  const at = field + offset
  if (pointer.kind === TABLE) return verifyTable(pointer.target!, at)
  if (((at - base) & 3) !== 0) return fault('points to a misaligned length', table, pointer.name)
  const count = view.getUint32(at, true)
  const start = at + OFFSET_BYTES
  // No overflow: counts are below 2^32, elements below 2^16 bytes, and both are doubles.
  if (count * pointer.elementBytes > end - start) return fault('ends outside of the buffer', table, pointer.name)
  switch (pointer.kind) {
    case STRING:
      return verifyTerminator(table, pointer, start + count)
    case NESTED:
      return verifyNested(table, pointer, start, count)
    case TABLES:
    case STRINGS:
      return verifyElements(table, pointer, start, count)
    default:
      return ((start - base) & (pointer.elementAlign - 1)) === 0 || count === 0 ? 0 : fault('is misaligned', table, pointer.name)
  }
}

function verifyTerminator(table: Compiled, pointer: Pointer, at: number): number {
  return at < end && view.getUint8(at) === 0 ? 0 : fault('has no terminating zero', table, pointer.name)
}

function verifyElements(table: Compiled, pointer: Pointer, start: number, count: number): number {
  for (let i = 0; i < count; i++) {
    const element = start + OFFSET_BYTES * i
    const offset = view.getUint32(element, true)
    if (offset === 0 || offset > end - element - OFFSET_BYTES) return fault('an element points outside of the buffer', table, pointer.name)
    const code = pointer.kind === TABLES ? verifyTable(pointer.target!, element + offset) : verifyString(table, pointer, element + offset)
    if (code !== 0) return code
  }
  return 0
}

function verifyString(table: Compiled, pointer: Pointer, at: number): number {
  // Strings in a vector count as tables: one may be pointed to many times.
  if (--tablesLeft < 0) return fault('too many strings', table, pointer.name)
  if (((at - base) & 3) !== 0) return fault('points to a misaligned length', table, pointer.name)
  const count = view.getUint32(at, true)
  if (count > end - at - OFFSET_BYTES) return fault('ends outside of the buffer', table, pointer.name)
  return verifyTerminator(table, pointer, at + OFFSET_BYTES + count)
}

function verifyNested(table: Compiled, pointer: Pointer, start: number, count: number): number {
  nestedBytesLeft -= count
  if (nestedBytesLeft < 0) return fault('nested buffers overlap', table, pointer.name)
  const outerBase = base
  const outerEnd = end
  const outerNestedBytesLeft = nestedBytesLeft
  base = start
  end = start + count
  nestedBytesLeft = count
  const code = verifyRoot(pointer.target!)
  base = outerBase
  end = outerEnd
  nestedBytesLeft = outerNestedBytesLeft
  return code
}
