#!/usr/bin/env node
import { processConsole, reportError } from './console.ts'
import { runCli } from './program.ts'

// A reader that goes away (`stemedb wal inspect | head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// What this program writes is for its owner, also where a library opens the file (RocksDB asks for 0644).
process.umask(0o077)

let exitCode: number
try {
  exitCode = await runCli(process.argv.slice(2), processConsole)
} catch (error) {
  exitCode = reportError(processConsole, error, { verbose: true })
}
process.exitCode = exitCode
// A node's own threads and sockets are down by now; what is left (keep-alive sockets) holds nobody up.
process.stdout.write('', () => process.exit(exitCode))
