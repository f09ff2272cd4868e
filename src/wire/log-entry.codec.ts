import { assert } from '../base/assert.ts'
import { HASH_BYTES } from '../record/limits.ts'

/**
 * The payload of a WAL record of kind `batch` (fbs/log.fbs, "SLOG"), written in one pass around the batch's bytes:
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | offset of the table, 20 |
 * | 4 | 4 | "SLOG" |
 * | 8 | 10 | vtable: 10, 16, then offsets 4, 8, 12 of `accepted`, `ids`, `batch` |
 * | 18 | 2 | zero |
 * | 20 | 16 | table: distance 12 to its vtable, then the three vectors' distances |
 * | 36 | 4 | ceil(count / 8) |
 * | 40 | ceil(count / 8) | accepted bits, then zeros up to 4 below a multiple of 8 |
 * | i - 4 | 4 | count |
 * | i | 32 count | ids; i is a multiple of 8 |
 * | i + 32 count | 4 | zero |
 * | b - 4 | 4 | bytes of the batch |
 * | b | | the batch; b is a multiple of 8 |
 *
 * Readers go through the vtable, as with any FlatBuffers buffer, so that a newer writer may add fields.
 */
const TABLE = 20
const VTABLE = 8
const ACCEPTED_LENGTH = 36
const ACCEPTED = ACCEPTED_LENGTH + 4
const IDENTIFIER = 0x474f4c53
const FIELD_SLOTS = 3
const VTABLE_BYTES = 4 + 2 * FIELD_SLOTS
const TABLE_BYTES = 4 + 4 * FIELD_SLOTS

assert(VTABLE + VTABLE_BYTES <= TABLE && TABLE + TABLE_BYTES === ACCEPTED_LENGTH, 'the head of a log entry has gaps')

const bitBytes = (count: number): number => (count + 7) >> 3
const idsOffsetOf = (count: number): number => ((ACCEPTED + bitBytes(count) + 3) & ~7) + 8
const batchOffsetOf = (count: number): number => idsOffsetOf(count) + count * HASH_BYTES + 8

/** Bytes of the log entry of a batch of `count` assertions in `batchBytes` bytes. */
export function logEntryBytes(count: number, batchBytes: number): number {
  return batchOffsetOf(count) + batchBytes
}

/** What the verify stage found out about a batch. */
export interface LogEntryParts {
  readonly count: number
  /** At least `count * 32` bytes. */
  readonly ids: Uint8Array
  /** At least `count` codes: 0 is accepted, anything else is not. */
  readonly codes: Uint16Array
}

/**
 * Writes {@link logEntryBytes} bytes to `out` at `at`, every one of them, whatever stood there.
 * @returns the entry's size in bytes
 */
export function writeLogEntry(out: Uint8Array, at: number, parts: LogEntryParts, batch: Uint8Array): number {
  const { count, ids, codes } = parts
  const view = new DataView(out.buffer, out.byteOffset, out.length)
  const idsOffset = idsOffsetOf(count)
  const batchOffset = batchOffsetOf(count)
  assert(at >= 0 && at + batchOffset + batch.length <= out.length, 'a log entry needs its room')
  view.setUint32(at, TABLE, true)
  view.setUint32(at + 4, IDENTIFIER, true)
  view.setUint32(at + VTABLE, VTABLE_BYTES | (TABLE_BYTES << 16), true)
  view.setUint32(at + VTABLE + 4, 4 | (8 << 16), true)
  // The last field's offset, and two zeros.
  view.setUint32(at + VTABLE + 8, 12, true)
  view.setUint32(at + TABLE, TABLE - VTABLE, true)
  view.setUint32(at + TABLE + 4, ACCEPTED_LENGTH - (TABLE + 4), true)
  view.setUint32(at + TABLE + 8, idsOffset - 4 - (TABLE + 8), true)
  view.setUint32(at + TABLE + 12, batchOffset - 4 - (TABLE + 12), true)
  view.setUint32(at + ACCEPTED_LENGTH, bitBytes(count), true)
  writeAccepted(out, at + ACCEPTED, at + idsOffset - 4, count, codes)
  view.setUint32(at + idsOffset - 4, count, true)
  out.set(ids.subarray(0, count * HASH_BYTES), at + idsOffset)
  view.setUint32(at + batchOffset - 8, 0, true)
  view.setUint32(at + batchOffset - 4, batch.length, true)
  out.set(batch, at + batchOffset)
  return batchOffset + batch.length
}

