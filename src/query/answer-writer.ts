import { writeLsn, type Lsn } from '../base/lsn.ts'
import { FOUND_TABLE } from '../wire/found.codec.ts'
import type { StoredAssertion } from './candidate-source.ts'
import { replyBytesAtMost, type AnswerParts, type SideParts } from './reply.codec.ts'

/**
 * Writes a QueryReply (fbs/query.fbs) of one answer, as plain questions have it: from front to back, over a head in which all tables of one
 * kind share a vtable and stand where they always do. A Builder, which can write any reply, takes several times as long for the same.
 */

// The head: root, identifier, then the reply's vtable, its table, the vector of its one answer, and so on.
const REPLY_VTABLE = 8
const REPLY_TABLE = 32
const REPLY_ANSWERS = 4
const REPLY_REQUEST_ID = 8
const REPLY_SEEN_LSN = 16
const REPLY_TABLE_BYTES = 24
/** By slot: request_id, refused, detail, answers, found, listed, seen_lsn. */
const REPLY_FIELDS = [REPLY_REQUEST_ID, 0, 0, REPLY_ANSWERS, 0, 0, REPLY_SEEN_LSN]
const ANSWERS = REPLY_TABLE + REPLY_TABLE_BYTES
const ANSWER_VTABLE = ANSWERS + 8
const ANSWER_TABLE = 88
const ANSWER_SUBJECT = 4
const ANSWER_PREDICATE = 8
const ANSWER_CANDIDATES = 12
const ANSWER_CONFLICT = 16
const ANSWER_CERTAINTY = 24
const ANSWER_WINNER = 32
const ANSWER_WHY = 36
const ANSWER_STATUS = 40
const ANSWER_SIDES = 44
const ANSWER_TABLE_BYTES = 48
/** By slot: subject, predicate, candidates, winner, why, conflict, certainty, status, sides. */
const ANSWER_FIELDS = [
  ANSWER_SUBJECT, ANSWER_PREDICATE, ANSWER_CANDIDATES, ANSWER_WINNER, ANSWER_WHY, ANSWER_CONFLICT, ANSWER_CERTAINTY, ANSWER_STATUS, ANSWER_SIDES,
]
const SLOT_WINNER = 3
const SLOT_WHY = 4
const SLOT_STATUS = 7
const SLOT_SIDES = 8
const SIDE_VTABLE = ANSWER_TABLE + ANSWER_TABLE_BYTES
const SIDE_LABEL = 4
const SIDE_WINNER = 8
const SIDE_WHY = 12
const SIDE_WEIGHT = 16
const SIDE_SHARE = 24
const SIDE_CONFLICT = 32
const SIDE_CANDIDATES = 40
const SIDE_SOURCES = 44
const SIDE_TABLE_BYTES = 48
/** By slot: label, winner, weight, share, candidates, sources, conflict, why. */
const SIDE_FIELDS = [SIDE_LABEL, SIDE_WINNER, SIDE_WEIGHT, SIDE_SHARE, SIDE_CANDIDATES, SIDE_SOURCES, SIDE_CONFLICT, SIDE_WHY]
const SIDE_SLOT_WINNER = 1
const SIDE_SLOT_WHY = 7
const HEAD_BYTES = 160

const BYTES_AT_FIRST = 16 * 1024
const SLOT_0 = 4

const utf8 = new TextEncoder()
const aligned = (at: number, to: number): number => (at + to - 1) & -to

export class AnswerWriter {
  readonly #bytesMax: number
  #bytes: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)
  /** Where the next part goes. */
  #end = 0

