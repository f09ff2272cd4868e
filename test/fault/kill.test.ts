import { mkdtempSync, readdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { recordPlaces } from '../support/strace.records.ts'
import { StartFailure } from '../support/server.ts'

t.setTimeout(800_000)

// SIGKILL at a random moment of a mixed stream, and everything that was acked, or seen by a read, is there after the
// restart. This proves recovery, not fsync: the page cache outlives the process (power-cut.test.ts proves that).

const KILLS = trialCount(100)
const KILLS_PER_DIR = Math.min(50, KILLS)
const READY_MS_MAX = 5000
const STREAM_MS_MAX = 400
/** Paced, so that the stream never ends before the kill and everything can be read back after it. */
const SHAPE = { connections: 64, batchMax: 8, window: 1, claimsMax: 20_000, pauseMs: 10 }

const seed = trialSeed()
const done = { kills: 0, failures: 0, acked: 0, readyMs: [] as number[], tooth: '' }

// The median: one start may fall on a moment when the machine does something else.
const medianReadyMs = (): number => done.readyMs.sort((a, b) => a - b)[done.readyMs.length >> 1] ?? Number.NaN

t.teardown(() => recordFault({
  id: 'D1', title: 'SIGKILL at a random moment of a 64-connection stream, then a restart', trials: done.kills, unit: 'kills', failures: done.failures, seed,
  figures: { ackedAssertions: done.acked, readyMsMedian: Math.round(medianReadyMs()), readyMsMost: Math.round(done.readyMs.at(-1) ?? Number.NaN) },
  tooth: done.tooth,
}))

async function trialIn(t: Test, subseed: number): Promise<{ trial: Trial, dataDir: string }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-kill-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return { trial: await Trial.create({ dataDir }, subseed), dataDir }
}

t.test(`${KILLS} kills at random moments of a stream lose nothing`, async (t) => {
  t.comment(`seed ${seed}`)
  for (let first = 0; first < KILLS; first += KILLS_PER_DIR) {
    const { trial } = await trialIn(t, seed + first)
    let resent = 0
    for (let kill = 0; kill <= KILLS_PER_DIR; kill++) {
      const server = await trial.start()
      if (kill > 0) {
        done.readyMs.push(server.startMs)
        done.kills++
        const verdict = await trial.checkNew(server)
        if (!isWhole(verdict)) {
          done.failures++
          t.fail(`kill ${first + kill}: ${describeVerdict(verdict)}`, { logs: server.logs() })
        }
        resent += await trial.resendOpen(server)
      }
      if (kill === KILLS_PER_DIR) {
        const verdict = await trial.checkAll(server)
        if (!t.ok(isWhole(verdict), `after ${KILLS_PER_DIR} kills: ${describeVerdict(verdict)}`)) done.failures++
        done.acked += verdict.counts.acked
        t.ok(verdict.counts.acked >= 500 && resent > 0, `enough happened to mean anything; ${resent} open batches were sent again`)
        await server.kill9()
        break
      }
      const stream = await trial.beginStream(server, SHAPE)
      await sleep(trial.random.u32() % STREAM_MS_MAX)
      await server.kill9()
      trial.endStream()
      if (stream.faults.length > 0) t.fail(`protocol: ${stream.faults.slice(0, 3).join('; ')}`)
    }
  }
  const medianMs = medianReadyMs()
  t.ok(medianMs <= READY_MS_MAX, `ready after a kill in ${medianMs.toFixed(0)} ms, at most ${done.readyMs.at(-1)?.toFixed(0)} ms`)
  t.comment(`${KILLS} kills, seed ${seed}`)
})

t.test('the tooth: a log that loses its last acked record is noticed', async (t) => {
  const { trial, dataDir } = await trialIn(t, seed ^ 0x5eed)
  const server = await trial.start()
  const stream = await trial.beginStream(server, { ...SHAPE, claimsMax: 500 })
  await sleep(300)
  stream.pause()
  await stream.settle()
  await server.kill9()
  trial.endStream()
  const places = recordPlaces(dataDir)
  const last = places.at(-1)!
  const bytes = readFileSync(last.path)
  bytes.fill(0, last.offset)
  writeFileSync(last.path, bytes)
  for (const name of readdirSync(dataDir)) if (name === 'db') rmSync(join(dataDir, name), { recursive: true })
  const restarted = await tryStart(trial)
  if (restarted instanceof StartFailure) {
    if (t.not(restarted.exit?.code, 0, 'it refuses to start')) done.tooth = 'a log without its last acked record: the start is refused'
    return
  }
  const verdict = await trial.checkNew(restarted)
  if (t.ok(verdict.broken.lost.length > 0, describeVerdict(verdict))) done.tooth = 'a log without its last acked record: noticed'
  await restarted.kill9()
})
