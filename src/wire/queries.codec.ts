import { assert } from '../base/assert.ts'

/**
 * Queries ("SQRS") and Replies ("SQRR") have one shape: a table with a vector of tables with a vector of bytes, each a buffer of
 * its own. Both are written forward here, with one vtable for all tables, because they are on the path of every query
 * (docs/formats/wire-frames.md).
 */
export type ListIdentifier = 'SQRS' | 'SQRR'

/** Buffers in one Queries or Replies frame, at most. */
export const LIST_ITEMS_MAX = 256

const ROOT_BYTES = 8
const VTABLE = ROOT_BYTES
const TABLE_BYTES = 8
const ROOT_TABLE = 16
const VECTOR = ROOT_TABLE + TABLE_BYTES
/** Before an item's bytes: its table and their length. */
const ITEM_HEAD_BYTES = TABLE_BYTES + 4

/** Where an item's table may start, so that its bytes start at a multiple of 8. */
const itemAligned = (position: number): number => ((position + 3) & ~7) + 4

const SQRQ = 0x51525153
const SQRS = 0x53525153
const SQRP = 0x50525153
const SQRR = 0x52525153

/** The identifier of a buffer as it stands there, little-endian; 0 where there is no room for one. */
export const identifierAt = (bytes: Uint8Array): number =>
  bytes.length < ROOT_BYTES ? 0 : (bytes[4]! | bytes[5]! << 8 | bytes[6]! << 16 | bytes[7]! << 24) >>> 0

/** Whether a frame says of itself that it is a QueryRequest. Nothing else of it has been checked. */
export const isQueryFrame = (frame: Uint8Array): boolean => identifierAt(frame) === SQRQ
/** The same of Queries. */
export const isQueriesFrame = (frame: Uint8Array): boolean => identifierAt(frame) === SQRS
/** The same of a QueryReply. */
export const isReplyFrame = (frame: Uint8Array): boolean => identifierAt(frame) === SQRP
/** The same of Replies. */
export const isRepliesFrame = (frame: Uint8Array): boolean => identifierAt(frame) === SQRR

/**
 * Gathers buffers into one frame without knowing how many will come: items stand where they will stay, the head is written in
 * front of them at the end. Memory grows to the largest frame and is kept.
 */
export class ListWriter {
  readonly #identifier: ListIdentifier
  /** Where the first item's table stands: behind the head of a full frame. */
  readonly #start = itemAligned(VECTOR + 4 + 4 * LIST_ITEMS_MAX)
  readonly #tables = new Uint32Array(LIST_ITEMS_MAX)
  #bytes: Uint8Array
  #view: DataView
  #count = 0
  #end = this.#start

  constructor(identifier: ListIdentifier, bytes = 16 * 1024) {
    this.#identifier = identifier
    this.#bytes = new Uint8Array(bytes)
    this.#view = new DataView(this.#bytes.buffer)
  }

  get count(): number {
    return this.#count
  }

  /** Bytes of the frame as it is, or a little less. */
  get byteLength(): number {
    return this.#end - this.#start + VECTOR + 4 + 4 * this.#count
  }

  clear(): void {
    this.#count = 0
    this.#end = this.#start
  }

