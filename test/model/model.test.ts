import t from 'tap'
import { hashReady } from '../../src/record/claim.ts'
import { recordFault } from '../support/fault-record.ts'
import { trialCount, trialSeed } from '../support/history.trial.ts'
import { MUTANTS } from './mutants.ts'
import { trialOf } from './trial.ts'

t.setTimeout(3_600_000)
await hashReady

/*
 * Random histories of assertions, votes, epochs, outcomes, aliases, changes and withdrawals, told to the engine (the executor of a node over its indexes and log) and
 * to a plain model that was written from the documents. After each batch questions to both: every lens and chains of them, every filter, prefixes, aliases, pages
 * while more is written; then all of them again as of the moment when they were asked, which must give the answers of then.
 *
 * `node dist/test/model/model.test.js 7 10000`: 10,000 histories from seed 7 on. `npm run test:soak -- --only MODEL` runs as many as there is time for, of new seeds.
 */
/** Every day's run is the same: its seeds are those by which mutants.test.ts judges the model. */
const FIRST_SEED = process.argv[2] === undefined ? 1 : trialSeed()
const HISTORIES = trialCount(300)
const FAULTS_SHOWN_MAX = 5
/** Shown in the same run to be found; all of them are in mutants.test.ts. */
const TOOTH = 'as_of is off by one, to the future'
const TOOTH_SEEDS_MAX = 300

const done = { histories: 0, failures: 0, questions: 0, tooth: '' }
t.teardown(() => recordFault({
  id: 'MODEL', title: 'random histories, asked of the query engine and of a model written from the documents', trials: done.histories, unit: 'histories', failures: done.failures,
  seed: FIRST_SEED, figures: { questions: done.questions }, tooth: done.tooth,
}))

t.test(`${HISTORIES} histories from seed ${FIRST_SEED} on`, async (t) => {
  const faults: string[] = []
  let questions = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
    const trial = trialOf(seed)
    questions += trial.questions
    if (trial.fault !== undefined) faults.push(trial.fault)
    Object.assign(done, { histories: done.histories + 1, failures: faults.length, questions })
  }
  t.comment(`${questions} questions`)
  t.strictSame(faults.slice(0, FAULTS_SHOWN_MAX), [], `${faults.length} histories with a wrong answer; the first number is the seed, run it alone: node dist/test/model/model.test.js SEED 1`)
  t.ok(questions > 20 * HISTORIES, `${questions} questions were asked`)
})

t.test(`the tooth: ${TOOTH}`, async (t) => {
  let seeds = 1
  while (seeds < TOOTH_SEEDS_MAX && trialOf(FIRST_SEED + seeds - 1, MUTANTS[TOOTH]).fault === undefined) seeds++
  t.ok(seeds < TOOTH_SEEDS_MAX, `found within ${seeds} seeds`)
  done.tooth = `an engine whose as_of sees one stamp too many: found within ${seeds} ${seeds === 1 ? 'history' : 'histories'}`
})
