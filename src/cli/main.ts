#!/usr/bin/env node
import { isDbError } from '../base/errors.ts'
import { outputFailed, processConsole, reportError, stdoutIsFile } from './console.ts'
import { runCli } from './program.ts'

const args = process.argv.slice(2)
const console = processConsole()

function outputBroken(error: NodeJS.ErrnoException): void {
  // A node has other work than its one line, and ends by signals.
  if (args[0] === 'serve') return
  // A reader that goes away (`stemedb wal inspect | head`) ends the command quietly.
  if (error.code === 'EPIPE') process.exit(0)
  process.exit(reportError(console, outputFailed(error), { json: args.includes('--json') }))
}
process.stdout.on('error', outputBroken)
// What can not be told to anybody changes nothing.
process.stderr.on('error', () => undefined)

// What this program writes is for its owner, also where a library opens the file (RocksDB asks for 0644).
process.umask(0o077)

let exitCode: number
try {
  exitCode = await runCli(args, console)
} catch (error) {
  exitCode = reportError(console, error, { json: args.includes('--json'), verbose: !isDbError(error) })
}
process.exitCode = exitCode
// A node's own threads and sockets are down by now; what is left (keep-alive sockets) holds nobody up, but what a pipe has not taken yet.
if (stdoutIsFile()) process.exit(exitCode)
process.stdout.write('', (error) => {
  if (error instanceof Error) outputBroken(error)
  process.exit(exitCode)
})
