// SIGTERM ends the process at once, and calls that an orderly end.
import { isMainThread } from 'node:worker_threads'

if (isMainThread) process.prependListener('SIGTERM', () => process.exit(0))
