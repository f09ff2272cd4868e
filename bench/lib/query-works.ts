import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { MiB } from '../../src/base/units.ts'
import type { Settings } from '../../test/support/server.ts'
import type { BenchOptions, Work, WorkContext } from './harness.ts'
import { checkClean, runFill, runLoadProcess, runReads } from './load-process.ts'
import { nodeOn, startNode, untilApplied, type BenchNode } from './node-process.ts'
import { startPostgres, type Postgres } from './postgres.ts'
import type { ReadReport, ReadWork } from './query-child.types.ts'
import { PIPELINE, fillClaims, pgbenchReads, type PgbenchReads } from './query-postgres.ts'

/** The work of bench/query.ts, one function a row of bench/README.md. */

const CANDIDATES = 10
const CONNECTIONS = 32
/** Messages under way on a connection. */
const WINDOW = 2
const HOT_PAIRS = 1000
const VERSIONS = 10_000
/** Of the open loop, at most: its tail needs many queries, not long. */
const OPEN_SECONDS_MAX = 10

const pairsOf = ({ quick }: BenchOptions): number => quick ? 500 : 100_000

/** Data directories and servers that were filled once: what is read does not change, so repetitions share them. */
class Filled {
  dataDir: string | undefined
  /** That runs over it, for the next work that wants the same settings. */
  node: BenchNode | undefined
  settings = ''
  postgres: Promise<Postgres> | undefined
}
const filled = new Filled()

/** Memory enough for the claims, as the other side has it (postgres.ts): what is compared is the work and not a default. */
const UNSIGNED: Settings = { signatures: 'optional', lensThreads: 2, lensPairCacheBytes: 512 * MiB, lensClaimCacheBytes: 512 * MiB, lensPageCacheBytes: 128 * MiB }
const COLD: Settings = { ...UNSIGNED, answerCacheBytes: 0 }

/** A node over the claims, which are written at the first call. */
async function withClaims<T>(context: WorkContext, settings: Settings, work: (node: BenchNode) => Promise<T>): Promise<T> {
  const { options, progress } = context
  if (filled.dataDir === undefined) {
    const node = await startNode(options.dir, COLD)
    const { assertions } = await runFill({ work: 'fill', url: node.server.url, pairs: pairsOf(options), candidates: CANDIDATES })
    await untilApplied(node.server)
    progress(`filled with ${assertions} assertions`)
    filled.dataDir = node.dataDir
    filled.node = node
    filled.settings = JSON.stringify(COLD)
  }
  if (filled.node === undefined || filled.settings !== JSON.stringify(settings)) {
    await filled.node?.server.stop()
    filled.node = await nodeOn(filled.dataDir, settings)
    filled.settings = JSON.stringify(settings)
  }
  return work(filled.node)
}

async function removeClaims(): Promise<void> {
  await filled.node?.server.kill9()
  if (filled.dataDir !== undefined) rmSync(filled.dataDir, { recursive: true, force: true })
  filled.node = undefined
  filled.dataDir = undefined
}

async function withPostgres<T>({ options, progress }: WorkContext, work: (postgres: Postgres) => Promise<T>): Promise<T> {
  filled.postgres ??= (async () => {
    const postgres = await startPostgres(join(options.dir, 'postgres'))
    await fillClaims(postgres, pairsOf(options), CANDIDATES)
    progress(`${postgres.version} filled`)
    return postgres
  })()
  return work(await filled.postgres)
}

/** Ends what the works share. */
export async function endQueryWorks(): Promise<void> {
  await (await filled.postgres)?.stop()
  await removeClaims()
}

type Reads = Partial<Pick<ReadWork, 'lens' | 'leaveOut' | 'range' | 'rate' | 'asOf' | 'pair' | 'connections' | 'perFrame' | 'window' | 'seconds'>>

