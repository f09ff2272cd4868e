import { ERROR_CODES, errorNameOf } from '../base/error-codes.ts'
import { OUTCOME_BYTES, type AckView } from '../commit/ack.layout.ts'
import {
  ACK_TABLE_ACCEPTED, ACK_TABLE_DETAIL, ACK_TABLE_FIRST_HLC, ACK_TABLE_FIRST_LSN, ACK_TABLE_FULL_BYTES, ACK_TABLE_OUTCOMES,
  ACK_TABLE_PLAIN_BYTES, ACK_TABLE_PLAIN_STRIDE, ACK_TABLE_REFUSED, ACK_TABLE_REQUEST_ID, ACK_TABLE_RETRY_AFTER,
  ACK_VTABLE_BYTES, ACK_VTABLE_COUNT, HEADER_ACKS_FIELD, HEADER_ACKS_TABLE, HEADER_ACKS_VTABLE, HEADER_BYTES,
  HEADER_CREDIT_FIELD, TABLES_OFFSET, VTABLES_OFFSET, VTABLE_DETAIL, VTABLE_OUTCOMES,
} from './acks.layout.ts'
import { ACKS_PER_FRAME_MAX, ENCODER_KEEP_BYTES_MAX } from './front-limits.ts'

const INITIAL_BYTES = TABLES_OFFSET + 64 * ACK_TABLE_PLAIN_STRIDE
const IDENTIFIER = 0x4b434153 // "SACK", little-endian

const encoder = new TextEncoder()
const details = new Map<number, Uint8Array>()

/** What to do about a refusal, as UTF-8. */
function detailOf(code: number): Uint8Array {
  let bytes = details.get(code)
  if (bytes === undefined) {
    bytes = encoder.encode(ERROR_CODES[errorNameOf(code)].action)
    details.set(code, bytes)
  }
  return bytes
}

/** Written once into each buffer: they do not depend on the acks. */
function writeVtables(view: DataView): void {
  const fields = [
    ACK_TABLE_REQUEST_ID, ACK_TABLE_FIRST_LSN, ACK_TABLE_FIRST_HLC, ACK_TABLE_ACCEPTED, ACK_TABLE_REFUSED,
    ACK_TABLE_DETAIL, ACK_TABLE_RETRY_AFTER, ACK_TABLE_OUTCOMES,
  ]
  for (let flags = 0; flags < ACK_VTABLE_COUNT; flags++) {
    const at = VTABLES_OFFSET + flags * ACK_VTABLE_BYTES
    const absent = [
      ...(flags & VTABLE_DETAIL ? [] : [ACK_TABLE_DETAIL]),
      ...(flags & VTABLE_OUTCOMES ? [] : [ACK_TABLE_OUTCOMES]),
      ...(flags === 0 ? [ACK_TABLE_RETRY_AFTER] : []),
    ]
    view.setUint16(at, ACK_VTABLE_BYTES, true)
    view.setUint16(at + 2, flags === 0 ? ACK_TABLE_PLAIN_BYTES : ACK_TABLE_FULL_BYTES, true)
    fields.forEach((field, i) => view.setUint16(at + 4 + 2 * i, absent.includes(field) ? 0 : field, true))
  }
}

/**
 * Gathers the acks of one session during a drain into one "SACK" frame. Hand-written because it is on the path of
 * every ack: a plain ack costs a few dozen nanoseconds and no allocation, where flatbuffers' Builder takes over a
 * microsecond.
 */
export class AcksEncoder {
  #bytes = new Uint8Array(INITIAL_BYTES)
  #view = new DataView(this.#bytes.buffer)
  readonly #tables = new Uint32Array(ACKS_PER_FRAME_MAX)
  #count = 0
  #end = TABLES_OFFSET
  #creditBytes = 0

