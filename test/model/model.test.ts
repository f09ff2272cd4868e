import t from 'tap'
import { hashReady } from '../../src/record/claim.ts'
import { trialOf } from './trial.ts'

t.setTimeout(3_600_000)
await hashReady

/*
 * Random histories of assertions, votes, epochs, outcomes, aliases, changes and withdrawals, told to the engine (the executor of a node over its indexes and log) and
 * to a plain model that was written from the documents. After each batch questions to both: every lens and chains of them, every filter, prefixes, aliases, pages
 * while more is written; then all of them again as of the moment when they were asked, which must give the answers of then.
 *
 * `node dist/test/model/model.test.js 7 10000`: 10,000 histories from seed 7 on. `STEMEDB_MODEL_HISTORIES` sets the number, too.
 */
const FIRST_SEED = Number(process.argv[2] ?? 1)
const HISTORIES = Number(process.argv[3] ?? process.env['STEMEDB_MODEL_HISTORIES'] ?? 300)
const FAULTS_SHOWN_MAX = 5

t.test(`${HISTORIES} histories from seed ${FIRST_SEED} on`, async (t) => {
  const faults: string[] = []
  let questions = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) {
    const trial = trialOf(seed)
    questions += trial.questions
    if (trial.fault !== undefined) faults.push(trial.fault)
  }
  t.comment(`${questions} questions`)
  t.strictSame(faults.slice(0, FAULTS_SHOWN_MAX), [], `${faults.length} histories with a wrong answer; the first number is the seed, run it alone: node dist/test/model/model.test.js SEED 1`)
  t.ok(questions > 20 * HISTORIES, `${questions} questions were asked`)
})