function readsOf({ options, repetition }: WorkContext, node: BenchNode, reads: Reads): ReadWork {
  const pairs = pairsOf(options)
  return {
    work: 'read', url: node.server.url, lens: 'recency', connections: CONNECTIONS, perFrame: PIPELINE, window: WINDOW, seconds: options.seconds,
    pairs, range: pairs, seed: repetition + 1, ...reads,
  }
}

const describe = ({ perSecond, cpuSeconds, p99Ms }: ReadReport): string =>
  `${Math.round(perSecond)} queries/s${p99Ms > 0 ? `, p99 ${p99Ms.toFixed(2)} ms` : ''}, client ${cpuSeconds.toFixed(1)} CPU s`

async function reads(context: WorkContext, name: string, settings: Settings, work: Reads): Promise<number> {
  return withClaims(context, settings, async (node) => {
    // Until code and pages are warm.
    await runReads(readsOf(context, node, { ...work, seconds: Math.max(1, Math.ceil(context.options.seconds / 2)) }))
    const report = await runReads(readsOf(context, node, work))
    context.progress(`${name}: ${describe(report)}`)
    context.samples.add(name, report.perSecond)
    return report.perSecond
  })
}

async function peer(context: WorkContext, name: string, statement: PgbenchReads['statement'], range?: number): Promise<void> {
  const pairs = pairsOf(context.options)
  await withPostgres(context, async (postgres) => {
    const run = { statement, connections: CONNECTIONS, pairs, range: range ?? pairs }
    let most = 0
    let threads = 1
    // One thread of pgbench leaves more to the server, two ask faster: a look at each, then the better one.
    for (const each of [1, 2]) {
      const rate = await pgbenchReads(postgres, { ...run, threads: each, seconds: Math.max(1, Math.ceil(context.options.seconds / 6)) })
      if (rate > most) [most, threads] = [rate, each]
    }
    const rate = await pgbenchReads(postgres, { ...run, threads, seconds: context.options.seconds })
    context.progress(`${name}: ${Math.round(rate)} queries/s, pgbench with ${threads} thread${threads > 1 ? 's' : ''}`)
    context.samples.add(name, rate)
  })
}

export const RECENCY = 'recency, no answers kept'
export const CONSENSUS = 'consensus over 10 candidates'
export const SKEPTIC = 'skeptic over 10 candidates, values with their weights'
export const SKEPTIC_FULL = 'skeptic over 10 candidates, with the winner of each value and sentences'
export const HOT = 'hot keys, answers kept'
export const OPEN_P99 = 'p99 at half of the maximum rate, open loop'
export const OPEN_SINGLES_P99 = 'p99 at half of the maximum rate of messages of one query, open loop'
export const BESIDE_READS = 'reads beside writes'
export const BESIDE_WRITES = 'writes beside reads'
export const LENS_ONE = 'recency, one lens thread'
export const LENS_TWO = 'recency, two lens threads'
export const AS_OF_LONG = 'as of the 10th of 10,000 versions'
export const AS_OF_SHORT = 'as of the 10th of 10 versions'
export const PG_RECENCY = 'PostgreSQL, newest by index'
export const PG_CONSENSUS = 'PostgreSQL, group by object'
export const PG_HOT = 'PostgreSQL, newest of hot keys'

export const recency: Work = async (context) => {
  await reads(context, RECENCY, COLD, {})
  await peer(context, PG_RECENCY, 'recency')
}

export const consensus: Work = async (context) => {
  await reads(context, CONSENSUS, COLD, { lens: 'consensus' })
  // As much as the other side's rows say: each value and what is behind it.
  await reads(context, SKEPTIC, COLD, { lens: 'skeptic', leaveOut: ['sideClaims', 'reasons'] })
  await reads(context, SKEPTIC_FULL, COLD, { lens: 'skeptic' })
  await peer(context, PG_CONSENSUS, 'consensus')
}

export const hot: Work = async (context) => {
  const range = Math.min(HOT_PAIRS, pairsOf(context.options))
  await reads(context, HOT, UNSIGNED, { range })
  await peer(context, PG_HOT, 'recency', range)
}

