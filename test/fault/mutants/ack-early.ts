// The log's fdatasync returns at once and does nothing: every ack is early.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

fs.fdatasyncSync = () => undefined
syncBuiltinESMExports()
