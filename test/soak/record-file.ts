import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { machineLine } from '../../bench/lib/machine.ts'
import { FAULT_RECORD_VARIABLE, faultRecordPath, type FaultRecordLine } from '../support/fault-record.ts'
import { repoRoot } from '../support/root.ts'

/** What a run of the tests writes before its records, and where one of its files fails. */
export interface RunLine {
  readonly kind: 'run'
  readonly command: string
  readonly startedAtMs: number
  /** Of the tree that was tested; `+` where it had changes that no commit has. */
  readonly commit: string
  readonly node: string
  readonly machine: string
}
export interface FailureLine {
  readonly kind: 'failure'
  readonly file: string
  readonly atMs: number
  readonly seed?: number
  readonly count?: number
  readonly why: string
}

/** What one target of `npm run test:fuzz` had. */
export interface FuzzLine {
  readonly kind: 'fuzz'
  readonly target: string
  readonly atMs: number
  readonly seconds: number
  readonly inputs: number
  readonly findings: number
  readonly seed: number
}

export interface Run extends RunLine {
  readonly records: readonly FaultRecordLine[]
  readonly failures: readonly FailureLine[]
  readonly fuzz: readonly FuzzLine[]
}

const FSYNC_PROBES = 200

/** Where records are kept where nobody said otherwise; it goes with the machine. */
export const RECORD_PATH = faultRecordPath === '' ? join(repoRoot, 'scratch', 'fault-record.jsonl') : faultRecordPath

function commitOfTree(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { cwd: repoRoot, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    // The page itself is made of the record, so it does not make a tree another one.
    return `${git('rev-parse', '--short=10', 'HEAD')}${git('status', '--porcelain', '--', ':!docs').length > 0 ? '+' : ''}`
  } catch {
    return 'unknown' // no git, or no repository: a package
  }
}

/** One run of tests, as the record's file sees it. */
export class RunRecorder {
  /** What the tests need in their environment to record. */
  readonly env = { [FAULT_RECORD_VARIABLE]: RECORD_PATH }

  constructor(command: string) {
    mkdirSync(dirname(RECORD_PATH), { recursive: true })
    const line: RunLine = {
      kind: 'run', command, startedAtMs: Date.now(), commit: commitOfTree(), node: process.version, machine: machineLine(tmpdir(), FSYNC_PROBES),
    }
    this.#append(line)
  }

  #append(line: RunLine | FailureLine | FuzzLine): void {
    appendFileSync(RECORD_PATH, `${JSON.stringify(line)}\n`)
  }

  /** A file that failed may have been killed before it could record anything. */
  failed(failure: Omit<FailureLine, 'kind' | 'atMs'>): void {
    this.#append({ kind: 'failure', atMs: Date.now(), ...failure })
  }

  /** Behind each target, so that what was done counts though the run is ended early. */
  fuzzed(had: Omit<FuzzLine, 'kind' | 'atMs'>): void {
    this.#append({ kind: 'fuzz', atMs: Date.now(), ...had })
  }
}

/** What each target of the fuzzer had in all runs together. */
export interface FuzzTotal {
  readonly target: string
  readonly minutes: number
  readonly inputs: number
  readonly findings: number
  /** In the order of their runs. */
  readonly seeds: readonly number[]
  readonly commits: readonly string[]
  readonly lastMs: number
}

/** @param targets in whose order; one that was never run is there with 0 minutes */
export function fuzzTotals(runs: readonly Run[], targets: readonly string[]): FuzzTotal[] {
  const lines = runs.flatMap(({ commit, fuzz }) => fuzz.map((line) => ({ ...line, commit })))
  return targets.map((target) => {
    const own = lines.filter((line) => line.target === target)
    const sum = (of: (line: FuzzLine) => number): number => own.reduce((total, line) => total + of(line), 0)
    return {
      target, minutes: sum(({ seconds }) => seconds) / 60, inputs: sum(({ inputs }) => inputs), findings: sum(({ findings }) => findings),
      seeds: own.map(({ seed }) => seed), commits: [...new Set(own.map(({ commit }) => commit))], lastMs: Math.max(0, ...own.map(({ atMs }) => atMs)),
    }
  })
}

/** All runs of a record's text, in order; records in front of the first run are nobody's and left out. */
export function parseRecord(text: string): Run[] {
  const runs: { records: FaultRecordLine[], failures: FailureLine[], fuzz: FuzzLine[], run: RunLine }[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    const value = JSON.parse(line) as RunLine | FailureLine | FuzzLine | (FaultRecordLine & { readonly kind?: undefined })
    if (value.kind === 'run') runs.push({ run: value, records: [], failures: [], fuzz: [] })
    else if (value.kind === 'failure') runs.at(-1)?.failures.push(value)
    else if (value.kind === 'fuzz') runs.at(-1)?.fuzz.push(value)
    else runs.at(-1)?.records.push(value)
  }
  return runs.map(({ run, records, failures, fuzz }) => ({ ...run, records, failures, fuzz }))
}

/** The same as text: the page's own data, which stays with the tree. */
export const formatRecord = (runs: readonly Run[]): string => runs.map(({ records, failures, fuzz, ...run }) =>
  [run, ...records, ...failures, ...fuzz].map((line) => `${JSON.stringify(line)}\n`).join('')).join('')

/** All runs of both, each once, in the order of their beginnings; one that went on after it was kept is taken as it is now. */
export function mergeRecords(kept: readonly Run[], now: readonly Run[]): Run[] {
  const runs = new Map<string, Run>()
  for (const run of [...kept, ...now]) runs.set(`${run.startedAtMs} ${run.command} ${run.commit}`, run)
  return [...runs.values()].sort((a, b) => a.startedAtMs - b.startedAtMs)
}

export const readRecord = (path: string): Run[] => (existsSync(path) ? parseRecord(readFileSync(path, 'utf8')) : [])