  /** @param bytesMax longest reply */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The reply, in memory of the writer: valid until the next call. Undefined where it may be too long, by the measure of `ReplyBuilder`. */
  write(requestId: bigint, seenLsn: Lsn, answer: AnswerParts): Uint8Array | undefined {
    const bytesAtMost = replyBytesAtMost(answer)
    if (bytesAtMost > this.#bytesMax) return undefined
    if (bytesAtMost > this.#bytes.length) this.#grow(bytesAtMost)
    const view = this.#view
    this.#end = HEAD_BYTES
    view.setBigUint64(REPLY_TABLE + REPLY_REQUEST_ID, requestId, true)
    writeLsn(view, REPLY_TABLE + REPLY_SEEN_LSN, seenLsn)
    this.#answer(answer)
    const end = aligned(this.#end, 8)
    this.#clear(end)
    return this.#bytes.subarray(0, end)
  }

  #answer({ subject, predicate, candidates, winner, why, conflict = -1, certainty = -1, status, sides }: AnswerParts): void {
    const view = this.#view
    view.setUint32(ANSWER_TABLE + ANSWER_CANDIDATES, candidates, true)
    view.setFloat64(ANSWER_TABLE + ANSWER_CONFLICT, conflict, true)
    view.setFloat64(ANSWER_TABLE + ANSWER_CERTAINTY, certainty, true)
    this.#field(ANSWER_VTABLE, ANSWER_FIELDS, SLOT_WINNER, winner !== undefined)
    this.#field(ANSWER_VTABLE, ANSWER_FIELDS, SLOT_WHY, why !== undefined)
    this.#field(ANSWER_VTABLE, ANSWER_FIELDS, SLOT_STATUS, status !== undefined)
    this.#field(ANSWER_VTABLE, ANSWER_FIELDS, SLOT_SIDES, sides !== undefined)
    this.#bytesAsText(ANSWER_TABLE + ANSWER_SUBJECT, subject)
    this.#bytesAsText(ANSWER_TABLE + ANSWER_PREDICATE, predicate)
    if (why !== undefined) this.#text(ANSWER_TABLE + ANSWER_WHY, why)
    if (status !== undefined) this.#text(ANSWER_TABLE + ANSWER_STATUS, status)
    // Offsets point ahead: what several tables point to stands behind all of them.
    const sideTables = sides === undefined ? 0 : this.#sides(sides, winner)
    if (winner === undefined) return
    const winnerAt = this.#found(ANSWER_TABLE + ANSWER_WINNER, winner)
    sides?.forEach((side, i) => {
      if (side.winner === winner) this.#pointTo(sideTables + SIDE_TABLE_BYTES * i + SIDE_WINNER, winnerAt)
    })
  }

  /** All of the sides but the answer's winner. Returns where their tables begin. */
  #sides(sides: readonly SideParts[], winner: StoredAssertion | undefined): number {
    const view = this.#view
    const vector = this.#next(4)
    this.#pointTo(ANSWER_TABLE + ANSWER_SIDES, vector)
    view.setUint32(vector, sides.length, true)
    this.#end = vector + 4 + 4 * sides.length
    const tables = this.#next(8)
    this.#end = tables + SIDE_TABLE_BYTES * sides.length
    // One vtable for all of them: a question leaves something out of each or of none.
    const first = sides[0]
    this.#field(SIDE_VTABLE, SIDE_FIELDS, SIDE_SLOT_WINNER, first?.winner !== undefined)
    this.#field(SIDE_VTABLE, SIDE_FIELDS, SIDE_SLOT_WHY, first?.why !== undefined)
    for (let i = 0; i < sides.length; i++) {
      const side = sides[i]!
      const table = tables + SIDE_TABLE_BYTES * i
      this.#pointTo(vector + 4 + 4 * i, table)
      this.#side(table, side)
      if (side.winner !== undefined && side.winner !== winner) this.#found(table + SIDE_WINNER, side.winner)
    }
    return tables
  }

  #side(table: number, { label, weight = 0, share = 0, candidates, sources = 0, conflict = -1, why }: SideParts): void {
    const view = this.#view
    view.setInt32(table, table - SIDE_VTABLE, true)
    view.setFloat64(table + SIDE_WEIGHT, weight, true)
    view.setFloat64(table + SIDE_SHARE, share, true)
    view.setFloat64(table + SIDE_CONFLICT, conflict, true)
    view.setUint32(table + SIDE_CANDIDATES, candidates, true)
    view.setUint32(table + SIDE_SOURCES, sources, true)
    this.#text(table + SIDE_LABEL, label)
    if (why !== undefined) this.#text(table + SIDE_WHY, why)
  }

