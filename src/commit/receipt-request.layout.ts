import { assert } from '../base/assert.ts'

/** Commit → merkle (docs/formats/ring.md): u32 count, four bytes unused, then one of these for each batch. */
export const RECEIPT_REQUEST_COUNT_BYTES = 8
export const RECEIPT_REQUEST_SLOT_OFFSET = 0
export const RECEIPT_REQUEST_GENERATION_OFFSET = 4
export const RECEIPT_REQUEST_REQUEST_ID_OFFSET = 8
export const RECEIPT_REQUEST_FIRST_LSN_OFFSET = 16
export const RECEIPT_REQUEST_FIRST_HLC_OFFSET = 24
export const RECEIPT_REQUEST_ACCEPTED_OFFSET = 32
export const RECEIPT_REQUEST_ROOT_OFFSET = 40
export const RECEIPT_REQUEST_BYTES = 72

assert(RECEIPT_REQUEST_ROOT_OFFSET + 32 === RECEIPT_REQUEST_BYTES, 'a receipt request has another size than its fields')