/** As one user sees it who is one of many: messages due at even distances, at half of what messages of that shape come to at most. */
const openLoopOf = (name: string, shape: Pick<ReadWork, 'perFrame' | 'window'>): Work => async (context) => {
  const { options, samples, progress } = context
  await withClaims(context, COLD, async (node) => {
    const closed = readsOf(context, node, { ...shape, seconds: Math.max(1, Math.ceil(options.seconds / 2)) })
    await runReads(closed)
    const most = await runReads(closed)
    const rate = Math.max(100, Math.floor(most.perSecond / 2))
    const report = await runReads(readsOf(context, node, { ...shape, rate, seconds: Math.min(OPEN_SECONDS_MAX, options.seconds) }))
    progress(`${name}: ${rate}/s of ${Math.round(most.perSecond)}/s at most: ${describe(report)}`)
    samples.add(name, report.p99Ms)
  })
}

export const openLoop: Work = async (context) => {
  await openLoopOf(OPEN_P99, { perFrame: PIPELINE, window: WINDOW })(context)
  await openLoopOf(OPEN_SINGLES_P99, { perFrame: 1, window: PIPELINE })(context)
}

export const besideWrites: Work = async (context) => {
  const { options, samples, progress } = context
  const { seconds } = options
  const shape = { batch: 256, connections: 4, window: 2, sign: 'none' } as const
  await withClaims(context, COLD, async (node) => {
    const { url } = node.server
    const alone = await runReads(readsOf(context, node, {}))
    const writes = await runLoadProcess({ url, ...shape, durationMs: seconds * 1000 })
    await untilApplied(node.server)
    checkClean(writes)
    const ratePerSecond = Math.max(256, Math.floor(writes.acceptedPerSecond / 2))
    const [together, written] = await Promise.all([
      runReads(readsOf(context, node, {})), runLoadProcess({ url, ...shape, ratePerSecond, durationMs: seconds * 1000 }),
    ])
    await untilApplied(node.server)
    progress(`reads ${Math.round(alone.perSecond)}/s alone, ${Math.round(together.perSecond)}/s beside ${Math.round(written.acceptedPerSecond)} of ${ratePerSecond} writes/s`)
    samples.add(BESIDE_READS, together.perSecond / alone.perSecond)
    samples.add(BESIDE_WRITES, written.acceptedPerSecond / ratePerSecond)
  })
  // The claims are others now.
  await removeClaims()
}

export const lensThreads: Work = async (context) => {
  await reads(context, LENS_ONE, { ...COLD, lensThreads: 1 }, {})
  await reads(context, LENS_TWO, { ...COLD, lensThreads: 2 }, {})
}

/** One reader, one question at a time: what a question costs, in microseconds. */
export const asOf: Work = async (context) => {
  const { options, samples, progress } = context
  const node = await startNode(options.dir, { ...COLD, lensThreads: 1 })
  try {
    const versions = options.quick ? 1000 : VERSIONS
    const { url } = node.server
    const long = await runFill({ work: 'versions', url, pair: 1, versions })
    const short = await runFill({ work: 'versions', url, pair: 2, versions: 10 })
    await untilApplied(node.server)
    for (const [name, pair, { tenthHlc }] of [[AS_OF_LONG, 1, long], [AS_OF_SHORT, 2, short]] as const) {
      const alone = { pair, asOf: tenthHlc, lens: 'recency', connections: 1, window: 1 }
      await runReads(readsOf(context, node, { ...alone, seconds: 1 }))
      const report = await runReads(readsOf(context, node, { ...alone, seconds: Math.max(1, Math.ceil(options.seconds / 3)) }))
      progress(`${name}: ${(1e6 / report.perSecond).toFixed(1)} us a query`)
      samples.add(name, 1e6 / report.perSecond)
    }
  } finally {
    await node.remove()
  }
}
