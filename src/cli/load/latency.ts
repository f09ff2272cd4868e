import { build, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'
import type { LatencySummary } from './load.types.ts'

/** Longest latency that is told from longer ones: 10 minutes. */
const MICROSECONDS_MAX = 600_000_000

/** Latencies in microseconds with three digits. */
export class LatencyRecorder {
  readonly #all: Histogram = build({ bitBucketSize: 64, highestTrackableValue: MICROSECONDS_MAX, numberOfSignificantValueDigits: 3 })
  readonly #recent: Histogram = build({ bitBucketSize: 32, highestTrackableValue: MICROSECONDS_MAX, numberOfSignificantValueDigits: 2 })

  record(latencyMs: number): void {
    const microseconds = Math.min(MICROSECONDS_MAX, Math.max(0, Math.round(latencyMs * 1000)))
    this.#all.recordValue(microseconds)
    this.#recent.recordValue(microseconds)
  }

  /** Percentiles since the last call. */
  recent(): { p50Ms: number, p99Ms: number } {
    const { totalCount } = this.#recent
    const at = (percentile: number): number => (totalCount === 0 ? 0 : this.#recent.getValueAtPercentile(percentile) / 1000)
    const result = { p50Ms: at(50), p99Ms: at(99) }
    this.#recent.reset()
    return result
  }

  summary(): LatencySummary {
    const all = this.#all
    const { totalCount: count } = all
    const maxMs = count === 0 ? 0 : all.maxValue / 1000
    // The histogram answers with the upper end of a bucket, which may lie above the greatest value.
    const at = (percentile: number): number => (count === 0 ? 0 : Math.min(maxMs, all.getValueAtPercentile(percentile) / 1000))
    return {
      count,
      meanMs: count === 0 ? 0 : all.mean / 1000,
      minMs: count === 0 ? 0 : all.minNonZeroValue / 1000,
      p50Ms: at(50), p90Ms: at(90), p99Ms: at(99), p999Ms: at(99.9),
      maxMs,
    }
  }

  /** In the V2 compressed form of HdrHistogram. */
  encoded(): string {
    return encodeIntoCompressedBase64(this.#all)
  }
}
