import * as client from 'prom-client'
import { BLOCK_SLOTS, METRIC_SLOTS, bucketBound, createBlock, type MetricSlots } from './thread-metrics.layout.ts'
import { METRIC_NAMES, METRIC_PREFIX, type MetricName } from './metrics.ts'
import { threadMetrics, type ThreadMetrics } from './thread-metrics.ts'

type Value = client.MetricObjectWithValues<client.MetricValue<string>>['values'][number] & { metricName?: string }

/** All metrics of the process, on the main thread. */
export interface Metrics {
  /** The main thread's own writer. */
  readonly main: ThreadMetrics
  /** A block for a thread that is about to start; it is part of every scrape from now on. */
  newBlock(): SharedArrayBuffer
  /** `sample` runs before every scrape: for gauges that are read, not kept. Errors in it fail the scrape. */
  onScrape(sample: (main: ThreadMetrics) => void): void
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
}

function labelsOf(slots: MetricSlots, series: number): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const label of slots.labels) labels[label.name] = label.values[Math.floor(series / label.stride) % label.values.length]!
  return labels
}

function histogramValues(name: string, slots: MetricSlots, labels: Record<string, string>, at: (slot: number) => number): Value[] {
  if (slots.metric.type !== 'histogram') return []
  const { buckets } = slots.metric
  const values: Value[] = []
  let total = 0
  for (let i = 0; i <= buckets.count; i++) {
    total += at(i)
    const le = i === buckets.count ? '+Inf' : bucketBound(buckets, i)
    values.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: total })
  }
  values.push({ metricName: `${name}_sum`, labels, value: at(buckets.count + 1) })
  values.push({ metricName: `${name}_count`, labels, value: total })
  return values
}

/** A metric's series, from the sum of all blocks. */
function valuesOf(name: string, slots: MetricSlots, sums: Float64Array): Value[] {
  const values: Value[] = []
  for (let series = 0; series < slots.seriesCount; series++) {
    const start = slots.firstSlot + series * slots.width
    const labels = labelsOf(slots, series)
    if (slots.metric.type === 'histogram') {
      values.push(...histogramValues(name, slots, labels, (slot) => sums[start + slot]!))
      continue
    }
    const value = sums[start]!
    const hidden = slots.metric.type === 'counter' && slots.metric.sparse === true && value === 0
    if (!hidden) values.push({ labels, value })
  }
  return values
}

/** What a Registry asks of a metric. */
function hosted(name: MetricName, sums: () => Float64Array): client.Metric {
  const full = METRIC_PREFIX + name
  const slots = METRIC_SLOTS[name]
  const metric = {
    name: full,
    help: slots.metric.help,
    get: () => Promise.resolve({
      name: full, help: slots.metric.help, type: slots.metric.type, aggregator: 'sum', values: valuesOf(full, slots, sums()),
    }),
    reset: () => {},
  }
  return metric as unknown as client.Metric
}

/**
 * Hosts the table, prom-client's own process metrics, and `stemedb_build_info` on a registry of its own.
 * @param version of the package, as `build_info` shows it.
 */
export function createMetrics(version: string): Metrics {
  const registry = new client.Registry()
  const blocks: Float64Array[] = []
  const samplers: ((main: ThreadMetrics) => void)[] = []
  let sums: Float64Array = new Float64Array(BLOCK_SLOTS)

  const newBlock = (): SharedArrayBuffer => {
    const block = createBlock()
    blocks.push(new Float64Array(block))
    return block
  }
  const main = threadMetrics(newBlock())

  client.collectDefaultMetrics({ register: registry })
  new client.Gauge({
    name: `${METRIC_PREFIX}build_info`, help: 'Version of this node; always 1.', labelNames: ['version', 'node_version'], registers: [registry],
  }).set({ version, node_version: process.version }, 1)
  for (const name of METRIC_NAMES) registry.registerMetric(hosted(name, () => sums))

  const fold = (): Float64Array => {
    const folded = new Float64Array(BLOCK_SLOTS)
    for (const block of blocks) for (let i = 0; i < BLOCK_SLOTS; i++) folded[i]! += block[i]!
    return folded
  }

  return {
    main,
    newBlock,
    onScrape: (sample) => void samplers.push(sample),
    async text() {
      for (const sample of samplers) sample(main)
      sums = fold()
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}
