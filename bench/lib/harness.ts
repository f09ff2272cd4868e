import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { machineLine } from './machine.ts'
import { figureLine, figureTable, type Figure } from './report.ts'

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

/** One part of a bench. Parts run one after another, each repetition of all of them before the next repetition. */
export type Part = (options: BenchOptions, progress: (line: string) => void) => Promise<Figure[]>

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
 * Runs the parts and prints their figures: lines of JSON, or a table. A part that fails is told on stderr and the
 * others go on: a figure that is missing says so itself. Exits 0 whatever the figures are.
 */
export async function runBench(title: string, parts: ReadonlyMap<string, Part>, argv = process.argv.slice(2)): Promise<void> {
  const { parentDir, help, ...rest } = parseBenchArgs(argv)
  if (help) {
    process.stdout.write(`${title}\n\n${USAGE}\n  parts: ${[...parts.keys()].join(', ')}\n`)
    return
  }
  const options: BenchOptions = { ...rest, dir: mkdtempSync(join(parentDir, 'stemedb-bench-')) }
  const progress = (line: string): void => void process.stderr.write(`${line}\n`)
  const figures: Figure[] = []
  try {
    progress(`${title}: ${machineLine(options.dir, options.quick ? 50 : 1000)}`)
    if (options.quick) progress('quick run: sizes are tiny, figures mean nothing')
    for (const [name, part] of parts) {
      if (options.only.length > 0 && !options.only.includes(name)) continue
      try {
        for (const figure of await part(options, (line) => progress(`${name}: ${line}`))) {
          figures.push(figure)
          if (options.json) process.stdout.write(`${figureLine(figure)}\n`)
        }
      } catch (error) {
        progress(`${name}: failed: ${error instanceof Error ? error.stack ?? error.message : String(error)}`)
      }
    }
    if (!options.json) process.stdout.write(`${figureTable(figures)}\n`)
    else for (const figure of figures) if (figure.note !== undefined) progress(`${figure.name}: ${figure.note}`)
  } finally {
    rmSync(options.dir, { recursive: true, force: true })
  }
}
