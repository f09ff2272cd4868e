import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../src/base/assert.ts'
import { runThread } from '../src/node/run-thread.ts'
import { buildIngestStage } from '../src/node/stage-ingest.ts'
import type { ThreadStart } from '../src/node/thread.messages.ts'

must(parentPort, 'parent port').postMessage(await runThread('ingest', workerData as ThreadStart, buildIngestStage))
