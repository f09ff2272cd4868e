import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { runLoadProcess } from '../../bench/lib/load-process.ts'
import { median } from '../../bench/lib/stats.ts'
import { systemClock } from '../../src/base/clock.ts'
import { MiB } from '../../src/base/units.ts'
import type { LoadOptions, LoadReport } from '../../src/cli/load/load.ts'
import { residentMiB, scrape } from '../support/bystander.ts'
import { recordFault } from '../support/fault-record.ts'
import { sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'

t.setTimeout(3_600_000)

// More than the node can take, from clients that do not wait for it: it goes on at its full rate, refuses the rest at
// once, keeps its memory, is itself again when they have gone, and stores nothing twice however often it is sent.

/** Seconds of each overload. */
const SECONDS = trialCount(8)
const seed = trialSeed()
const FACTORS = [2, 5] as const
const ROUNDS_MAX = 5
const BATCH = 64
/** Small rings: what waits in them is what an accepted batch waits for. */
const RING_BYTES = 1 * MiB
const SETTINGS: Settings = { signatures: 'optional', ringBytes: RING_BYTES, frameBytesMax: 128 * 1024, groupBytesMax: 256 * 1024 }
/** So many that those told to wait do not slow the others' schedule down. */
const CONNECTIONS = 600
/** The aim is 0.8; who shares the two cores of the machine takes from the two processes of an overload more than from one peak. */
const GOODPUT_RATIO_MIN = 0.6
const LATENCY_RATIO_MAX = 5
/**
 * What the unloaded p99 counts as at least. A table that RocksDB syncs holds a sync of the log up for so long (64 MiB at the 1 GB/s
 * of our disks), and whether the two quiet seconds saw one is chance: they found 4 to 158 ms.
 */
const UNLOADED_P99_MS_MIN = 40
/** Rings that a batch goes through: to verify, to commit; and the groups that sync and gather. Twice that for the noise of the machine. */
const QUEUED_BYTES = 2 * (2 * RING_BYTES + 2 * 256 * 1024)
const REFUSAL_MS_MAX = 50
/** Refusals come from the thread that overload keeps busiest, through a client that is as busy: beside the bound, a ratio. */
const REFUSAL_RATIO_MAX = 1
const RESIDENT_GROWTH_MIB_MAX = 256
const NORMAL_MS_MAX = 10_000

const load = (server: RunningServer, options: Omit<LoadOptions, 'url' | 'onProgress' | 'secretKey'>): Promise<LoadReport> =>
  runLoadProcess({ url: server.url, sign: 'none', batch: BATCH, drainTimeoutMs: 30_000, ...options })

const peak = (server: RunningServer): Promise<LoadReport> => load(server, { connections: 16, window: 2, warmupMs: 500, durationMs: 2500 })
const quiet = (server: RunningServer, perSecond: number): Promise<LoadReport> =>
  load(server, { connections: 8, ratePerSecond: perSecond, warmupMs: 200, durationMs: 2000 })

async function start(t: { teardown(step: () => void): unknown }, settings: Settings): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-overload-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings })
  t.teardown(() => { void server.kill9() })
  return server
}

interface Round {
  readonly factor: number
  readonly peakPerSecond: number
  readonly report: LoadReport
  readonly residentMiB: number
}

/** What an overload found, judged by what the node did just before and after it. */
interface Judged {
  readonly goodput: number
  readonly latencyMs: number
  readonly latencyMsMax: number
  readonly refusalMs: number
}

function judge({ peakPerSecond, report }: Round, quietP99Ms: number): Judged {
  const drainMs = QUEUED_BYTES / (report.acceptedPerSecond * report.frameBytes / report.batch) * 1000
  return {
    goodput: report.acceptedPerSecond / peakPerSecond,
    latencyMs: report.latency.p99Ms,
    latencyMsMax: LATENCY_RATIO_MAX * Math.max(quietP99Ms, UNLOADED_P99_MS_MIN) + drainMs,
    refusalMs: report.refusalLatency.p99Ms,
  }
}

