import { EXIT } from '../base/exit-codes.ts'
import { METRICS, METRIC_NAMES, METRIC_PREFIX, type Metric, type MetricName } from '../observe/metrics.ts'
import type { Console, OutputOptions } from './console.ts'

/*
 * The dashboard for Grafana, made from the table of metrics, so that it has all of them and no other: first what to look at
 * first, then every metric by the part of the node that it is of. Form: Grafana's JSON model of dashboards,
 * https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
 */

interface Target {
  readonly expr: string
  readonly legend: string
}
interface Panel {
  readonly title: string
  readonly meaning: string
  /** Grafana's name of the unit. */
  readonly unit: string
  readonly targets: readonly Target[]
}
interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
  readonly collapsed: boolean
}

/** One node at a time, or all: `$instance` may be several. */
const NODE = 'instance=~"$instance"'
const COLUMNS = 3
const PANEL_WIDTH = 24 / COLUMNS
const PANEL_HEIGHT = 8
/** The form of the file, which Grafana raises to its own when it reads it. */
const SCHEMA_VERSION = 39

/** Parts of the node, each with the metrics that are of it, by the beginnings of their names. */
const PARTS: readonly { readonly title: string, readonly beginnings: readonly string[] }[] = [
  { title: 'Front', beginnings: ['http_', 'connections', 'credit_', 'received_', 'batches_', 'acks_', 'refusals_', 'ack_'] },
  { title: 'Verify', beginnings: ['verify_', 'assertion_'] },
  { title: 'Commit and WAL', beginnings: ['assertions_total', 'assertions_accepted', 'assertions_duplicate', 'durable_', 'writes_', 'commit_', 'wal_'] },
  { title: 'Scrub', beginnings: ['scrub_'] },
  { title: 'Rings and threads', beginnings: ['ring_', 'thread', 'ready'] },
  { title: 'Ingest and store', beginnings: ['assertions_ingested', 'applied_', 'ids_', 'id_', 'ingest_', 'recent_', 'storage_', 'rocksdb_'] },
  { title: 'Questions', beginnings: ['queries_', 'query_', 'record_', 'pair_', 'claim_', 'index_', 'answer_'] },
  { title: 'Audit', beginnings: ['audit_'] },
  { title: 'Live subscriptions', beginnings: ['subscriptions', 'feed_'] },
  { title: 'Receipts and proofs', beginnings: ['receipts_', 'merkle_', 'tlog_'] },
]

const full = (name: MetricName): string => `${METRIC_PREFIX}${name}`
const rate = (name: MetricName, by = ''): string => `sum by (instance${by}) (rate(${full(name)}{${NODE}}[$__rate_interval]))`
const quantile = (q: number, name: MetricName, by = '', filter = ''): string =>
  `histogram_quantile(${q}, sum by (instance, le${by}) (rate(${full(name)}_bucket{${NODE}${filter}}[$__rate_interval])))`

const valueOf = (name: MetricName): string => `${full(name)}{${NODE}}`
const quantiles = (name: MetricName, legend: string, by = '', filter = ''): Target[] =>
  [0.5, 0.99].map((q) => ({ expr: quantile(q, name, by, filter), legend: `${legend} p${q * 100}` }))

const OVERVIEW: readonly Panel[] = [
  {
    title: 'Assertions accepted', meaning: METRICS.assertions_accepted_total.help, unit: 'wps',
    targets: [{ expr: rate('assertions_accepted_total'), legend: '{{instance}}' }],
  },
  {
    title: 'Ack latency', meaning: METRICS.ack_latency_seconds.help, unit: 's',
    targets: quantiles('ack_latency_seconds', '{{instance}}', '', ',stage="total"'),
  },
  {
    title: 'Refused, by code', meaning: METRICS.refusals_total.help, unit: 'ops',
    targets: [{ expr: `${rate('refusals_total', ', code')} > 0`, legend: '{{instance}} {{code}}' }],
  },
  {
    title: 'Sync of the WAL', meaning: METRICS.wal_fsync_latency_seconds.help, unit: 's',
    targets: quantiles('wal_fsync_latency_seconds', '{{instance}}'),
  },
  {
    title: 'Questions answered', meaning: METRICS.queries_total.help, unit: 'ops',
    targets: [{ expr: rate('queries_total'), legend: '{{instance}}' }],
  },
  {
    title: 'Indexes behind the log', meaning: METRICS.ingest_lag_seconds.help, unit: 's',
    targets: [{ expr: valueOf('ingest_lag_seconds'), legend: '{{instance}}' }],
  },
  {
    title: 'Resident memory', meaning: 'Of the process, shared memory included.', unit: 'bytes',
    targets: [{ expr: `process_resident_memory_bytes{${NODE},job="stemedb"}`, legend: '{{instance}}' }],
  },
  {
    title: 'Disk left', meaning: METRICS.wal_disk_free_bytes.help, unit: 'bytes',
    targets: [{ expr: valueOf('wal_disk_free_bytes'), legend: '{{instance}}' }],
  },
  {
    title: 'Writes refused', meaning: METRICS.writes_refused.help, unit: 'none',
    targets: [{ expr: valueOf('writes_refused'), legend: '{{instance}}' }],
  },
]

