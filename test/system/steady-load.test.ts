import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { runLoadProcess } from '../../bench/lib/load-process.ts'
import { median, quantile } from '../../bench/lib/stats.ts'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { MiB } from '../../src/base/units.ts'
import type { LoadReport } from '../../src/cli/load/load.types.ts'
import { subjectOf } from '../../src/cli/load/template.ts'
import { OPTIONS } from '../../src/config/options.ts'
import { growthOf, growthPerMinute, keepSamples, type Sample } from '../soak/samples.ts'
import { recordFault } from '../support/fault-record.ts'
import { sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { NodeWatch } from '../support/node-watch.ts'
import { buildRoot } from '../support/root.ts'
import { startServer, type RunningServer } from '../support/server.ts'

// A node at half of what it can take, and queries beside that, as long as it is asked for: nothing grows but what it stores.
// The run of every day is too short to judge memory; it shows that the looking works, and sees what leaks at once.

const SECONDS = trialCount(12)
t.setTimeout((2 * SECONDS + 300) * 1000)

/** Below it caches are still filling, and a slope of memory means nothing. */
const JUDGED_SECONDS_MIN = 1200
const IS_JUDGED = SECONDS >= JUDGED_SECONDS_MIN
const WARMUP_SECONDS = IS_JUDGED ? Math.min(900, SECONDS * 0.3) : SECONDS * 0.25
const LOOK_MS = IS_JUDGED ? 5000 : 500
const LEAK_LOOK_MS = 500
const LEAK_SECONDS = 8
const MAXIMUM_SECONDS = IS_JUDGED ? 15 : 3

const RESIDENT_MIB_PER_MINUTE_MAX = 1
const COUNT_GROWTH_MAX = 3
const LOOP_DELAY_P99_MS_MAX = 50
/** One in use, one prepared, one that is being made. */
const SPARE_SEGMENTS_MAX = 3
/** Of the free space, what the run may fill: the log is kept, so a run that takes longer goes slower where the disk says so. */
const DISK_PART_MAX = 0.6
/** On disk of one assertion of this size at most, log (about 500), store (300 to 400 before it is compacted) and proofs (32) together. */
const STORED_BYTES = 1100

const RECORD_BYTES = 200
const SHAPE = { connections: 64, batch: 1, sign: 'none', recordBytes: RECORD_BYTES } as const
const RUN_ID = '5eed5eed5eed5eed'
const QUERY_PAUSE_MS = 50
const QUERIES_MISSING_MAX = 40
/**
 * What grows to a bound with what is stored is at its bound early, or it would look like a leak for the hour that it takes. Each question and each assertion is
 * about something else, so caches are small; the filter of ids has all of its memory from the start.
 */
const BOUNDED = {
  lensPageCacheBytes: 2 * MiB, lensPairCacheBytes: 2 * MiB, lensClaimCacheBytes: 2 * MiB, lensLogCacheBytes: 2 * MiB, blockCacheBytes: 8 * MiB,
  idFilterBytes: 128 * MiB, idFilterBytesMax: 128 * MiB,
} as const

async function serve(t: Test, preload: readonly string[] = []): Promise<{ server: RunningServer, dataDir: string }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-steady-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', logLevel: 'warn', ...BOUNDED }, preload })
  t.teardown(() => server.kill9())
  return { server, dataDir }
}

interface Asked {
  found: number
  missing: number
}

/** Queries of what was written, until told to stop; how many had an answer. */
function askAlong(server: RunningServer): () => Promise<Asked> {
  let isAsking = true
  const asked: Asked = { found: 0, missing: 0 }
  const asking = (async () => {
    for (let i = 0; isAsking; i++) {
      const response = await fetch(`${server.url}/v1/query?subject=${subjectOf(RUN_ID, i)}`)
      await response.arrayBuffer()
      if (response.status === 200) asked.found++
      else asked.missing++
      await sleep(QUERY_PAUSE_MS)
    }
  })()
  return async () => {
    isAsking = false
    await asking
    return asked
  }
}

