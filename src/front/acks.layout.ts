import { assert } from '../base/assert.ts'
import { OUTCOME_BYTES } from '../commit/ack.layout.ts'
import { ACKS_PER_FRAME_MAX } from './front-limits.ts'

/**
 * Where everything stands in a "SACK" frame that acks.codec.ts writes (docs/formats/wire-frames.md): one of the many
 * ways in which FlatBuffers may lay out `Acks` of fbs/frames.fbs. The tables grow upwards from a fixed place; the
 * vector of their offsets, whose length is known only at the end, ends right below the shared vtables, and the header
 * is put in front of it.
 *
 *     start  root, identifier, vtable of Acks, Acks table | vector | vtables of Ack | Ack tables ... end
 *
 * A table stands at 4 above a multiple of 8, so that its u64 fields are aligned. Offsets below count from it.
 */
export const ACK_TABLE_REQUEST_ID = 4
export const ACK_TABLE_FIRST_LSN = 12
export const ACK_TABLE_FIRST_HLC = 20
export const ACK_TABLE_ACCEPTED = 28
export const ACK_TABLE_REFUSED = 32
/** Size of an ack that is simply fine, and the distance to the next table. */
export const ACK_TABLE_PLAIN_BYTES = 36
export const ACK_TABLE_PLAIN_STRIDE = 40
/** Only where something was refused or is no new one. */
export const ACK_TABLE_RETRY_AFTER = 36
export const ACK_TABLE_DETAIL = 40
export const ACK_TABLE_OUTCOMES = 44
export const ACK_TABLE_FULL_BYTES = 48

/** Of one Ack vtable: its size, the table's size, 8 fields. One for each set of {@link VTABLE_DETAIL}, {@link VTABLE_OUTCOMES}. */
export const ACK_VTABLE_BYTES = 20
export const VTABLE_DETAIL = 1
export const VTABLE_OUTCOMES = 2
export const ACK_VTABLE_COUNT = 4

/** root 4, identifier 4, vtable of Acks 8, Acks table 12. Offsets from the frame's start. */
export const HEADER_ACKS_VTABLE = 8
export const HEADER_ACKS_TABLE = 16
export const HEADER_ACKS_FIELD = 20
export const HEADER_CREDIT_FIELD = 24
export const HEADER_BYTES = 28

const VECTOR_BYTES_MAX = 4 + 4 * ACKS_PER_FRAME_MAX
/** Room for the header, the longest vector, and up to 7 bytes to align the start; then 4 above a multiple of 8. */
export const VTABLES_OFFSET = ((HEADER_BYTES + VECTOR_BYTES_MAX + 7 + 7) & ~7) + 4
export const TABLES_OFFSET = VTABLES_OFFSET + ACK_VTABLE_COUNT * ACK_VTABLE_BYTES

assert(TABLES_OFFSET % 8 === 4, 'the first Ack table stands at 4 above a multiple of 8')
assert(ACK_TABLE_PLAIN_STRIDE % 8 === 0 && ACK_TABLE_FULL_BYTES % 8 === 0, 'tables keep their alignment')
assert(ACK_TABLE_REFUSED + 2 <= ACK_TABLE_PLAIN_BYTES, 'a plain table holds its last field')
assert(ACK_TABLE_OUTCOMES + 4 === ACK_TABLE_FULL_BYTES, 'a full table ends with its last field')
assert(VTABLES_OFFSET - VECTOR_BYTES_MAX - HEADER_BYTES - 7 >= 0, 'the longest vector fits')
assert(OUTCOME_BYTES === 24, 'an outcome is laid out as struct Outcome')
