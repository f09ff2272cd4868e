import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { systemClock } from '../../src/base/clock.ts'
import { MiB } from '../../src/base/units.ts'
import type { Sample } from '../soak/samples.ts'
import type { RunningServer } from './server.ts'

/** The sum of a metric over its labels, or of those lines that contain `label`; 0 where there is none. */
export function metricOf(text: string, name: string, label = ''): number {
  return text.split('\n').filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

function openFilesOf(pid: number, dataDir: string): { data: number, others: number } {
  let data = 0
  let others = 0
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${name}`).startsWith(dataDir)) data++
      else others++
    } catch {
      // closed since the folder was read
    }
  }
  return { data, others }
}

const statusField = (pid: number, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN)

/** Looks at a running node from time to time. */
export class NodeWatch {
  readonly samples: Sample[] = []
  readonly #server: RunningServer
  readonly #dataDir: string
  readonly #startMs = systemClock.monoMs()
  #accepted = Number.NaN
  #lastMs = 0

  constructor(server: RunningServer, dataDir: string) {
    this.#server = server
    this.#dataDir = `${dataDir}/`
  }

  async look(): Promise<void> {
    const { pid, url } = this.#server
    const text = await (await fetch(`${url}/metrics`)).text()
    const nowMs = systemClock.monoMs()
    const accepted = metricOf(text, 'stemedb_assertions_accepted_total')
    const files = openFilesOf(pid, this.#dataDir)
    this.samples.push({
      seconds: (nowMs - this.#startMs) / 1000,
      residentMiB: statusField(pid, 'VmRSS') / 1024,
      openFiles: files.others,
      dataFiles: files.data,
      threads: statusField(pid, 'Threads'),
      timers: metricOf(text, 'nodejs_active_resources', 'type="Timeout"'),
      walSegments: metricOf(text, 'stemedb_wal_segments_count'),
      walWrittenMiB: metricOf(text, 'stemedb_wal_bytes_written_total') / MiB,
      loopDelayP99Ms: metricOf(text, 'nodejs_eventloop_lag_p99_seconds') * 1000,
      acceptedPerSecond: Number.isNaN(this.#accepted) ? 0 : (accepted - this.#accepted) / ((nowMs - this.#lastMs) / 1000),
      ingestLagMiB: metricOf(text, 'stemedb_ingest_lag_bytes') / MiB,
      tlogLag: metricOf(text, 'stemedb_tlog_lag_assertions'),
      writeStopped: metricOf(text, 'stemedb_rocksdb_write_stopped'),
      writesRefused: metricOf(text, 'stemedb_writes_refused'),
      diskFreeMiB: metricOf(text, 'stemedb_wal_disk_free_bytes') / MiB,
    })
    this.#accepted = accepted
    this.#lastMs = nowMs
  }

  /** Looks every `intervalMs` until the promise has settled; the first failure to look ends it. */
  async until<T>(promise: Promise<T>, intervalMs: number): Promise<T> {
    let isOver = false
    const over = promise.finally(() => { isOver = true }).catch(() => undefined)
    while (!isOver) {
      await this.look()
      await Promise.race([over, new Promise((resolve) => setTimeout(resolve, intervalMs))])
    }
    return promise
  }
}
