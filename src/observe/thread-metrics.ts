import { assert, AssertionFailure } from '../base/assert.ts'
import { BLOCK_BYTES, METRIC_SLOTS, type MetricSlots } from './thread-metrics.layout.ts'
import type { LabelsOf, MetricName, NamesOf } from './metrics.ts'

type Labels = Readonly<Record<string, string>>
/** What follows a metric's name: its labels, where it has some. */
type Given<N extends MetricName, Rest extends unknown[]> = LabelsOf<N> extends undefined ? Rest : [labels: LabelsOf<N>, ...rest: Rest]

/** What a thread writes its metrics through: a few array additions, no allocation but the caller's labels. */
export interface ThreadMetrics {
  /** Adds to a counter: 1, or `by` >= 0. */
  inc<N extends NamesOf<'counter'>>(name: N, ...given: Given<N, [by?: number]>): void
  /** Sets this thread's part of a gauge. */
  set<N extends NamesOf<'gauge'>>(name: N, ...given: Given<N, [value: number]>): void
  /** Adds one observation, in the unit of the metric's name (seconds, bytes, or a count). */
  observe<N extends NamesOf<'histogram'>>(name: N, ...given: Given<N, [value: number]>): void
}

/** Index of a series among those of its metric. @throws {AssertionFailure} for a label value outside the table. */
function seriesOf(slots: MetricSlots, labels: Labels): number {
  let series = 0
  for (const label of slots.labels) {
    const value = labels[label.name] ?? ''
    const index = label.indexOf.get(value) ?? label.indexOf.get('other')
    if (index === undefined) throw new AssertionFailure(`metric label ${label.name}="${value}" is not in the table`)
    series += index * label.stride
  }
  return series
}

/** Smallest bucket whose bound is at least `value`; the one above all where there is none. */
function bucketOf(value: number, perUnit: number, count: number): number {
  const scaled = Math.ceil(value * perUnit)
  if (!(scaled > 1)) return 0
  if (scaled > 0x7fff_ffff) return count
  const index = 32 - Math.clz32(scaled - 1)
  return index < count ? index : count
}

class BlockWriter {
  readonly #slots: Float64Array

  constructor(block: SharedArrayBuffer) {
    assert(block.byteLength === BLOCK_BYTES, () => `a block of metrics has ${block.byteLength} bytes, not ${BLOCK_BYTES}`)
    this.#slots = new Float64Array(block)
  }

  inc(name: MetricName, first?: Labels | number, second?: number): void {
    const slots = METRIC_SLOTS[name]
    const labelled = typeof first === 'object'
    const by = (labelled ? second : first) ?? 1
    this.#slots[slots.firstSlot + (labelled ? seriesOf(slots, first) : 0)]! += by
  }

  set(name: MetricName, first: Labels | number, second?: number): void {
    const slots = METRIC_SLOTS[name]
    if (typeof first === 'object') this.#slots[slots.firstSlot + seriesOf(slots, first)] = second!
    else this.#slots[slots.firstSlot] = first
  }

  observe(name: MetricName, first: Labels | number, second?: number): void {
    const slots = METRIC_SLOTS[name]
    if (slots.metric.type !== 'histogram') throw new AssertionFailure(`${name} is no histogram`)
    const labelled = typeof first === 'object'
    const value = labelled ? second! : first
    const { perUnit, count } = slots.metric.buckets
    const start = slots.firstSlot + (labelled ? seriesOf(slots, first) * slots.width : 0)
    this.#slots[start + bucketOf(value, perUnit, count)]! += 1
    this.#slots[start + count + 1]! += value
  }
}

/** The writer of one block. A block has one writer. @throws {AssertionFailure} where it is no block of this build. */
export function threadMetrics(block: SharedArrayBuffer): ThreadMetrics {
  return new BlockWriter(block) as ThreadMetrics
}

/** For code that runs without a node around it. */
export const noMetrics: ThreadMetrics = Object.freeze({ inc() {}, set() {}, observe() {} })
