import type { Hlc } from '../base/hlc.ts'
import { writeLsn, type Lsn } from '../base/lsn.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'

/**
 * A Found table (fbs/query.fbs) that carries its vtable and its assertion with it: all its offsets stay within, so that it may be
 * copied into any reply as it is, at a multiple of 8. Made once, when an assertion is read; a Builder would make it anew for each reply,
 * and take longer than finding the assertion does.
 */
const VTABLE_BYTES = 4 + 2 * 6
/** Where the table stands. */
export const FOUND_TABLE = VTABLE_BYTES
// Fields, from the table's start: eight-aligned ones at multiples of 8, as the table is.
const ASSERTION = 4
const LSN = 8
const HLC = 16
const ID = 24
const SIGNED_BY = ID + HASH_BYTES
const SIGNATURE = SIGNED_BY + 1
/** By slot: id, lsn, hlc, assertion, signature, signed_by. */
const FIELDS = [ID, LSN, HLC, ASSERTION, SIGNATURE, SIGNED_BY]
const SLOT_SIGNATURE = 4

export interface FoundParts {
  /** All of it. */
  readonly bytes: Uint8Array
  // To be filled in: views of `bytes`.
  readonly id: Uint8Array
  readonly assertion: Uint8Array
  readonly signature: Uint8Array | undefined
}

/** @param signedBy as fbs/query.fbs has it */
export function layOutFound(lsn: Lsn, hlc: Hlc, assertionBytes: number, isSigned: boolean, signedBy: number): FoundParts {
  const tableBytes = isSigned ? SIGNATURE + SIGNATURE_BYTES : SIGNATURE
  // The length of the vector, then its bytes at a multiple of 8.
  const assertion = (FOUND_TABLE + tableBytes + 4 + 7) & ~7
  const memory = new ArrayBuffer(assertion + assertionBytes)
  const view = new DataView(memory)
  view.setUint16(0, VTABLE_BYTES, true)
  view.setUint16(2, tableBytes, true)
  for (let slot = 0; slot < FIELDS.length; slot++) {
    if (isSigned || slot !== SLOT_SIGNATURE) view.setUint16(4 + 2 * slot, FIELDS[slot]!, true)
  }
  view.setInt32(FOUND_TABLE, FOUND_TABLE, true)
  const assertionField = FOUND_TABLE + ASSERTION
  view.setUint32(assertionField, assertion - 4 - assertionField, true)
  writeLsn(view, FOUND_TABLE + LSN, lsn)
  view.setBigUint64(FOUND_TABLE + HLC, hlc, true)
  view.setUint8(FOUND_TABLE + SIGNED_BY, signedBy)
  view.setUint32(assertion - 4, assertionBytes, true)
  return {
    bytes: new Uint8Array(memory),
    id: new Uint8Array(memory, FOUND_TABLE + ID, HASH_BYTES),
    assertion: new Uint8Array(memory, assertion, assertionBytes),
    signature: isSigned ? new Uint8Array(memory, FOUND_TABLE + SIGNATURE, SIGNATURE_BYTES) : undefined,
  }
}
