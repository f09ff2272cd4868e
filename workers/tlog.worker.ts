import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../src/base/assert.ts'
import { runThread } from '../src/node/run-thread.ts'
import type { ThreadStart } from '../src/node/thread.messages.ts'
import { buildTlogStage } from '../src/node/tlog.ts'

must(parentPort, 'parent port').postMessage(await runThread('tlog', workerData as ThreadStart, buildTlogStage))