async function watchLoad(server: RunningServer, dataDir: string, seconds: number, ratePerSecond: number, lookMs: number): Promise<{ samples: Sample[], report: LoadReport, asked: Asked }> {
  const watch = new NodeWatch(server, dataDir)
  const stop = askAlong(server)
  const report = await watch.until(runLoadProcess({ url: server.url, ...SHAPE, runId: RUN_ID, ratePerSecond, durationMs: seconds * 1000 }), lookMs)
  const asked = await stop()
  return { samples: underLoad(watch.samples), report, asked }
}

/** Those between the first and the last in which something was accepted: the generator takes its time to begin and to end, and opens connections. */
function underLoad(samples: readonly Sample[]): Sample[] {
  const isLoaded = ({ acceptedPerSecond }: Sample): boolean => acceptedPerSecond > 0
  return samples.slice(samples.findIndex(isLoaded), samples.findLastIndex(isLoaded))
}

/**
 * Bytes of disk below a folder, that of files that went meanwhile left out; but for RocksDB's own log, which has a
 * bound of its own: it is kept until the memtables of its slowest column are written.
 */
function diskBytes(dir: string): number {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.endsWith('.log'))
    .reduce((sum, name) => sum + 512 * (statSync(join(dir, name), { throwIfNoEntry: false })?.blocks ?? 0), 0)
}

interface Growth {
  readonly residentMiBPerMinute: number
  readonly openFiles: number
  readonly threads: number
  readonly timers: number
  readonly segmentsTooMany: number
  readonly loopDelayP99Ms: number
}

function growthIn(samples: readonly Sample[], warmupSeconds: number): Growth {
  const beginSeconds = samples[0]?.seconds ?? 0
  const warm = samples.filter(({ seconds }) => seconds >= beginSeconds + warmupSeconds)
  const segmentMiB = OPTIONS.walSegmentBytes.default / MiB
  return {
    residentMiBPerMinute: growthPerMinute(warm, 'residentMiB'),
    openFiles: growthOf(warm, 'openFiles'), threads: growthOf(warm, 'threads'), timers: growthOf(warm, 'timers'),
    segmentsTooMany: Math.max(...samples.map(({ walSegments, walWrittenMiB }) => walSegments - Math.ceil(walWrittenMiB / (0.9 * segmentMiB)) - SPARE_SEGMENTS_MAX)),
    loopDelayP99Ms: median(warm.map(({ loopDelayP99Ms }) => loopDelayP99Ms)),
  }
}

let quiet: Growth | undefined
const done = { failures: 0, figures: {} as Record<string, number>, tooth: '' }
t.teardown(() => recordFault({
  id: 'O6', title: 'a steady load at half of the maximum, with queries: memory, files, threads, timers, segments, event loop',
  trials: IS_JUDGED ? SECONDS : 0, unit: 'seconds', failures: done.failures, figures: done.figures, tooth: done.tooth, seed: trialSeed(),
}))

