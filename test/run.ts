import { readdirSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { must } from '../src/base/assert.ts'
import { findProofs } from './soak/proofs.ts'
import { RunRecorder } from './soak/record-file.ts'
import { repoRoot } from './support/root.ts'
import { killAll, runTapFile, type FileResult } from './support/tap-file.ts'

/**
 * `node dist/test/run.js [group | path prefix]...`, for example `unit`, `unit/wal`, `fault`. Without arguments: all.
 * The last line is `N passed, N failed[, N skipped]`; the exit code is 1 where something failed or nothing ran.
 */
interface Group {
  readonly name: string
  readonly fileTimeoutMs: number
}
/** Groups whose files run side by side; one phase follows the other. */
interface Phase {
  readonly groups: readonly Group[]
  /** Files at a time: each has, mostly, something for one core to do. */
  readonly jobs: number
  /** Files that begin first, since they take as long as many others together on one core. */
  readonly first?: readonly string[]
  /** Files that measure, or bound a wait in seconds, behind the others and one at a time. */
  readonly alone?: readonly string[]
}
const PHASES: readonly Phase[] = [
  {
    groups: [
      { name: 'tidy', fileTimeoutMs: 120_000 },
      { name: 'unit', fileTimeoutMs: 240_000 },
      { name: 'model', fileTimeoutMs: 600_000 },
      { name: 'sim', fileTimeoutMs: 1_200_000 },
      { name: 'fuzz', fileTimeoutMs: 180_000 },
    ],
    jobs: 2, first: ['sim/mutants'],
  },
  { groups: [{ name: 'system', fileTimeoutMs: 900_000 }], jobs: 2, alone: ['system/first-minute', 'system/steady-load', 'system/tune'] },
  {
    groups: [{ name: 'fault', fileTimeoutMs: 1_200_000 }], jobs: 2, first: ['fault/kill'],
    alone: ['fault/failed-sync', 'fault/overload', 'fault/rate-limit', 'fault/scrub', 'fault/shutdown', 'fault/slow-disk', 'fault/slow-reader', 'fault/slowloris'],
  },
]
const GROUPS = PHASES.flatMap(({ groups }) => groups)

const testRoot = dirname(fileURLToPath(import.meta.url))

/** Compiled test files by name (`unit/wal/recovery`), sorted. */
function discover(): string[] {
  return readdirSync(testRoot, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js'))
    .map((path) => path.replaceAll(sep, '/').replace(/\.test\.js$/, ''))
    .sort()
}

const groupOf = (name: string): Group | undefined => GROUPS.find((group) => name.startsWith(`${group.name}/`))

/** Names that the arguments select. @throws {Error} for a file in no group, or an argument that selects nothing. */
function select(names: readonly string[], selectors: readonly string[]): string[] {
  const homeless = names.filter((name) => groupOf(name) === undefined)
  if (homeless.length > 0) throw new Error(`in no group of test/run.ts: ${homeless.join(', ')}`)
  for (const selector of selectors) {
    if (!names.some((name) => name.startsWith(selector))) throw new Error(`no test file matches ${selector}`)
  }
  return selectors.length === 0 ? [...names] : names.filter((name) => selectors.some((selector) => name.startsWith(selector)))
}

/** Of one file; the others of a kind rarely say more. */
const FAILURES_PRINTED_MAX = 20

const indent = (text: string): string => text.replaceAll(/^/gm, '      ')

function printFile(name: string, result: FileResult): void {
  const verdict = result.failures.length > 0 ? 'FAIL' : 'ok  '
  const skipped = result.skips.length > 0 ? `, ${result.skips.length} skipped` : ''
  const failed = result.failures.length > 0 ? `, ${result.failures.length} failed` : ''
  console.log(`${verdict} ${name}  ${result.passed} passed${failed}${skipped}  ${result.seconds.toFixed(1)} s`)
  for (const failure of result.failures.slice(0, FAILURES_PRINTED_MAX)) console.log(`  - ${failure.name}\n${indent(failure.detail)}`)
  const more = result.failures.length - FAILURES_PRINTED_MAX
  if (more > 0) console.log(`  - and ${more} more`)
  if (result.stderr !== '') console.log(`  standard error, its end:\n${indent(result.stderr)}`)
}

/** Who gives each file what it needs to record what it survived; files that record nothing get nothing. */
class Records {
  readonly #files = new Set(findProofs().map(({ file }) => file))
  #recorder: RunRecorder | undefined
  readonly #command: string

  constructor(command: string) {
    this.#command = command
  }

  env(name: string): Readonly<Record<string, string>> {
    if (!this.#files.has(name)) return {}
    return (this.#recorder ??= new RunRecorder(this.#command)).env
  }

  take(name: string, { failures: [first] }: FileResult): void {
    if (first !== undefined && this.#files.has(name)) this.#recorder?.failed({ file: name, why: first.name })
  }
}

async function runPhase({ groups, jobs, first = [], alone = [] }: Phase, names: readonly string[], results: Map<string, FileResult>, records: Records): Promise<void> {
  const mine = groups.flatMap((group) => names.filter((name) => groupOf(name) === group))
  const begins = (name: string): boolean => first.includes(name)
  const besides = mine.filter((name) => !alone.includes(name))
  await runFiles(jobs, [...besides.filter(begins), ...besides.filter((name) => !begins(name))], results, records)
  await runFiles(1, mine.filter((name) => alone.includes(name)), results, records)
}

async function runFiles(jobs: number, names: readonly string[], results: Map<string, FileResult>, records: Records): Promise<void> {
  const waiting = [...names]
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const path = join(testRoot, `${name}.test.js`)
      const result = await runTapFile(path, repoRoot, must(groupOf(name)).fileTimeoutMs, { env: records.env(name) })
      results.set(name, result)
      records.take(name, result)
      printFile(name, result)
    }
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}

function printSkips(results: ReadonlyMap<string, FileResult>): void {
  const lines = [...results].flatMap(([name, { skips }]) => skips.map((skip) => `  ${name} > ${skip.name}: ${skip.reason}`))
  if (lines.length === 0) return
  console.log(`\n${'='.repeat(80)}\nSKIPPED, so nothing is known about these:\n${lines.join('\n')}\n${'='.repeat(80)}`)
}

/** In CI every tool is there, or the run does not count. */
const forbiddenSkip = (reason: string): boolean => process.env['CI'] === 'true' && reason.startsWith('missing tool')

function summarize(results: ReadonlyMap<string, FileResult>): { passed: number, failed: number, skipped: number } {
  let passed = 0
  let failed = 0
  let skipped = 0
  for (const result of results.values()) {
    const forbidden = result.skips.filter((skip) => forbiddenSkip(skip.reason)).length
    passed += result.passed
    failed += result.failures.length + forbidden
    skipped += result.skips.length - forbidden
  }
  return { passed, failed, skipped }
}

async function main(selectors: readonly string[]): Promise<number> {
  const names = select(discover(), selectors)
  const results = new Map<string, FileResult>()
  const records = new Records(['npm test', ...selectors].join(' '))
  for (const phase of PHASES) await runPhase(phase, names, results, records)
  printSkips(results)
  const failing = [...results].filter(([, result]) => result.failures.length > 0).map(([name]) => name)
  if (failing.length > 0) console.log(`\nFailed, to run again: node ${relative(repoRoot, fileURLToPath(import.meta.url))} ${failing.join(' ')}`)
  const { passed, failed, skipped } = summarize(results)
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return failed > 0 || passed === 0 ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code }, (error: unknown) => {
  killAll()
  console.error(error)
  console.log('0 passed, 1 failed')
  process.exitCode = 1
})
