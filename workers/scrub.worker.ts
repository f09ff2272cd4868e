import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../src/base/assert.ts'
import { runThread } from '../src/node/run-thread.ts'
import { buildScrubStage } from '../src/node/scrub.ts'
import type { ThreadStart } from '../src/node/thread.messages.ts'

must(parentPort, 'parent port').postMessage(await runThread('scrub', workerData as ThreadStart, buildScrubStage))
