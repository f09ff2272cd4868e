// The limit of open files can not be read: connections are bounded by the settings alone.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const read = fs.readFileSync
fs.readFileSync = ((...args: Parameters<typeof read>) => {
  if (args[0] === '/proc/self/limits') throw new Error('no limits')
  return read(...args)
}) as typeof read
syncBuiltinESMExports()
