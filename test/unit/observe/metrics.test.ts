import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { METRICS, METRIC_NAMES, type Metric } from '../../../src/observe/metrics.ts'
import { createMetrics, type Metrics } from '../../../src/observe/metrics-registry.ts'
import { noMetrics, threadMetrics } from '../../../src/observe/thread-metrics.ts'
import { BLOCK_BYTES, BLOCK_SLOTS, METRIC_SLOTS } from '../../../src/observe/thread-metrics.layout.ts'
import { buildRoot } from '../../support/root.ts'

/** The samples of a scrape: `name{label="value"}` → number. */
async function scrape(metrics: Metrics): Promise<Map<string, number>> {
  const samples = new Map<string, number>()
  for (const line of (await metrics.text()).split('\n')) {
    const match = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line)
    if (match !== null) samples.set(match[1]!, match[2] === '+Inf' ? Infinity : Number(match[2]))
  }
  return samples
}

t.test('names and units follow Prometheus', async (t) => {
  for (const name of METRIC_NAMES) {
    const metric: Metric = METRICS[name]
    t.match(name, /^[a-z][a-z0-9_]*$/)
    t.notMatch(name, /_(ms|us|milliseconds|kb|mib)(_|$)/, `${name}: base units`)
    if (metric.type === 'counter') t.match(name, /_total$/, `${name} is a counter`)
    if (metric.type === 'histogram') t.match(name, /_(seconds|bytes|size|assertions)$/, `${name} says what it counts`)
    t.match(metric.help, /^\S.*\.$/, `${name} has a sentence`)
    for (const label of Object.keys(metric.labels ?? {})) t.notMatch(label, /(^|_)(id|subject|agent|key|address)$/, `${name}: labels are closed sets`)
  }
})

t.test('slots of all series are apart and fill the block', async (t) => {
  const taken = new Uint8Array(BLOCK_SLOTS)
  for (const name of METRIC_NAMES) {
    const { firstSlot, width, seriesCount } = METRIC_SLOTS[name]
    for (let slot = firstSlot; slot < firstSlot + width * seriesCount; slot++) taken[slot]! += 1
  }
  t.ok(taken.every((count, slot) => count === (slot === 0 ? 0 : 1)))
})

t.test('blocks of several threads are added up', async (t) => {
  const metrics = createMetrics('1.2.3')
  const a = threadMetrics(metrics.newBlock())
  const b = threadMetrics(metrics.newBlock())
  a.inc('wal_fsync_total')
  b.inc('wal_fsync_total', 4)
  metrics.main.set('connections', 7)
  a.set('connections', 2)
  a.set('connections', 1)
  a.inc('refusals_total', { code: 'overloaded' }, 2)
  b.inc('refusals_total', { code: 'disk_full' })
  a.inc('http_requests_total', { route: 'query', status: '200' })
  const samples = await scrape(metrics)
  t.equal(samples.get('stemedb_wal_fsync_total'), 5)
  t.equal(samples.get('stemedb_connections'), 8)
  t.equal(samples.get('stemedb_refusals_total{code="overloaded"}'), 2)
  t.equal(samples.get('stemedb_refusals_total{code="disk_full"}'), 1)
  t.equal(samples.get('stemedb_refusals_total{code="internal"}'), 0, 'a series is there before its first event')
  t.equal(samples.get('stemedb_http_requests_total{route="query",status="200"}'), 1)
  t.notOk(samples.has('stemedb_http_requests_total{route="livez",status="507"}'), 'sparse')
  t.ok([...samples.keys()].some((key) => key.startsWith('stemedb_build_info{version="1.2.3"')))
  t.ok((samples.get('process_resident_memory_bytes') ?? 0) > 0)
})

t.test('a label value outside the table counts as other, or is a bug', async (t) => {
  const metrics = createMetrics('0')
  metrics.main.inc('http_requests_total', { route: 'query', status: '418' as '200' })
  t.equal((await scrape(metrics)).get('stemedb_http_requests_total{route="query",status="other"}'), 1)
  t.throws(() => metrics.main.inc('queries_total', { endpoint: 'nonsense' as 'query' }), { name: 'AssertionFailure' })
})

