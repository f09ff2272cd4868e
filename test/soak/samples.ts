import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { renderCharts, type Chart } from '../../bench/lib/plot.ts'
import { median } from '../../bench/lib/stats.ts'
import { repoRoot } from '../support/root.ts'

/** One look at a node under a steady load. */
export interface Sample {
  /** Since the load began. */
  readonly seconds: number
  readonly residentMiB: number
  /** Sockets and whatever else is open. */
  readonly openFiles: number
  /** Open files of the data directory: they grow with it, up to the bounds of the caches that keep them open. */
  readonly dataFiles: number
  readonly threads: number
  readonly timers: number
  readonly walSegments: number
  readonly walWrittenMiB: number
  /** Of the front's event loop since the look before. */
  readonly loopDelayP99Ms: number
  /** Assertions a second since the look before. */
  readonly acceptedPerSecond: number
  /** Of the log, what the indexes do not have yet. */
  readonly ingestLagMiB: number
  /** What the log of proofs does not have yet. */
  readonly tlogLag: number
  /** 1 while RocksDB refuses writes. */
  readonly writeStopped: number
  /** 0, or why the node refuses writes (docs/reference/metrics.md). */
  readonly writesRefused: number
  readonly diskFreeMiB: number
}

const COLUMNS: readonly (keyof Sample)[] = [
  'seconds', 'residentMiB', 'openFiles', 'dataFiles', 'threads', 'timers', 'walSegments', 'walWrittenMiB', 'loopDelayP99Ms', 'acceptedPerSecond',
  'ingestLagMiB', 'tlogLag', 'writeStopped', 'writesRefused', 'diskFreeMiB',
]

export const SAMPLES_PATH = join(repoRoot, 'scratch', 'endurance.csv')
/** Beside docs/fault-record.md. */
export const CHART_NAME = 'endurance.svg'
export const CHART_TEXT = 'O6: a node under a steady load at half of its maximum: memory, files, threads and timers, event loop, rate.'

export function samplesToCsv(samples: readonly Sample[]): string {
  const line = (sample: Sample): string => COLUMNS.map((column) => Number(sample[column].toFixed(3))).join(',')
  return `${[COLUMNS.join(','), ...samples.map(line)].join('\n')}\n`
}

/** @throws {Error} where the columns are others. */
export function samplesFromCsv(csv: string): Sample[] {
  const [head, ...lines] = csv.trim().split('\n')
  if (head !== COLUMNS.join(',')) throw new Error(`columns ${head}`)
  return lines.map((line) => {
    const values = line.split(',').map(Number)
    return Object.fromEntries(COLUMNS.map((column, i) => [column, values[i]])) as unknown as Sample
  })
}

export function keepSamples(samples: readonly Sample[]): void {
  mkdirSync(dirname(SAMPLES_PATH), { recursive: true })
  writeFileSync(SAMPLES_PATH, samplesToCsv(samples))
}

const PAIRS_OF_MAX = 200

/** Growth a minute: the median of the slopes of all pairs (Theil and Sen), which no single step of a heap moves. */
export function growthPerMinute(samples: readonly Sample[], column: keyof Sample): number {
  const stride = Math.max(1, Math.ceil(samples.length / PAIRS_OF_MAX))
  const points = samples.filter((_, i) => i % stride === 0)
  const slopes: number[] = []
  for (const [i, a] of points.entries()) {
    for (const b of points.slice(i + 1)) if (b.seconds > a.seconds) slopes.push((b[column] - a[column]) / ((b.seconds - a.seconds) / 60))
  }
  return median(slopes)
}

/** How much more of something there is at the end than at the beginning: medians of the first and the last third. */
export function growthOf(samples: readonly Sample[], column: keyof Sample): number {
  const third = Math.max(1, Math.floor(samples.length / 3))
  const values = samples.map((sample) => sample[column])
  return median(values.slice(-third)) - median(values.slice(0, third))
}

export function drawSamples(csv: string): string {
  const samples = samplesFromCsv(csv)
  const line = (name: string, column: keyof Sample): Chart['series'][number] => ({ name, points: samples.map((sample) => [sample.seconds / 60, sample[column]] as const) })
  const chart = (title: string, yLabel: string, ...series: readonly Chart['series'][number][]): Chart => ({ title, xLabel: 'minutes', yLabel, series })
  return renderCharts([
    chart('Resident memory', 'MiB', line('resident', 'residentMiB')),
    chart('Files, threads, timers', 'count', line('sockets, others', 'openFiles'), line('data files', 'dataFiles'), line('threads', 'threads'), line('timers', 'timers')),
    chart('Log', 'MiB, segments', line('written, MiB', 'walWrittenMiB'), line('segments', 'walSegments')),
    chart('Event loop of the front', 'ms', line('delay, p99', 'loopDelayP99Ms')),
    chart('Rate', 'assertions/s', line('accepted', 'acceptedPerSecond')),
    chart('Behind the log', 'MiB', line('indexes', 'ingestLagMiB')),
  ])
}
