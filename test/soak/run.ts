import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/base/clock.ts'
import { seededRandom, systemRandom } from '../../src/base/random.ts'
import { repoRoot } from '../support/root.ts'
import { killAll, runTapFile, type FileResult } from '../support/tap-file.ts'
import { canRunAgain, countFor, measuredTimes, RUN_SECONDS_MAX, secondsOf } from './plan.ts'
import { findProofs, testRoot, type Proof, type Times } from './proofs.ts'
import { RunRecorder } from './record-file.ts'

/**
 * `npm run test:soak -- [--minutes 60] [--only D1,D3] [--seed n]`: the fault tests in turn, each with as many trials as
 * its share of the time allows, with new seeds, until the time is up. Each runs once at least, unless the time is up before. The
 * exit code is 1 where one failed. `npm run test:record` then writes docs/fault-record.md.
 */
const FILE_TIMEOUT_SECONDS_MIN = 900
const FAILURES_PRINTED_MAX = 5

interface Turn {
  readonly proof: Proof
  times: Times
  runs: number
}

/** @throws {Error} for an id that no file proves. */
function chosenProofs(only: string | undefined): Proof[] {
  const proofs = findProofs()
  if (only === undefined) return proofs
  const ids = only.split(',').map((id) => id.trim().toUpperCase())
  const unknown = ids.filter((id) => !proofs.some((proof) => proof.ids.includes(id)))
  if (unknown.length > 0) throw new Error(`no test proves ${unknown.join(', ')}; there are ${proofs.flatMap(({ ids }) => ids).sort().join(', ')}`)
  return proofs.filter((proof) => proof.ids.some((id) => ids.includes(id)))
}

function describe(result: FileResult): string {
  const lines = result.failures.slice(0, FAILURES_PRINTED_MAX).map(({ name, detail }) => `  - ${name}\n${detail.replaceAll(/^/gm, '      ')}`)
  const skips = result.skips.map(({ name, reason }) => `  skipped: ${name}: ${reason}`)
  return [...lines, ...skips].join('\n')
}

class Soak {
  readonly #turns: Turn[]
  readonly #random
  readonly #recorder: RunRecorder
  readonly #endMs: number
  runs = 0
  failed = 0

  constructor(proofs: readonly Proof[], seconds: number, seed: number, command: string) {
    this.#turns = proofs.map((proof) => ({ proof, times: proof.times, runs: 0 }))
    this.#random = seededRandom(seed)
    this.#recorder = new RunRecorder(command)
    this.#endMs = systemClock.monoMs() + seconds * 1000
  }

  get #secondsLeft(): number {
    return (this.#endMs - systemClock.monoMs()) / 1000
  }

  /** @returns ids that had no turn. */
  async run(): Promise<string[]> {
    for (let hasRun = true; hasRun;) {
      hasRun = false
      const turns = this.#turns.filter(({ proof, runs }) => runs === 0 || canRunAgain(proof))
      for (const [i, turn] of turns.entries()) {
        const left = this.#secondsLeft
        const count = countFor(turn.proof, turn.times, left / (turns.length - i), turn.runs === 0)
        if (left <= 0 || (turn.runs > 0 && secondsOf(turn.times, count) > left)) continue
        await this.#one(turn, count)
        hasRun = true
      }
    }
    return this.#turns.filter(({ runs }) => runs === 0).flatMap(({ proof }) => proof.ids)
  }

  async #one(turn: Turn, count: number | undefined): Promise<void> {
    const { proof: { file, ids }, times } = turn
    const seed = Math.max(1, this.#random.u32())
    const timeoutSeconds = Math.max(FILE_TIMEOUT_SECONDS_MIN, 2 * secondsOf(times, count) + RUN_SECONDS_MAX)
    const result = await runTapFile(join(testRoot, `${file}.test.js`), repoRoot, timeoutSeconds * 1000, {
      args: [String(seed), ...(count === undefined ? [] : [String(count)])], env: this.#recorder.env,
    })
    turn.runs++
    turn.times = measuredTimes(times, count, result.seconds)
    this.runs++
    const isGood = result.failures.length === 0
    console.log(`${isGood ? 'ok  ' : 'FAIL'} ${ids.join(' ')}  ${file} ${seed} ${count ?? ''}  ${result.seconds.toFixed(0)} s`)
    if (!isGood || result.skips.length > 0) console.log(describe(result))
    if (isGood) return
    this.failed++
    this.#recorder.failed({ file, seed, ...(count === undefined ? {} : { count }), why: result.failures[0]!.name })
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' }, only: { type: 'string' }, seed: { type: 'string' } } })
  const minutes = Number(values.minutes)
  const seed = Number(values.seed ?? systemRandom().u32())
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('usage: run.js [--minutes n] [--only D1,D3] [--seed n]')
  const proofs = chosenProofs(values.only)
  console.log(`seed ${seed}: ${proofs.length} files in ${minutes} minutes`)
  const soak = new Soak(proofs, minutes * 60, seed, `npm run test:soak -- --minutes ${minutes}${values.only === undefined ? '' : ` --only ${values.only}`} --seed ${seed}`)
  const missed = await soak.run()
  if (missed.length > 0) console.log(`no time for ${missed.join(', ')}`)
  console.log(`${soak.runs} runs, ${soak.failed} failed`)
  return soak.failed > 0 || soak.runs === 0 ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
}

main().then((code) => { process.exitCode = code }, (error: unknown) => {
  killAll()
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
})
