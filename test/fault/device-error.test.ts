import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { EXIT } from '../../src/base/exit-codes.ts'
import { MiB } from '../../src/base/units.ts'
import { FAILING_DEVICE_TOOLS, FailingDevice, type JournalPlace } from '../support/failing-device.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole, type Verdict } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { buildRoot } from '../support/root.ts'
import { StartFailure, within, type Settings } from '../support/server.ts'
import { requireRoot, requireTool } from '../support/tools.ts'

t.setTimeout(800_000)

// The device refuses writes for a while and then works again. What was written meanwhile stands in the page cache, clean and
// readable, and is not on the device: a node that starts then must not serve it before it has written it anew. A power cut
// afterwards shows who was right. Where the file system itself gives up, the node does not start and says why.

const RUNS = trialCount(5)
const DEVICE_BYTES = 160 * MiB
const END_MS_MAX = 30_000
const STREAM_MS = 400
const SHAPE = { connections: 16, batchMax: 16, window: 1, claimsMax: 5000, pauseMs: 5 }
const SETTINGS: Settings = { walSegmentBytes: 2 ** 20 }

const seed = trialSeed()
const trustCache = pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'trust-cache.js')).href

async function on(t: Test, journal: JournalPlace, subseed: number): Promise<{ device: FailingDevice, trial: Trial }> {
  const device = FailingDevice.create(DEVICE_BYTES, journal)
  t.teardown(() => device.remove())
  return { device, trial: await Trial.create({ dataDir: join(device.mountDir, 'data'), settings: SETTINGS }, subseed) }
}

/** Streams until the device fails and the node has ended of it. @returns its exit code; undefined where it went on. */
async function failUnderLoad(device: FailingDevice, trial: Trial, journal: JournalPlace): Promise<number | null | undefined> {
  const server = await trial.start()
  await trial.beginStream(server, SHAPE)
  await sleep(STREAM_MS + trial.random.u32() % STREAM_MS)
  device.fail()
  const exit = await within(server.exited, END_MS_MAX)
  if (exit === undefined) await server.kill9()
  trial.endStream()
  if (journal === 'inside') device.awaitReadOnly()
  device.heal()
  return exit?.code
}

interface Outcome {
  readonly exitCode: number | null | undefined
  /** What the start after the failure served, of claims whose fate was open. */
  readonly recovered: number
  readonly served: Verdict
  /** After the power cut; undefined where the node does not start any more. */
  readonly kept: Verdict | undefined
  readonly logs: string
}

async function failHealCut(t: Test, subseed: number, preload: readonly string[] = []): Promise<Outcome> {
  const { device, trial } = await on(t, 'elsewhere', subseed)
  const exitCode = await failUnderLoad(device, trial, 'elsewhere')
  const restarted = await trial.start({ preload })
  const served = await trial.checkNew(restarted)
  await trial.beginStream(restarted, SHAPE)
  await sleep(STREAM_MS)
  device.cutPower()
  await restarted.kill9()
  trial.endStream()
  device.unmount()
  device.mount()
  const after = await tryStart(trial)
  const kept = after instanceof StartFailure ? undefined : await trial.checkAll(after)
  const logs = after instanceof StartFailure ? after.logs : after.logs()
  if (!(after instanceof StartFailure)) await after.kill9()
  device.remove()
  return { exitCode, recovered: served.counts.recovered, served, kept, logs }
}

t.test(`${RUNS} times the device fails, heals, and loses its power`, async (t) => {
  if (!requireRoot(t) || !requireTool(t, ...FAILING_DEVICE_TOOLS)) return
  t.comment(`seed ${seed}`)
  let failures = 0
  let recovered = 0
  const startedMs = systemClock.monoMs()
  for (let run = 0; run < RUNS; run++) {
    const outcome = await failHealCut(t, seed + run)
    recovered += outcome.recovered
    const isGood = outcome.exitCode === EXIT.io && isWhole(outcome.served) && outcome.kept !== undefined && isWhole(outcome.kept)
    t.ok(isGood, `run ${run}: exit ${String(outcome.exitCode)}; after the cut ${outcome.kept === undefined ? 'no start' : describeVerdict(outcome.kept)}`,
      isGood ? {} : { served: describeVerdict(outcome.served), logs: outcome.logs })
    if (!isGood) failures++
  }
  const runMs = (systemClock.monoMs() - startedMs) / RUNS
  t.ok(recovered > 0, `${recovered} claims whose sync had failed were served after a restart, and kept`)

  const caught = await trustingMutant(t)
  recordFault({
    id: 'D6', title: 'the device fails writes, heals, the node restarts over the same page cache, then the power goes', trials: RUNS, unit: 'runs',
    failures, seed, figures: { recovered_claims: recovered, run_ms: Math.round(runMs) }, tooth: caught,
  })
})

/** The tooth: the same run with a start that serves what it reads, and copies nothing. */
async function trustingMutant(t: Test): Promise<string> {
  for (let run = 0; run < 3; run++) {
    const { kept, recovered, logs } = await failHealCut(t, (seed ^ 0x5eed) + run, [trustCache])
    if (recovered === 0) continue
    const lost = kept === undefined ? 'it does not start any more' : `${kept.broken.lost.length} lost, ${kept.broken.vanished.length} vanished`
    t.ok(kept === undefined ? /wal_corrupt/.test(logs) : kept.broken.vanished.length + kept.broken.lost.length > 0,
      `a start that trusts the page cache served ${recovered} claims that the device did not have: ${lost}`)
    return `trust-cache: ${lost}`
  }
  t.fail('no run had anything in the page cache that the device did not have')
  return 'none'
}

t.test('a file system that has given up: no start, with a message that says so, until it is mounted anew', async (t) => {
  if (!requireRoot(t) || !requireTool(t, ...FAILING_DEVICE_TOOLS)) return
  const { device, trial } = await on(t, 'inside', seed ^ 1)
  t.equal(await failUnderLoad(device, trial, 'inside'), EXIT.io, 'the node ends with the code of a failed disk')
  const refused = await tryStart(trial)
  if (!(refused instanceof StartFailure)) {
    await refused.kill9()
    t.fail('it started on a file system that is read-only')
    return
  }
  t.equal(refused.exit?.code, EXIT.io, 'so does the start')
  t.match(refused.logs, /"code":"io_error".*read-only file system/i, 'which names the cause')
  device.unmount()
  device.mount()
  const server = await trial.start()
  const verdict = await trial.checkAll(server)
  t.ok(isWhole(verdict), describeVerdict(verdict))
  await server.kill9()
})
