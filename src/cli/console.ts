import { fstatSync, writeSync } from 'node:fs'
import { DbError, errnoOf, isDbError } from '../base/errors.ts'
import { actionOf, exitCodeOf } from '../base/exit-codes.ts'
import { printable, shortId, wholeId, type ShowId } from './words.ts'

/** Where a command writes. Results go to `out`, everything else to `err`; a test hands in its own. */
export interface Console {
  /** @throws {DbError} `io_error` where that can be told at once */
  out(line: string): void
  err(line: string): void
  /** Standard error is a terminal: progress may be drawn there. */
  readonly isTerminal: boolean
  /** Characters in a line of standard output, where that is a terminal; undefined elsewhere. */
  readonly columns?: number | undefined
  /** Standard output is a terminal that shows colours, and nobody asked it not to (`NO_COLOR`). */
  readonly hasColours?: boolean
  /** All of standard input, piece by piece. */
  stdin(): AsyncIterable<Uint8Array>
}

const STDOUT_FD = 1

/** That results could not be written. */
export const outputFailed = (cause: unknown): DbError =>
  new DbError('io_error', `standard output can not be written: ${errnoOf(cause) ?? String(cause)}`, { output: 'standard output' }, { cause })

/** Writes all of it. Node's own stream for files takes a write that was cut short for a whole one, as the last one on a full disk is. */
function writeWhole(text: string): void {
  const bytes = Buffer.from(text)
  try {
    for (let written = 0; written < bytes.length;) written += writeSync(STDOUT_FD, bytes, written)
  } catch (error) {
    throw outputFailed(error)
  }
}

/** Each write is done when it returns, or has failed: nothing is left to wait for. */
export function stdoutIsFile(): boolean {
  const stat = fstatSync(STDOUT_FD)
  return process.stdout.isTTY !== true && (stat.isFile() || stat.isCharacterDevice())
}

export function processConsole(): Console {
  const { stdout, stderr, stdin } = process
  return {
    out: stdoutIsFile() ? (line) => writeWhole(`${line}\n`) : (line) => void stdout.write(`${line}\n`),
    err: (line) => void stderr.write(`${line}\n`),
    isTerminal: stderr.isTTY === true,
    // Some terminals say 0, and know no width.
    columns: stdout.isTTY === true ? stdout.columns || Infinity : undefined,
    hasColours: stdout.isTTY === true && stdout.hasColors(),
    stdin: () => stdin,
  }
}

/** Ids are shortened for a person on a terminal who did not ask for whole ones. */
export const showIdOn = ({ columns }: Console, fullIds = false): ShowId => (columns === undefined || fullIds ? wholeId : shortId)

export interface OutputOptions {
  readonly json?: boolean
  readonly verbose?: boolean
}

/**
 * Says what went wrong in one line, whatever a stranger's words are in it, with its code and what to do; as JSON where the command speaks
 * JSON. A stack only with `verbose`. Returns the exit code.
 */
export function reportError(console: Console, error: unknown, { json = false, verbose = false }: OutputOptions): number {
  const message = error instanceof Error ? error.message : String(error)
  const code = isDbError(error) ? error.code : 'internal'
  if (json) {
    console.err(JSON.stringify({ error: { code, message, action: actionOf(error), details: isDbError(error) ? error.details : {} } }))
  } else {
    console.err(`stemedb: ${printable(message).replace(/[.\s]+$/, '')} [${code}]. ${actionOf(error)}`)
  }
  if (verbose && error instanceof Error) for (const line of String(error.stack).split('\n')) console.err(line.replace(/\S.*/, printable))
  return exitCodeOf(error)
}
