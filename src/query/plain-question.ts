import { readLsn, type Lsn } from '../base/lsn.ts'
import type { Lens } from '../lens/lens.ts'
import { LENS_DEFAULT } from '../lens/registry.ts'
import { PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import { fieldAt } from '../wire/queries.codec.ts'
import { verifyBuffer } from '../wire/verifier.ts'
import { LEAVE_OUT_BITS, LENS_NAME_BYTES_MAX, QUERY_BY_LENS } from './plan.ts'

// Slots of fbs/query.fbs: those that a plain question may have.
const REQUEST_ID = 0
const KIND = 1
const SUBJECT = 3
const PREDICATE = 5
const LENS = 6
const LIMIT = 7
const MIN_LSN = 23
const LEAVE_OUT_SLOT = 33
/** By slot, 1 where a plain question may have it; slots behind the last of these it may not. */
const IS_PLAIN = new Uint8Array(LEAVE_OUT_SLOT + 1)
for (const slot of [REQUEST_ID, KIND, SUBJECT, PREDICATE, LENS, LIMIT, MIN_LSN, LEAVE_OUT_SLOT]) IS_PLAIN[slot] = 1

const DEFAULT_NAME = new TextEncoder().encode(LENS_DEFAULT)

/**
 * The question that most are: one subject and predicate through a lens, as of now, and nothing else asked for. Read into one reused
 * object, without the objects that a plan consists of.
 */
export class PlainQuestion {
  readonly #lensOf: (name: string) => Lens
  readonly #limitMax: number
  requestId = 0n
  minLsn: Lsn = 0
  /** Subject, zero, predicate, zero, in its first `keyBytes` bytes. */
  readonly key = new Uint8Array(SUBJECT_BYTES_MAX + PREDICATE_BYTES_MAX + 2)
  keyBytes = 0
  lens: Lens
  /** Bits of `LEAVE_OUT`. */
  leaveOut = 0
  /** The name of `lens`. */
  #lensName: Uint8Array

  constructor(lensOf: (name: string) => Lens, limitMax: number) {
    this.#lensOf = lensOf
    this.#limitMax = limitMax
    this.lens = lensOf(LENS_DEFAULT)
    this.#lensName = DEFAULT_NAME
  }

  /**
   * Reads a QueryRequest buffer. False: it is not plain, or it is to be refused; who knows all questions says why.
   * @throws {DbError} `parameter_invalid` for an unknown lens
   */
  read(bytes: Uint8Array): boolean {
    if (verifyBuffer('QueryRequest', bytes) !== 0) return false
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const table = view.getUint32(0, true)
    const vtable = table - view.getInt32(table, true)
    const slots = (view.getUint16(vtable, true) - 4) >> 1
    for (let slot = 0; slot < slots; slot++) {
      if (IS_PLAIN[slot] !== 1) if (view.getUint16(vtable + 4 + 2 * slot, true) !== 0) return false
    }
    const kind = fieldAt(view, table, KIND, 1)
    const limit = fieldAt(view, table, LIMIT, 4)
    const subject = fieldAt(view, table, SUBJECT, 4)
    const predicate = fieldAt(view, table, PREDICATE, 4)
    if (kind < 0 || view.getUint8(kind) !== QUERY_BY_LENS || subject < 0 || predicate < 0) return false
    if (limit >= 0 && view.getUint32(limit, true) > this.#limitMax) return false
    const leaveOut = fieldAt(view, table, LEAVE_OUT_SLOT, 1)
    this.leaveOut = leaveOut < 0 ? 0 : view.getUint8(leaveOut)
    if ((this.leaveOut & ~LEAVE_OUT_BITS) !== 0) return false
    const requestId = fieldAt(view, table, REQUEST_ID, 8)
    const minLsn = fieldAt(view, table, MIN_LSN, 8)
    this.requestId = requestId < 0 ? 0n : view.getBigUint64(requestId, true)
    this.minLsn = minLsn < 0 ? 0 : readLsn(view, minLsn)
    return this.#readLens(bytes, view, fieldAt(view, table, LENS, 4)) && this.#readPair(bytes, view, subject, predicate)
  }

  #readPair(bytes: Uint8Array, view: DataView, subjectField: number, predicateField: number): boolean {
    const subject = subjectField + view.getUint32(subjectField, true)
    const predicate = predicateField + view.getUint32(predicateField, true)
    const subjectBytes = view.getUint32(subject, true)
    const predicateBytes = view.getUint32(predicate, true)
    if (subjectBytes === 0 || subjectBytes > SUBJECT_BYTES_MAX || predicateBytes === 0 || predicateBytes > PREDICATE_BYTES_MAX) return false
    this.keyBytes = subjectBytes + predicateBytes + 2
    return copyText(bytes, subject + 4, subjectBytes, this.key, 0) && copyText(bytes, predicate + 4, predicateBytes, this.key, subjectBytes + 1)
  }

  /** The lens of the last question is mostly that of this one. */
  #readLens(bytes: Uint8Array, view: DataView, field: number): boolean {
    if (field < 0) return this.#setLens(LENS_DEFAULT, DEFAULT_NAME)
    const text = field + view.getUint32(field, true)
    const length = view.getUint32(text, true)
    if (length > LENS_NAME_BYTES_MAX) return false
    const last = this.#lensName
    let same = length === last.length
    for (let i = 0; same && i < length; i++) same = bytes[text + 4 + i] === last[i]
    if (same) return true
    const name = bytes.slice(text + 4, text + 4 + length)
    return name.every((byte) => byte < 0x80) && this.#setLens(String.fromCharCode(...name), name)
  }

  #setLens(name: string, bytes: Uint8Array): true {
    this.lens = this.#lensOf(name)
    this.#lensName = bytes
    return true
  }
}

/** Copies a text and the zero behind it. False where a zero is in it, which would reach into the next part of a key. */
function copyText(from: Uint8Array, at: number, length: number, key: Uint8Array, keyAt: number): boolean {
  for (let i = 0; i < length; i++) {
    const byte = from[at + i]!
    if (byte === 0) return false
    key[keyAt + i] = byte
  }
  key[keyAt + length] = 0
  return true
}