t.test(`${SECONDS} s at half of the maximum`, async (t) => {
  const { server, dataDir } = await serve(t)
  const fastest = await runLoadProcess({ url: server.url, ...SHAPE, window: 16, durationMs: MAXIMUM_SECONDS * 1000 })
  const room = nodeDisk.freeBytes(dataDir) * DISK_PART_MAX / STORED_BYTES / SECONDS
  const ratePerSecond = Math.max(1, Math.floor(Math.min(fastest.acceptedPerSecond / 2, room)))
  t.comment(`maximum ${Math.round(fastest.acceptedPerSecond)}/s; load ${ratePerSecond}/s`)
  const { samples, report, asked } = await watchLoad(server, dataDir, SECONDS, ratePerSecond, LOOK_MS)
  if (IS_JUDGED) keepSamples(samples)
  // Without the segments that are prepared, which a short run hardly fills.
  const storedBytes = (diskBytes(dataDir) - SPARE_SEGMENTS_MAX * OPTIONS.walSegmentBytes.default) / (fastest.accepted + report.accepted)
  t.comment(`${Math.round(storedBytes)} bytes of disk an assertion`)
  const growth = growthIn(samples, WARMUP_SECONDS)
  quiet = growth
  t.comment(JSON.stringify(growth))
  const check = (holds: boolean, what: string): void => { if (!t.ok(holds, what)) done.failures++ }
  check(report.accepted > 0 && report.unacked === 0 && report.refused === 0 && report.connectionErrors.length === 0, `${report.accepted} accepted, ${report.refused} refused ${JSON.stringify(report.refusedBy)}, ${report.unacked} unacked, ${JSON.stringify(report.connectionErrors)}`)
  // The first may come before what they ask for.
  check(asked.found > 0 && asked.missing <= QUERIES_MISSING_MAX, `${asked.found} queries were answered meanwhile, ${asked.missing} were not`)
  check(growth.openFiles <= COUNT_GROWTH_MAX, `${growth.openFiles} more open files`)
  check(growth.threads <= COUNT_GROWTH_MAX, `${growth.threads} more threads`)
  check(growth.timers <= COUNT_GROWTH_MAX, `${growth.timers} more timers`)
  check(growth.segmentsTooMany <= 0, 'as many segments as bytes were written')
  check(storedBytes <= STORED_BYTES, `${Math.round(storedBytes)} bytes of disk an assertion, for which ${STORED_BYTES} were set aside`)
  if (IS_JUDGED) {
    check(growth.residentMiBPerMinute <= RESIDENT_MIB_PER_MINUTE_MAX, `memory grows by ${growth.residentMiBPerMinute.toFixed(2)} MiB a minute`)
    check(growth.loopDelayP99Ms <= LOOP_DELAY_P99_MS_MAX, `the event loop's delay: p99 ${growth.loopDelayP99Ms.toFixed(1)} ms`)
  }
  done.figures = {
    maximumPerSecond: Math.round(fastest.acceptedPerSecond), loadPerSecond: ratePerSecond, accepted: report.accepted, queries: asked.found,
    storedBytes: Math.round(storedBytes),
    ackMsP99: Number(report.latency.p99Ms.toFixed(1)), residentMiBPerMinute: Number(growth.residentMiBPerMinute.toFixed(3)),
    residentMiBMost: Math.round(quantile(samples.map(({ residentMiB }) => residentMiB), 1)), loopDelayMsP99: Number(growth.loopDelayP99Ms.toFixed(1)),
    openFilesMore: growth.openFiles, threadsMore: growth.threads, timersMore: growth.timers, walSegments: samples.at(-1)?.walSegments ?? 0,
  }
})

t.test('the tooth: a server that leaks memory, files and timers', async (t) => {
  const { server, dataDir } = await serve(t, [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'leak.js')).href])
  const { samples } = await watchLoad(server, dataDir, LEAK_SECONDS, 1000, LEAK_LOOK_MS)
  const growth = growthIn(samples, 1)
  t.comment(JSON.stringify(growth))
  t.ok(growth.openFiles > COUNT_GROWTH_MAX && growth.timers > COUNT_GROWTH_MAX, `${growth.openFiles} more files, ${growth.timers} more timers`)
  t.ok(growth.residentMiBPerMinute > 100 * RESIDENT_MIB_PER_MINUTE_MAX, `${growth.residentMiBPerMinute.toFixed(0)} MiB a minute more`)
  if (IS_JUDGED) t.ok(growth.residentMiBPerMinute > 10 * (quiet?.residentMiBPerMinute ?? 0), 'far more than without the leak')
  done.tooth = `a server that leaks: ${growth.residentMiBPerMinute.toFixed(0)} MiB a minute, ${growth.openFiles} files and ${growth.timers} timers in ${LEAK_SECONDS} s, all flagged`
})
