import { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { decodeError } from '../base/errors.ts'
import type { ThreadKind } from '../base/thread-kinds.ts'
import { Bell } from '../ring/bell.ts'
import { Marks } from '../ring/marks.ts'
import { ThreadControl } from '../thread/control.ts'
import { threadCounts, type NodeMemory } from './memory.ts'
import type { ThreadEnd, ThreadStart } from './thread.messages.ts'
import { workerUrls } from './worker-urls.ts'

/** Longest time that a thread may take to say that it is ready; replay has a limit of its own (none). */
const READY_MS_MAX = 30_000

/** All threads of one kind, from start to end. */
export interface ThreadGroup {
  readonly kind: ThreadKind
  /** Rejects with the error of the first thread that ends by one; resolves when all have drained after `stop`. */
  readonly ended: Promise<void>
  /**
   * Lets them begin and resolves when each said that it is ready. They load their code before.
   * @param readyMsMax in milliseconds; infinity for those that replay the log
   * @throws the error of a thread that failed before it was ready.
   */
  begin(readyMsMax?: number): Promise<void>
  /** Lets them finish what their rings hold, and resolves when they have ended. They have begun. */
  stop(): Promise<void>
}

/** Starts all threads of a kind, which then wait for `begin`. */
export function startThreads(kind: ThreadKind, start: Omit<ThreadStart, 'index'>): ThreadGroup {
  const count = threadCounts(start.config)[kind]
  const control = new ThreadControl(start.memory.controls[kind])
  const starts = Array.from({ length: count }, (_, index): ThreadStart => ({ ...start, index }))
  const ends = kind === 'ingest' || kind === 'wal' || kind === 'feed' || kind === 'scrub' || kind === 'tlog' ? starts.map((data) => runWorker(kind, data)) : runPool(kind, starts)
  const ended = Promise.all(ends).then(() => {})
  // Whoever awaits `ended` hears of the error; until then it must not count as unhandled.
  ended.catch(() => {})
  return {
    kind,
    ended,
    async begin(readyMsMax = READY_MS_MAX) {
      control.begin()
      const outcome = count === 0 || await Promise.race([control.waitReady(count, readyMsMax), ended.then(() => false)])
      if (!outcome) throw new Error(`${kind} threads were not ready after ${readyMsMax} ms`)
    },
    async stop() {
      control.stop()
      for (const bell of bellsOf(kind, start.memory)) bell.ring()
      await ended
    },
  }
}

/** The bells that threads of a kind sleep on. */
function bellsOf(kind: ThreadKind, { bells, marks }: NodeMemory): Bell[] {
  switch (kind) {
    case 'ingest': return [new Marks(marks).durableBell]
    case 'feed': return [new Marks(marks).followerBell]
    case 'wal': return [new Bell(bells.commit)]
    case 'scrub': return [new Bell(bells.scrub)]
    case 'tlog': return [new Bell(bells.tlog)]
    default: return bells[kind].map((bell) => new Bell(bell))
  }
}

/** A long-lived thread of its own. */
async function runWorker(kind: 'ingest' | 'wal' | 'feed' | 'scrub' | 'tlog', data: ThreadStart): Promise<void> {
  const worker = new Worker(workerUrls[kind], { workerData: data, name: `stemedb-${kind}` })
  const end = await new Promise<ThreadEnd>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`thread ${kind} exited with ${code}`)))
  })
  throwIfFailed(end)
}

/** Members of a piscina pool: each runs one task for as long as the node lives. */
function runPool(kind: 'verify' | 'merkle' | 'lens', starts: readonly ThreadStart[]): Promise<void>[] {
  const pool = new Piscina<ThreadStart, ThreadEnd>({
    filename: workerUrls[kind].href,
    minThreads: starts.length,
    maxThreads: starts.length,
    concurrentTasksPerWorker: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Its tasks never end, so there is no queue whose wait could be shortened.
    atomics: 'disabled',
  })
  const ends = starts.map(async (start) => throwIfFailed(await pool.run(start)))
  void Promise.allSettled(ends).then(() => pool.destroy())
  return ends
}

function throwIfFailed(end: ThreadEnd): void {
  if (end.ended === 'failed') throw decodeError(end.error)
}
