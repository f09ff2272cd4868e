import type { FaultRecordLine } from '../support/fault-record.ts'
import { fuzzTotals, type FailureLine, type FuzzTotal, type Run } from './record-file.ts'

/** All trials of one kind on one commit, from however many runs. */
export interface Row {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly commit: string
  readonly trials: number
  readonly failures: number
  readonly lastMs: number
  readonly records: readonly FaultRecordLine[]
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number => a.id.localeCompare(b.id, 'en', { numeric: true })

function sumOf(commit: string, records: readonly FaultRecordLine[]): Row {
  const last = records.at(-1)!
  const sum = (of: (record: FaultRecordLine) => number): number => records.reduce((total, record) => total + of(record), 0)
  // Where nothing is left to chance, a second run repeats the first and adds nothing to what is known.
  const isChance = last.seed !== undefined
  return {
    id: last.id, title: last.title, unit: last.unit, commit, records, lastMs: last.atMs,
    trials: isChance ? sum(({ trials }) => trials) : last.trials, failures: isChance ? sum(({ failures }) => failures) : last.failures,
  }
}

/**
 * One row for each thing that was done, of the newest commit on which it was; an older commit has one beside it where more
 * was tried on it than on any newer one, or where it failed and nothing newer tried as much.
 */
export function rowsOf(runs: readonly Run[]): Row[] {
  const groups = new Map<string, Map<string, FaultRecordLine[]>>()
  for (const run of runs) {
    for (const record of run.records) {
      const key = `${record.id} ${record.title}`
      const commits = groups.get(key) ?? new Map<string, FaultRecordLine[]>()
      groups.set(key, commits)
      commits.set(run.commit, [...(commits.get(run.commit) ?? []), record])
    }
  }
  const rows: Row[] = []
  for (const commits of groups.values()) {
    let most = 0
    const newestFirst = [...commits].map(([commit, records]) => sumOf(commit, records)).sort((a, b) => b.lastMs - a.lastMs)
    for (const row of newestFirst) {
      if (row.trials > most) rows.push(row)
      most = Math.max(most, row.trials)
    }
  }
  return rows.sort((a, b) => byId(a, b) || b.lastMs - a.lastMs)
}

/** What the page tells of `runs`: the records of its rows, failures on their commits, and all that the fuzzer did. */
export function shownRuns(runs: readonly Run[]): Run[] {
  const rows = rowsOf(runs)
  const shown = new Set(rows.flatMap(({ records }) => records))
  const commits = new Set(rows.map(({ commit }) => commit))
  return runs
    .map((run) => ({ ...run, records: run.records.filter((record) => shown.has(record)), failures: commits.has(run.commit) ? run.failures : [] }))
    .filter(({ records, failures, fuzz }) => records.length + failures.length + fuzz.length > 0)
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
const minute = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ')
const whole = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 2 })
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

/** What the trials show: the rule of three, where chance is in it. */
export function meaningOf({ trials, failures, records }: Row): string {
  if (failures > 0) return `**${whole(failures)} failed**`
  if (records.at(-1)!.seed === undefined) return `0 of all ${whole(trials)}: nothing is left to chance`
  const bound = 3 / trials
  return `0 of ${whole(trials)}: below ${bound >= 0.001 ? `${Number((bound * 100).toPrecision(2))} %` : `${Number((bound * 1e6).toPrecision(2))} in a million`}`
}

function figuresOf(row: Row): string {
  const names = [...new Set(row.records.flatMap(({ figures }) => Object.keys(figures ?? {})))]
  return names.map((name) => {
    const values = row.records.map(({ figures }) => figures?.[name]).filter((value): value is number => typeof value === 'number')
    if (values.length === 0) return ''
    const [least, most] = [Math.min(...values), Math.max(...values)]
    return `${name} ${whole(least)}${most > least ? `..${whole(most)}` : ''}`
  }).filter((text) => text !== '').join(', ')
}

const seedOf = ({ records }: Row): string => {
  const { seed } = records.at(-1)!
  return seed === undefined ? '' : `${seed}${records.length > 1 ? ` and ${records.length - 1} more` : ''}`
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(cell).join(' | ')} |`).join('\n')

function failureText({ file, seed, count, why, atMs }: FailureLine): string[] {
  return [minute(atMs), `\`node dist/test/${file}.test.js${seed === undefined ? '' : ` ${seed}`}${count === undefined ? '' : ` ${count}`}\``, why]
}

