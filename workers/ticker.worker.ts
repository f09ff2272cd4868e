// Rings a bell at even intervals, for `stemedb load`. A thread of its own, because timers of an event loop have whole
// milliseconds only, and spinning would take a core from the server under test.
import { isMainThread, workerData } from 'node:worker_threads'
import { assert } from '../src/base/assert.ts'
import { systemClock } from '../src/base/clock.ts'
import { Bell } from '../src/ring/bell.ts'
import type { TickerData } from '../src/thread/ticker.messages.ts'

assert(!isMainThread, 'the ticker runs on a thread of its own')
const data = workerData as TickerData
const tick = new Bell(data.tickBuffer)
const stop = new Bell(data.stopBuffer)
const prepared = 0

for (let count = 1; ; count++) {
  const dueMs = data.startMs + count * data.intervalMs
  const waitMs = dueMs - systemClock.monoMs()
  if (stop.wait(prepared, Math.max(0, waitMs))) break
  tick.ring()
  // Ticks that were missed are not made up one by one: who listens reads the clock.
  const behind = Math.floor((systemClock.monoMs() - dueMs) / data.intervalMs)
  if (behind > 0) count += behind
}
