import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../src/base/assert.ts'
import { verifyRate } from '../src/cli/tune/verify-rate.ts'
import type { VerifyAlone } from './lib/verify-alone.ts'

const port = must(parentPort, 'parent port')
port.postMessage(await verifyRate({ ...workerData as VerifyAlone, batch: 1, sign: 'single', recordBytes: 300 }))
