import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { lowerPriorityOfThreads } from '../../../src/node/background-priority.ts'

/** Nice value of a thread of this process: field 19 of its stat (proc(5)), counted behind the name, which may hold blanks. */
const niceOf = (thread: number): number => {
  const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
}

t.test('a thread lowers itself and no other', { skip: process.platform === 'linux' ? false : 'Linux only' }, async (t) => {
  const before = niceOf(process.pid)
  const worker = new Worker(`
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.url).then(({ lowerOwnPriority }) => {
      const done = lowerOwnPriority(7)
      parentPort.postMessage({ done, thread: Number(require('node:fs').readlinkSync('/proc/thread-self').split('/').pop()) })
      setTimeout(() => {}, 60_000)
    })
  `, { eval: true, workerData: { url: new URL('../../../src/node/background-priority.js', import.meta.url).href } })
  const [{ done, thread }] = await once(worker, 'message') as [{ done: boolean, thread: number }]
  t.ok(done)
  t.equal(niceOf(thread), 7)
  t.equal(niceOf(process.pid), before, 'the main thread is as it was')
  await worker.terminate()
})

t.test('threads by the beginning of their name; where there is none, nothing happens', async (t) => {
  t.equal(lowerPriorityOfThreads('no thread is called so', 3), 0)
})
