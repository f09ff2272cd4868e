import { simulate } from './simulation.ts'

/*
 * node dist/test/sim/replay.js [--trace] SEED...
 *
 * Runs seeds again: each gives a line with its seed, the hash of all that happened, and what was broken. With --trace,
 * everything that happened first.
 */
const traced = process.argv.includes('--trace')
const seeds = process.argv.slice(2).filter((argument) => /^\d+$/.test(argument)).map(Number)
if (seeds.length === 0) {
  console.error('usage: node dist/test/sim/replay.js [--trace] SEED...')
  process.exitCode = 2
}
for (const seed of seeds) {
  const events: string[] = []
  const outcome = await simulate(seed, undefined, traced ? (event) => events.push(event) : undefined)
  if (traced) console.log(events.join('\n'))
  console.log(`${seed} ${outcome.hash} ${outcome.broken ?? 'ok'}`)
  if (outcome.broken !== undefined) process.exitCode = 1
}
