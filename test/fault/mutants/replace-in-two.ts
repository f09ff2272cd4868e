// A rename onto a file that is there removes that first: a kill between the two leaves neither the old nor the new.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const renameSync = fs.renameSync
fs.renameSync = (from, to) => {
  if (fs.existsSync(to)) fs.unlinkSync(to)
  renameSync(from, to)
}
syncBuiltinESMExports()
