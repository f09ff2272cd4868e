import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { recordFault } from '../support/fault-record.ts'
import { mutatedBuild } from '../support/mutant.ts'
import { MUTANTS } from './mutants.ts'
import * as simulation from './simulation.ts'

// What the simulation is worth: each of these bugs is found, by the seeds 1, 2, 3, ... of a mutant of the build, and by the same seeds
// nothing is found in the build as it is.

const SEEDS_MAX = 600

t.setTimeout(1_200_000)

/** The simulation asked the real world: that says nothing of the bug. */
const isLeak = (broken: string): boolean => /^leak/i.test(broken)

const seedsTaken: Record<string, number> = {}
const missed: string[] = []

for (const [name, mutations] of Object.entries(MUTANTS)) {
  t.test(`tooth: ${name}`, async (t) => {
    const { root, remove } = mutatedBuild(['src', 'test/sim', 'test/support'], mutations)
    t.teardown(remove)
    const { simulate } = await import(pathToFileURL(join(root, 'test', 'sim', 'simulation.js')).href) as typeof simulation
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      const { broken } = await simulate(seed)
      if (broken === undefined) continue
      t.equal(isLeak(broken), false, `the simulation's own fault, at seed ${seed}: ${broken}`)
      seedsTaken[name] = seed
      t.pass(`found within ${seed} seeds`)
      t.comment(`${seed} seeds: ${broken.split('\n')[0]}`)
      return
    }
    missed.push(name)
    t.fail(`not found within ${SEEDS_MAX} seeds`)
  })
}

t.test('control: the build without a bug', async (t) => {
  const seeds = Math.max(...Object.values(seedsTaken))
  for (let seed = 1; seed <= seeds; seed++) t.equal((await simulation.simulate(seed)).broken, undefined, `seed ${seed}`)
})

t.test('the record', async () => {
  recordFault({
    id: 'SIM', title: 'bugs planted into the write path, to be found by simulation', trials: Object.keys(MUTANTS).length, unit: 'mutants',
    failures: missed.length, figures: { seedsMost: Math.max(0, ...Object.values(seedsTaken)) },
    tooth: Object.entries(seedsTaken).map(([name, seeds]) => `${name}: ${seeds} seeds`).join('; '),
  })
})
