import { isDbError } from '../base/errors.ts'
import { actionOf, exitCodeOf } from '../base/exit-codes.ts'

/** Where a command writes. Results go to `out`, everything else to `err`; a test hands in its own. */
export interface Console {
  out(line: string): void
  err(line: string): void
  /** Standard error is a terminal: progress may be drawn there. */
  readonly isTerminal: boolean
  /** Standard output is a terminal that shows colours, and nobody asked it not to (`NO_COLOR`). */
  readonly hasColours?: boolean
  /** All of standard input, piece by piece. */
  stdin(): AsyncIterable<Uint8Array>
}

export const processConsole: Console = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  isTerminal: process.stderr.isTTY === true,
  hasColours: process.stdout.isTTY === true && process.stdout.hasColors(),
  stdin: () => process.stdin,
}

export interface OutputOptions {
  readonly json?: boolean
  readonly verbose?: boolean
}

/**
 * Says what went wrong in one line, with its code and what to do; as JSON where the command speaks JSON. A stack only with
 * `verbose`. Returns the exit code.
 */
export function reportError(console: Console, error: unknown, { json = false, verbose = false }: OutputOptions): number {
  const message = error instanceof Error ? error.message : String(error)
  const code = isDbError(error) ? error.code : 'internal'
  if (json) {
    console.err(JSON.stringify({ error: { code, message, action: actionOf(error), details: isDbError(error) ? error.details : {} } }))
  } else {
    console.err(`stemedb: ${message.replace(/[.\s]+$/, '')} [${code}]. ${actionOf(error)}`)
  }
  if (verbose && error instanceof Error) console.err(String(error.stack))
  return exitCodeOf(error)
}
