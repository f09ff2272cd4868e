// The rewritten end of the log is thrown away: what a start read, perhaps from the page cache alone, is served as it is.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const { renameSync } = fs
fs.renameSync = (from, to) => {
  if (String(from).endsWith('.wal.tmp')) fs.unlinkSync(from)
  else renameSync(from, to)
}
syncBuiltinESMExports()
