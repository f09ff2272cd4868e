/** Line charts as SVG, for pages: no script, no style sheet, readable on light and dark ground. */

export interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Chart {
  readonly title: string
  readonly xLabel: string
  readonly yLabel: string
  readonly series: readonly Series[]
  /** `log` shows values above 0 only. */
  readonly yScale?: 'linear' | 'log'
  /** `doubling`: a tick at each point, evenly apart where values double. Shows values above 0 only. */
  readonly xScale?: 'linear' | 'doubling'
  /** Where the axis begins. Linear: 0 where nothing is said. */
  readonly yMin?: number
  /** Drawn across as a dashed line. */
  readonly bound?: { readonly y: number, readonly name: string }
}

const WIDTH = 720
const HEIGHT = 260
const MARGIN = { top: 34, right: 150, bottom: 44, left: 70 } as const
const PLOT = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom } as const
const COLOURS = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e', '#8c564b']
const TICKS = 5
const INK = '#444'
const GRID = '#ddd'

const escapeText = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/** Round numbers from at most `from` to at least `to`: 0, 20, 40, ... */
export function ticksOf(from: number, to: number, count = TICKS): number[] {
  const span = to - from
  if (!(span > 0)) return [from]
  const rough = span / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.floor(from / step)
  const ticks: number[] = []
  for (let i = first; ; i++) {
    // Of whole multiples, so that no rounding adds up.
    ticks.push(Number((i * step).toPrecision(12)))
    if (i * step >= to - step * 1e-9) return ticks
  }
}

/** Powers of ten around the values. */
export function logTicksOf(from: number, to: number): number[] {
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(from)); ; power++) {
    ticks.push(Number(`1e${power}`))
    if (10 ** power >= to) return ticks
  }
}

function shown(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`
  return String(Number(value.toPrecision(4)))
}

interface Axis {
  readonly ticks: readonly number[]
  /** Value → 0..1. */
  readonly at: (value: number) => number
}

function axisOf(values: readonly number[], scale: 'linear' | 'log', least?: number): Axis {
  if (values.length === 0) return { ticks: [0, 1], at: () => 0 }
  // No spread: an hour of samples is more than a call takes arguments.
  const most = values.reduce((a, b) => Math.max(a, b))
  const lowest = values.reduce((a, b) => Math.min(a, b))
  if (scale === 'log') {
    const ticks = logTicksOf(lowest, most === lowest ? most * 1.01 : most)
    const [low, high] = [Math.log10(ticks[0]!), Math.log10(ticks.at(-1)!)]
    return { ticks, at: (value) => (Math.log10(value) - low) / (high - low) }
  }
  const from = least ?? Math.min(0, lowest)
  const ticks = ticksOf(from, most > from ? most : from + 1)
  const [low, high] = [ticks[0]!, ticks.at(-1)!]
  return { ticks, at: (value) => (value - low) / (high - low) }
}

/** Values that grow by factors: each one is a tick. */
function doublingAxis(values: readonly number[]): Axis {
  const ticks = [...new Set(values)].sort((a, b) => a - b)
  const [low, high] = [Math.log2(ticks[0] ?? 1), Math.log2(ticks.at(-1) ?? 2)]
  return { ticks, at: (value) => (high > low ? (Math.log2(value) - low) / (high - low) : 0) }
}

const n = (value: number): string => value.toFixed(1)

function chartBody(chart: Chart): string {
  const { series, yScale = 'linear', xScale = 'linear', bound } = chart
  const isShown = ([x, y]: readonly [number, number]): boolean =>
    Number.isFinite(x) && Number.isFinite(y) && (yScale === 'linear' || y > 0) && (xScale === 'linear' || x > 0)
  const visible = series.map(({ points }) => points.filter(isShown))
  const all = visible.flat()
  const xs = all.map(([value]) => value)
  const x = xScale === 'doubling' ? doublingAxis(xs) : axisOf(xs, 'linear', xs.reduce((least, value) => Math.min(least, value), xs[0] ?? 0))
  const y = axisOf([...all.map(([, value]) => value), ...(bound === undefined || all.length === 0 ? [] : [bound.y])], yScale, chart.yMin)
  const px = (value: number): number => MARGIN.left + x.at(value) * PLOT.width
  const py = (value: number): number => MARGIN.top + (1 - y.at(value)) * PLOT.height
  const text = (at: readonly [number, number], anchor: string, content: string, more = ''): string =>
    `<text x="${n(at[0])}" y="${n(at[1])}" text-anchor="${anchor}" fill="${INK}"${more}>${escapeText(content)}</text>`
  const [right, bottom] = [MARGIN.left + PLOT.width, MARGIN.top + PLOT.height]
  const lines = [
    text([MARGIN.left, 18], 'start', chart.title, ' font-weight="bold"'),
    ...y.ticks.flatMap((tick) => [
      `<line x1="${MARGIN.left}" y1="${n(py(tick))}" x2="${right}" y2="${n(py(tick))}" stroke="${GRID}"/>`, text([MARGIN.left - 6, py(tick) + 4], 'end', shown(tick)),
    ]),
    ...x.ticks.map((tick) => text([px(tick), bottom + 16], 'middle', shown(tick))),
    `<path d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}" fill="none" stroke="${INK}"/>`,
    text([MARGIN.left + PLOT.width / 2, bottom + 34], 'middle', chart.xLabel),
    text([14, MARGIN.top + PLOT.height / 2], 'middle', chart.yLabel, ` transform="rotate(-90 14 ${n(MARGIN.top + PLOT.height / 2)})"`),
  ]
  for (const [i, points] of visible.entries()) {
    const colour = COLOURS[i % COLOURS.length]!
    if (points.length > 0) lines.push(`<polyline points="${points.map(([a, b]) => `${n(px(a))},${n(py(b))}`).join(' ')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`)
    const at = MARGIN.top + 10 + i * 18
    lines.push(`<line x1="${right + 10}" y1="${at}" x2="${right + 28}" y2="${at}" stroke="${colour}" stroke-width="3"/>`, text([right + 34, at + 4], 'start', series[i]!.name))
  }
  if (bound !== undefined && all.length > 0) {
    lines.push(`<line x1="${MARGIN.left}" y1="${n(py(bound.y))}" x2="${right}" y2="${n(py(bound.y))}" stroke="${INK}" stroke-dasharray="5 4"/>`,
      text([right + 10, py(bound.y) + 4], 'start', bound.name))
  }
  return lines.join('\n')
}

/** One or more charts, below each other, as the text of an SVG file. */
export function renderCharts(charts: readonly Chart[]): string {
  const height = HEIGHT * charts.length
  const bodies = charts.map((chart, i) => `<g transform="translate(0 ${i * HEIGHT})">\n${chartBody(chart)}\n</g>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${bodies.join('\n')}
</svg>
`
}
