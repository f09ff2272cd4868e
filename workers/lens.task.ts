import { runThread } from '../src/node/run-thread.ts'
import { buildLensStage } from '../src/node/stage-lens.ts'
import type { ThreadEnd, ThreadStart } from '../src/node/thread.messages.ts'

export default (start: ThreadStart): Promise<ThreadEnd> => runThread('lens', start, buildLensStage)
