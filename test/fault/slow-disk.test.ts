import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { ERROR_CODES } from '../../src/base/error-codes.ts'
import { KiB } from '../../src/base/units.ts'
import { recordFault } from '../support/fault-record.ts'
import { readClaims, type AckEvent, type Stream } from '../support/history.driver.ts'
import { describeVerdict, isWhole, type Verdict } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { buildRoot } from '../support/root.ts'
import { Shim } from '../support/shim.ts'
import type { RunningServer, Settings } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'

t.setTimeout(600_000)

// Each sync of the log takes 30 ms, 300 ms, 2 s, and at last does not return for a long time: no ack comes before its sync,
// what waits stays within its bound and beyond it batches are refused at once, reads go on, and it recovers by itself.

const SLOW_MS = [30, 300, 2000] as const
const STUCK_MS = 1000 * trialCount(6)
const FOR_EVER_MS = 10 ** 9
const RING_BYTES = 256 * KiB
const GROUP_BYTES = 64 * KiB
/** What the two rings before the commit stage and its group can hold, and a second group that waits for the first. */
const WAITING_BYTES_MAX = 2 * RING_BYTES + 2 * GROUP_BYTES
/** Or so many times what 20 reads take under the same load with a well disk: the machine may be busy. */
const REFUSED_MS_MEDIAN_MAX = 50
const READ_MS_MEDIAN_MAX = 100
const TIMES_BASELINE_MAX = 8
const HEALED_MS_MAX = 5000
const SETTINGS: Settings = {
  ringBytes: RING_BYTES, frameBytesMax: 64 * KiB, batchAssertionsMax: 512, groupBytesMax: GROUP_BYTES, walSegmentBytes: 16 * 1024 * KiB, processingTimeoutMs: 1500,
}
/** Little enough that each group has all that waits: an ack comes after two syncs at most. */
const LIGHT = { connections: 16, batchMax: 4, window: 1, claimsMax: 1_000_000, resendRate: 0, pauseMs: 20 }
/** Half of the connections send single claims; the others offer more than fits while nothing is synced. */
const HEAVY = { connections: 48, batchMax: 128, window: 2, claimsMax: 1_000_000, resendRate: 0, pauseMs: 500 }

const seed = trialSeed()

interface Phase {
  readonly syncMs: number
  readonly startMs: number
  readonly endMs: number
}

/** Acks of new claims that were sent and acked within a phase: the sync of each began and ended in it. */
const acksWithin = ({ acks }: Stream, { startMs, endMs }: Phase): AckEvent[] =>
  acks.filter((ack) => ack.accepted > 0 && ack.monoMs - ack.latencyMs >= startMs && ack.monoMs <= endMs)

const earlyAcks = (stream: Stream, phase: Phase): number =>
  acksWithin(stream, phase).filter((ack) => ack.latencyMs < phase.syncMs).length

const medianOf = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

async function phaseOf(set: (ms: number) => void, syncMs: number, lastsMs: number): Promise<Phase> {
  set(syncMs)
  const startMs = systemClock.monoMs()
  await sleep(lastsMs)
  return { syncMs, startMs, endMs: systemClock.monoMs() }
}

interface Look {
  readonly readMs: number
  readonly waitingBytes: number
}

