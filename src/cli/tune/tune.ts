import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { systemClock } from '../../base/clock.ts'
import { nodeDisk } from '../../base/disk-node.ts'
import { DbError } from '../../base/errors.ts'
import { toHex } from '../../base/bytes.ts'
import { systemSecrets } from '../../base/random.ts'
import { GiB, MiB } from '../../base/units.ts'
import type { Config } from '../../config/options.ts'
import { runLoad } from '../load/load.ts'
import type { LatencySummary, LoadOptions, LoadReport } from '../load/load.types.ts'
import { countsToTry, medianOf, type Choice, type Measured, type QueryTrial, type WriteTrial, chooseSettings } from './choose.ts'
import { runQueryLoad } from './query-load.ts'
import { syncLatenciesMs } from './sync-probe.ts'
import { TrialNode } from './trial-node.ts'
import { verifyRate } from './verify-rate.ts'

export interface TuneOptions {
  /** The node's settings; its data directory names the disk. */
  readonly config: Config
  readonly cores: number
  /** Of measuring; starts of nodes and signing come on top. */
  readonly seconds: number
  readonly load: Required<Pick<LoadOptions, 'connections' | 'batch' | 'sign' | 'recordBytes'>>
  readonly onProgress: (done: number, total: number, text: string) => void
}

export interface TuneReport extends Measured {
  /** An open loop at half of the most that was accepted, with the chosen settings. */
  readonly ack: { readonly ratePerSecond: number, readonly p50Ms: number, readonly p99Ms: number }
  readonly choices: readonly Choice[]
}

/** Parts of the time. */
const PARTS = { sync: 0.08, verify: 0.06, writes: 0.5, ack: 0.16, queries: 0.2 } as const
/** Each count has its turn in each round: a noisy minute hits all of them. */
const ROUNDS = 2
const SYNC_PROBES_MAX = 5000
const VERIFY_FRAMES = { batch: 200, single: 5000, none: 200 } as const
const WARMUP_PART = 0.2
const QUERY_CONNECTIONS = 16
/** Subjects that the queries of a trial go round in. */
const QUERIED_ASSERTIONS = 10_240
const APPLIED_MS_MAX = 30_000
const FREE_BYTES_MIN = 2 * GiB
/** No node takes more; it bounds what is signed before a trial. */
const PREPARE_PER_SECOND_MAX = 400_000
/** Of a trial in which nothing was stored, because it was short and the machine busy. */
const ATTEMPTS_MAX = 4
const LONGER = 4
/** One core that checks alone is slower than one that is left alone: more than it seems to take, and never too few to measure. */
const PREPARE_MARGIN = 1.5
const PREPARE_MIN = 50_000

/** A folder that is there, on the disk of one that may not be yet. */
function existingFolder(path: string): string {
  const parent = dirname(path)
  return existsSync(path) || parent === path ? path : existingFolder(parent)
}

