import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { inspectWal } from '../../src/wal/inspect.ts'
import { recordFault } from '../support/fault-record.ts'
import type { Stream } from '../support/history.driver.ts'
import { describeVerdict, isWhole, type Verdict } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { buildRoot } from '../support/root.ts'
import { Shim, readShimLog, type ShimEvent } from '../support/shim.ts'
import { StartFailure, within, type Exit, type RunningServer, type Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'

t.setTimeout(600_000)

// One sync of the log fails with EIO, and every later one would work again: after that failure the page cache and the
// disk may differ without a sign, so nothing is acked any more, the file is not synced again, and the process ends.

const FAULTS = trialCount(24)
/** From the error to the end of the process. */
const END_MS_MAX = 1000
/** The sync is stuck for so long before it fails: acks of earlier groups arrive meanwhile. */
const STUCK_MS = 200
/** After its end, a node that still answers probes had time to say that it is not ready. */
const NOTICED_MS = 120
const STREAM_MS_MAX = 10_000
const EXIT_DURABILITY = 74
/** A segment in use, as opposed to one that is being made. */
const SEGMENT = /\/wal\/\d{10}\.wal$/
const ROTATING: Settings = { walSegmentBytes: 2 ** 19, frameBytesMax: 2 ** 17, groupBytesMax: 2 ** 17 }

const seed = trialSeed()
/** Syncs that the mutant's faults hit: after the start, where segments are in use. */
const TOOTH_SYNCS = { first: 16, last: 23 }
const done = { faults: 0, failures: 0, inUse: 0, told: 0, slowestMs: 0, tooth: '' }

t.teardown(() => recordFault({
  id: 'D5', title: 'EIO once at the nth sync of the log, for each n', trials: done.faults, unit: 'failed syncs', failures: done.failures, seed,
  figures: { inSegmentsInUse: done.inUse, endMsMost: Math.round(done.slowestMs), claimsToldUnknown: done.told }, tooth: done.tooth,
}))

interface Outcome {
  readonly fault: ShimEvent | undefined
  /** Batches acked as stored although they stand in the group whose sync failed, or behind it. */
  readonly acksAfter: number
  /** Claims that were told that their fate is unknown. */
  readonly told: number
  /** Syncs of the same open file after the fault. */
  readonly syncsAfter: number
  /** Undefined: it did not end. */
  readonly exitCode: number | null | undefined
  /** Milliseconds from the error to the end of the process. */
  readonly endMs: number
  readonly readyAfter: boolean
  /** Of a read after a restart without the fault. */
  readonly verdict: Verdict
}

const faultOf = (log: string): ShimEvent | undefined => readShimLog(log).find((event) => event.what === 'fault')

/** Streams until the server has ended, or should have long ago. */
async function streamUntilEnd(trial: Trial, server: RunningServer, log: string): Promise<{ stream: Stream, exit: Exit | undefined, readyAfter: boolean }> {
  const stream = await trial.beginStream(server, { connections: 16, batchMax: 64, claimsMax: 1_000_000, pauseMs: 1 })
  const giveUpAt = systemClock.monoMs() + STREAM_MS_MAX
  let exit: Exit | undefined
  let readyAfter = false
  while (exit === undefined && systemClock.monoMs() < giveUpAt) {
    const failedAt = (faultOf(log)?.monoMs ?? Number.POSITIVE_INFINITY) + STUCK_MS
    if (systemClock.monoMs() > failedAt + 2 * END_MS_MAX) break
    if (systemClock.monoMs() > failedAt + NOTICED_MS) readyAfter ||= await isReady(server.url)
    exit = await within(server.exited, 25)
  }
  if (exit === undefined) await server.kill9()
  await sleep(20)
  trial.endStream()
  return { stream, exit, readyAfter }
}

/** What was durable when the last group was written, as its records say: that group is the one whose sync failed. */
function lastSyncedLsn(dataDir: string): number {
  let synced = 0
  for (const record of inspectWal(nodeDisk, join(dataDir, 'wal'), { limit: 1_000_000 })) synced = Math.max(synced, record.durableLsn)
  return synced
}

async function runWith(t: Test, shim: Shim, nth: number, preload: readonly string[] = []): Promise<Outcome> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-eio-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const trial = await Trial.create({ dataDir, settings: ROTATING }, seed + nth)
  const { env, log } = shim.environment({ path: '/wal/', operation: 'sync', nth, action: 'eio', delayMs: STUCK_MS })
  const server = await tryStart(trial, { env, preload })
  const run = server instanceof StartFailure ? undefined : await streamUntilEnd(trial, server, log)
  const exit = server instanceof StartFailure ? server.exit : run?.exit
  const events = readShimLog(log)
  const fault = faultOf(log)
  const syncedLsn = server instanceof StartFailure ? 0 : lastSyncedLsn(dataDir)
  const restarted = await trial.start()
  const verdict = await trial.checkNew(restarted)
  await restarted.kill9()
  const after = fault?.monoMs ?? Number.POSITIVE_INFINITY
  return {
    fault, verdict, exitCode: exit?.code, readyAfter: run?.readyAfter ?? false,
    told: run?.stream.refusals.get('durability_failed') ?? 0,
    acksAfter: run?.stream.acks.filter((ack) => ack.accepted > 0 && ack.firstLsn + ack.accepted - 1 > syncedLsn).length ?? 0,
    syncsAfter: events.filter((event) => event.what === 'again').length,
    endMs: exit === undefined ? Number.NaN : exit.monoMs - after - STUCK_MS,
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(500) })).status === 200
  } catch {
    return false // gone, which is the right answer too
  }
}