  /** Whether tables of this kind have a field that not all have. */
  #field(vtable: number, fields: readonly number[], slot: number, isThere: boolean): void {
    this.#view.setUint16(vtable + SLOT_0 + 2 * slot, isThere ? fields[slot]! : 0, true)
  }

  /** The next place that is aligned so. Reused memory may hold anything: what is skipped is zero. */
  #next(alignment: number): number {
    const at = aligned(this.#end, alignment)
    this.#clear(at)
    return at
  }

  #clear(until: number): void {
    for (let i = this.#end; i < until; i++) this.#bytes[i] = 0
  }

  /** Offsets are counted from where they stand. */
  #pointTo(field: number, at: number): void {
    this.#view.setUint32(field, at - field, true)
  }

  /** Returns the table. An eight-aligned copy: it holds no offset to what is outside. */
  #found(field: number, { found }: StoredAssertion): number {
    const at = this.#next(8)
    this.#bytes.set(found, at)
    this.#end = at + found.length
    this.#pointTo(field, at + FOUND_TABLE)
    return at + FOUND_TABLE
  }

  #bytesAsText(field: number, text: Uint8Array): void {
    const at = this.#beginText(field)
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text[i]!
    this.#endText(at, text.length)
  }

  /** Most texts are short and ASCII: for them an encoder takes longer than all else here. */
  #text(field: number, text: string): void {
    const at = this.#beginText(field)
    const bytes = this.#bytes
    const { length } = text
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) return this.#endText(at, utf8.encodeInto(text, bytes.subarray(at)).written)
      bytes[at + i] = code
    }
    this.#endText(at, length)
  }

  #beginText(field: number): number {
    const at = this.#next(4)
    this.#pointTo(field, at)
    return at + 4
  }

  #endText(at: number, length: number): void {
    this.#view.setUint32(at - 4, length, true)
    this.#bytes[at + length] = 0
    this.#end = at + length + 1
  }

  #grow(bytes: number): void {
    this.#bytes = new Uint8Array(Math.min(this.#bytesMax, Math.max(BYTES_AT_FIRST, 2 * bytes)))
    this.#view = new DataView(this.#bytes.buffer)
    this.#writeHead()
  }

  #writeHead(): void {
    const view = this.#view
    view.setUint32(0, REPLY_TABLE, true)
    utf8.encodeInto('SQRP', this.#bytes.subarray(4))
    this.#vtable(REPLY_VTABLE, REPLY_TABLE_BYTES, REPLY_FIELDS)
    view.setInt32(REPLY_TABLE, REPLY_TABLE - REPLY_VTABLE, true)
    this.#pointTo(REPLY_TABLE + REPLY_ANSWERS, ANSWERS)
    view.setUint32(ANSWERS, 1, true)
    this.#pointTo(ANSWERS + 4, ANSWER_TABLE)
    this.#vtable(ANSWER_VTABLE, ANSWER_TABLE_BYTES, ANSWER_FIELDS)
    view.setInt32(ANSWER_TABLE, ANSWER_TABLE - ANSWER_VTABLE, true)
    this.#vtable(SIDE_VTABLE, SIDE_TABLE_BYTES, SIDE_FIELDS)
  }

  #vtable(at: number, tableBytes: number, fields: readonly number[]): void {
    this.#view.setUint16(at, SLOT_0 + 2 * fields.length, true)
    this.#view.setUint16(at + 2, tableBytes, true)
    fields.forEach((field, slot) => { this.#view.setUint16(at + SLOT_0 + 2 * slot, field, true) })
  }
}
