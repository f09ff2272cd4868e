import { runThread } from '../src/node/run-thread.ts'
import { buildMerkleStage } from '../src/node/stage-merkle.ts'
import type { ThreadEnd, ThreadStart } from '../src/node/thread.messages.ts'

export default (start: ThreadStart): Promise<ThreadEnd> => runThread('merkle', start, buildMerkleStage)
