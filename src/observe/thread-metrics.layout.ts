import { assert } from '../base/assert.ts'
import { METRICS, METRIC_NAMES, type Metric, type MetricName } from './metrics.ts'

/**
 * A thread's block of metrics: a SharedArrayBuffer of float64 slots, written by one thread without atomics and read by
 * the main thread at a scrape. A slot is 8-aligned, so on every 64-bit machine that Node runs on a reader sees the old
 * or the new number; counts are exact to 2^53.
 *
 * Slot 0 is unused. Each metric has its series side by side, in the order of the table and of its label values (the
 * last label fastest). A counter or gauge takes one slot a series; a histogram its buckets (not cumulative), the bucket
 * above all, and the sum.
 */
export interface MetricSlots {
  readonly metric: Metric
  readonly firstSlot: number
  /** Slots of one series. */
  readonly width: number
  readonly seriesCount: number
  readonly labels: readonly LabelSlots[]
}
export interface LabelSlots {
  readonly name: string
  readonly values: readonly string[]
  readonly indexOf: ReadonlyMap<string, number>
  /** Series between two neighbouring values of this label. */
  readonly stride: number
}

/** Slots of a histogram's series: its buckets, +Inf, sum. */
const widthOf = (metric: Metric): number => (metric.type === 'histogram' ? metric.buckets.count + 2 : 1)

function labelSlots(metric: Metric): LabelSlots[] {
  const slots: LabelSlots[] = []
  let stride = 1
  for (const [name, values] of Object.entries(metric.labels ?? {}).reverse()) {
    slots.unshift({ name, values, indexOf: new Map(values.map((value, index) => [value, index])), stride })
    stride *= values.length
  }
  return slots
}

function layOut(): { slots: Record<MetricName, MetricSlots>, count: number } {
  const slots = {} as Record<MetricName, MetricSlots>
  let next = 1
  for (const name of METRIC_NAMES) {
    const metric: Metric = METRICS[name]
    const labels = labelSlots(metric)
    const seriesCount = labels.reduce((product, label) => product * label.values.length, 1)
    slots[name] = { metric, firstSlot: next, width: widthOf(metric), seriesCount, labels }
    next += seriesCount * widthOf(metric)
  }
  return { slots, count: next }
}

const layout = layOut()

export const METRIC_SLOTS: Readonly<Record<MetricName, MetricSlots>> = Object.freeze(layout.slots)
export const BLOCK_SLOTS = layout.count
export const BLOCK_BYTES = BLOCK_SLOTS * Float64Array.BYTES_PER_ELEMENT

/** Every block costs this much memory, and a scrape reads all of them. */
export const BLOCK_BYTES_MAX = 64 * 1024

assert(BLOCK_BYTES <= BLOCK_BYTES_MAX, () => `a block of metrics takes ${BLOCK_BYTES} bytes: too many label values`)

/** Inclusive upper bound of bucket `index`, in the metric's unit. */
export const bucketBound = (buckets: { readonly perUnit: number }, index: number): number => 2 ** index / buckets.perUnit

export function createBlock(): SharedArrayBuffer {
  return new SharedArrayBuffer(BLOCK_BYTES)
}
