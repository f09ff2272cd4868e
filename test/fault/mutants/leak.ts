import { openSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

// Ten times a second the process grows by 2 MiB, a file that nobody closes, and a timer that nobody stops.
const kept: Buffer[] = []
if (isMainThread) {
  setInterval(() => {
    kept.push(Buffer.alloc(2 * 2 ** 20, 1))
    openSync('/dev/null', 'r')
    setInterval(() => kept.length, 60_000)
  }, 100).unref()
}
