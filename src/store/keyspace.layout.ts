/**
 * Keys and values of the columns `meta`, `sp`, `agent` and `log` (docs/formats/keyspace.md; `ids` has
 * id-runs.layout.ts). Numbers in keys are big-endian, so that bytes order as numbers do; numbers in values are
 * little-endian. Append-only: a key's shape never changes its meaning.
 */
import { assert } from '../base/assert.ts'
import { PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'

/** Of the whole keyspace. A newer one is refused, an older one than {@link STORE_FORMAT_OLDEST} rebuilt. */
export const STORE_FORMAT = 5
/** The oldest that is read and raised: it has no run files. 4 has none of ids. */
export const STORE_FORMAT_OLDEST = 3

// Column `meta`: ASCII keys.
export const META_FORMAT_KEY: Uint8Array = new TextEncoder().encode('format')
export const META_ID_HASH_KEY: Uint8Array = new TextEncoder().encode('id_hash_key')
export const META_APPLIED_KEY: Uint8Array = new TextEncoder().encode('applied')
/** There from the start of a rebuild to its end. */
export const META_REBUILDING_KEY: Uint8Array = new TextEncoder().encode('rebuilding')
export const META_IDS_FLUSHED_KEY: Uint8Array = new TextEncoder().encode('ids_flushed')

export const APPLIED_LSN = 0
export const APPLIED_HLC = APPLIED_LSN + 8
export const APPLIED_SEGMENT_ID = APPLIED_HLC + 8
export const APPLIED_OFFSET = APPLIED_SEGMENT_ID + 4
export const APPLIED_ASSERTIONS = APPLIED_OFFSET + 4
export const APPLIED_RECORDS = APPLIED_ASSERTIONS + 8
export const APPLIED_BYTES = APPLIED_RECORDS + 8

export const IDS_FLUSHED_LSN = 0
export const IDS_FLUSHED_SEGMENT_ID = IDS_FLUSHED_LSN + 8
export const IDS_FLUSHED_OFFSET = IDS_FLUSHED_SEGMENT_ID + 4
export const IDS_FLUSHED_BYTES = IDS_FLUSHED_OFFSET + 4

// Entries of column `sp` (in runs, see entry-runs.layout.ts): subject, 0x00, predicate, 0x00, inverted HLC, first 8 bytes of the id.
export const SP_SEPARATOR = 0
export const SP_TAIL_HLC = 0
export const SP_TAIL_ID = SP_TAIL_HLC + 8
export const SP_TAIL_BYTES = SP_TAIL_ID + 8
export const SP_KEY_BYTES_MAX = SUBJECT_BYTES_MAX + 1 + PREDICATE_BYTES_MAX + 1 + SP_TAIL_BYTES

// Column `agent`: agent, LSN of the first assertion; the value is one range after another.
export const AGENT_KEY_LSN = 32
export const AGENT_KEY_BYTES = AGENT_KEY_LSN + 8
export const AGENT_RANGE_LSN_DELTA = 0
export const AGENT_RANGE_COUNT = AGENT_RANGE_LSN_DELTA + 4
export const AGENT_RANGE_SEGMENT_ID = AGENT_RANGE_COUNT + 4
export const AGENT_RANGE_RECORD_OFFSET = AGENT_RANGE_SEGMENT_ID + 4
export const AGENT_RANGE_BYTES = AGENT_RANGE_RECORD_OFFSET + 4

// Column `log`: kind u8, then a u64.
export const LOG_BY_LSN = 1
export const LOG_BY_HLC = 2
export const LOG_KEY_NUMBER = 1
export const LOG_KEY_BYTES = LOG_KEY_NUMBER + 8

export const LOG_SEGMENT_ID = 0
export const LOG_RECORD_OFFSET = LOG_SEGMENT_ID + 4
export const LOG_HLC = LOG_RECORD_OFFSET + 4
export const LOG_COUNT = LOG_HLC + 8
export const LOG_RESERVED = LOG_COUNT + 4
export const LOG_VALUE_BYTES = LOG_RESERVED + 4
/** Value of a LOG_BY_HLC entry: the LSN of its LOG_BY_LSN entry. */
export const LOG_HLC_VALUE_BYTES = 8

assert(APPLIED_BYTES === 40, 'applied mark')
assert(IDS_FLUSHED_BYTES === 16, 'flushed mark')
assert(AGENT_KEY_BYTES === 40 && AGENT_RANGE_BYTES === 16, 'agent entry')
assert(LOG_KEY_BYTES === 9 && LOG_VALUE_BYTES === 24, 'log entry')
