import { join } from 'node:path'
import { runBench, type Samples, type Work, type WorkContext } from './lib/harness.ts'
import { runInserts, runPgbench, startPostgres, type InsertRun, type Postgres } from './lib/postgres.ts'
import type { Figure } from './lib/report.ts'
import { BATCH, RATE_BATCHES, RATE_SINGLES, sustainedBatches, sustainedSingles } from './lib/works.ts'

// The same rows into PostgreSQL, in turns with our node: bench/README.md.

const PG_BATCHES = 'PostgreSQL, 256 rows a statement'
const PG_SINGLES = 'PostgreSQL, one row a statement'
const SINGLE_SESSIONS = 64
/** More than can be had, for what is made before the run. */
const ROWS_PER_SECOND_MAX = { batches: 110_000, singles: 30_000 } as const
/** Of the seconds of a run, for a look at each way of inserting: the better one then has a run of its own, as long as our node's. */
const LOOK_SHARE = 1 / 6

/** A server for this work alone: while others are measured it keeps no memory and writes no checkpoint. */
async function withPeer(context: WorkContext, work: (postgres: Postgres) => Promise<void>): Promise<void> {
  const postgres = await startPostgres(join(context.options.dir, 'postgres'))
  try {
    await work(postgres)
  } finally {
    await postgres.stop()
  }
}

async function best(context: WorkContext, name: string, ways: readonly [way: string, run: (seconds: number) => Promise<number>][]): Promise<void> {
  const { progress, samples, options } = context
  let better = ways[0]!
  let most = 0
  for (const way of ways) {
    const rate = await way[1](Math.max(1, Math.ceil(options.seconds * LOOK_SHARE)))
    progress(`${way[0]}, a look: ${Math.round(rate)} rows/s`)
    samples.add(`${name}, ${way[0]}`, rate)
    if (rate <= most) continue
    most = rate
    better = way
  }
  const rate = await better[1](options.seconds)
  progress(`${better[0]} for ${options.seconds} s: ${Math.round(rate)} rows/s`)
  samples.add(name, rate)
}

function insertRun({ options, repetition }: WorkContext, kind: keyof typeof ROWS_PER_SECOND_MAX, form: InsertRun['form'], seconds: number): InsertRun {
  return {
    connections: kind === 'batches' ? 8 : SINGLE_SESSIONS, rowsPerStatement: kind === 'batches' ? BATCH : 1, seconds, form, seed: repetition + 1,
    rowsMax: options.quick ? 20_000 : ROWS_PER_SECOND_MAX[kind] * seconds,
  }
}

const postgresBatches: Work = (context) => withPeer(context, async (postgres) => {
  const way = (form: InsertRun['form']) => async (seconds: number): Promise<number> => {
    await postgres.reset()
    return (await runInserts(postgres, insertRun(context, 'batches', form, seconds))).rowsPerSecond
  }
  await best(context, PG_BATCHES, [['values of 256 rows', way('values')], ['arrays and unnest', way('arrays')]])
})

const postgresSingles: Work = (context) => withPeer(context, async (postgres) => {
  await best(context, PG_SINGLES, [
    ['node-postgres', async (seconds) => {
      await postgres.reset()
      return (await runInserts(postgres, insertRun(context, 'singles', 'values', seconds))).rowsPerSecond
    }],
    ['pgbench', async (seconds) => {
      await postgres.reset()
      return runPgbench(postgres, SINGLE_SESSIONS, seconds).rowsPerSecond
    }],
  ])
})

const PARTS: ReadonlyMap<string, Work> = new Map([
  ['batches', async (context: WorkContext) => {
    await sustainedBatches(context)
    await postgresBatches(context)
  }],
  ['singles', async (context: WorkContext) => {
    await sustainedSingles(context)
    await postgresSingles(context)
  }],
])

function figuresOf(samples: Samples): Figure[] {
  const pair = (name: string, peerName: string, ways: readonly string[], atLeast: number, aim: number): Figure[] => [
    { name, value: samples.median(name), unit: 'assertions/s', better: 'higher', spread: samples.spread(name) },
    {
      name: `${name}, against PostgreSQL`, value: samples.medianRatio(name, peerName), unit: 'x', better: 'higher', atLeast, aim,
      peer: 'PostgreSQL 15, rows/s', peerValue: samples.median(peerName),
      note: `${ways.map((way) => `${way} ${Math.round(samples.median(`${peerName}, ${way}`))} rows/s`).join(', ')} in the first seconds; the better way of each repetition runs as long as the node`,
    },
  ]
  return [
    ...pair(RATE_BATCHES, PG_BATCHES, ['values of 256 rows', 'arrays and unnest'], 3, 5),
    ...pair(RATE_SINGLES, PG_SINGLES, ['node-postgres', 'pgbench'], 5, 10),
  ]
}

await runBench('Against PostgreSQL', PARTS, figuresOf)
