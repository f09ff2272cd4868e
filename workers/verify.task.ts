import { runThread } from '../src/node/run-thread.ts'
import { buildVerifyStage } from '../src/node/stage-verify.ts'
import type { ThreadEnd, ThreadStart } from '../src/node/thread.messages.ts'

export default (start: ThreadStart): Promise<ThreadEnd> => runThread('verify', start, buildVerifyStage)
