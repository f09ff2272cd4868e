import t from 'tap'
import { metricsByPart, renderDashboard } from '../../../src/cli/dashboard.ts'
import { runCli } from '../../../src/cli/program.ts'
import { createMetrics } from '../../../src/observe/metrics-registry.ts'
import { METRICS, METRIC_NAMES, METRIC_PREFIX, type Metric } from '../../../src/observe/metrics.ts'
import { testConsole } from './test-console.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly collapsed?: boolean
  readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
  readonly panels?: readonly Panel[]
  readonly targets?: readonly { readonly refId: string, readonly expr: string }[]
}
const { panels } = renderDashboard() as { panels: Panel[] }
const all = panels.flatMap((panel) => [panel, ...panel.panels ?? []])
const expressions = all.flatMap((panel) => panel.targets ?? []).map(({ expr }) => expr)

t.test('every metric has its panel, in one part', async (t) => {
  t.strictSame(metricsByPart().flatMap(({ names }) => names).sort(), [...METRIC_NAMES].sort())
  t.notOk(metricsByPart().some(({ title }) => title === 'Others'), 'a new metric is of some part: say of which in PARTS')
  for (const name of METRIC_NAMES) t.equal(all.filter(({ title }) => title === name).length, 1, name)
})

t.test('panels ask for metrics that are served, in the form of their type', async (t) => {
  const served = new Set([...(await createMetrics('0').text()).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!))
  for (const expr of expressions) {
    const named = [...expr.matchAll(/\b(?:stemedb|process|nodejs)_\w+/g)].map((match) => match[0])
    t.equal(named.length, 1, expr)
    const base = named[0]!.replace(/_bucket$/, '')
    t.ok(served.has(base), `${base} is served`)
    const metric: Metric | undefined = METRICS[base.slice(METRIC_PREFIX.length) as keyof typeof METRICS]
    t.equal(named[0]!.endsWith('_bucket'), metric?.type === 'histogram', `${expr}: buckets of histograms alone`)
    t.equal(expr.includes('rate('), metric !== undefined && metric.type !== 'gauge', `${expr}: rates of what only grows`)
    for (const label of Object.keys(metric?.labels ?? {})) {
      if (base !== 'stemedb_ack_latency_seconds' && base !== 'stemedb_queries_total') t.ok(expr.includes(label) || metric?.type === 'gauge', `${expr}: by ${label}`)
    }
    const count = (bracket: string): number => expr.split(bracket).length
    t.ok(count('(') === count(')') && count('{') === count('}') && count('[') === count(']'), 'brackets are closed')
  }
})

t.test('panels stand side by side, ids are unique, parts are folded up', async (t) => {
  t.equal(new Set(all.map(({ id }) => id)).size, all.length)
  t.ok(panels.filter(({ type, title }) => type === 'row' && title !== 'Overview').every(({ collapsed, panels: inside }) => collapsed === true && inside!.length > 0))
  const cells = new Set<string>()
  for (const { gridPos: { x, y, w, h } } of panels) {
    t.ok(x + w <= 24)
    for (let dx = 0; dx < w; dx++) {
      for (let dy = 0; dy < h; dy++) {
        const cell = `${x + dx},${y + dy}`
        if (cells.has(cell)) t.fail(`two panels at ${cell}`)
        cells.add(cell)
      }
    }
  }
})

t.test('the command prints it', async (t) => {
  const console = testConsole('')
  t.equal(await runCli(['dashboard'], console), 0)
  t.strictSame(JSON.parse(console.outLines.join('\n')), JSON.parse(JSON.stringify(renderDashboard())))
})