/** Bits from `start`, zeros behind them up to `end`. */
function writeAccepted(out: Uint8Array, start: number, end: number, count: number, codes: Uint16Array): void {
  let index = 0
  for (let at = start; at < end; at++) {
    let bits = 0
    for (let bit = 0; bit < 8 && index < count; bit++, index++) if (codes[index] === 0) bits |= 1 << bit
    out[at] = bits
  }
}

/**
 * Flyweight over a log entry that lies anywhere in a bigger buffer, such as a WAL segment. The bytes are the node's own and have
 * passed their checksum; what else may be wrong is a bug or a newer format, and `reset` checks that every part lies
 * inside. Offsets count from the start of `bytes`.
 */
export class LogEntryView {
  bytes: Uint8Array = new Uint8Array(0)
  view: DataView = new DataView(this.bytes.buffer)
  /** Assertions in the batch, refused ones too. */
  count = 0
  acceptedOffset = 0
  idsOffset = 0
  batchOffset = 0
  batchLength = 0

  /** @throws {AssertionFailure} where the bytes are no log entry. */
  reset(bytes: Uint8Array, start = 0, length = bytes.length - start): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    const { view } = this
    const end = start + length
    assert(length > TABLE + 4 && end <= bytes.length && view.getUint32(start + 4, true) === IDENTIFIER, 'no log entry')
    const table = start + view.getUint32(start, true)
    assert(table + TABLE_BYTES <= end, 'a log entry ends before its table')
    const vtable = table - view.getInt32(table, true)
    assert(vtable >= start && vtable + VTABLE_BYTES <= end && view.getUint16(vtable, true) >= VTABLE_BYTES, 'a log entry lacks fields')
    this.acceptedOffset = this.#vector(table, vtable, 0, end)
    this.idsOffset = this.#vector(table, vtable, 1, end)
    this.batchOffset = this.#vector(table, vtable, 2, end)
    this.count = view.getUint32(this.idsOffset - 4, true)
    this.batchLength = view.getUint32(this.batchOffset - 4, true)
    assert(this.count * HASH_BYTES <= end - this.idsOffset && this.batchLength <= end - this.batchOffset
      && view.getUint32(this.acceptedOffset - 4, true) === bitBytes(this.count)
      && bitBytes(this.count) <= end - this.acceptedOffset, 'a log entry\'s parts lie outside')
    return this
  }

  /** Whether the assertion at `index` has an LSN. */
  accepted(index: number): boolean {
    return (this.bytes[this.acceptedOffset + (index >> 3)]! & (1 << (index & 7))) !== 0
  }

  /** In the bytes themselves: the assertion at `index` turned out to be known. */
  clearAccepted(index: number): void {
    this.bytes[this.acceptedOffset + (index >> 3)]! &= ~(1 << (index & 7))
  }

  get acceptedCount(): number {
    let sum = 0
    for (let i = 0; i < this.count; i++) if (this.accepted(i)) sum++
    return sum
  }

  /** The client's bytes, shared, not copied. */
  get batch(): Uint8Array {
    return this.bytes.subarray(this.batchOffset, this.batchOffset + this.batchLength)
  }

  #vector(table: number, vtable: number, slot: number, end: number): number {
    const field = table + this.view.getUint16(vtable + 4 + 2 * slot, true)
    assert(field > table && field + 4 <= end, 'a log entry lacks a field')
    const vector = field + this.view.getUint32(field, true)
    assert(vector + 4 <= end, 'a log entry\'s vector lies outside')
    return vector + 4
  }
}
