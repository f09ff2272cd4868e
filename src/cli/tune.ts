import { availableParallelism } from 'node:os'
import { EXIT } from '../base/exit-codes.ts'
import { DbError } from '../base/errors.ts'
import type { SignMode } from '../client/seal.ts'
import { loadConfig } from '../config/load.ts'
import { variableOf } from '../config/options.ts'
import type { Console, OutputOptions } from './console.ts'
import { createProgress } from './progress.ts'
import { tableText } from './table.ts'
import { bottleneckOf, medianOf, type WriteTrial } from './tune/choose.ts'
import { tune, type TuneReport } from './tune/tune.ts'
import { parseCount, parseDuration } from './values.ts'

export interface TuneCommandOptions extends OutputOptions {
  readonly dataDir: string
  readonly duration: string
  readonly connections: string
  readonly batch: string
  readonly sign: SignMode
  readonly recordBytes: string
}

const DURATION_MS = { min: 500, max: 3_600_000 } as const

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const milliseconds = (value: number): string => `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} ms`

/** `stemedb tune` */
export async function runTune(options: TuneCommandOptions, console: Console): Promise<number> {
  const durationMs = parseDuration('--duration', options.duration)
  if (durationMs < DURATION_MS.min || durationMs > DURATION_MS.max) throw new DbError('parameter_invalid', '--duration must be 500ms to 1h', { parameter: '--duration' })
  const load = {
    connections: parseCount('--connections', options.connections), batch: parseCount('--batch', options.batch), sign: options.sign,
    recordBytes: parseCount('--record-bytes', options.recordBytes),
  }
  const config = loadConfig({ dataDir: options.dataDir })
  const progress = await createProgress(console, 'tune', options.json)
  let report: TuneReport
  try {
    report = await tune({ config, cores: availableParallelism(), seconds: durationMs / 1000, load, onProgress: (done, total, text) => progress.update(done, total, text) })
  } finally {
    progress.stop()
  }
  if (options.json === true) console.out(JSON.stringify({ ...report, load, settings: Object.fromEntries(report.choices.map(({ setting, value }) => [variableOf(setting), value])) }))
  else console.out(await tuneText(report, load, console))
  return EXIT.ok
}

/** One of the trials of a count, with the middle of what they measured. */
function middleOf(trials: readonly WriteTrial[]): WriteTrial {
  const middle = (of: (trial: WriteTrial) => number): number => medianOf(trials.map(of))
  return {
    verifyThreads: trials[0]!.verifyThreads, acceptedPerSecond: middle(({ acceptedPerSecond }) => acceptedPerSecond),
    verifyBusy: middle(({ verifyBusy }) => verifyBusy), syncBusy: middle(({ syncBusy }) => syncBusy),
  }
}

/** What a person gets: what was measured, and lines for the node's environment. */
export async function tuneText(
  report: TuneReport, load: { readonly connections: number, readonly batch: number, readonly sign: SignMode }, console: Pick<Console, 'columns'> = {},
): Promise<string> {
  const signed = load.sign === 'none' ? 'unsigned' : `signed: ${load.sign}`
  const { cores, sync, ack, writes, queries } = report
  const byCount = [...new Set(writes.map(({ verifyThreads }) => verifyThreads))].map((count) => middleOf(writes.filter(({ verifyThreads }) => verifyThreads === count)))
  const rows: [string, string][] = [
    ['disk', `4 KiB write+fdatasync p50 ${milliseconds(sync.p50Ms)}, p99 ${milliseconds(sync.p99Ms)}`],
    ['cores', `${cores}; one of them checks ${whole(report.verifyPerCore)} assertions/s`],
    ['load', `${load.connections} connections, ${load.batch} a frame, ${signed}, ${report.recordBytes} bytes an assertion`],
    ...byCount.map((trial): [string, string] => [
      `writes, ${trial.verifyThreads} verify`, `${whole(trial.acceptedPerSecond)} assertions/s\nheld back by ${bottleneckOf(trial, cores)}`,
    ]),
    ['acks at half', `${whole(ack.ratePerSecond)} assertions/s: p50 ${milliseconds(ack.p50Ms)}, p99 ${milliseconds(ack.p99Ms)} from due to ack`],
    ...queries.map(({ lensThreads, queriesPerSecond, p99Ms }): [string, string] => [`queries, ${lensThreads} lens`, `${whole(queriesPerSecond)}/s, p99 ${milliseconds(p99Ms)}`]),
  ]
  return [await tableText({ rows, wrap: true }, console), '', ...report.choices.map(({ setting, value, why }) => `# ${why}\n${variableOf(setting)}=${value}`)].join('\n')
}
