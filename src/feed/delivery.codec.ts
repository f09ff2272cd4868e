import { assert } from '../base/assert.ts'
import { copyRange } from '../base/bytes.ts'
import { writeLsn } from '../base/lsn.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'

/**
 * A Delivery frame (fbs/feed.fbs), written forward in one pass. Each item is a block of its own that holds the Found
 * table with its vtable and its assertion: distances in FlatBuffers are relative, so a block that several groups of
 * subscribers get is made once and copied into each of their frames.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | offset of the table, 16 |
 * | 4 | 4 | "SDLV" |
 * | 8 | 8 | vtable: 8, 16, then offsets 8 and 4 of `subscription_id` and `items` |
 * | 16 | 16 | table: distance 8 to its vtable, distance of the items, `subscription_id` |
 * | 32 | 4 | number of items |
 * | 36 | 4 each | distance of each item's table; then zeros up to a multiple of 8 |
 * | | | the blocks, each at a multiple of 8 |
 *
 * A block: 16 bytes vtable, the Found table, its assertion's length and bytes, zeros up to a multiple of 8.
 */
const TABLE = 16
const VTABLE = 8
/** Of every Delivery frame that is made here: the one field in which the frames of a group differ. */
export const DELIVERY_SUBSCRIPTION_ID_OFFSET = TABLE + 8
const ITEMS_COUNT = 32
const ITEMS = ITEMS_COUNT + 4
const IDENTIFIER = 0x564c_4453

// Slots of Found: id, lsn, hlc, assertion, signature, signed_by. Places in its table: distance to the vtable, distance
// of the assertion, lsn, hlc, id, signature, signed_by.
const FOUND_VTABLE_BYTES = 4 + 2 * 6
const FOUND_ASSERTION = 4
const FOUND_LSN = 8
const FOUND_HLC = 16
const FOUND_ID = 24
const FOUND_SIGNATURE = FOUND_ID + HASH_BYTES
const FOUND_SIGNED_BY = FOUND_SIGNATURE + SIGNATURE_BYTES
const FOUND_TABLE_BYTES = FOUND_SIGNED_BY + 1
/** The assertion's length stands four bytes before a multiple of eight. */
const FOUND_ASSERTION_BYTES = FOUND_VTABLE_BYTES + ((FOUND_TABLE_BYTES + 7) & ~7) + 8

assert(FOUND_VTABLE_BYTES % 8 === 0 && FOUND_ASSERTION_BYTES % 8 === 0, 'a nested buffer begins at a multiple of 8')

export const SIGNED_BY_NOBODY = 0
export const SIGNED_BY_AGENT = 1
export const SIGNED_BY_BATCH = 2

/** One match, as it lies in the log. */
export interface DeliveryItem {
  readonly lsn: number
  readonly hlc: bigint
  /** Where the id, the assertion's buffer and the signature (-1: none) begin in `bytes`. */
  readonly bytes: Uint8Array
  readonly idOffset: number
  readonly assertionOffset: number
  readonly assertionLength: number
  readonly signatureOffset: number
  readonly signedBy: number
}

/** Bytes of the block of an assertion of this length. */
export const itemBlockBytes = (assertionLength: number): number => (FOUND_ASSERTION_BYTES + assertionLength + 7) & ~7

/** Writes {@link itemBlockBytes} bytes at `at`, a multiple of 8, every one of them. */
export function writeItemBlock(out: Uint8Array, view: DataView, at: number, item: DeliveryItem): void {
  const { bytes, signatureOffset, assertionLength } = item
  const table = at + FOUND_VTABLE_BYTES
  const u16 = (offset: number, a: number, b: number): void => view.setUint32(offset, a | (b << 16), true)
  u16(at, FOUND_VTABLE_BYTES, FOUND_TABLE_BYTES)
  u16(at + 4, FOUND_ID, FOUND_LSN)
  u16(at + 8, FOUND_HLC, FOUND_ASSERTION)
  u16(at + 12, signatureOffset < 0 ? 0 : FOUND_SIGNATURE, FOUND_SIGNED_BY)
  view.setInt32(table, FOUND_VTABLE_BYTES, true)
  const assertion = at + FOUND_ASSERTION_BYTES
  view.setUint32(table + FOUND_ASSERTION, assertion - 4 - (table + FOUND_ASSERTION), true)
  writeLsn(view, table + FOUND_LSN, item.lsn)
  view.setBigUint64(table + FOUND_HLC, item.hlc, true)
  copyRange(bytes, item.idOffset, out, table + FOUND_ID, HASH_BYTES)
  if (signatureOffset < 0) out.fill(0, table + FOUND_SIGNATURE, table + FOUND_SIGNED_BY)
  else copyRange(bytes, signatureOffset, out, table + FOUND_SIGNATURE, SIGNATURE_BYTES)
  out[table + FOUND_SIGNED_BY] = item.signedBy
  out.fill(0, table + FOUND_TABLE_BYTES, assertion - 4)
  view.setUint32(assertion - 4, assertionLength, true)
  copyRange(bytes, item.assertionOffset, out, assertion, assertionLength)
  out.fill(0, assertion + assertionLength, at + itemBlockBytes(assertionLength))
}

const headBytes = (count: number): number => (ITEMS + 4 * count + 7) & ~7

/** Bytes of a frame with so many items whose blocks have so many bytes together. */
export const deliveryBytes = (count: number, blockBytes: number): number => headBytes(count) + blockBytes

/** Blocks of items in one buffer: where each begins, and how long it is. */
export interface ItemBlocks {
  readonly bytes: Uint8Array
  startOf(item: number): number
  lengthOf(item: number): number
}

/** Writes the frame of some items at `at`, a multiple of 8; its subscription id is zero. Returns its bytes. */
export function writeDelivery(out: Uint8Array, view: DataView, at: number, blocks: ItemBlocks, items: readonly number[]): number {
  view.setUint32(at, TABLE, true)
  view.setUint32(at + 4, IDENTIFIER, true)
  view.setUint32(at + VTABLE, 8 | (16 << 16), true)
  view.setUint32(at + VTABLE + 4, 8 | (4 << 16), true)
  view.setInt32(at + TABLE, TABLE - VTABLE, true)
  view.setUint32(at + TABLE + 4, ITEMS_COUNT - (TABLE + 4), true)
  view.setBigUint64(at + DELIVERY_SUBSCRIPTION_ID_OFFSET, 0n, true)
  view.setUint32(at + ITEMS_COUNT, items.length, true)
  const head = headBytes(items.length)
  out.fill(0, at + ITEMS + 4 * items.length, at + head)
  let block = at + head
  items.forEach((item, i) => {
    const start = blocks.startOf(item)
    const length = blocks.lengthOf(item)
    const slot = at + ITEMS + 4 * i
    view.setUint32(slot, block + FOUND_VTABLE_BYTES - slot, true)
    copyRange(blocks.bytes, start, out, block, length)
    block += length
  })
  return block - at
}
