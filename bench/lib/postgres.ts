import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock } from '../../src/base/clock.ts'
import { holdsWithin } from '../../test/support/holds-within.ts'
import { plainRecords, type PlainRecord } from './records.ts'

/**
 * The peer: a PostgreSQL server of its own in a temporary folder, with everything that makes a commit durable switched
 * on and memory enough, so that what is compared is the work and not a default.
 */
const SETTINGS = {
  fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on', shared_buffers: '1GB', max_wal_size: '8GB',
  checkpoint_timeout: '15min', max_connections: '100', listen_addresses: '', autovacuum: 'on', logging_collector: 'off',
} as const

const TABLE = `create table assertions (
  id bytea primary key, subject text not null, predicate text not null, object text not null, confidence float8 not null,
  source_class smallint not null, source_hash bytea not null, agent bytea not null, asserted_at bigint not null, note text)`
const INDEX = 'create index assertions_by_key on assertions (subject, predicate, asserted_at)'
const COLUMNS = ['id', 'subject', 'predicate', 'object', 'confidence', 'source_class', 'source_hash', 'agent', 'asserted_at', 'note'] as const
const TYPES = ['bytea', 'text', 'text', 'text', 'float8', 'smallint', 'bytea', 'bytea', 'bigint', 'text'] as const

const cells = (r: PlainRecord): string[] => [
  `\\x${r.id}`, r.subject, r.predicate, r.object, String(r.confidence), String(r.sourceClass), `\\x${r.sourceHash}`,
  `\\x${r.agent}`, String(r.assertedAtMs), r.note,
]

/** Folder of the newest PostgreSQL's programs, or undefined where none is installed. */
export function postgresBinDir(): string | undefined {
  const base = '/usr/lib/postgresql'
  if (!existsSync(base)) return undefined
  const versions = readdirSync(base).filter((v) => existsSync(join(base, v, 'bin', 'initdb')))
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0]
  return newest === undefined ? undefined : join(base, newest, 'bin')
}

interface Account { readonly uid: number; readonly gid: number }

/** PostgreSQL refuses to run as root: the account to run as, or undefined where the caller is not root. */
function accountForServer(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((l) => /^(postgres|nobody):/.test(l))
  if (line === undefined) throw new Error('no account to run PostgreSQL as: it refuses root')
  const fields = line.split(':')
  return { uid: Number(fields[2]), gid: Number(fields[3]) }
}

export interface Postgres {
  readonly version: string
  readonly client: pg.ClientConfig
  readonly socketDir: string
  readonly binDir: string
  /** An empty table with its indexes. */
  reset(): Promise<void>
  stop(): Promise<void>
}

const USER = 'bench'
const START_MS_MAX = 30_000

async function once(config: pg.ClientConfig, sql: readonly string[]): Promise<void> {
  const client = new pg.Client(config)
  await client.connect()
  try {
    for (const text of sql) await client.query(text)
  } finally {
    await client.end()
  }
}