  /** Copies a buffer in. At most {@link LIST_ITEMS_MAX}. */
  add(item: Uint8Array): void {
    assert(this.#count < LIST_ITEMS_MAX, 'a frame has room for another item')
    const table = itemAligned(this.#end)
    const at = table + ITEM_HEAD_BYTES
    this.#grow(at + item.length)
    // What stood in the gap before was another one's.
    for (let gap = this.#end; gap < table; gap++) this.#bytes[gap] = 0
    this.#view.setUint32(table + 4, 4, true)
    this.#view.setUint32(table + TABLE_BYTES, item.length, true)
    this.#bytes.set(item, at)
    this.#tables[this.#count++] = table
    this.#end = at + item.length
  }

  /** The one item that was added, as it was: for who sends single ones bare. */
  only(): Uint8Array {
    assert(this.#count === 1, 'one item')
    return this.#bytes.subarray(this.#tables[0]! + ITEM_HEAD_BYTES, this.#end)
  }

  /** The frame, in memory of the writer: valid until the next `clear` or `add`. */
  finish(): Uint8Array {
    const view = this.#view
    const head = VECTOR + 4 + 4 * this.#count
    // Items stand at 4 above a multiple of 8, and so they must in the frame.
    const frame = this.#start - itemAligned(head)
    this.#bytes.fill(0, frame, this.#start)
    view.setUint32(frame, ROOT_TABLE, true)
    for (let i = 0; i < 4; i++) this.#bytes[frame + 4 + i] = this.#identifier.charCodeAt(i)
    const vtable = frame + VTABLE
    view.setUint16(vtable, 6, true)
    view.setUint16(vtable + 2, TABLE_BYTES, true)
    view.setUint16(vtable + 4, 4, true)
    view.setInt32(frame + ROOT_TABLE, ROOT_TABLE - VTABLE, true)
    view.setUint32(frame + ROOT_TABLE + 4, 4, true)
    view.setUint32(frame + VECTOR, this.#count, true)
    for (let i = 0; i < this.#count; i++) {
      const slot = frame + VECTOR + 4 + 4 * i
      view.setUint32(slot, this.#tables[i]! - slot, true)
      view.setInt32(this.#tables[i]!, this.#tables[i]! - vtable, true)
    }
    return this.#bytes.subarray(frame, this.#end)
  }

  #grow(bytes: number): void {
    if (bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(bytes, 2 * this.#bytes.length))
    larger.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}

/** A frame of its own memory from these buffers: at most {@link LIST_ITEMS_MAX}. */
export function encodeList(identifier: ListIdentifier, items: readonly Uint8Array[]): Uint8Array {
  const writer = new ListWriter(identifier)
  for (const item of items) writer.add(item)
  return writer.finish().slice()
}

/**
 * The items of a frame that nobody need have verified: an item that does not lie inside of the frame reads as empty, which no
 * verifier takes for a buffer. Right for every frame that verifies. Reads nothing outside of `frame`.
 */
export class ListView {
  #bytes: Uint8Array = new Uint8Array(0)
  /** Of the frame: what `start` counts in. */
  view = new DataView(this.#bytes.buffer)
  #vector = 0
  /** How many the frame says that there are. */
  count = 0

  reset(frame: Uint8Array): this {
    this.#bytes = frame
    this.view = new DataView(frame.buffer, frame.byteOffset, frame.length)
    this.#vector = vectorAt(this.view, frame.length < ROOT_BYTES ? frame.length : this.view.getUint32(0, true))
    this.count = this.#vector < 0 ? 0 : this.view.getUint32(this.#vector, true)
    return this
  }

  /** A view of the i-th item; empty where it is none. */
  item(i: number): Uint8Array {
    const start = this.start(i)
    return start < 0 ? EMPTY : this.#bytes.subarray(start, start + this.view.getUint32(start - 4, true))
  }

  /** Where the i-th item stands in the frame: a view of each is more than many questions of it cost. -1 where it is none. */
  start(i: number): number {
    if (i >= this.count) return -1
    const { length } = this.#bytes
    const slot = this.#vector + 4 + 4 * i
    if (slot > length - 4) return -1
    const vector = vectorAt(this.view, slot + this.view.getUint32(slot, true))
    return vector < 0 || this.view.getUint32(vector, true) > length - vector - 4 ? -1 : vector + 4
  }
}

const EMPTY = new Uint8Array(0)

/** Where the vector of slot 0 of the table at `table` has its length; -1 where that is not inside. */
function vectorAt(view: DataView, table: number): number {
  const field = fieldAt(view, table, 0, 4)
  if (field < 0) return -1
  const vector = field + view.getUint32(field, true)
  return vector > view.byteLength - 4 ? -1 : vector
}

/**
 * Where a field of the table at `table` stands, in a buffer that nobody need have verified; -1 where it is absent or its `bytes` are
 * not inside. Right for every buffer that verifies.
 */
export function fieldAt(view: DataView, table: number, slot: number, bytes: number): number {
  const { byteLength } = view
  if (table > byteLength - 4) return -1
  const vtable = table - view.getInt32(table, true)
  const entry = vtable + 4 + 2 * slot
  if (vtable < 0 || entry > byteLength - 2 || view.getUint16(vtable, true) < 6 + 2 * slot) return -1
  const offset = view.getUint16(entry, true)
  return offset === 0 || table + offset > byteLength - bytes ? -1 : table + offset
}