/** What a value of the metric is, in Grafana's words. */
function unitOf(name: MetricName, metric: Metric): string {
  if (metric.type === 'counter') {
    // Seconds a second are a part of one thread.
    if (name.endsWith('_seconds_total')) return 'percentunit'
    return name.endsWith('_bytes_total') ? 'Bps' : 'ops'
  }
  if (name === 'durable_hlc_seconds') return 'dateTimeAsIso'
  if (name.endsWith('_seconds')) return 's'
  if (name.endsWith('_bytes')) return 'bytes'
  return name.endsWith('_ratio') ? 'percentunit' : 'short'
}

function targetsOf(name: MetricName, metric: Metric): Target[] {
  const labels = Object.keys(metric.labels ?? {})
  const by = labels.map((label) => `, ${label}`).join('')
  const legend = ['{{instance}}', ...labels.map((label) => `{{${label}}}`)].join(' ')
  switch (metric.type) {
    case 'counter': return [{ expr: labels.length > 0 ? `${rate(name, by)} > 0` : rate(name), legend }]
    case 'gauge': return [{ expr: name === 'durable_hlc_seconds' ? `${valueOf(name)} * 1000` : valueOf(name), legend }]
    case 'histogram': return quantiles(name, legend, by)
  }
}

const panelOf = (name: MetricName): Panel => {
  const metric: Metric = METRICS[name]
  return { title: name, meaning: metric.help, unit: unitOf(name, metric), targets: targetsOf(name, metric) }
}

/** Names by part. A name that is of none is in a last part. */
export function metricsByPart(): { readonly title: string, readonly names: readonly MetricName[] }[] {
  const isOf = (name: string, beginnings: readonly string[]): boolean => beginnings.some((beginning) => name.startsWith(beginning))
  const parts = PARTS.map(({ title, beginnings }) => ({ title, names: METRIC_NAMES.filter((name) => isOf(name, beginnings)) }))
  const others = METRIC_NAMES.filter((name) => !parts.some(({ names }) => names.includes(name)))
  return others.length > 0 ? [...parts, { title: 'Others', names: others }] : parts
}

function rows(): Row[] {
  const parts = metricsByPart().map(({ title, names }) => ({ title, panels: names.map(panelOf), collapsed: true }))
  return [{ title: 'Overview', panels: OVERVIEW, collapsed: false }, ...parts]
}

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' }

/** @param y where the first line of panels stands */
function placed(panels: readonly Panel[], y: number, firstId: number): object[] {
  return panels.map(({ title, meaning, unit, targets }, i) => ({
    id: firstId + i, type: 'timeseries', title, description: meaning, datasource: DATASOURCE,
    gridPos: { x: (i % COLUMNS) * PANEL_WIDTH, y: y + Math.floor(i / COLUMNS) * PANEL_HEIGHT, w: PANEL_WIDTH, h: PANEL_HEIGHT },
    fieldConfig: { defaults: { unit, min: unit === 'dateTimeAsIso' ? null : 0 }, overrides: [] },
    options: { tooltip: { mode: 'multi', sort: 'desc' }, legend: { displayMode: 'list', placement: 'bottom' } },
    targets: targets.map(({ expr, legend }, k) => ({ refId: String.fromCodePoint(65 + k), expr, legendFormat: legend, datasource: DATASOURCE })),
  }))
}

/** @returns the dashboard as Grafana imports it; rows of parts are folded up. */
export function renderDashboard(): object {
  const panels: object[] = []
  let y = 0
  let id = 1
  for (const { title, panels: inRow, collapsed } of rows()) {
    const below = placed(inRow, y + 1, id + 1)
    const row = { id, type: 'row', title, collapsed, gridPos: { x: 0, y, w: 24, h: 1 }, panels: collapsed ? below : [] }
    panels.push(row, ...(collapsed ? [] : below))
    // Panels of a row that is folded up take no room.
    y += 1 + (collapsed ? 0 : Math.ceil(inRow.length / COLUMNS) * PANEL_HEIGHT)
    id += 1 + inRow.length
  }
  const variable = { hide: 0, multi: false, includeAll: false }
  return {
    uid: 'stemedb', title: 'StemeDB', tags: ['stemedb'], schemaVersion: SCHEMA_VERSION, editable: true, timezone: 'browser', refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    templating: {
      list: [
        { ...variable, name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus' },
        {
          ...variable, name: 'instance', label: 'Node', type: 'query', datasource: DATASOURCE, multi: true, includeAll: true,
          query: { query: `label_values(${full('ready')}, instance)`, refId: 'instance' }, refresh: 2, sort: 1, current: { text: 'All', value: '$__all' },
        },
      ],
    },
    panels,
  }
}

/** `stemedb dashboard` */
export function runDashboard({ json = false }: OutputOptions, console: Console): number {
  console.out(JSON.stringify(renderDashboard(), null, json ? 0 : 2))
  return EXIT.ok
}