t.test('histogram: each value lies in the smallest bucket that holds it', async (t) => {
  const { buckets } = METRICS.wal_fsync_latency_seconds
  const { firstSlot } = METRIC_SLOTS.wal_fsync_latency_seconds
  const micros = fc.oneof(fc.nat(100), fc.nat(2 ** 31 - 1), fc.integer({ min: 0, max: 30 }).map((e) => 2 ** e))
  fc.assert(fc.property(micros, (us) => {
    const block = new SharedArrayBuffer(BLOCK_BYTES)
    threadMetrics(block).observe('wal_group_bytes', us * 64)
    const slots = new Float64Array(block)
    const first = METRIC_SLOTS.wal_group_bytes.firstSlot
    const bucket = slots.subarray(first, first + METRICS.wal_group_bytes.buckets.count + 1).indexOf(1)
    const holds = bucket === METRICS.wal_group_bytes.buckets.count || us <= 2 ** bucket
    const smallest = bucket === 0 || us > 2 ** (bucket - 1)
    return holds && smallest
  }))
  for (const odd of [-1, NaN, 0, Infinity, 1e300]) {
    const block = new SharedArrayBuffer(BLOCK_BYTES)
    threadMetrics(block).observe('wal_fsync_latency_seconds', odd)
    const counts = [...new Float64Array(block).subarray(firstSlot, firstSlot + buckets.count + 1)]
    t.equal(counts.reduce((sum, count) => sum + count, 0), 1, `${odd} is counted once`)
  }
})

t.test('histogram text: cumulative, ends in +Inf = count, sum in base units', async (t) => {
  const metrics = createMetrics('0')
  for (const seconds of [0.0000005, 0.003, 0.003, 1, 100]) metrics.main.observe('ack_latency_seconds', { stage: 'total' }, seconds)
  const samples = await scrape(metrics)
  const at = (le: string): number | undefined => samples.get(`stemedb_ack_latency_seconds_bucket{le="${le}",stage="total"}`)
  t.equal(at('0.000001'), 1)
  t.equal(at('0.002048'), 1)
  t.equal(at('0.004096'), 3)
  t.equal(at('1.048576'), 4)
  t.equal(at('33.554432'), 4)
  t.equal(at('+Inf'), 5)
  t.equal(samples.get('stemedb_ack_latency_seconds_count{stage="total"}'), 5)
  t.ok(Math.abs((samples.get('stemedb_ack_latency_seconds_sum{stage="total"}') ?? 0) - 101.0060005) < 1e-9)
})

t.test('gauges that are read, not kept, are sampled before each scrape', async (t) => {
  const metrics = createMetrics('0')
  let lsn = 0
  metrics.onScrape((main) => main.set('durable_lsn', ++lsn))
  t.equal((await scrape(metrics)).get('stemedb_durable_lsn'), 1)
  t.equal((await scrape(metrics)).get('stemedb_durable_lsn'), 2)
})

t.test('a real thread writes its block, the main thread reads it', async (t) => {
  const metrics = createMetrics('0')
  const url = pathToFileURL(join(buildRoot, 'src/observe/thread-metrics.js')).href
  const code = `const { workerData } = require('node:worker_threads')
    import(${JSON.stringify(url)}).then(({ threadMetrics }) => {
      const m = threadMetrics(workerData)
      for (let i = 0; i < 100000; i++) m.inc('wal_writes_total')
    })`
  const worker = new Worker(code, { eval: true, workerData: metrics.newBlock() })
  await once(worker, 'exit')
  t.equal((await scrape(metrics)).get('stemedb_wal_writes_total'), 100_000)
})

t.test('a block of another size is refused; code without a node has nowhere to write', async (t) => {
  t.throws(() => threadMetrics(new SharedArrayBuffer(8)), { name: 'AssertionFailure' })
  noMetrics.inc('wal_fsync_total')
  noMetrics.observe('wal_fsync_latency_seconds', 1)
})