/** The sum of a metric over its labels. */
export function metricSum(text: string, name: string): number {
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

const getText = async (url: string): Promise<string> => (await fetch(url)).text()

class Tuning {
  readonly #options: TuneOptions
  readonly #dir: string
  readonly #steps: number
  #step = 0

  constructor(options: TuneOptions, dir: string) {
    this.#options = options
    this.#dir = dir
    const counts = countsToTry(options.cores).length
    this.#steps = 3 + counts * ROUNDS + counts
  }

  #tell(text: string): void {
    this.#options.onProgress(this.#step++, this.#steps, text)
  }

  async run(): Promise<TuneReport> {
    const { config, cores, load } = this.#options
    const sync = this.#sync()
    const verifyPerCore = await this.#verify()
    const writes: WriteTrial[] = []
    let recordBytes = load.recordBytes
    for (let round = 0; round < ROUNDS; round++) {
      for (const verifyThreads of countsToTry(cores)) {
        const { trial, report } = await this.#write(verifyThreads, verifyPerCore)
        writes.push(trial)
        recordBytes = report.recordBytes
      }
    }
    const forWrites: Measured = { cores, sync, verifyPerCore, recordBytes, writes, queries: [] }
    const settings = Object.fromEntries(chooseSettings(forWrites, config).map(({ setting, value }) => [setting, value]))
    const verifyThreads = settings['verifyThreads'] ?? 1
    const most = medianOf(writes.filter((trial) => trial.verifyThreads === verifyThreads).map(({ acceptedPerSecond }) => acceptedPerSecond))
    const ratePerSecond = Math.max(load.batch, Math.floor(most / 2))
    const latency = await this.#ack(settings, ratePerSecond)
    const queries: QueryTrial[] = []
    for (const lensThreads of countsToTry(cores)) queries.push(await this.#query(verifyThreads, lensThreads))
    this.#tell('done')
    const measured: Measured = { ...forWrites, queries }
    return { ...measured, ack: { ratePerSecond, p50Ms: latency.p50Ms, p99Ms: latency.p99Ms }, choices: chooseSettings(measured, config) }
  }

  #seconds(part: keyof typeof PARTS, trials = 1): number {
    return (this.#options.seconds * PARTS[part]) / trials
  }

  #sync(): Measured['sync'] {
    this.#tell('syncs of the disk')
    const times = syncLatenciesMs(nodeDisk, this.#dir, SYNC_PROBES_MAX, this.#seconds('sync') * 1000).sort((a, b) => a - b)
    const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Number.NaN
    return { p50Ms: at(0.5), p99Ms: at(0.99) }
  }

  async #verify(): Promise<number> {
    this.#tell('checking on one core')
    const { batch, sign, recordBytes } = this.#options.load
    return verifyRate({ seconds: this.#seconds('verify'), frames: VERIFY_FRAMES[sign], batch, sign, recordBytes })
  }

  get #signatures(): 'required' | 'optional' {
    return this.#options.load.sign === 'none' ? 'optional' : 'required'
  }

  /** @throws {DbError} as rejection where it lost anything, or stored nothing even in a longer time: then a rate means nothing. */
  async #load(node: TrialNode, more: Partial<LoadOptions> & { readonly durationMs: number }): Promise<LoadReport> {
    for (let durationMs = more.durationMs, attempt = 1; ; durationMs *= LONGER, attempt++) {
      const report = await runLoad({ url: node.url, ...this.#options.load, ...more, durationMs })
      const { accepted, unacked, sent, connectionErrors } = report
      if (unacked > 0 || connectionErrors.length > 0) {
        throw new DbError('unreachable', `a trial failed: ${connectionErrors[0] ?? `${unacked} of ${sent} were never acked`}`)
      }
      if (accepted > 0) return report
      if (attempt === ATTEMPTS_MAX) throw new DbError('overloaded', `a trial stored nothing in ${durationMs} ms; give it a longer --duration`)
    }
  }

  async #write(verifyThreads: number, verifyPerCore: number): Promise<{ trial: WriteTrial, report: LoadReport }> {
    this.#tell(`writes, ${verifyThreads} verify threads`)
    const seconds = this.#seconds('writes', countsToTry(this.#options.cores).length * ROUNDS)
    const node = await TrialNode.start(this.#dir, { signatures: this.#signatures, verifyThreads })
    try {
      const before = await getText(`${node.url}/metrics`)
      const perSecond = Math.min(PREPARE_PER_SECOND_MAX, verifyPerCore * verifyThreads * PREPARE_MARGIN)
      const warmupMs = seconds * WARMUP_PART * 1000
      const report = await this.#load(node, { durationMs: seconds * 1000 - warmupMs, warmupMs, prepareAssertions: Math.max(PREPARE_MIN, Math.ceil(perSecond * seconds)) })
      const after = await getText(`${node.url}/metrics`)
      const grown = (name: string): number => metricSum(after, name) - metricSum(before, name)
      const loadSeconds = report.seconds + warmupMs / 1000
      return {
        report,
        trial: {
          verifyThreads, acceptedPerSecond: report.acceptedPerSecond,
          verifyBusy: Math.min(1, grown('stemedb_verify_busy_seconds_total') / verifyThreads / loadSeconds),
          syncBusy: Math.min(1, grown('stemedb_wal_fsync_latency_seconds_sum') / loadSeconds),
        },
      }
    } finally {
      await node.remove()
    }
  }

  async #ack(settings: Readonly<Record<string, number>>, ratePerSecond: number): Promise<LatencySummary> {
    this.#tell('acks at half of that')
    const seconds = this.#seconds('ack')
    const node = await TrialNode.start(this.#dir, { signatures: this.#signatures, ...settings })
    try {
      const warmupMs = seconds * WARMUP_PART * 1000
      return (await this.#load(node, { ratePerSecond, durationMs: seconds * 1000 - warmupMs, warmupMs })).latency
    } finally {
      await node.remove()
    }
  }

  async #query(verifyThreads: number, lensThreads: number): Promise<QueryTrial> {
    this.#tell(`queries, ${lensThreads} lens threads`)
    const seconds = this.#seconds('queries', countsToTry(this.#options.cores).length)
    const node = await TrialNode.start(this.#dir, { signatures: this.#signatures, verifyThreads, lensThreads })
    try {
      const runId = toHex(systemSecrets.bytes(8))
      const { batch } = this.#options.load
      const count = Math.ceil(QUERIED_ASSERTIONS / batch) * batch
      const { accepted } = await this.#load(node, { runId, durationMs: 60_000, assertionsMax: count, prepareAssertions: count })
      await this.#untilApplied(node)
      const { perSecond, p99Ms } = await runQueryLoad({
        url: node.url, seconds, connections: QUERY_CONNECTIONS, pathOf: (n) => `/v1/query?subject=load/${runId}/${(n * 7919) % accepted}`,
      })
      return { lensThreads, queriesPerSecond: perSecond, p99Ms }
    } finally {
      await node.remove()
    }
  }

  async #untilApplied(node: TrialNode): Promise<void> {
    const startMs = systemClock.monoMs()
    for (;;) {
      const { durable_lsn: durable, applied_lsn: applied } = JSON.parse(await getText(`${node.url}/v1/health`)) as { durable_lsn: number, applied_lsn: number }
      if (applied >= durable) return
      if (systemClock.monoMs() - startMs > APPLIED_MS_MAX) throw new DbError('timeout', `the trial node has indexed ${applied} of ${durable} assertions only`)
      await new Promise((wake) => setTimeout(wake, 20))
    }
  }
}

/**
 * Measures the machine and the data directory's disk with nodes of its own in a temporary folder there, and says which
 * settings that speaks for. @throws {DbError} as rejection: `disk_full`, or what a trial ran into.
 */
export async function tune(options: TuneOptions): Promise<TuneReport> {
  const parent = existingFolder(resolve(options.config.dataDir))
  const freeBytes = nodeDisk.freeBytes(parent)
  if (freeBytes < FREE_BYTES_MIN) {
    throw new DbError('disk_full', `the trials write to ${parent}, which has ${Math.floor(freeBytes / MiB)} MiB free; they need ${FREE_BYTES_MIN / GiB} GiB`, { parent, freeBytes })
  }
  const dir = mkdtempSync(join(parent, 'stemedb-tune-'))
  const clear = (): void => rmSync(dir, { recursive: true, force: true })
  // A trial's node ends with the terminal's signal too; what it wrote would stay.
  const interrupted = (): void => {
    clear()
    process.exit(130)
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    return await new Tuning(options, dir).run()
  } finally {
    process.off('SIGINT', interrupted)
    process.off('SIGTERM', interrupted)
    clear()
  }
}