/** What clients and probes see of a node whose disk is stuck. @throws where one of them is not answered. */
async function look(server: RunningServer, known: readonly string[]): Promise<Look> {
  const startMs = systemClock.monoMs()
  const found = await readClaims(server.port, known)
  const readMs = (systemClock.monoMs() - startMs)
  if (found.size !== known.length) throw new Error(`${found.size} of ${known.length} reads worked`)
  const live = await fetch(`${server.url}/livez`, { signal: AbortSignal.timeout(10_000) })
  if (live.status !== 200) throw new Error(`/livez answers ${live.status}`)
  const text = await (await fetch(`${server.url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text()
  return { readMs, waitingBytes: Number(/^stemedb_credit_used_bytes (\S+)$/m.exec(text)?.[1]) }
}

async function postOne(server: RunningServer): Promise<unknown> {
  const body = { subject: 'disk/slow', predicate: 'is', object: 'so', confidence: 1, agent: `58${'66'.repeat(31)}` }
  const response = await fetch(`${server.url}/v1/assert`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(20_000),
  })
  return (await response.json() as { code?: unknown }).code
}

async function started(t: Test, preload: readonly string[] = []): Promise<{ trial: Trial, server: RunningServer, set: (ms: number) => void }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-slow-'))
  const shim = new Shim()
  t.teardown(() => {
    shim.remove()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const { env, set } = shim.slowSyncs('/wal/')
  const trial = await Trial.create({ dataDir, settings: SETTINGS }, seed)
  return { trial, set, server: await trial.start({ env, preload }) }
}

/** Reads all that was acked or is open, and a tenth of the many that were refused. */
async function judge(trial: Trial, server: RunningServer): Promise<Verdict> {
  const { history } = trial
  const ids: string[] = []
  for (let i = 0; i < history.batchCount; i++) {
    const batch = history.batch(i)
    if (i % 10 === 0 || batch.some((id) => history.state(id) !== 'refused')) ids.push(...batch)
  }
  return history.judge(ids, await readClaims(server.port, ids))
}

/** Time from the healing to the first ack of a batch that was sent after it; undefined where none came. */
async function healedAfter(stream: Stream): Promise<number | undefined> {
  const startMs = systemClock.monoMs()
  const isFresh = (ack: AckEvent): boolean => ack.accepted > 0 && ack.monoMs - ack.latencyMs >= startMs
  while (systemClock.monoMs() - startMs < HEALED_MS_MAX) {
    if (stream.acks.some(isFresh)) return systemClock.monoMs() - startMs
    await sleep(20)
  }
  return undefined
}

t.test('syncs of 30 ms, 300 ms, 2 s, and one that does not return', async (t) => {
  if (!requireTool(t, 'gcc')) return
  t.comment(`seed ${seed}`)
  const { trial, server, set } = await started(t)
  const light = await trial.beginStream(server, LIGHT)
  await sleep(1000)
  const known = [...trial.history.ids()].filter((id) => trial.history.state(id) === 'acked').slice(0, 20)
  t.equal(known.length, 20, 'something was acked before')

  const phases: Phase[] = []
  for (const syncMs of SLOW_MS) phases.push(await phaseOf(set, syncMs, 1000 + 3 * syncMs))
  const early = phases.reduce((sum, phase) => sum + earlyAcks(light, phase), 0)
  const counts = phases.map((phase) => acksWithin(light, phase).length)
  t.ok(counts.every((count) => count > 0), `acks while a sync took ${SLOW_MS.join(', ')} ms: ${counts.join(', ')}`)
  t.equal(early, 0, 'none came before its sync')
  set(0)
  trial.endStream()
  const stream = await trial.beginStream(server, HEAVY)
  const before: Look[] = []
  for (let i = 0; i < 4; i++) {
    before.push(await look(server, known))
    await sleep(200)
  }
  const baselineMs = medianOf(before.map((seen) => seen.readMs))

  const looks: Look[] = []
  const stuckLooks = async (): Promise<void> => {
    const post = postOne(server)
    for (const end = systemClock.monoMs() + STUCK_MS - 1500; systemClock.monoMs() < end; await sleep(250)) looks.push(await look(server, known))
    t.match(await post, /^(timeout|overloaded)$/, 'a request over HTTP is told in time that it was not taken, or that its fate is open')
  }
  const [stuck] = await Promise.all([phaseOf(set, FOR_EVER_MS, STUCK_MS), stuckLooks()])
  set(0)
  const healedMs = await healedAfter(stream)
  t.ok(healedMs !== undefined, `the first new ack ${String(healedMs?.toFixed(0))} ms after the disk came back`)
  t.equal(acksWithin(stream, stuck).length, 0, 'no ack of what was sent while nothing could be synced')
  const waitingBytes = Math.max(...looks.map((seen) => seen.waitingBytes))
  t.ok(waitingBytes > RING_BYTES / 2, `${waitingBytes} bytes waited: the rings were full`)
  t.ok(waitingBytes <= WAITING_BYTES_MAX, `no more than ${WAITING_BYTES_MAX}`)
  const refused = stream.acks.filter((ack) => ack.refused !== undefined && ack.monoMs > stuck.startMs && ack.monoMs <= stuck.endMs)
  const refusedMs = medianOf(refused.map((ack) => ack.latencyMs))
  t.ok(refused.length > 10 && refusedMs <= Math.max(REFUSED_MS_MEDIAN_MAX, TIMES_BASELINE_MAX * baselineMs), `${refused.length} batches were refused meanwhile, after ${refusedMs.toFixed(1)} ms (median)`)
  t.ok(refused.every((ack) => ERROR_CODES[ack.refused!].retryable && ERROR_CODES[ack.refused!].outcome === 'fail'), 'each as one to be sent again')
  const readMs = medianOf(looks.map((seen) => seen.readMs))
  t.ok(readMs <= Math.max(READ_MS_MEDIAN_MAX, TIMES_BASELINE_MAX * baselineMs),
    `20 reads took ${readMs.toFixed(1)} ms (median of ${looks.length}) all the while, ${baselineMs.toFixed(1)} ms before`)

  stream.pause()
  await stream.settle(30_000)
  t.same(stream.faults.slice(0, 3), [], 'no broken answers')
  trial.endStream()
  await server.kill9()
  const restarted = await trial.start()
  const verdict = await judge(trial, restarted)
  t.ok(isWhole({ ...verdict, broken: { ...verdict.broken, phantom: [] } }), describeVerdict(verdict))
  await restarted.kill9()

  const caught = await ackEarlyMutant(t)
  recordFault({
    id: 'D8', title: 'a disk whose syncs take 30 ms, 300 ms, 2 s, and one that is stuck', trials: counts.reduce((a, b) => a + b, 0), unit: 'acks',
    failures: early + verdict.broken.lost.length, seed,
    figures: {
      stuck_ms: STUCK_MS, waiting_bytes_max: waitingBytes, refused_batches: refused.length, refusal_ms_median: Math.round(refusedMs),
      healed_ms: Math.round(healedMs ?? Number.NaN),
    },
    tooth: caught,
  })
})

/** The tooth: a server that acks before it syncs. */
async function ackEarlyMutant(t: Test): Promise<string> {
  const preload = [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'ack-early.js')).href]
  const { trial, server, set } = await started(t, preload)
  const stream = await trial.beginStream(server, LIGHT)
  const phase = await phaseOf(set, 2000, 2500)
  trial.endStream()
  await server.kill9()
  const acks = acksWithin(stream, phase).length
  const early = earlyAcks(stream, phase)
  t.ok(acks > 0 && early === acks, `a server that acks before it syncs is seen: ${early} of ${acks} acks are early`)
  return `ack-early: ${early} of ${acks} acks seen to be early`
}