  constructor() {
    writeVtables(this.#view)
  }

  get count(): number {
    return this.#count
  }

  /** No further ack fits: {@link finish} first. */
  get full(): boolean {
    return this.#count === ACKS_PER_FRAME_MAX
  }

  /** Whether the buffer is small enough to be used again. */
  get reusable(): boolean {
    return this.#bytes.length <= ENCODER_KEEP_BYTES_MAX
  }

  add(ack: AckView): void {
    const { refused, outcomeCount } = ack
    const flags = (refused === 0 ? 0 : VTABLE_DETAIL) | (outcomeCount === 0 ? 0 : VTABLE_OUTCOMES)
    const detail = refused === 0 ? undefined : detailOf(refused)
    const at = this.#table(flags, 24 + (detail?.length ?? 0) + outcomeCount * OUTCOME_BYTES)
    const view = this.#view
    view.setUint32(at + ACK_TABLE_REQUEST_ID, ack.requestIdLo, true)
    view.setUint32(at + ACK_TABLE_REQUEST_ID + 4, ack.requestIdHi, true)
    view.setUint32(at + ACK_TABLE_FIRST_LSN, ack.firstLsnLo, true)
    view.setUint32(at + ACK_TABLE_FIRST_LSN + 4, ack.firstLsnHi, true)
    view.setUint32(at + ACK_TABLE_FIRST_HLC, ack.firstHlcLo, true)
    view.setUint32(at + ACK_TABLE_FIRST_HLC + 4, ack.firstHlcHi, true)
    view.setUint32(at + ACK_TABLE_ACCEPTED, ack.accepted, true)
    view.setUint32(at + ACK_TABLE_REFUSED, refused, true)
    this.#creditBytes += ack.frameBytes
    if (flags === 0) return
    view.setUint32(at + ACK_TABLE_RETRY_AFTER, ack.retryAfterMs, true)
    if (detail !== undefined) this.#detail(at, detail)
    if (outcomeCount !== 0) this.#outcomes(at, ack.outcomesBytes(), outcomeCount)
  }

  /** The front's own refusal of a whole batch, which no stage has seen. @param creditBytes what is given back. */
  addRefused(requestId: bigint, code: number, retryAfterMs: number, creditBytes: number): void {
    const detail = detailOf(code)
    const at = this.#table(VTABLE_DETAIL, 24 + detail.length)
    const view = this.#view
    view.setBigUint64(at + ACK_TABLE_REQUEST_ID, requestId, true)
    view.setBigUint64(at + ACK_TABLE_FIRST_LSN, 0n, true)
    view.setBigUint64(at + ACK_TABLE_FIRST_HLC, 0n, true)
    view.setUint32(at + ACK_TABLE_ACCEPTED, 0, true)
    view.setUint32(at + ACK_TABLE_REFUSED, code, true)
    view.setUint32(at + ACK_TABLE_RETRY_AFTER, retryAfterMs, true)
    this.#detail(at, detail)
    this.#creditBytes += creditBytes
  }

  /** The frame, valid until the next call; the encoder is empty again. */
  finish(): Uint8Array {
    const view = this.#view
    const count = this.#count
    const vector = VTABLES_OFFSET - 4 - 4 * count
    const start = (vector - HEADER_BYTES) & ~7
    view.setUint32(start, HEADER_ACKS_TABLE, true)
    view.setUint32(start + 4, IDENTIFIER, true)
    // vtable of Acks: its size, the table's size, where its two fields stand.
    view.setUint32(start + HEADER_ACKS_VTABLE, 8 | (12 << 16), true)
    view.setUint32(start + HEADER_ACKS_VTABLE + 4, 4 | (8 << 16), true)
    view.setInt32(start + HEADER_ACKS_TABLE, HEADER_ACKS_TABLE - HEADER_ACKS_VTABLE, true)
    view.setUint32(start + HEADER_ACKS_FIELD, vector - (start + HEADER_ACKS_FIELD), true)
    view.setUint32(start + HEADER_CREDIT_FIELD, this.#creditBytes, true)
    // The up to 4 bytes between header and vector may hold something of an earlier frame.
    for (let at = start + HEADER_BYTES; at < vector; at += 4) view.setUint32(at, 0, true)
    view.setUint32(vector, count, true)
    for (let i = 0, at = vector + 4; i < count; i++, at += 4) view.setUint32(at, this.#tables[i]! - at, true)
    const frame = this.#bytes.subarray(start, this.#end)
    this.#count = 0
    this.#end = TABLES_OFFSET
    this.#creditBytes = 0
    return frame
  }

  /** Begins a table of the shape that `flags` say, with room for `more` bytes behind it. */
  #table(flags: number, more: number): number {
    const at = this.#end
    if (at + ACK_TABLE_FULL_BYTES + more > this.#bytes.length) this.#grow(at + ACK_TABLE_FULL_BYTES + more)
    this.#view.setInt32(at, at - (VTABLES_OFFSET + flags * ACK_VTABLE_BYTES), true)
    if (flags === 0) this.#view.setUint32(at + ACK_TABLE_PLAIN_BYTES, 0, true)
    this.#tables[this.#count++] = at
    this.#end = at + (flags === 0 ? ACK_TABLE_PLAIN_STRIDE : ACK_TABLE_FULL_BYTES)
    return at
  }

  /** String: length, bytes, a zero; then up to the next table's place. */
  #detail(table: number, text: Uint8Array): void {
    const at = this.#end
    this.#view.setUint32(table + ACK_TABLE_DETAIL, at - (table + ACK_TABLE_DETAIL), true)
    this.#view.setUint32(at, text.length, true)
    this.#bytes.set(text, at + 4)
    this.#padTo(at + 4 + text.length, at + 4 + text.length + 1)
  }

  #outcomes(table: number, outcomes: Uint8Array, count: number): void {
    // The end stands at 4 above a multiple of 8: behind the length, the structs are aligned.
    const at = this.#end
    this.#view.setUint32(table + ACK_TABLE_OUTCOMES, at - (table + ACK_TABLE_OUTCOMES), true)
    this.#view.setUint32(at, count, true)
    this.#bytes.set(outcomes, at + 4)
    this.#padTo(at + 4 + outcomes.length, at + 4 + outcomes.length)
  }

  /** Zeroes from `from` to the first place for a table at or after `least`, which becomes the end. */
  #padTo(from: number, least: number): void {
    this.#end = ((least + 3) & ~7) + 4
    this.#bytes.fill(0, from, this.#end)
  }

  #grow(bytesNeeded: number): void {
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, bytesNeeded + 8))
    grown.set(this.#bytes.subarray(0, this.#end))
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}
