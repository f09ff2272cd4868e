import { assert } from '../base/assert.ts'
import { AGENT_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'

/** Of `Batch.flags`: a receipt is wanted. The other bits are reserved and must be 0. */
export const BATCH_FLAG_RECEIPT = 1

const BATCH_IDENTIFIER = 'SBAT'
const ABSENT = -1

export interface BatchItem {
  /** An Assertion buffer, as `encodeAssertion` makes it. */
  readonly assertion: Uint8Array
  /** 64 bytes, by the assertion's agent over its id. */
  readonly signature?: Uint8Array | undefined
}

export interface BatchInput {
  /** u64, echoed in the ack. */
  readonly requestId: bigint
  /** {@link BATCH_FLAG_RECEIPT} or 0. */
  readonly flags?: number | undefined
  /** 32 and 64 bytes: both or none. */
  readonly agent?: Uint8Array | undefined
  readonly signature?: Uint8Array | undefined
  readonly items: readonly BatchItem[]
}

// What encodeBatch writes, forward and in one pass, instead of what a Builder would write backwards: two to three times
// as fast, and no copy at the end. The three vtables are shared by all tables.
const ROOT_BYTES = 8
const BATCH_VTABLE = ROOT_BYTES
const BATCH_VTABLE_BYTES = 4 + 2 * 5
const SIGNED_ITEM_VTABLE = BATCH_VTABLE + BATCH_VTABLE_BYTES
const SIGNED_ITEM_VTABLE_BYTES = 4 + 2 * 2
const BARE_ITEM_VTABLE = SIGNED_ITEM_VTABLE + SIGNED_ITEM_VTABLE_BYTES
const BARE_ITEM_VTABLE_BYTES = 4 + 2
const BATCH_TABLE = (BARE_ITEM_VTABLE + BARE_ITEM_VTABLE_BYTES + 7) & ~7
/** soffset, offset of the assertions, request id; then agent, signature, flags. */
const BATCH_TABLE_HEAD_BYTES = 4 + 4 + 8
/** soffset, offset of the nested buffer; then the signature. */
const ITEM_TABLE_HEAD_BYTES = 4 + 4

/** Where an item's table may start, so that its nested buffer starts at a multiple of 8. */
const itemAligned = (position: number): number => ((position + 3) & ~7) + 4

function itemBytes(item: BatchItem): number {
  return ITEM_TABLE_HEAD_BYTES + (item.signature === undefined ? 0 : SIGNATURE_BYTES) + 4 + item.assertion.length
}

const batchTableBytes = (batch: BatchInput): number =>
  BATCH_TABLE_HEAD_BYTES + (batch.agent === undefined ? 0 : AGENT_BYTES) + (batch.signature === undefined ? 0 : SIGNATURE_BYTES) + 1

/** Bytes of the buffer that {@link encodeBatch} makes of this batch. */
export function batchBytes(batch: BatchInput): number {
  let at = ((BATCH_TABLE + batchTableBytes(batch) + 3) & ~3) + 4 + 4 * batch.items.length
  for (const item of batch.items) at = itemAligned(at) + itemBytes(item)
  return at
}

/** One Batch buffer ("SBAT") of its own memory. The assertions' bytes are taken as they are, unchecked. */
export function encodeBatch(batch: BatchInput): Uint8Array {
  const bytes = new Uint8Array(batchBytes(batch))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, BATCH_TABLE, true)
  for (let i = 0; i < 4; i++) bytes[4 + i] = BATCH_IDENTIFIER.charCodeAt(i)
  writeVtables(view, batch)
  const vector = writeBatchTable(bytes, view, batch)
  let at = vector + 4 + 4 * batch.items.length
  for (let i = 0; i < batch.items.length; i++) {
    at = itemAligned(at)
    const slot = vector + 4 + 4 * i
    view.setUint32(slot, at - slot, true)
    at = writeItem(bytes, view, at, batch.items[i]!)
  }
  return bytes
}

function writeVtables(view: DataView, batch: BatchInput): void {
  const agent = BATCH_TABLE_HEAD_BYTES
  const signature = agent + (batch.agent === undefined ? 0 : AGENT_BYTES)
  const flags = signature + (batch.signature === undefined ? 0 : SIGNATURE_BYTES)
  const u16 = (at: number, ...values: number[]): void => values.forEach((value, i) => view.setUint16(at + 2 * i, value, true))
  u16(BATCH_VTABLE, BATCH_VTABLE_BYTES, flags + 1, 8, flags, batch.agent && agent || 0, batch.signature && signature || 0, 4)
  u16(SIGNED_ITEM_VTABLE, SIGNED_ITEM_VTABLE_BYTES, ITEM_TABLE_HEAD_BYTES + SIGNATURE_BYTES, 4, ITEM_TABLE_HEAD_BYTES)
  u16(BARE_ITEM_VTABLE, BARE_ITEM_VTABLE_BYTES, ITEM_TABLE_HEAD_BYTES, 4)
}