/** Whatever the test below flags. */
function isWrong({ fault, verdict, syncsAfter, acksAfter, exitCode, readyAfter, endMs }: Outcome): boolean {
  if (fault === undefined || !isWhole(verdict) || syncsAfter > 0) return true
  return SEGMENT.test(fault.path) && (acksAfter > 0 || exitCode !== EXIT_DURABILITY || readyAfter || !(endMs <= END_MS_MAX))
}

t.test(`EIO at each of the first ${FAULTS} syncs of the log`, async (t) => {
  if (!requireTool(t, 'gcc')) return
  const shim = new Shim()
  t.teardown(() => shim.remove())
  for (let nth = 1; nth <= FAULTS; nth++) {
    const outcome = await runWith(t, shim, nth)
    const { fault } = outcome
    done.faults++
    if (isWrong(outcome)) done.failures++
    const what = `sync ${nth} (${fault === undefined ? 'never came' : `${fault.operation} of ${fault.path.split('/').at(-1)}`})`
    if (fault === undefined) t.fail(what)
    if (!isWhole(outcome.verdict)) t.fail(`${what}: ${describeVerdict(outcome.verdict)}`)
    if (outcome.syncsAfter > 0) t.fail(`${what}: synced again ${outcome.syncsAfter} times`)
    if (fault === undefined || !SEGMENT.test(fault.path)) continue
    done.inUse++
    done.told += outcome.told
    if (outcome.acksAfter > 0) t.fail(`${what}: ${outcome.acksAfter} acks afterwards`)
    if (outcome.exitCode !== EXIT_DURABILITY) t.fail(`${what}: exit code ${String(outcome.exitCode)}`)
    if (outcome.readyAfter) t.fail(`${what}: ready afterwards`)
    if (!(outcome.endMs <= END_MS_MAX)) t.fail(`${what}: ended after ${outcome.endMs.toFixed(0)} ms`)
    done.slowestMs = Math.max(done.slowestMs, outcome.endMs)
  }
  t.ok(done.inUse >= FAULTS / 3, `${done.inUse} of ${FAULTS} faults hit a segment in use: exit ${EXIT_DURABILITY} within ${done.slowestMs.toFixed(0)} ms, no ack afterwards`)
  t.ok(done.told > 0, `${done.told} claims were told that their fate is unknown`)
})

t.test('the tooth: a server that tries a failed sync again', async (t) => {
  if (!requireTool(t, 'gcc')) return
  const shim = new Shim()
  t.teardown(() => shim.remove())
  const preload = [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'retry-fsync.js')).href]
  let caught = 0
  let hits = 0
  for (let nth = TOOTH_SYNCS.first; nth <= TOOTH_SYNCS.last; nth++) {
    const outcome = await runWith(t, shim, nth, preload)
    if (outcome.fault === undefined || !SEGMENT.test(outcome.fault.path)) continue
    hits++
    if (outcome.syncsAfter > 0 && (outcome.acksAfter > 0 || outcome.exitCode !== EXIT_DURABILITY)) caught++
    if (hits === 3) break
  }
  t.ok(hits > 0, `${hits} faults hit a segment in use`)
  t.equal(caught, hits, 'and each time the second try was seen')
  done.tooth = `a failed sync tried again: caught ${caught} of ${hits} times`
})
