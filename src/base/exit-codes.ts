import { ERROR_CODES, type ErrorName } from './error-codes.ts'
import { isDbError } from './errors.ts'

/** Exit codes of every command; those from 64 on are of sysexits.h. docs/reference/cli.md lists them. */
export const EXIT = Object.freeze({
  ok: 0,
  /** Something was refused, not found or not right; what, stands in the output. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The data directory is in use, damaged, or of a newer version. */
  data: 66,
  /** The node can not be reached, or can not answer now. */
  unavailable: 69,
  /** A bug. */
  internal: 70,
  /** The disk failed, or what was to be said could not be written. */
  io: 74,
  /** A setting or a key file is wrong. */
  config: 78,
})

const BY_CODE: Readonly<Partial<Record<ErrorName, number>>> = {
  config_invalid: EXIT.config,
  data_dir_locked: EXIT.data,
  wal_corrupt: EXIT.data,
  store_corrupt: EXIT.data,
  format_unsupported: EXIT.data,
  unreachable: EXIT.unavailable,
  timeout: EXIT.unavailable,
  overloaded: EXIT.unavailable,
  shutting_down: EXIT.unavailable,
  starting: EXIT.unavailable,
  connections_exhausted: EXIT.unavailable,
  protocol_unsupported: EXIT.unavailable,
  durability_failed: EXIT.io,
  io_error: EXIT.io,
  disk_full: EXIT.io,
  internal: EXIT.internal,
  parameter_invalid: EXIT.usage,
}

/** The exit code for an error that ended a command. */
export function exitCodeOf(error: unknown): number {
  return isDbError(error) ? BY_CODE[error.code] ?? EXIT.failed : EXIT.internal
}

/** What the user should do about it. */
export function actionOf(error: unknown): string {
  const code = isDbError(error) ? error.code : 'internal'
  // The table speaks of HTTP there, and of the node's disk here.
  if (code === 'parameter_invalid') return 'The command with --help says what it takes.'
  return isDbError(error) && 'output' in error.details ? 'Free space there, or write elsewhere.' : ERROR_CODES[code].action
}
