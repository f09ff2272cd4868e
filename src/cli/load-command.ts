import type { Console, OutputOptions } from './console.ts'
import { EXIT } from '../base/exit-codes.ts'
import { runLoad } from './load/load.ts'
import type { CheckReport, LoadOptions, LoadProgress, LoadReport } from './load/load.types.ts'
import { createProgress } from './progress.ts'
import { tableText } from './table.ts'
import { parseCount, parseDuration, parseSize } from './values.ts'
import { printable } from './words.ts'

export interface LoadCommandOptions extends OutputOptions {
  readonly url: string
  readonly rate?: string
  readonly connections: string
  readonly batch: string
  readonly window: string
  readonly duration: string
  readonly warmup: string
  readonly sign: 'single' | 'batch' | 'none'
  readonly recordBytes: string
  readonly assertions?: string
  readonly prepare?: string
  readonly prepareBytes: string
  readonly check?: boolean
  readonly checkConnections: string
  readonly runId?: string
}

export function loadOptionsOf(options: LoadCommandOptions): LoadOptions {
  return {
    url: options.url,
    ...(options.rate === undefined ? {} : { ratePerSecond: parseCount('--rate', options.rate) }),
    connections: parseCount('--connections', options.connections),
    batch: parseCount('--batch', options.batch),
    window: parseCount('--window', options.window),
    durationMs: parseDuration('--duration', options.duration),
    warmupMs: parseDuration('--warmup', options.warmup),
    sign: options.sign,
    recordBytes: parseCount('--record-bytes', options.recordBytes),
    ...(options.assertions === undefined ? {} : { assertionsMax: parseCount('--assertions', options.assertions) }),
    ...(options.prepare === undefined ? {} : { prepareAssertions: parseCount('--prepare', options.prepare) }),
    prepareBytesMax: parseSize('--prepare-bytes', options.prepareBytes),
    check: options.check ?? false,
    checkConnections: parseCount('--check-connections', options.checkConnections),
    ...(options.runId === undefined ? {} : { runId: options.runId }),
  }
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const milliseconds = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2))

function progressText(progress: LoadProgress): string {
  const counts = `${progress.phase} ${whole(progress.done)}, ${whole(progress.perSecond)}/s`
  if (progress.phase === 'prepare' || progress.phase === 'check') return counts
  return `${counts}, p50 ${milliseconds(progress.p50Ms)} ms, p99 ${milliseconds(progress.p99Ms)} ms${progress.refused > 0 ? `, ${whole(progress.refused)} refused` : ''}`
}

/** `stemedb load` */
export async function runLoadCommand(options: LoadCommandOptions, console: Console): Promise<number> {
  const progress = await createProgress(console, 'load', options.json)
  let report: LoadReport
  try {
    report = await runLoad({ ...loadOptionsOf(options), onProgress: (p) => progress.update(Math.round(p.fraction * 1000), 1000, progressText(p)) })
  } finally {
    progress.stop()
  }
  if (options.json === true) console.out(JSON.stringify(report))
  else await showReport(report, console)
  return isClean(report) ? EXIT.ok : EXIT.failed
}

function isClean(report: LoadReport): boolean {
  const { check } = report
  return report.accepted > 0 && report.refused === 0 && report.unacked === 0 && report.connectionErrors.length === 0
    && (check === undefined || (check.missing === 0 && check.failed === 0))
}

function checkText(check: CheckReport): string {
  const lost = check.missing + check.failed
  return `${whole(check.found)} of ${whole(check.read)} found in ${check.seconds.toFixed(1)} s${lost === 0 ? '' : `; ${whole(check.missing)} MISSING, ${whole(check.failed)} not answered`}`
}

/** Why the run ended before its time, where nobody asked for that. */
function noteOf({ exhausted, assertionsMax, batch, prepare, sign }: LoadReport): string | undefined {
  if (!exhausted) return undefined
  const most = Math.floor((assertionsMax ?? Infinity) / batch) * batch
  if (sign !== 'none' && prepare.assertions < most) return 'the prepared frames ran out before the time; see --prepare and --prepare-bytes'
  return assertionsMax === most ? undefined
    : `${whole(most)} of the ${whole(assertionsMax!)} of --assertions were sent: every frame has ${batch}; a --batch that divides them sends all`
}

async function showReport(report: LoadReport, console: Console): Promise<void> {
  const { latency } = report
  const loop = report.loop === 'open' ? `open, ${whole(report.ratePerSecond)} assertions/s asked for`
    : `closed, ${report.window} frames under way a connection`
  const rows: [string, string][] = [
    ['loop', `${loop}; ${report.connections} connections, ${report.batch} a frame, signed: ${report.sign}`],
    ['size', `${report.recordBytes} bytes an assertion, ${whole(report.frameBytes)} a frame`],
    ['accepted', `${whole(report.accepted)} in ${report.seconds.toFixed(2)} s = ${whole(report.acceptedPerSecond)} assertions/s (${whole(report.framesPerSecond)} frames/s)`],
    ['duplicates', whole(report.duplicates)],
    ['refused', report.refused === 0 ? '0' : `${whole(report.refused)} (${Object.entries(report.refusedBy).map(([name, count]) => `${name} ${whole(count)}`).join(', ')})`],
    ['unacked', whole(report.unacked)],
    [report.loop === 'open' ? 'ms from due to ack' : 'ms from send to ack', `p50 ${milliseconds(latency.p50Ms)}  p90 ${milliseconds(latency.p90Ms)}  p99 ${milliseconds(latency.p99Ms)}  p99.9 ${milliseconds(latency.p999Ms)}  max ${milliseconds(latency.maxMs)}`],
    ['generator', `${report.cpuSeconds.toFixed(2)} s of CPU${report.prepare.assertions > 0 ? `; ${whole(report.prepare.assertions)} assertions signed before in ${(report.prepare.ms / 1000).toFixed(1)} s` : ''}`],
  ]
  if (report.delayed > 0) rows.push(['delayed', `${whole(report.delayed)} frames found no credit when they were due`])
  const note = noteOf(report)
  if (note !== undefined) rows.push(['note', note])
  if (report.check !== undefined) rows.push(['read back', checkText(report.check)])
  for (const error of report.connectionErrors.slice(0, 3)) rows.push(['lost', printable(error)])
  console.out(await tableText({ rows, wrap: true }, console))
  for (const id of report.check?.missingIds ?? []) console.err(`missing ${id}`)
}
