import t from 'tap'
import { logTicksOf, renderCharts, ticksOf, type Chart } from '../../../bench/lib/plot.ts'

t.test('ticks are round and enclose the values', async (t) => {
  t.strictSame(ticksOf(0, 97), [0, 20, 40, 60, 80, 100])
  t.strictSame(ticksOf(0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1])
  t.strictSame(ticksOf(-3, 3).at(0), -4)
  t.strictSame(ticksOf(5, 5), [5])
  for (const most of [0.003, 0.7, 7, 12, 99, 100, 101, 12_345, 9e9]) {
    const ticks = ticksOf(0, most)
    t.ok(ticks[0]! <= 0 && ticks.at(-1)! >= most * (1 - 1e-9) && ticks.length >= 3 && ticks.length <= 8, `${most}: ${ticks.join(' ')}`)
  }
  t.strictSame(logTicksOf(0.3, 70), [0.1, 1, 10, 100])
  t.strictSame(logTicksOf(1, 1000), [1, 10, 100, 1000])
})

const chart = (more: Partial<Chart> = {}): Chart => ({
  title: 'ack <p99> & more', xLabel: 'load', yLabel: 'ms', series: [{ name: 'ours', points: [[0, 1], [10, 5], [20, 3]] }, { name: 'theirs', points: [[0, 2], [20, Number.NaN]] }], ...more,
})
const pointsOf = (svg: string): number[][][] =>
  [...svg.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) => points!.split(' ').map((point) => point.split(',').map(Number)))

t.test('lines stand where their values are', async (t) => {
  const svg = renderCharts([chart()])
  t.match(svg, 'ack &lt;p99&gt; &amp; more')
  const [ours, theirs] = pointsOf(svg)
  t.equal(ours!.length, 3)
  t.equal(theirs!.length, 1, 'what is no number is left out')
  const [[x1, y1], [x2, y2], [x3, y3]] = ours as [[number, number], [number, number], [number, number]]
  t.ok(Math.abs((x1 + x3) / 2 - x2) < 0.2, 'even steps of x')
  t.ok(y2 < y3 && y3 < y1, 'up is more')
  t.ok(Math.abs((y1 - y3) / (y1 - y2) - 0.5) < 0.01, 'in proportion')
  t.notMatch(svg, /NaN|Infinity|undefined/)
})

t.test('a logarithmic axis, a bound, nothing to show', async (t) => {
  const [points] = pointsOf(renderCharts([chart({ yScale: 'log', series: [{ name: 'a', points: [[0, 0], [1, 1], [2, 10], [3, 100]] }] })]))
  t.equal(points!.length, 3, 'zero has no place')
  t.ok(Math.abs((points![0]![1]! + points![2]![1]!) / 2 - points![1]![1]!) < 0.2)
  t.match(renderCharts([chart({ bound: { y: 50, name: 'at most' } })]), /stroke-dasharray[\s\S]*at most/)
  for (const empty of [chart({ series: [] }), chart({ yScale: 'log', series: [{ name: 'a', points: [] }], bound: { y: 1, name: 'b' } }), chart({ series: [{ name: 'a', points: [[1, 7]] }], yScale: 'log' })]) {
    t.notMatch(renderCharts([empty]), /NaN|Infinity|undefined/)
  }
  const two = renderCharts([chart(), chart()])
  t.equal(two.match(/<g /g)?.length, 2)
  t.match(two, 'viewBox="0 0 720 520"')
})
