// fsync of a folder does nothing: new names may be gone after a power cut.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const fsyncSync = fs.fsyncSync
fs.fsyncSync = (fd) => {
  if (!fs.fstatSync(fd).isDirectory()) fsyncSync(fd)
}
syncBuiltinESMExports()
