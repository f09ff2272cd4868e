import { assert } from '../base/assert.ts'
import { OUTCOME_BYTES } from './ack.layout.ts'

/**
 * Verify → commit (docs/formats/ring.md), little-endian: a header, the LogEntry to append (none where the batch is
 * refused), and an outcome for each assertion that is not new, by ascending index.
 */
export const VERIFIED_SLOT_OFFSET = 0
export const VERIFIED_GENERATION_OFFSET = 4
export const VERIFIED_REQUEST_ID_OFFSET = 8
/** Assertions in the batch. */
export const VERIFIED_COUNT_OFFSET = 16
export const VERIFIED_ENTRY_BYTES_OFFSET = 20
export const VERIFIED_REFUSED_OFFSET = 24
export const VERIFIED_FLAGS_OFFSET = 26
export const VERIFIED_FRAME_BYTES_OFFSET = 28
export const VERIFIED_OUTCOME_COUNT_OFFSET = 32
export const VERIFIED_RETRY_AFTER_MS_OFFSET = 36
export const VERIFIED_RECEIVED_MONO_MS_OFFSET = 40
/** An LSN: of the assertions that are accepted here none is known at or below it. */
export const VERIFIED_KNOWN_LSN_OFFSET = 48
/** Merkle root of the batch's ids; zero where neither the signature nor a receipt needs it. */
export const VERIFIED_ROOT_OFFSET = 56
export const VERIFIED_ENTRY_OFFSET = 88

/** The client asked for a receipt. */
export const VERIFIED_FLAG_RECEIPT = 1

assert(VERIFIED_RECEIVED_MONO_MS_OFFSET % 8 === 0 && VERIFIED_ENTRY_OFFSET % 8 === 0, 'u64 fields are not aligned')

export const verifiedOutcomesOffset = (entryBytes: number): number => VERIFIED_ENTRY_OFFSET + ((entryBytes + 7) & ~7)

export const verifiedBytes = (entryBytes: number, outcomeCount: number): number =>
  verifiedOutcomesOffset(entryBytes) + outcomeCount * OUTCOME_BYTES
