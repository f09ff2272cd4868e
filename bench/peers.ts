import { join } from 'node:path'
import { runBench, type Samples, type Work, type WorkContext } from './lib/harness.ts'
import { runInserts, runPgbench, startPostgres, type InsertRun, type Postgres } from './lib/postgres.ts'
import type { Figure } from './lib/report.ts'
import { BATCH, RATE_BATCHES, RATE_SINGLES, sustainedBatches, sustainedSingles } from './lib/works.ts'

// The same rows into PostgreSQL, in turns with our node: bench/README.md.

const PG_BATCHES = 'PostgreSQL, 256 rows a statement'
const PG_SINGLES = 'PostgreSQL, one row a statement'
/** More than can be had, for what is made before the run. */
const ROWS_PER_SECOND_MAX = { batches: 100_000, singles: 30_000 } as const
/** Each is inserted in two ways, the better of which counts; together they take as long as our node's run. */
const WAYS = 2

/** A server for this work alone: while others are measured it keeps no memory and writes no checkpoint. */
async function withPeer(context: WorkContext, work: (postgres: Postgres) => Promise<void>): Promise<void> {
  const postgres = await startPostgres(join(context.options.dir, 'postgres'))
  try {
    await work(postgres)
  } finally {
    await postgres.stop()
  }
}

async function best(context: WorkContext, name: string, ways: readonly [way: string, run: () => Promise<number>][]): Promise<void> {
  let most = 0
  for (const [way, run] of ways) {
    const rate = await run()
    context.progress(`${way}: ${Math.round(rate)} rows/s`)
    context.samples.add(`${name}, ${way}`, rate)
    most = Math.max(most, rate)
  }
  context.samples.add(name, most)
}

function insertRun({ options, repetition }: WorkContext, kind: keyof typeof ROWS_PER_SECOND_MAX, form: InsertRun['form']): InsertRun {
  const seconds = Math.max(1, Math.ceil(options.seconds / WAYS))
  return {
    connections: kind === 'batches' ? 8 : 64, rowsPerStatement: kind === 'batches' ? BATCH : 1, seconds, form, seed: repetition + 1,
    rowsMax: options.quick ? 20_000 : ROWS_PER_SECOND_MAX[kind] * seconds,
  }
}

const postgresBatches: Work = (context) => withPeer(context, async (postgres) => {
  const way = (form: InsertRun['form']) => async (): Promise<number> => {
    await postgres.reset()
    return (await runInserts(postgres, insertRun(context, 'batches', form))).rowsPerSecond
  }
  await best(context, PG_BATCHES, [['values of 256 rows', way('values')], ['arrays and unnest', way('arrays')]])
})

const postgresSingles: Work = (context) => withPeer(context, async (postgres) => {
  const run = insertRun(context, 'singles', 'values')
  await best(context, PG_SINGLES, [
    ['node-postgres', async () => {
      await postgres.reset()
      return (await runInserts(postgres, run)).rowsPerSecond
    }],
    ['pgbench', async () => {
      await postgres.reset()
      return runPgbench(postgres, run.connections, run.seconds).rowsPerSecond
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
      note: `${ways.map((way) => `${way} ${Math.round(samples.median(`${peerName}, ${way}`))} rows/s`).join(', ')}; the best of each repetition counts`,
    },
  ]
  return [
    ...pair(RATE_BATCHES, PG_BATCHES, ['values of 256 rows', 'arrays and unnest'], 3, 5),
    ...pair(RATE_SINGLES, PG_SINGLES, ['node-postgres', 'pgbench'], 5, 10),
  ]
}

await runBench('Against PostgreSQL', PARTS, figuresOf)
