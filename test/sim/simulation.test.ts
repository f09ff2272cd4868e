import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import t from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { trialCount, trialSeed } from '../support/history.trial.ts'
import { buildRoot, repoRoot } from '../support/root.ts'
import { Leak, poisoned } from './poison.ts'
import { simulate, type Outcome } from './simulation.ts'
import { SOMETIMES, newCounts } from './world.ts'

// One node's write path and its clients, over several lives with crashes, power cuts and failing disks, all by one seed
// (docs/testing.md). Arguments: the first seed, and how many.

const SEEDS = trialCount(300)
/** Below this, chance may leave something out. */
const SEEDS_OF_ALL = 250
const firstSeed = trialSeed() % 1_000_000_000
const replay = join(buildRoot, 'test', 'sim', 'replay.js')
const replayCommand = (seed: number): string => `node --enable-source-maps ${relative(repoRoot, replay)} ${seed}`

t.setTimeout(3_000_000)

const counts = newCounts()
const outcomes: Outcome[] = []

t.test(`${SEEDS} seeds: nothing promised is broken, and all comes to rest`, async (t) => {
  for (let n = 0; n < SEEDS; n++) {
    const outcome = await simulate(firstSeed + n, counts)
    outcomes.push(outcome)
    if (outcome.broken !== undefined) t.fail(`seed ${outcome.seed}: ${outcome.broken}\nto run it again: ${replayCommand(outcome.seed)}`)
  }
  const virtualSeconds = outcomes.reduce((sum, { virtualMs }) => sum + virtualMs, 0) / 1000
  t.ok(outcomes.every(({ broken }) => broken === undefined),
    `seeds ${firstSeed} to ${firstSeed + SEEDS - 1}: ${counts.acked} acks, ${counts.kills} kills, ${counts.powerCuts} power cuts, ${virtualSeconds.toFixed(0)} virtual seconds`)
  t.comment(JSON.stringify(counts))
})

t.test('everything that can happen has happened', async (t) => {
  if (SEEDS < SEEDS_OF_ALL) return t.comment(`not asked of ${SEEDS} seeds`)
  t.strictSame(SOMETIMES.filter((what) => counts[what] === 0), [], 'a run in which one of these never happened has shown nothing of it')
})

t.test('one seed is one run, in this process and in another', async (t) => {
  const some = outcomes.slice(0, 12)
  for (const { seed, hash } of some) if ((await simulate(seed)).hash !== hash) t.fail(`seed ${seed} went another way: ${replayCommand(seed)}`)
  let lines: string
  try {
    lines = execFileSync(process.execPath, [replay, ...some.map(({ seed }) => String(seed))], { encoding: 'utf8' })
  } catch (error) {
    // A seed that breaks something ends it with 1; its lines are there all the same.
    lines = String((error as { stdout?: unknown }).stdout)
  }
  const hashes = new Map(lines.split('\n').map((line) => line.split(' ', 2) as [string, string]))
  t.strictSame(some.map(({ seed }) => hashes.get(String(seed))), some.map(({ hash }) => hash))
  t.equal(new Set(some.map(({ hash }) => hash)).size, some.length, 'each seed is a run of its own')
})

t.test('the real world has no say: whoever asks it is found out', async (t) => {
  const questions: Readonly<Record<string, () => unknown>> = {
    'Date.now': () => Date.now(), 'new Date()': () => new Date(), 'performance.now': () => performance.now(),
    'process.hrtime': () => process.hrtime(), 'process.hrtime.bigint': () => process.hrtime.bigint(), 'Math.random': () => Math.random(),
    'globalThis.setTimeout': () => setTimeout(() => undefined, 0), 'globalThis.setImmediate': () => setImmediate(() => undefined),
    'globalThis.queueMicrotask': () => queueMicrotask(() => undefined), 'process.nextTick': () => process.nextTick(() => undefined),
    'crypto.randomBytes': () => randomBytes(4), 'webcrypto.getRandomValues': () => crypto.getRandomValues(new Uint8Array(4)),
    'webcrypto.randomUUID': () => crypto.randomUUID(), 'fs.readFileSync': () => readFileSync(replay), 'fs.promises.readFile': () => readFile(replay),
    'Atomics.wait': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1),
  }
  for (const [what, ask] of Object.entries(questions)) {
    const { result, leaks } = await poisoned(async () => {
      try {
        return await Promise.resolve(ask())
      } catch (error) {
        return error
      }
    })
    t.ok(result instanceof Leak && leaks.length === 1 && leaks[0] === what, what, { result, leaks })
  }
  t.ok(Date.now() > 0 && new Date() instanceof Date && Math.random() < 1 && readFileSync(replay).length > 0, 'and all is well again behind it')
  const { result } = await poisoned(async () => new Date(5).getTime())
  t.equal(result, 5, 'a date of a known time asks nobody')
})

t.test('the record', async () => {
  recordFault({
    id: 'SIM', title: 'simulated lives of a node, with kills, power cuts, failing, full and slow disks, and clocks set back', trials: SEEDS, unit: 'seeds',
    failures: outcomes.filter(({ broken }) => broken !== undefined).length, seed: firstSeed,
    figures: { acks: counts.acked, kills: counts.kills, powerCuts: counts.powerCuts, failedSyncs: counts.failedSyncs },
    tooth: 'mutants of the build, each to be found within 600 seeds (test/sim/mutants.test.ts)',
  })
})
