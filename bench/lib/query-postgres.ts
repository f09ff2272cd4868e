import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { PREDICATE, pgbenchKey } from './keys.ts'
import type { Postgres } from './postgres.ts'

const execute = promisify(execFile)

/** Statements that share a pipeline, as queries of ours share a message. */
export const PIPELINE = 16

const TABLE = `create table claims (
  id bytea primary key, subject text not null, predicate text not null, object text not null, confidence float8 not null,
  source_class smallint not null, source_hash bytea not null, agent bytea not null, asserted_at bigint not null, note text, hlc bigint not null)`

/** The same claims as `fill` of bench/query-child.ts gives our node, in the same order. */
export async function fillClaims(server: Postgres, pairs: number, candidates: number): Promise<void> {
  const client = new pg.Client(server.client)
  await client.connect()
  try {
    await client.query('drop table if exists claims')
    await client.query(TABLE)
    await client.query(`insert into claims
      select decode(md5(c::text || ':' || p) || md5(p::text || ':' || c), 'hex'), (100000000000000000 + p)::text, $1, 'dose ' || c % 4 || ' mg',
        (c * 37 % 101) / 100.0, (c % 6)::smallint, decode(md5(c::text) || md5(c::text), 'hex'), decode(repeat('5a', 32), 'hex'),
        1750000000000 + c, 'claim ' || c || ' of pair ' || p || ', as a table of some trial has it', c::bigint * ${pairs} + p
      from generate_series(0, ${candidates - 1}) c, generate_series(0, ${pairs - 1}) p`, [PREDICATE])
    await client.query('create index claims_by_key on claims (subject, predicate, hlc desc)')
    await client.query('vacuum analyze claims')
    await client.query('checkpoint')
  } finally {
    await client.end()
  }
}

const COLUMNS = 'id, subject, predicate, object, confidence, source_class, source_hash, agent, asserted_at, note, hlc'

export const STATEMENTS = {
  recency: `select ${COLUMNS} from claims where subject = :s and predicate = :p order by hlc desc limit 1;`,
  consensus: 'select object, count(*), sum(confidence) from claims where subject = :s and predicate = :p group by object order by 3 desc;',
} as const

export interface PgbenchReads {
  readonly statement: keyof typeof STATEMENTS
  readonly connections: number
  readonly threads: number
  readonly seconds: number
  readonly pairs: number
  /** Of how many pairs, the hottest ones. */
  readonly range: number
}

/** Prepared statements in pipelines, by pgbench, whose client costs a fraction of what a JavaScript one does. Queries a second. */
export async function pgbenchReads(server: Postgres, run: PgbenchReads): Promise<number> {
  const script = join(server.socketDir, `${run.statement}.sql`)
  const one = [...pgbenchKey, STATEMENTS[run.statement]]
  writeFileSync(script, ['\\startpipeline', ...Array.from({ length: PIPELINE }, () => one).flat(), '\\endpipeline', ''].join('\n'))
  const { stdout } = await execute(join(server.binDir, 'pgbench'), [
    '-n', '-M', 'prepared', '-c', String(run.connections), '-j', String(run.threads), '-T', String(run.seconds), '-f', script,
    '-D', `n=${run.pairs}`, '-D', `m=${run.range}`, '-D', `p=${PREDICATE}`, '-h', server.socketDir, '-U', 'bench', 'postgres',
  ], { encoding: 'utf8' })
  const perSecond = Number(/tps = ([\d.]+)/.exec(stdout)?.[1] ?? Number.NaN) * PIPELINE
  if (!(perSecond > 0)) throw new Error(`pgbench said nothing of its rate: ${stdout}`)
  return perSecond
}
