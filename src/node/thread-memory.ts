import { getHeapStatistics } from 'node:v8'
import type { Clock } from '../base/clock.ts'
import type { ThreadKind } from '../base/thread-kinds.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'

/** Interval at which a thread that works looks at its memory. */
const LOOK_MS = 5000
/** Looks of which one asks for the time, which costs more than the rest. */
const LOOKS_A_CLOCK = 16

/** What a thread takes of memory that only it can see: its V8 heap, and what its buffers hold outside of that. */
export class ThreadMemory {
  readonly #kind: ThreadKind
  readonly #metrics: ThreadMetrics
  readonly #clock: Pick<Clock, 'monoMs'>
  #nextMs = 0
  #looks = 0

  constructor(kind: ThreadKind, metrics: ThreadMetrics, clock: Pick<Clock, 'monoMs'>) {
    this.#kind = kind
    this.#metrics = metrics
    this.#clock = clock
  }

  /** Often: it mostly does nothing. */
  look(): void {
    if (this.#looks++ % LOOKS_A_CLOCK !== 0) return
    const nowMs = this.#clock.monoMs()
    if (nowMs < this.#nextMs) return
    this.#nextMs = nowMs + LOOK_MS
    const { total_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics()
    this.#metrics.set('thread_heap_bytes', { thread: this.#kind }, heapBytes)
    this.#metrics.set('thread_external_bytes', { thread: this.#kind }, externalBytes)
  }
}
