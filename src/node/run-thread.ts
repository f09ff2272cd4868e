import { isMainThread } from 'node:worker_threads'
import { assert, must } from '../base/assert.ts'
import { systemClock } from '../base/clock.ts'
import type { ThreadKind } from '../base/thread-kinds.ts'
import { encodeError } from '../base/errors.ts'
import type { Bell } from '../ring/bell.ts'
import { threadMetrics } from '../observe/thread-metrics.ts'
import { ThreadControl } from '../thread/control.ts'
import { runStage, type Stage } from '../thread/stage.ts'
import { lowerOwnPriority } from './background-priority.ts'
import { ThreadMemory } from './thread-memory.ts'
import type { ThreadEnd, ThreadStart } from './thread.messages.ts'

/** Kinds of threads that no request waits for. */
const GIVES_WAY: ReadonlySet<ThreadKind> = new Set<ThreadKind>(['ingest', 'feed', 'scrub', 'tlog'])
/** Of tlog, wherever the others give way: nothing that is written waits for proofs, which may lag as far as they must. */
const LAST_NICE = 19

/**
 * What each file in workers/ does: wait until it may begin, with its code loaded, build its stage, say that it is ready, run until told to stop. Errors are returned,
 * not thrown, because a thrown one loses its code at the thread's edge.
 */
export async function runThread(kind: ThreadKind, start: ThreadStart, build: (start: ThreadStart) => Promise<{ stage: Stage, bell: Bell }>): Promise<ThreadEnd> {
  assert(!isMainThread, `${kind} was started on the main thread`)
  try {
    const control = new ThreadControl(start.memory.controls[kind])
    const { backgroundNice } = start.config
    if (GIVES_WAY.has(kind)) lowerOwnPriority(kind === 'tlog' && backgroundNice > 0 ? LAST_NICE : backgroundNice)
    control.waitBegin()
    const { stage, bell } = await build(start)
    control.ready()
    const memory = new ThreadMemory(kind, threadMetrics(must(start.memory.metrics[kind][start.index])), systemClock)
    runStage(stage, bell, control, () => memory.look())
    return { ended: 'drained' }
  } catch (error) {
    return { ended: 'failed', error: encodeError(error) }
  }
}
