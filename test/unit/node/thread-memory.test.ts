import t from 'tap'
import { ThreadMemory } from '../../../src/node/thread-memory.ts'
import type { ThreadMetrics } from '../../../src/observe/thread-metrics.ts'

t.test('a thread says what it takes: at first, and every five seconds while it works', (t) => {
  const said: [string, object, number][] = []
  const metrics = { set: (name: string, labels: object, value: number) => { said.push([name, labels, value]) } } as unknown as ThreadMetrics
  let nowMs = 1_000_000
  const memory = new ThreadMemory('tlog', metrics, { monoMs: () => nowMs })
  const work = (): void => { for (let i = 0; i < 100; i++) memory.look() }
  work()
  t.same(said.map(([name, labels]) => [name, labels]), [['thread_heap_bytes', { thread: 'tlog' }], ['thread_external_bytes', { thread: 'tlog' }]])
  t.ok(said[0]![2] > 2 ** 20, 'a heap has megabytes')
  nowMs += 4999
  work()
  t.equal(said.length, 2)
  const held = new Uint8Array(64 * 2 ** 20).fill(1)
  nowMs += 1
  work()
  t.equal(said.length, 4)
  t.ok(said[3]![2] - said[1]![2] >= held.length, 'buffers count')
  t.end()
})