/** Returns where the vector of items starts. */
function writeBatchTable(bytes: Uint8Array, view: DataView, batch: BatchInput): number {
  let at = BATCH_TABLE
  view.setInt32(at, BATCH_TABLE - BATCH_VTABLE, true)
  view.setBigUint64(at + 8, batch.requestId, true)
  at += BATCH_TABLE_HEAD_BYTES
  if (batch.agent !== undefined) at = writeFixed(bytes, at, batch.agent, AGENT_BYTES)
  if (batch.signature !== undefined) at = writeFixed(bytes, at, batch.signature, SIGNATURE_BYTES)
  bytes[at] = batch.flags ?? 0
  const vector = (at + 1 + 3) & ~3
  view.setUint32(BATCH_TABLE + 4, vector - (BATCH_TABLE + 4), true)
  view.setUint32(vector, batch.items.length, true)
  return vector
}

/** Returns where the item ends. */
function writeItem(bytes: Uint8Array, view: DataView, start: number, item: BatchItem): number {
  const { assertion, signature } = item
  const vtable = signature === undefined ? BARE_ITEM_VTABLE : SIGNED_ITEM_VTABLE
  view.setInt32(start, start - vtable, true)
  let at = start + ITEM_TABLE_HEAD_BYTES
  if (signature !== undefined) at = writeFixed(bytes, at, signature, SIGNATURE_BYTES)
  view.setUint32(start + 4, at - (start + 4), true)
  view.setUint32(at, assertion.length, true)
  bytes.set(assertion, at + 4)
  return at + 4 + assertion.length
}

function writeFixed(bytes: Uint8Array, at: number, value: Uint8Array, length: number): number {
  assert(value.length === length, 'a key or signature has its size')
  bytes.set(value, at)
  return at + length
}

/**
 * The request id of a frame that nobody has verified yet, so that a refusal can name it; undefined where the frame is
 * too broken to have one. Reads nothing outside of `frame`, and is right for every frame that verifies.
 */
export function peekRequestId(frame: Uint8Array): bigint | undefined {
  const { length } = frame
  if (length < 8) return undefined
  const view = new DataView(frame.buffer, frame.byteOffset, length)
  const table = view.getUint32(0, true)
  if (table > length - 4) return undefined
  const vtable = table - view.getInt32(table, true)
  if (vtable < 0 || vtable > length - 6) return undefined
  const offset = view.getUint16(vtable, true) < 6 ? 0 : view.getUint16(vtable + 4, true)
  if (offset === 0) return 0n
  return table + offset > length - 8 ? undefined : view.getBigUint64(table + offset, true)
}

/**
 * Flyweight over a VERIFIED Batch, possibly in shared memory. Offsets count from the start of `bytes`; -1 where
 * something is absent. No allocation but one DataView a `reset` to other bytes.
 */
export class BatchView {
  bytes: Uint8Array = new Uint8Array(0)
  view: DataView = new DataView(this.bytes.buffer)
  count = 0
  requestIdLo = 0
  requestIdHi = 0
  flags = 0
  agentOffset = ABSENT
  signatureOffset = ABSENT
  #items = 0

  reset(bytes: Uint8Array): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const view = this.view
    const table = view.getUint32(0, true)
    const request = fieldOf(view, table, 0)
    this.requestIdLo = request < 0 ? 0 : view.getUint32(request, true)
    this.requestIdHi = request < 0 ? 0 : view.getUint32(request + 4, true)
    const flags = fieldOf(view, table, 1)
    this.flags = flags < 0 ? 0 : view.getUint8(flags)
    this.agentOffset = fieldOf(view, table, 2)
    this.signatureOffset = fieldOf(view, table, 3)
    const vector = fieldOf(view, table, 4)
    this.#items = vector + view.getUint32(vector, true) + 4
    this.count = view.getUint32(this.#items - 4, true)
    return this
  }

  get requestId(): bigint {
    return (BigInt(this.requestIdHi) << 32n) | BigInt(this.requestIdLo)
  }

  /** Start of the i-th Assertion buffer. */
  itemOffset(index: number): number {
    const field = fieldOf(this.view, this.#table(index), 0)
    return field + this.view.getUint32(field, true) + 4
  }

  /** Bytes of the i-th Assertion buffer. */
  itemLength(index: number): number {
    return this.view.getUint32(this.itemOffset(index) - 4, true)
  }

  /** Start of the i-th assertion's own signature, or -1. */
  itemSignatureOffset(index: number): number {
    return fieldOf(this.view, this.#table(index), 1)
  }

  #table(index: number): number {
    const at = this.#items + 4 * index
    return at + this.view.getUint32(at, true)
  }
}

function fieldOf(view: DataView, table: number, slot: number): number {
  const vtable = table - view.getInt32(table, true)
  const entry = 4 + 2 * slot
  if (entry >= view.getUint16(vtable, true)) return ABSENT
  const offset = view.getUint16(vtable + entry, true)
  return offset === 0 ? ABSENT : table + offset
}
