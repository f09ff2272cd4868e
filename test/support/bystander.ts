import { readFileSync } from 'node:fs'
import { runLoadProcess } from '../../bench/lib/load-process.ts'
import { median } from '../../bench/lib/stats.ts'
import { MiB } from '../../src/base/units.ts'

/** What a client that does nothing wrong sees of a node, and what the node takes of the machine meanwhile. */

export interface Sight {
  /** Of single assertions, from due to ack; the median of the rounds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly acked: number
  /** Refused, never answered, or lost with a connection. */
  readonly failed: number
}

const ROUND_MS = 2000
const ROUNDS = 3

/** A slow open loop from a process of its own, several times: one round alone would show the machine's other work. */
export async function bystander(url: string, rounds = ROUNDS): Promise<Sight> {
  const reports = []
  for (let round = 0; round < rounds; round++) {
    reports.push(await runLoadProcess({ url, sign: 'none', connections: 4, batch: 1, ratePerSecond: 200, warmupMs: 300, durationMs: ROUND_MS }))
  }
  return {
    p50Ms: median(reports.map((report) => report.latency.p50Ms)),
    p99Ms: median(reports.map((report) => report.latency.p99Ms)),
    acked: reports.reduce((sum, report) => sum + report.accepted, 0),
    failed: reports.reduce((sum, report) => sum + report.refused + report.unacked + report.connectionErrors.length, 0),
  }
}

/** Generous, because the machine is shared: an event loop that spins or a queue that grows is far beyond. */
const SLOWER_RATIO_MAX = 5
const SLOWER_MS_MAX = 100

/** Whether others do not notice what goes on between two looks. */
export function unnoticed(before: Sight, during: Sight): boolean {
  return during.failed === 0 && during.p99Ms <= Math.max(before.p99Ms * SLOWER_RATIO_MAX, before.p99Ms + SLOWER_MS_MAX)
}

export const describeSights = (before: Sight, during: Sight): string =>
  `others: p99 ${before.p99Ms.toFixed(1)} ms before, ${during.p99Ms.toFixed(1)} ms meanwhile (p50 ${before.p50Ms.toFixed(1)}, ${during.p50Ms.toFixed(1)}), ${during.failed} of ${during.acked + during.failed} failed`

/** Resident memory of a process, in MiB. */
export function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line![1]) * 1024 / MiB
}

/** The kernel counts it in hundredths of a second. */
const TICKS_PER_SECOND = 100

/** CPU time that a process has taken so far. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** The sum of a metric's series whose line begins so, from a scrape. */
export async function scrape(url: string, ...prefixes: readonly string[]): Promise<number[]> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(20_000) })).text()
  const lines = text.split('\n')
  return prefixes.map((prefix) => lines.filter((line) => line.startsWith(prefix)).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0))
}
