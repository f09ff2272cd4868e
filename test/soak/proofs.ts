import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildRoot } from '../support/root.ts'

/*
 * Which test file proves which faults. The files say it themselves: whoever calls `recordFault({ id: 'D1', ...` proves D1,
 * and who takes its number of trials from `trialCount` can be asked for more. Only times stand here.
 */

export interface Times {
  /** Of one trial as `trialCount` counts them. A first guess: a soak measures as it goes. */
  readonly trialSeconds: number
  /** Of the teeth and whatever else does not grow with the trials. */
  readonly restSeconds: number
  /** All its time in one run, and no second one: for what watches one process grow old. */
  readonly inOneRun?: boolean
}

/** Of files that are not in the table. */
export const USUAL_TIMES: Times = { trialSeconds: 2, restSeconds: 15 }

export const TIMES: Readonly<Record<string, Times>> = {
  'fault/kill': { trialSeconds: 1, restSeconds: 5 },
  'fault/out-of-memory': { trialSeconds: 7, restSeconds: 15 },
  'fault/power-cut': { trialSeconds: 4, restSeconds: 10 },
  'fault/failed-sync': { trialSeconds: 2, restSeconds: 10 },
  'fault/disk-full': { trialSeconds: 2, restSeconds: 15 },
  'model/model': { trialSeconds: 0.1, restSeconds: 3 },
  'system/steady-load': { trialSeconds: 1, restSeconds: 45, inOneRun: true },
  'unit/wire/codec': { trialSeconds: 0.001, restSeconds: 3 },
}

export interface Proof {
  /** Below `test/`, without its ending: `fault/kill`. */
  readonly file: string
  readonly ids: readonly string[]
  /** Trials that the file makes by itself; undefined where their number is fixed. */
  readonly usualCount: number | undefined
  /** Whether another run does anything else. */
  readonly hasSeed: boolean
  readonly times: Times
}

/** `test/`, as it was built. */
export const testRoot = join(buildRoot, 'test')

const IMPORT = /^import .*\bfrom ['"][./]*\/support\/fault-record\.js['"]/m
const ID = /recordFault\(\{[^}]*?\bid: ['"]([A-Z]+\d*)['"]/g
const COUNT = /\btrialCount\(([\d_]+)\)/

/** What the text of a compiled test file proves; undefined where it records nothing. */
export function proofOf(file: string, text: string): Proof | undefined {
  if (!IMPORT.test(text)) return undefined
  const count = COUNT.exec(text)?.[1]
  return {
    file,
    ids: [...new Set([...text.matchAll(ID)].map((match) => match[1]!))].sort(),
    usualCount: count === undefined ? undefined : Number(count.replaceAll('_', '')),
    hasSeed: /\btrialSeed\(/.test(text),
    times: TIMES[file] ?? USUAL_TIMES,
  }
}

/** All files that record, sorted. */
export function findProofs(): Proof[] {
  return readdirSync(testRoot, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js'))
    .map((path) => path.replaceAll('\\', '/').replace(/\.test\.js$/, '')).sort()
    .map((file) => proofOf(file, readFileSync(join(testRoot, `${file}.test.js`), 'utf8')))
    .filter((proof) => proof !== undefined)
}
