import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runBench, type BenchOptions, type Samples, type Work, type WorkContext } from './lib/harness.ts'
import { checkClean, runLoadProcess } from './lib/load-process.ts'
import { startNode, untilApplied, type BenchNode } from './lib/node-process.ts'
import { renderCharts, type Chart } from './lib/plot.ts'
import type { Figure } from './lib/report.ts'
import { BATCH, BATCHES } from './lib/works.ts'

// How the rate of signed batches grows with the size of a batch, with connections, with verify threads and with what is
// stored already; and a plot of each, docs/plots/growth-*.svg.

const PLOTS_DIR = fileURLToPath(new URL('../../docs/plots/', import.meta.url))
const SIZES = [1, 4, 16, 64, 256, 1024, 4096]
const CONNECTIONS = [1, 2, 4, 8, 16, 32, 64]
const VERIFY_THREADS = [1, 2, 3, 4]
const MILLION = 1_000_000
/** Frames are signed before each piece: so many assertions at a time are kept in memory. */
const PIECE = MILLION

/** Minutes lie between the first million and the last, in which the machine changes its speed: in the end each is measured in turns. */
const COMPARISONS = 5
const FRESH = 'fresh, 1'
const FULL = 'full, 50'

const RATE = 'assertions/s'

interface Shape {
  readonly batch?: number
  readonly connections?: number
}

/** Assertions a second, counted until the last one is indexed. */
async function rateOf(node: BenchNode, shape: Shape, seconds: number, assertions: number): Promise<number> {
  const load = { ...BATCHES, ...shape }
  const report = await runLoadProcess({
    url: node.server.url, ...load, prepareAssertions: assertions, assertionsMax: assertions, durationMs: seconds * 1000,
  })
  const lagMs = await untilApplied(node.server)
  checkClean(report)
  return report.accepted / (report.seconds + lagMs / 1000)
}

/** What one closed loop of `seconds` may need, signed beforehand: a node checks 20,000 signatures a second at most. */
const enoughFor = ({ quick, seconds }: BenchOptions, { batch = BATCH }: Shape): number =>
  (quick ? 4000 : Math.min(300_000, 20_000 * batch) * seconds)

/** A node of its own for each value. */
function sweep(name: string, values: readonly number[], shapeOf: (value: number) => Shape, settingsOf: (value: number) => Readonly<Record<string, number>> = () => ({})): Work {
  return async ({ options, samples, progress }: WorkContext) => {
    for (const value of options.quick ? values.slice(0, 2) : values) {
      const node = await startNode(options.dir, settingsOf(value))
      try {
        const shape = shapeOf(value)
        const rate = await rateOf(node, shape, options.seconds, enoughFor(options, shape))
        progress(`${value}: ${Math.round(rate)}/s`)
        samples.add(`${name} ${value}`, rate)
      } finally {
        await node.remove()
      }
    }
  }
}

/** One node that is filled piece by piece; in the end, compared with fresh ones that have one piece. */
function stored(name: string, total: number, comparisons = 0): Work {
  return async ({ options, samples, progress }: WorkContext) => {
    const piece = options.quick ? 2000 : PIECE
    const node = await startNode(options.dir)
    const ended: BenchNode[] = []
    const measure = async (at: string, of: BenchNode): Promise<void> => {
      const rate = await rateOf(of, {}, 600, piece)
      progress(`${at}M stored: ${Math.round(rate)}/s`)
      samples.add(`${name} ${at}`, rate)
    }
    try {
      for (let millions = 1; millions <= (options.quick ? 2 : total / MILLION); millions++) await measure(String(millions), node)
      for (let n = 0; n < comparisons; n++) {
        // It would merge while there is nothing to do.
        process.kill(node.server.pid, 'SIGSTOP')
        const fresh = await startNode(options.dir)
        // Its files are removed in the end: the file system would be busy with that while the other one is measured.
        ended.push(fresh)
        await rateOf(fresh, {}, 600, piece)
        await measure(FRESH, fresh)
        await fresh.server.kill9()
        process.kill(node.server.pid, 'SIGCONT')
        await measure(FULL, node)
      }
    } finally {
      for (const { remove } of [node, ...ended]) await remove()
    }
  }
}

