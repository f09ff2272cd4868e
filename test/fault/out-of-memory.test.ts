import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { MemoryGroup } from '../support/memory-group.ts'
import { StartFailure, within, type Exit, type RunningServer } from '../support/server.ts'
import { eraseLastRecords } from '../support/strace.records.ts'

t.setTimeout(1_000_000)

// The kernel has no memory left for a node in the middle of a mixed stream. Before it ends the node it takes back all that files have in
// memory, dirty pages by writing them out: so, unlike a SIGKILL from outside, it falls on a node that has waited for its disk for a while.

const KILLS = trialCount(3)
const STREAM_MS_MAX = 1500
const KILLED_MS_MAX = 30_000
const SHAPE = { connections: 64, batchMax: 8, window: 1, claimsMax: 100_000, pauseMs: 10 }

const seed = trialSeed()

/** Streams for a random while, then takes the memory away. How the process ended; undefined: it did not. */
async function streamUntilKilled(trial: Trial, server: RunningServer, group: MemoryGroup): Promise<Exit | undefined> {
  const stream = await trial.beginStream(server, SHAPE)
  await sleep(trial.random.u32() % STREAM_MS_MAX)
  const giveBack = group.exhaust()
  const exit = await within(server.exited, KILLED_MS_MAX)
  await giveBack()
  trial.endStream()
  if (stream.faults.length > 0) throw new Error(`protocol: ${stream.faults.slice(0, 3).join('; ')}`)
  return exit
}

t.test(`${KILLS} nodes that the kernel had no memory for lose nothing`, async (t) => {
  const group = MemoryGroup.require(t)
  if (group === undefined) return
  t.comment(`seed ${seed}`)
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-oom-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const trial = await Trial.create({ dataDir, wrapper: group.wrapper }, seed)
  let failures = 0
  let resent = 0
  const check = async (server: RunningServer): Promise<void> => {
    const verdict = await trial.checkNew(server)
    if (!isWhole(verdict)) failures++
    t.ok(isWhole(verdict), describeVerdict(verdict))
    resent += await trial.resendOpen(server)
  }
  for (let kills = 0; kills < KILLS; kills++) {
    const server = await trial.start()
    if (kills > 0) await check(server)
    const before = group.kills
    const exit = await streamUntilKilled(trial, server, group)
    t.match(exit, { signal: 'SIGKILL' }, 'it was killed')
    t.ok(group.kills > before, 'by the kernel')
    if (exit === undefined) await server.kill9()
  }
  const last = await trial.start()
  await check(last)
  const verdict = await trial.checkAll(last)
  t.ok(isWhole(verdict), describeVerdict(verdict))
  t.ok(verdict.counts.acked > 50 * KILLS && resent > 0, `enough happened to mean anything: ${verdict.counts.acked} acked, ${resent} open batches were sent again`)
  await last.kill9()

  // The tooth: a node that had acked what it had not written.
  const server = await trial.start()
  await streamUntilKilled(trial, server, group)
  // One more than may be without an ack.
  eraseLastRecords(dataDir, SHAPE.connections * SHAPE.window + 1)
  const restarted = await tryStart(trial)
  if (restarted instanceof StartFailure) {
    t.not(restarted.exit?.code, 0, 'it refuses to start')
  } else {
    const lost = await trial.checkNew(restarted)
    t.ok(lost.broken.lost.length > 0, describeVerdict(lost))
    await restarted.kill9()
  }
  recordFault({
    id: 'D1', title: 'no memory left, in the middle of a stream: killed by the kernel', trials: KILLS, unit: 'kills', failures, seed,
    figures: { acked: verdict.counts.acked }, tooth: 'a log whose last acked records are gone',
  })
})