export interface PageInput {
  readonly runs: readonly Run[]
  /** Ids that some test proves. */
  readonly ids: readonly string[]
  /** Names of the fuzzer's targets. */
  readonly targets: readonly string[]
  /** Charts beside the page, with what they show. */
  readonly charts: readonly { readonly file: string, readonly text: string }[]
}

/** What every decoder is to have had at least once, however many runs it took. */
const FUZZ_MINUTES_MIN = 10

function fuzzParts(totals: readonly FuzzTotal[]): string[] {
  if (totals.length === 0) return []
  const short = totals.filter(({ minutes }) => minutes < FUZZ_MINUTES_MIN)
  return [
    '## Fuzzing',
    `What \`npm run test:fuzz\` has given each target, all runs together, guided by coverage. ${short.length === 0
      ? `Each has had ${FUZZ_MINUTES_MIN} minutes.` : `Still short of ${FUZZ_MINUTES_MIN} minutes: ${short.length} of ${totals.length}.`}`,
    table(['target', 'minutes', 'inputs', 'findings', 'seeds', 'commits', 'last on'], totals.map(({ target, minutes, inputs, findings, seeds, commits, lastMs }) => [
      target, minutes.toFixed(1), whole(inputs), findings === 0 ? '0' : `**${findings}**`, `${seeds.slice(-3).join(', ')}${seeds.length > 3 ? ` and ${seeds.length - 3} before` : ''}`,
      `${commits.slice(-3).map((commit) => `\`${commit}\``).join(', ')}${commits.length > 3 ? ` and ${commits.length - 3} before` : ''}`, lastMs === 0 ? '' : day(lastMs),
    ])),
  ]
}

/** docs/fault-record.md */
export function renderPage({ runs, ids, targets, charts }: PageInput): string {
  const rows = rowsOf(runs)
  const commits = new Set(rows.map(({ commit }) => commit))
  const counted = runs.filter((run) => commits.has(run.commit) && run.records.length > 0)
  const failures = counted.flatMap((run) => run.failures)
  const missing = [...new Set(ids)].filter((id) => !rows.some((row) => row.id === id)).sort((a, b) => byId({ id: a }, { id: b }))
  const teeth = rows.filter(({ records }) => (records.at(-1)!.tooth ?? '') !== '')
  const parts = [
    '# Fault record',
    `Written by \`npm run test:record\` from what \`npm test\` and \`npm run test:soak\` kept while they ran; nothing here is typed by hand. What the tests do is
said in [testing.md](testing.md), what must hold in [the contract](reference/contract.md).`,
    `A trial that fails is a lost, invented, doubled or vanished assertion, a damage served or not noticed, an ack that was too early, or whatever else the test of that
row forbids. Where chance is in the trials, 0 failures of N say with a confidence of 95 % that fewer than 3/N of such trials fail, on this kind of machine and under
this kind of load, and no more than that. A \`+\` behind a commit: the tree had changes of its own.`,
    '## What was survived',
    table(['id', 'what was done', 'trials', 'failed', 'figures', 'seed', 'commit', 'last on'], rows.map((row) => [
      row.id, row.title, `${whole(row.trials)} ${row.unit}`, meaningOf(row), figuresOf(row), seedOf(row), `\`${row.commit}\``, day(row.lastMs),
    ])),
    ...(missing.length === 0 ? [] : [`No record of ${missing.join(', ')}: a test is there, and no run of it has come to its end since the record began.`]),
    ...(failures.length === 0 ? [] : ['## Runs that failed', table(['when', 'to run it again', 'first failure'], failures.map(failureText))]),
    '## Teeth',
    'Each test fails on a build or a disk that has the fault it looks for; in the same run it was shown one.',
    table(['id', 'what it must notice, and did'], teeth.map((row) => [row.id, row.records.at(-1)!.tooth!])),
    ...fuzzParts(fuzzTotals(runs, targets)),
    ...charts.flatMap(({ file, text }) => [`![${text}](${file})`, text]),
    '## Runs',
    table(['began', 'until', 'command', 'commit', 'Node', 'machine'], counted.map((run) => [
      minute(run.startedAtMs), minute(Math.max(run.startedAtMs, ...run.records.map(({ atMs }) => atMs))).slice(11), `\`${run.command}\``, `\`${run.commit}\``, run.node, run.machine,
    ])),
  ]
  return `${parts.join('\n\n')}\n`
}
