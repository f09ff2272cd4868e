import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { MiB } from '../../src/base/units.ts'
import { repoRoot } from '../support/root.ts'
import { findingName, fuzz, type FuzzTarget } from './fuzzer.ts'
import { TARGETS } from './targets.ts'

/**
 * `node dist/test/fuzz/run.js [--target name] [--seconds 60] [--seed n]`: one target, or all in turn. A finding is
 * written to test/fuzz/corpus/, which every test run replays, and the exit code is 1.
 */
const RSS_GROWTH_BYTES_MAX = 64 * MiB

const { values } = parseArgs({ options: { target: { type: 'string' }, seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Math.floor(performance.timeOrigin) % 2 ** 32)
const seconds = Number(values.seconds)
const chosen = TARGETS.filter(({ name }) => values.target === undefined || name === values.target)

if (chosen.length === 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(`usage: run.js [--target ${TARGETS.map(({ name }) => name).join('|')}] [--seconds n] [--seed n]`)
  process.exitCode = 2
} else {
  console.log(`seed ${seed}`)
  for (const target of chosen) run(target)
}

function run(target: FuzzTarget): void {
  const now = (): number => performance.now()
  // Until it is warm memory grows by itself.
  fuzz(target, { seconds: Math.min(2, seconds), seed: seed + 1, now })
  const rssBefore = process.memoryUsage.rss()
  const report = fuzz(target, { seconds, seed, now })
  const growth = process.memoryUsage.rss() - rssBefore
  console.log(`${target.name}: ${report.inputs} inputs, ${report.taken} taken, slowest ${report.slowestMs.toFixed(1)} ms, `
    + `memory ${(growth / MiB).toFixed(0)} MiB more, ${report.findings.length} findings`)
  for (const finding of report.findings) {
    const path = join(repoRoot, 'test', 'fuzz', 'corpus', findingName(finding))
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, finding.input)
    console.log(`  ${path}\n  ${finding.why}`)
  }
  if (report.findings.length > 0 || growth > RSS_GROWTH_BYTES_MAX) process.exitCode = 1
}
