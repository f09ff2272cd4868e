import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialClock, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { eraseLastRecords } from '../support/strace.records.ts'
import { StartFailure } from '../support/server.ts'

t.setTimeout(1_150_000)

// SIGKILL at a random moment of a mixed stream, and everything that was acked, or seen by a read, is there after the
// restart. This proves recovery, not fsync: the page cache outlives the process (power-cut.test.ts proves that).

const KILLS = trialCount(200)
/** A machine that does something else as well does fewer of them, and says how many; never less than what the promise rests on. */
const KILLS_MIN = Math.min(KILLS, 100)
const USUAL_MS = 100_000
const KILLS_PER_DIR = Math.min(50, KILLS)
const READY_MS_MAX = 5000
/** Where even a start from nothing takes long, something else has the machine: so many times as long then. */
const READY_RATIO_MAX = 2
const STREAM_MS_MAX = 400
/** Older batches that each check reads again, besides all that is new. */
const SAMPLED_BATCHES = 150
/** Paced, so that the stream never ends before the kill and everything can be read back after it. */
const SHAPE = { connections: 64, batchMax: 8, window: 1, claimsMax: 20_000, pauseMs: 10 }

const seed = trialSeed()

async function trialIn(t: Test, subseed: number, mode: 'threaded' | 'inline'): Promise<{ trial: Trial, dataDir: string }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-kill-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return { trial: await Trial.create({ dataDir, settings: { mode } }, subseed), dataDir }
}

t.test(`up to ${KILLS} kills at random moments of a stream lose nothing`, async (t) => {
  t.comment(`seed ${seed}`)
  const readyMs: number[] = []
  const emptyMs: number[] = []
  const mayGoOn = trialClock(USUAL_MS)
  const isEnough = (): boolean => kills >= KILLS || (kills >= KILLS_MIN && !mayGoOn())
  let kills = 0
  let failures = 0
  let acked = 0
  for (let number = 0; !isEnough(); number++) {
    // Half of them on one thread, which starts in a third of the time.
    const { trial } = await trialIn(t, seed + number, number % 2 === 0 ? 'threaded' : 'inline')
    let resent = 0
    for (let inDir = 0, isLast = false; !isLast; inDir++) {
      const server = await trial.start()
      if (inDir === 0) emptyMs.push(server.startMs)
      isLast = inDir === KILLS_PER_DIR || (inDir > 0 && isEnough())
      if (inDir > 0) {
        readyMs.push(server.startMs)
        const verdict = await trial.checkNew(server, SAMPLED_BATCHES)
        if (!isWhole(verdict)) {
          failures++
          t.fail(`kill ${kills}: ${describeVerdict(verdict)}`, { logs: server.logs() })
        }
        resent += await trial.resendOpen(server)
      }
      if (isLast) {
        const verdict = await trial.checkAll(server)
        t.ok(isWhole(verdict), `after ${inDir} kills: ${describeVerdict(verdict)}`)
        t.ok(inDir < KILLS_PER_DIR || (verdict.counts.acked >= 500 && resent > 0), `enough happened to mean anything; ${resent} open batches were sent again`)
        acked += verdict.counts.acked
        await server.kill9()
        break
      }
      const stream = await trial.beginStream(server, SHAPE)
      await sleep(trial.random.u32() % STREAM_MS_MAX)
      await server.kill9()
      kills++
      trial.endStream()
      if (stream.faults.length > 0) t.fail(`protocol: ${stream.faults.slice(0, 3).join('; ')}`)
    }
  }
  // The median: one start may fall on a moment when the machine does something else.
  readyMs.sort((a, b) => a - b)
  const medianMs = readyMs[readyMs.length >> 1] ?? Number.NaN
  const boundMs = Math.max(READY_MS_MAX, READY_RATIO_MAX * Math.max(...emptyMs))
  t.ok(medianMs <= boundMs, `ready after a kill in ${medianMs.toFixed(0)} ms (at most ${readyMs.at(-1)?.toFixed(0)} ms), from nothing in ${Math.max(...emptyMs).toFixed(0)} ms`)
  t.comment(`${kills} kills, seed ${seed}`)
  recordFault({
    id: 'D1', title: 'SIGKILL at a random moment of a stream', trials: kills, unit: 'kills', failures, seed,
    figures: { acked, medianReadyMs: Math.round(medianMs) }, tooth: 'a log whose last acked record is gone',
  })
})

t.test('the tooth: a log that loses its last acked record is noticed', async (t) => {
  const { trial, dataDir } = await trialIn(t, seed ^ 0x5eed, 'threaded')
  const server = await trial.start()
  const stream = await trial.beginStream(server, { ...SHAPE, claimsMax: 500 })
  await sleep(300)
  stream.pause()
  await stream.settle()
  await server.kill9()
  trial.endStream()
  eraseLastRecords(dataDir, 1)
  const restarted = await tryStart(trial)
  if (restarted instanceof StartFailure) {
    t.not(restarted.exit?.code, 0, 'it refuses to start')
    return
  }
  const verdict = await trial.checkNew(restarted)
  t.ok(verdict.broken.lost.length > 0, describeVerdict(verdict))
  await restarted.kill9()
})
