import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineLine } from './machine.ts'
import { figureLine, figureTable, type Figure } from './report.ts'
import { median, spread } from './stats.ts'

/** How much work a run does. `quick` proves that the bench still works; its figures mean nothing. */
export interface BenchOptions {
  readonly json: boolean
  readonly quick: boolean
  /** Names of the parts to run; all where it is empty. */
  readonly only: readonly string[]
  /** Seconds of sustained load a repetition. */
  readonly seconds: number
  /** Interleaved repetitions; figures are their medians. */
  readonly repetitions: number
  /** Folder on the disk under test; everything in it is the bench's and removed at the end. */
  readonly dir: string
}

/** What repetitions measured, by the name of the quantity. */
export class Samples {
  readonly #values = new Map<string, number[]>()

  add(name: string, value: number): void {
    const values = this.#values.get(name)
    if (values === undefined) this.#values.set(name, [value])
    else values.push(value)
  }

  all(name: string): readonly number[] {
    return this.#values.get(name) ?? []
  }

  /** NaN where nothing was measured. */
  median(name: string): number {
    return median(this.all(name))
  }

  spread(name: string): number {
    return spread(this.all(name))
  }

  /** Median of the ratios of the same repetition: what both had to bear in a moment, both had to bear. */
  medianRatio(over: string, under: string): number {
    const divisors = this.all(under)
    return median(this.all(over).slice(0, divisors.length).map((value, i) => value / divisors[i]!))
  }
}

export interface WorkContext {
  readonly options: BenchOptions
  /** From 0. */
  readonly repetition: number
  readonly samples: Samples
  readonly progress: (line: string) => void
}

/** One repetition of one part. All parts have their turn before any has its next. */
export type Work = (context: WorkContext) => Promise<void>

export const USAGE = `  --json              one JSON object a line for each figure
  --quick             small sizes: a smoke test, not a measurement
  --only <a,b>        only these parts
  --seconds <n>       seconds of load a repetition (default 30)
  --repetitions <n>   interleaved repetitions, of which the median counts (default 3)
  --dir <path>        folder on the disk to measure (default: the system's temporary folder)`

const wholeNumber = (text: string | undefined, fallback: number): number => {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${text} is not a whole number above 0`)
  return value
}

/** Command line → options. @throws {Error} on an unknown flag or a bad number. */
export function parseBenchArgs(argv: readonly string[]): Omit<BenchOptions, 'dir'> & { readonly parentDir: string; readonly help: boolean } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      json: { type: 'boolean' }, quick: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, only: { type: 'string' },
      seconds: { type: 'string' }, repetitions: { type: 'string' }, dir: { type: 'string' },
    },
  })
  const quick = values.quick === true
  return {
    json: values.json === true,
    quick,
    help: values.help === true,
    only: values.only === undefined ? [] : values.only.split(','),
    seconds: wholeNumber(values.seconds, quick ? 1 : 30),
    repetitions: wholeNumber(values.repetitions, quick ? 1 : 3),
    parentDir: values.dir ?? tmpdir(),
  }
}

/**
 * Runs the parts and prints the figures that follow: lines of JSON, or a table. A part that fails is told on stderr and
 * the others go on: a figure that could not be measured says so itself. Ends well whatever the figures are.
 */
export async function runBench(
  title: string, parts: ReadonlyMap<string, Work>, figuresOf: (samples: Samples, options: BenchOptions) => Figure[], argv = process.argv.slice(2),
): Promise<void> {
  const { parentDir, help, ...rest } = parseBenchArgs(argv)
  if (help) {
    process.stdout.write(`${title}\n\n${USAGE}\n  parts: ${[...parts.keys()].join(', ')}\n`)
    return
  }
  const options: BenchOptions = { ...rest, dir: mkdtempSync(join(parentDir, 'stemedb-bench-')) }
  const progress = (line: string): void => void process.stderr.write(`${line}\n`)
  const samples = new Samples()
  try {
    progress(`${title}: ${machineLine(options.dir, options.quick ? 50 : 1000)}`)
    if (options.quick) progress('quick run: sizes are tiny, figures mean nothing')
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      for (const [name, work] of parts) {
        if (options.only.length > 0 && !options.only.includes(name)) continue
        const label = `${repetition + 1}/${options.repetitions} ${name}`
        try {
          await work({ options, repetition, samples, progress: (line) => progress(`${label}: ${line}`) })
        } catch (error) {
          progress(`${label}: failed: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
        }
      }
    }
    progress(`at the end: ${machineLine(options.dir, options.quick ? 50 : 1000)}`)
    const figures = figuresOf(samples, options)
    if (!options.json) process.stdout.write(`${figureTable(figures)}\n`)
    for (const figure of options.json ? figures : []) {
      process.stdout.write(`${figureLine(figure)}\n`)
      if (figure.note !== undefined) progress(`${figure.name}: ${figure.note}`)
    }
  } finally {
    rmSync(options.dir, { recursive: true, force: true })
  }
}