/** Makes a cluster in `dir` (which must not exist) and starts it. @throws {Error} where no PostgreSQL is installed. */
export async function startPostgres(dir: string): Promise<Postgres> {
  const binDir = postgresBinDir()
  if (binDir === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql')
  const account = accountForServer()
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const dataDir = join(dir, 'data')
  if (account !== undefined) {
    chownSync(dir, account.uid, account.gid)
    // The parent is a private temporary folder; the server's account has to pass through it.
    chmodSync(join(dir, '..'), 0o711)
  }
  const as = account === undefined ? {} : { uid: account.uid, gid: account.gid }
  execFileSync(join(binDir, 'initdb'), ['-D', dataDir, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C'], { ...as, stdio: 'pipe', cwd: dir })
  writeFileSync(join(dataDir, 'postgresql.auto.conf'),
    Object.entries({ ...SETTINGS, unix_socket_directories: dir }).map(([k, v]) => `${k} = '${v}'`).join('\n') + '\n')
  if (account !== undefined) chownSync(join(dataDir, 'postgresql.auto.conf'), account.uid, account.gid)
  const log: string[] = []
  const server: ChildProcess = spawn(join(binDir, 'postgres'), ['-D', dataDir], { ...as, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
  server.stderr?.on('data', (chunk: Buffer) => { if (log.length < 1000) log.push(chunk.toString()) })
  const exited = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  const client: pg.ClientConfig = { host: dir, user: USER, database: 'postgres' }
  try {
    const isUp = await holdsWithin(START_MS_MAX, async () => {
      if (server.exitCode !== null) throw new Error(`PostgreSQL ended: ${log.join('')}`)
      return await once(client, []).then(() => true, () => false)
    })
    if (!isUp) throw new Error(`the start of PostgreSQL took more than ${START_MS_MAX} ms`)
  } catch (error) {
    server.kill('SIGKILL')
    throw error
  }
  const version = execFileSync(join(binDir, 'postgres'), ['--version'], { encoding: 'utf8' }).trim()
  return {
    version, client, socketDir: dir, binDir,
    reset: () => once(client, ['drop table if exists assertions', TABLE, INDEX, 'checkpoint']),
    async stop() {
      if (server.exitCode === null) server.kill('SIGINT')
      const timer = setTimeout(() => server.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(timer)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export interface InsertRun {
  readonly connections: number
  readonly rowsPerStatement: number
  readonly seconds: number
  /** Rows are made before the clock starts; when they are used up, the run ends early. */
  readonly rowsMax: number
  readonly seed: number
  /** `values`: one parameter a cell; `arrays`: one array parameter a column, taken apart by unnest. */
  readonly form: 'values' | 'arrays'
}

export interface InsertResult {
  readonly rows: number
  readonly seconds: number
  readonly rowsPerSecond: number
}

function insertText(run: InsertRun): string {
  const into = `insert into assertions (${COLUMNS.join(', ')})`
  if (run.form === 'arrays') return `${into} select * from unnest(${TYPES.map((type, i) => `$${i + 1}::${type}[]`).join(', ')})`
  const tuple = (row: number): string => `(${TYPES.map((type, i) => `$${row * TYPES.length + i + 1}::${type}`).join(', ')})`
  return `${into} values ${Array.from({ length: run.rowsPerStatement }, (_, row) => tuple(row)).join(', ')}`
}

const arrayLiteral = (column: readonly string[]): string =>
  `{${column.map((cell) => `"${cell.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`

function parametersOf(run: InsertRun, records: Generator<PlainRecord, never>): string[] {
  const rows = Array.from({ length: run.rowsPerStatement }, () => cells(records.next().value))
  if (run.form === 'values') return rows.flat()
  return COLUMNS.map((_, i) => arrayLiteral(rows.map((row) => row[i]!)))
}

/** Inserts over `connections` sessions, one prepared statement and one transaction a statement, until the time is up. */
export async function runInserts(server: Postgres, run: InsertRun): Promise<InsertResult> {
  const text = insertText(run)
  const name = `insert_${run.form}_${run.rowsPerStatement}`
  const records = plainRecords(run.seed)
  const statements = Array.from({ length: Math.ceil(run.rowsMax / run.rowsPerStatement) }, () => parametersOf(run, records))
  const clients = Array.from({ length: run.connections }, () => new pg.Client(server.client))
  await Promise.all(clients.map((client) => client.connect()))
  try {
    let next = 0
    let rows = 0
    const start = systemClock.monoMs()
    const end = start + run.seconds * 1000
    await Promise.all(clients.map(async (client) => {
      while (systemClock.monoMs() < end && next < statements.length) {
        const values = statements[next++]!
        await client.query({ name, text, values })
        rows += run.rowsPerStatement
      }
    }))
    const seconds = (systemClock.monoMs() - start) / 1000
    return { rows, seconds, rowsPerSecond: rows / seconds }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
}

/**
 * Single-row inserts by pgbench, which costs a fraction of what a JavaScript client does and so leaves more of the
 * machine to the server. The server makes the row's text from two random numbers, which costs it a few microseconds.
 */
export function runPgbench(server: Postgres, connections: number, seconds: number): InsertResult {
  const script = join(server.socketDir, 'single.sql')
  const a = '(:a::bigint)'
  const b = '(:b::bigint)'
  const digests = (x: string, y: string): string => `decode(md5(${x}::text) || md5(${y}::text), 'hex')`
  writeFileSync(script, [
    '\\set a random(1, 1000000000000)',
    '\\set b random(1, 1000000000000)',
    `insert into assertions values (${digests(a, b)}, 'drug/compound-' || (${a} % 1000000) || '/trial/' || (${b} % 1000), `
    + `'has_side_effect', 'observed in ' || (${a} % 100000) || ' of ' || ${b} || ' patients, see table ' || ${a}, 0.5, `
    + `(${a} % 6)::smallint, ${digests(b, a)}, '\\x${'5a'.repeat(32)}', 1750000000000 + (${b} % 1000000), `
    + `'imported row ' || ${a} || ' of run ' || ${b}) on conflict do nothing;`,
  ].join('\n'))
  const out = execFileSync(join(server.binDir, 'pgbench'), [
    '-n', '-M', 'prepared', '-c', String(connections), '-j', '1', '-T', String(seconds), '-f', script,
    '-h', server.socketDir, '-U', USER, 'postgres',
  ], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const rows = Number(/number of transactions actually processed: (\d+)/.exec(out)?.[1] ?? Number.NaN)
  const rowsPerSecond = Number(/tps = ([\d.]+)/.exec(out)?.[1] ?? Number.NaN)
  if (!(rowsPerSecond > 0)) throw new Error(`pgbench said nothing of its rate: ${out}`)
  return { rows, seconds: rows / rowsPerSecond, rowsPerSecond }
}
