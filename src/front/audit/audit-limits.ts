import { KiB, MiB } from '../../base/units.ts'

/** Bounds of the audit that are no settings. */

/** Lines in memory that are not in a file yet; beyond it a record is dropped and counted. */
export const AUDIT_BUFFER_BYTES_MAX = 1 * MiB
/** One write to a file, and one read. */
export const AUDIT_BLOCK_BYTES = 64 * KiB
/** A line is shorter: what a query may name and 32 winners are about 20 KiB, whatever has to be escaped. */
export const AUDIT_LINE_BYTES_MAX = 64 * KiB
/** Winners that a record names; it says how many there were. */
export const AUDIT_WINNERS_MAX = 32
/** A segment is an eighth of auditBytesMax, but no larger: it is what rotation takes away at a time. */
export const AUDIT_SEGMENT_BYTES_MAX = 32 * MiB
export const AUDIT_SEGMENTS_MIN = 8
/** Files in the folder: each start begins a new one, so that a torn line stays the last of its file. */
export const AUDIT_FILES_MAX = 4096
/** After a failed write, records are dropped for so long before the next try. */
export const AUDIT_RETRY_MS = 1_000
/** Bytes that one request reads through; then it answers with what it has found, and a cursor. */
export const AUDIT_SCAN_BYTES_MAX = 8 * MiB
/** Requests that read the audit at a time. */
export const AUDIT_READS_MAX = 16
export const AUDIT_LIMIT_DEFAULT = 100
export const AUDIT_LIMIT_MAX = 1_000