t.test(`${FACTORS.join(' and ')} times the capacity, ${SECONDS} s each`, async (t) => {
  const server = await start(t, SETTINGS)
  await peak(server) // compiles the node's code, fills its caches
  let before = await peak(server)
  const quietPerSecond = Math.round(before.acceptedPerSecond / 20)
  const quietBefore = await quiet(server, quietPerSecond)
  const residentBefore = residentMiB(server.pid)
  const rounds: Round[] = []
  const overload = async (factor: number): Promise<void> => {
    const report = await load(server, { connections: CONNECTIONS, ratePerSecond: Math.round(before.acceptedPerSecond * factor), durationMs: SECONDS * 1000 })
    const resident = residentMiB(server.pid)
    const after = await peak(server)
    rounds.push({ factor, peakPerSecond: (before.acceptedPerSecond + after.acceptedPerSecond) / 2, report, residentMiB: resident })
    before = after
  }
  for (const factor of FACTORS) await overload(factor)

  const lastMs = systemClock.monoMs()
  let quietAfter = await quiet(server, quietPerSecond)
  const isNormal = (): boolean => quietAfter.refused === 0 && quietAfter.latency.p50Ms <= LATENCY_RATIO_MAX * quietBefore.latency.p50Ms + 10
  while (!isNormal() && systemClock.monoMs() - lastMs < NORMAL_MS_MAX) quietAfter = await quiet(server, quietPerSecond)

  const judged = (factor: number): Judged[] => rounds.filter((round) => round.factor === factor).map((round) => judge(round, quietBefore.latency.p99Ms))
  const of = (factor: number, pick: (one: Judged) => number): number => median(judged(factor).map(pick))
  const held = (factor: number): boolean => of(factor, (j) => j.goodput) >= GOODPUT_RATIO_MIN
    && of(factor, (j) => j.latencyMs / j.latencyMsMax) <= 1 && of(factor, (j) => Math.min(j.refusalMs / REFUSAL_MS_MAX, j.refusalMs / j.latencyMs)) <= REFUSAL_RATIO_MAX
  // Another process on the machine may have had its share of one round: the median of up to five decides.
  for (const factor of FACTORS) while (!held(factor) && judged(factor).length < ROUNDS_MAX) await overload(factor)

  for (const factor of FACTORS) {
    const mine = rounds.filter((round) => round.factor === factor)
    const { report, peakPerSecond } = mine.at(-1)!
    t.comment(`${factor} times: peak ${Math.round(peakPerSecond)}/s, accepted ${Math.round(report.acceptedPerSecond)}/s, refused ${report.refused} of ${report.sent}, p99 ${report.latency.p99Ms} ms (unloaded ${quietBefore.latency.p99Ms}), refusals' p50 ${report.refusalLatency.p50Ms}, p99 ${report.refusalLatency.p99Ms} ms, delayed ${report.delayed}, ${mine.length} rounds`)
    t.ok(of(factor, (j) => j.goodput) >= GOODPUT_RATIO_MIN, `${factor} times: goodput is ${(of(factor, (j) => j.goodput) * 100).toFixed(0)} % of the peak`)
    t.ok(of(factor, (j) => j.latencyMs / j.latencyMsMax) <= 1, `accepted p99 ${of(factor, (j) => j.latencyMs).toFixed(0)} ms, at most ${of(factor, (j) => j.latencyMsMax).toFixed(0)} ms`)
    t.ok(of(factor, (j) => Math.min(j.refusalMs / REFUSAL_MS_MAX, j.refusalMs / j.latencyMs)) <= REFUSAL_RATIO_MAX, `refusals' p99 ${of(factor, (j) => j.refusalMs).toFixed(0)} ms`)
    for (const { report: each } of mine) {
      t.strictSame(Object.keys(each.refusedBy).filter((code) => code !== 'overloaded'), [], 'nothing but overloaded')
      t.ok(each.refused === 0 || each.retryAfterMsMin! > 0, 'each says when to come again')
      t.match(each, { unacked: 0, duplicates: 0, connectionErrors: [] }, 'each is answered, and no connection lost')
    }
  }
  t.ok(rounds.some((round) => round.report.refused > 0), 'there was something to refuse')
  const grown = Math.max(...rounds.map((round) => round.residentMiB)) - residentBefore
  t.ok(grown <= RESIDENT_GROWTH_MIB_MAX, `resident memory grew by ${grown.toFixed(0)} MiB`)
  t.ok(isNormal(), `normal again within ${NORMAL_MS_MAX} ms: p50 ${quietBefore.latency.p50Ms} ms before, ${quietAfter.latency.p50Ms} ms after`)

  let toothP99Ms = 0
  await t.test('the tooth: with rings of 128 MiB what is accepted waits', async (t) => {
    const lax = await start(t, { ...SETTINGS, ringBytes: 128 * MiB })
    await peak(lax)
    const report = await load(lax, { connections: CONNECTIONS, ratePerSecond: Math.round(before.acceptedPerSecond * 5), durationMs: 5000 })
    toothP99Ms = report.latency.p99Ms
    const { latencyMsMax } = judge({ factor: 5, peakPerSecond: before.acceptedPerSecond, report, residentMiB: 0 }, quietBefore.latency.p99Ms)
    t.ok(toothP99Ms > latencyMsMax, `p99 ${toothP99Ms.toFixed(0)} ms, which is not at most ${latencyMsMax.toFixed(0)} ms`)
    await lax.kill9()
  })
  recordFault({
    id: 'O1', title: 'more than the node can take, from clients that do not wait', trials: rounds.length, unit: 'overloads',
    failures: FACTORS.filter((factor) => !held(factor)).length,
    figures: {
      peakPerSecond: Math.round(before.acceptedPerSecond), unloadedP99Ms: quietBefore.latency.p99Ms,
      ...Object.fromEntries(FACTORS.flatMap((factor) => [
        [`goodputPercentAt${factor}x`, Math.round(of(factor, (j) => j.goodput) * 100)], [`acceptedP99MsAt${factor}x`, Math.round(of(factor, (j) => j.latencyMs))],
        [`refusalP99MsAt${factor}x`, Math.round(of(factor, (j) => j.refusalMs))],
      ])),
      residentGrowthMiB: Math.round(grown),
    },
    tooth: `rings of 128 MiB: p99 ${Math.round(toothP99Ms)} ms`,
  })
})

