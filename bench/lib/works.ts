import { rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { GiB } from '../../src/base/units.ts'
import type { LoadOptions, LoadReport } from '../../src/cli/load/load.types.ts'
import type { Work, WorkContext } from './harness.ts'
import { checkClean, runLoadProcess } from './load-process.ts'
import { fsyncLatenciesMs, peakResidentBytes } from './machine.ts'
import { nodeOn, progressOf, startNode, untilApplied, untilReady } from './node-process.ts'
import { quantile } from './stats.ts'
import { verifyAlone } from './verify-alone.ts'

/** The work of bench/ingest.ts and bench/peers.ts against our own node, one function a row of bench/README.md. */

export const BATCH = 256
const BATCH_CONNECTIONS = 8
const SINGLE_CONNECTIONS = 64
/** Frames under way on one connection. */
const BATCH_WINDOW = 4
const SINGLE_WINDOW = 16
/** More than can be had, for what is prepared before the run. */
const PREPARE_PER_SECOND = { batch: 320_000, single: 24_000 } as const
const RESTART_ASSERTIONS = 1_000_000
/** Of the open loop, at most: its tail needs many frames, not long. */
const OPEN_SECONDS_MAX = 10
const FSYNC_PROBES = 3000

type Shape = Pick<LoadOptions, 'batch' | 'connections' | 'window' | 'sign'>
export const BATCHES: Shape = { batch: BATCH, connections: BATCH_CONNECTIONS, window: BATCH_WINDOW, sign: 'batch' }
const SINGLES: Shape = { batch: 1, connections: SINGLE_CONNECTIONS, window: SINGLE_WINDOW, sign: 'none' }
const SIGNED_SINGLES: Shape = { ...SINGLES, sign: 'single' }

const describe = (report: LoadReport): string =>
  `${Math.round(report.acceptedPerSecond)}/s for ${report.seconds.toFixed(1)} s, ack p50 ${report.latency.p50Ms.toFixed(2)} p99 ${report.latency.p99Ms.toFixed(2)} ms, `
  + `generator ${report.cpuSeconds.toFixed(1)} CPU s${report.refused > 0 ? `, refused ${JSON.stringify(report.refusedBy)}` : ''}${report.exhausted ? ', frames ran out' : ''}`

/**
 * A closed loop for the whole time; the rate counts until the last assertion is indexed, so that a node which acks
 * faster than it can index has no advantage of it.
 */
async function sustained(context: WorkContext, shape: Shape, name: string): Promise<void> {
  const { options, samples, progress } = context
  const node = await startNode(options.dir, { signatures: shape.sign === 'none' ? 'optional' : 'required' })
  try {
    const preparing = shape.sign === 'none' || shape.sign === undefined ? {} : {
      prepareAssertions: options.quick ? 20_000 : PREPARE_PER_SECOND[shape.sign] * options.seconds, prepareBytesMax: 8 * GiB,
    }
    const report = await runLoadProcess({ url: node.server.url, ...shape, ...preparing, durationMs: options.seconds * 1000 })
    const lagMs = await untilApplied(node.server)
    checkClean(report)
    const rate = report.accepted / (report.seconds + lagMs / 1000)
    const peak = (peakResidentBytes(node.server.pid) ?? Number.NaN) / 2 ** 20
    progress(`${describe(report)}; indexed ${lagMs.toFixed(0)} ms later: ${Math.round(rate)}/s; peak ${peak.toFixed(0)} MiB`)
    samples.add(name, rate)
    samples.add(`${name} lag ms`, lagMs)
    samples.add(`${name} peak MiB`, peak)
  } finally {
    await node.remove()
  }
}

export const RATE_BATCHES = 'batches of 256, signed by batch'
export const RATE_SINGLES = 'one assertion a frame, unsigned'
export const RATE_SIGNED = 'one assertion a frame, each signed'
export const RATE_VERIFY = 'verify threads alone'
export const ACK_BATCHES = 'ack p99 at half rate, batches'
export const ACK_SINGLES = 'ack p99 at half rate, singles'
export const FSYNC_P99 = 'bare write+fdatasync p99'
export const RESTART_READY = 'restart to ready'
export const RESTART_APPLIED = 'restart to all indexed'

export const sustainedBatches: Work = (context) => sustained(context, BATCHES, RATE_BATCHES)
export const sustainedSingles: Work = (context) => sustained(context, SINGLES, RATE_SINGLES)

/** The verify threads alone and the whole node, one right after the other, so that both see the same machine. */
export const signedSingles: Work = async (context) => {
  const { options, samples, progress } = context
  const threads = Math.max(1, availableParallelism() - 1)
  const alone = await verifyAlone(threads, { seconds: options.quick ? 0.3 : 5, frames: options.quick ? 500 : 20_000 })
  progress(`${threads} verify thread${threads > 1 ? 's' : ''} alone: ${Math.round(alone)}/s`)
  samples.add(RATE_VERIFY, alone)
  await sustained(context, SIGNED_SINGLES, RATE_SIGNED)
}

/** Half of what the closed loop of this run has reached, as an open loop; next to it the disk alone. */
async function ackAtHalf(context: WorkContext, shape: Shape, maximum: string, name: string): Promise<void> {
  const { options, samples, progress } = context
  const seconds = Math.min(OPEN_SECONDS_MAX, options.seconds)
  const node = await startNode(options.dir, { signatures: shape.sign === 'none' ? 'optional' : 'required' })
  try {
    const fastest = samples.all(maximum).at(-1) ?? (await runLoadProcess({ url: node.server.url, ...shape, durationMs: seconds * 1000 })).acceptedPerSecond
    await untilApplied(node.server)
    const bare = quantile(fsyncLatenciesMs(options.dir, options.quick ? 100 : FSYNC_PROBES), 0.99)
    const report = await runLoadProcess({
      url: node.server.url, ...shape, ratePerSecond: Math.max(1, Math.floor(fastest / 2)), durationMs: seconds * 1000, warmupMs: options.quick ? 200 : 2000,
    })
    const bareAfter = quantile(fsyncLatenciesMs(options.dir, options.quick ? 100 : FSYNC_PROBES), 0.99)
    checkClean(report)
    const fsyncMs = (bare + bareAfter) / 2
    progress(`open loop of ${Math.round(fastest / 2)}/s: ${describe(report)}; bare fdatasync p99 ${bare.toFixed(2)} and ${bareAfter.toFixed(2)} ms`)
    samples.add(name, report.latency.p99Ms)
    samples.add(`${name}: ${FSYNC_P99}`, fsyncMs)
  } finally {
    await node.remove()
  }
}

export const ackBatches: Work = (context) => ackAtHalf(context, BATCHES, RATE_BATCHES, ACK_BATCHES)
export const ackSingles: Work = (context) => ackAtHalf(context, SINGLES, RATE_SINGLES, ACK_SINGLES)

/** kill -9 with a full log, and a store that knows nothing of it: the whole log is applied again. */
export const restart: Work = async (context) => {
  const { options, samples, progress } = context
  const count = options.quick ? 10_000 : RESTART_ASSERTIONS
  const node = await startNode(options.dir, { signatures: 'required' })
  let killed = false
  try {
    const report = await runLoadProcess({ url: node.server.url, ...BATCHES, assertionsMax: count, prepareAssertions: count, durationMs: 600_000 })
    checkClean(report)
    await node.server.kill9()
    killed = true
    rmSync(join(node.dataDir, 'db'), { recursive: true })
    const start = systemClock.monoMs()
    const again = await nodeOn(node.dataDir, { signatures: 'required' })
    try {
      await untilReady(again.server)
      const readyMs = systemClock.monoMs() - start
      await untilApplied(again.server)
      const appliedMs = systemClock.monoMs() - start
      const { appliedLsn } = await progressOf(again.server)
      if (appliedLsn < report.accepted) throw new Error(`only ${appliedLsn} of ${report.accepted} are back`)
      progress(`${report.accepted} assertions: ready after ${(readyMs / 1000).toFixed(2)} s, all indexed after ${(appliedMs / 1000).toFixed(2)} s`)
      samples.add(RESTART_READY, readyMs / 1000)
      samples.add(RESTART_APPLIED, appliedMs / 1000)
    } finally {
      await again.remove()
    }
  } finally {
    if (!killed) await node.server.kill9()
    rmSync(node.dataDir, { recursive: true, force: true })
  }
}