const STORED = 'stored'
const STORED_LONG = 'stored-50m'

const PARTS: ReadonlyMap<string, Work> = new Map([
  ['batch', sweep('batch', SIZES, (batch) => ({ batch }))],
  ['connections', sweep('connections', CONNECTIONS, (connections) => ({ connections }))],
  ['verify-threads', sweep('verify-threads', VERIFY_THREADS, () => ({}), (verifyThreads) => ({ verifyThreads }))],
  [STORED, stored(STORED, 10 * MILLION)],
  // Takes ten minutes and 20 GB of disk: only where it is asked for by name.
  [STORED_LONG, (context) => (context.options.only.includes(STORED_LONG) ? stored(STORED_LONG, 50 * MILLION, context.options.quick ? 1 : COMPARISONS)(context) : Promise.resolve())],
])

const UNITS: Readonly<Record<string, string>> = {
  batch: 'assertions a batch', connections: 'connections', 'verify-threads': 'verify threads', [STORED]: 'million assertions stored',
  [STORED_LONG]: 'million assertions stored',
}

const TITLES: Readonly<Record<string, string>> = {
  batch: 'Rate by batch size, 8 connections', connections: `Rate by connections, batches of ${BATCH}`,
  'verify-threads': `Rate by verify threads, batches of ${BATCH}, 8 connections`, [STORED]: `Rate by what is stored, batches of ${BATCH}`,
  [STORED_LONG]: `Rate by what is stored, batches of ${BATCH}`,
}

/** What was measured of a part: value, then median rate. */
function pointsOf(samples: Samples, part: string): (readonly [number, number])[] {
  const count = part === STORED_LONG ? 50 : 10
  const values = { batch: SIZES, connections: CONNECTIONS, 'verify-threads': VERIFY_THREADS }[part] ?? Array.from({ length: count }, (_, i) => i + 1)
  return values.map((value) => [value, samples.median(`${part} ${value}`)] as const).filter(([, rate]) => Number.isFinite(rate))
}

function draw(samples: Samples, { quick, dir }: BenchOptions): void {
  const folder = quick ? dir : PLOTS_DIR
  mkdirSync(folder, { recursive: true })
  for (const part of PARTS.keys()) {
    const points = pointsOf(samples, part)
    if (points.length === 0) continue
    const chart: Chart = {
      title: TITLES[part]!, xLabel: UNITS[part]!, yLabel: RATE, yMin: 0, xScale: part.startsWith(STORED) ? 'linear' : 'doubling',
      series: [{ name: 'signed by batch', points }],
    }
    const file = join(folder, `growth-${part}.svg`)
    writeFileSync(file, renderCharts([chart]))
    process.stderr.write(`drawn: ${file}\n`)
  }
}

function figuresOf(samples: Samples, options: BenchOptions): Figure[] {
  draw(samples, options)
  return [...PARTS.keys()].flatMap((part) => {
    const points = pointsOf(samples, part)
    const figures: Figure[] = points.map(([value, rate]) => ({
      name: `${UNITS[part]!}: ${value}`, value: rate, unit: RATE, better: 'higher', spread: samples.spread(`${part} ${value}`),
    }))
    const [first, last] = [points[0], points.at(-1)]
    if (part === STORED && first !== undefined && last !== undefined) {
      figures.push({ name: `rate with ${last[0]}M stored against ${first[0]}M`, value: last[1] / first[1], unit: 'x', better: 'higher' })
    }
    const [fresh, full] = [FRESH, FULL].map((at) => samples.median(`${part} ${at}`)) as [number, number]
    if (Number.isFinite(full)) {
      figures.push({
        name: 'rate with 50M stored against a fresh node with 1M, in turns', value: full / fresh, unit: 'x', better: 'higher', atLeast: 0.8,
        spread: samples.spread(`${part} ${FULL}`),
      })
    }
    return figures
  })
}

await runBench('Growth', PARTS, figuresOf)