t.test('the same assertions from three clients at once, under overload, and once more', async (t) => {
  t.comment(`seed ${seed}`)
  const server = await start(t, SETTINGS)
  const runId = seed.toString(16).padStart(16, '0')
  const assertionsMax = 1000 * BATCH
  const same = { runId, assertionsMax } as const
  // A closed loop, window by window: all three send the same frames at about the same time.
  const three = await Promise.all([1, 2, 3].map(() => load(server, { ...same, connections: 64, window: 8, durationMs: 60_000 })))
  const last = await load(server, { ...same, connections: 4, window: 1, durationMs: 120_000 })
  const all = [...three, last]
  const accepted = all.reduce((sum, report) => sum + report.accepted, 0)
  const duplicates = all.reduce((sum, report) => sum + report.duplicates, 0)
  const refused = all.reduce((sum, report) => sum + report.refused, 0)
  t.match(last, { refused: 0, unacked: 0 })
  t.equal(last.accepted + last.duplicates, assertionsMax, 'the last one was told of every assertion')
  t.equal(accepted, assertionsMax, `each of ${assertionsMax} was new once; ${duplicates} duplicates, ${refused} refused`)
  await sleep(200)
  t.equal((await scrape(server.url, 'stemedb_durable_lsn'))[0], assertionsMax, 'and the log has no more')
  t.ok(duplicates > 0, 'there were duplicates to refuse')

  const other = await load(server, { connections: 4, assertionsMax, durationMs: 60_000 })
  t.equal(other.duplicates, 0, 'the tooth: assertions of another run are all new')
  t.equal((await scrape(server.url, 'stemedb_durable_lsn'))[0], assertionsMax + other.accepted, 'and the log grows by them')
})
