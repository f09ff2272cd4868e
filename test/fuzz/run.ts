import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { MiB } from '../../src/base/units.ts'
import { RunRecorder } from '../soak/record-file.ts'
import { buildRoot } from '../support/root.ts'
import { keepInput, readCorpus } from './corpus.ts'
import { Coverage } from './coverage.ts'
import { fuzz, type FuzzTarget } from './fuzzer.ts'

/**
 * `node dist/test/fuzz/run.js [--only target]... [--minutes 1] [--seed n]`: the targets that begin with one of the names, or all, in
 * turn, guided by coverage. What each has had is kept in the fault record, so that a long run may be many short ones. A finding is written to test/fuzz/corpus/, which every test run replays, and the exit code is 1.
 */
const RSS_GROWTH_BYTES_MAX = 64 * MiB

// Before the targets are loaded, or their code has no counters.
const sources = pathToFileURL(join(buildRoot, 'src')).href
const coverage = new Coverage((url) => url.startsWith(sources) && !url.includes('/fbs/stemedb/'))
const { TARGETS } = await import('./targets.ts')

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true }, minutes: { type: 'string', default: '1' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Math.floor(performance.timeOrigin) % 2 ** 32)
const seconds = 60 * Number(values.minutes)
const chosen = TARGETS.filter(({ name }) => values.only === undefined || values.only.some((only) => name.startsWith(only)))

if (chosen.length === 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(`usage: run.js [--only ${TARGETS.map(({ name }) => name).join('|')}] [--minutes n] [--seed n]`)
  process.exitCode = 2
} else {
  console.log(`seed ${seed}`)
  const only = (values.only ?? []).map((name) => ` --only ${name}`).join('')
  const recorder = new RunRecorder(`npm run test:fuzz -- --minutes ${values.minutes}${only} --seed ${seed}`)
  for (const target of chosen) await run(target, recorder)
}

async function run(target: FuzzTarget, recorder: RunRecorder): Promise<void> {
  const now = (): number => performance.now()
  const more = readCorpus().filter((file) => file.target === target.name).map(({ input }) => input)
  // Until it is warm memory grows by itself.
  await fuzz(target, { seconds: Math.min(2, seconds), seed: seed + 1, now })
  const rssBefore = process.memoryUsage.rss()
  const startedMs = now()
  const report = await fuzz(target, { seconds, seed, now, coverage, more })
  recorder.fuzzed({ target: target.name, seconds: Math.round((now() - startedMs) / 1000), inputs: report.inputs, findings: report.findings.length, seed })
  const growth = process.memoryUsage.rss() - rssBefore
  const { functions, unseenCharacters } = coverage.totals()
  console.log(`${target.name}: ${report.inputs} inputs, ${report.taken} taken, ${report.kept} kept, slowest ${report.slowestMs.toFixed(1)} ms, `
    + `memory ${(growth / MiB).toFixed(0)} MiB more, ${functions} functions ran but for ${unseenCharacters} characters, ${report.findings.length} findings`)
  for (const finding of report.findings) console.log(`  ${keepInput(target.name, finding.input)}\n  ${finding.why}`)
  if (report.findings.length > 0 || growth > RSS_GROWTH_BYTES_MAX) process.exitCode = 1
}
