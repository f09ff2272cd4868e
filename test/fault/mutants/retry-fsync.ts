// A failed sync is tried again until it works: what the kernel has dropped by then is acked.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const TRIES = 5
const retrying = (sync: (fd: number) => void) => (fd: number): void => {
  for (let i = 1; ; i++) {
    try {
      sync(fd)
      return
    } catch (error) {
      if (i === TRIES) throw error
    }
  }
}
fs.fdatasyncSync = retrying(fs.fdatasyncSync)
fs.fsyncSync = retrying(fs.fsyncSync)
syncBuiltinESMExports()
