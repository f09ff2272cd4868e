import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { isDbError } from '../base/errors.ts'

/** Exit codes of `stemedb serve`, after sysexits.h: a supervisor may restart on 70 and 74, and need not on 64 and 78. */
export const EXIT = Object.freeze({
  ok: 0,
  /** A setting is wrong (EX_CONFIG). */
  config: 78,
  /** The data directory is in use, damaged, or of a newer version: nothing that a restart mends (EX_NOINPUT). */
  data: 66,
  /** A bug, or a thread that ended (EX_SOFTWARE). */
  internal: 70,
  /** The disk failed: a restart recovers what was acknowledged (EX_IOERR). */
  io: 74,
})

const DATA_CODES: ReadonlySet<ErrorName> = new Set(['data_dir_locked', 'wal_corrupt', 'store_corrupt', 'format_unsupported'])
const IO_CODES: ReadonlySet<ErrorName> = new Set(['durability_failed', 'io_error', 'disk_full'])

/** The exit code for what ended the process. */
export function exitCodeOf(error: unknown): number {
  if (!isDbError(error)) return EXIT.internal
  if (error.code === 'config_invalid') return EXIT.config
  if (DATA_CODES.has(error.code)) return EXIT.data
  return IO_CODES.has(error.code) ? EXIT.io : EXIT.internal
}

/** What an operator should do about an error, in one sentence. */
export const actionOf = (error: unknown): string => isDbError(error) ? ERROR_CODES[error.code].action : ERROR_CODES.internal.action
