import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { repoRoot } from '../support/root.ts'
import { startServer, type RunningServer } from '../support/server.ts'
import { clientEnv, stemedb } from './command.ts'

// Real input, end to end: package lists become signed claims, lists of different tiers contradict each other, and a
// query says which one won.

t.setTimeout(250_000)

const APT_LISTS = '/var/lib/apt/lists'
/** Packages of each real list: enough to mean something, few enough for a test. */
const REAL_LIMIT = 2000

async function serve(t: Test): Promise<{ server: RunningServer, env: Record<string, string> }> {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-debian-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const server = await startServer({ dataDir: join(folder, 'data') })
  t.teardown(() => server.kill9())
  return { server, env: clientEnv(server, join(folder, 'agent.key')) }
}

interface Answer {
  readonly subject: string
  readonly predicate: string
  readonly candidates: number
  readonly winner: { readonly signed_by: string, readonly assertion: { readonly object: unknown, readonly source_class: unknown, readonly source_uri?: string } }
}

async function query(env: Record<string, string>, ...args: string[]): Promise<Answer[]> {
  const result = await stemedb(['query', ...args, '--json'], { env })
  t.equal(result.code, 0, result.stderr)
  return (result.lines()[0] as unknown as { answers: Answer[] }).answers
}

t.test('a few packages of two lists', async (t) => {
  const { server, env } = await serve(t)
  const fixtures = join(repoRoot, 'test', 'unit', 'cli', 'fixtures')
  const lists = readdirSync(fixtures).filter((name) => name.endsWith('_Packages')).map((name) => join(fixtures, name))
  t.ok(lists.length >= 2)
  const imported = await stemedb(['import', 'debian', '--json', ...lists], { env })
  t.equal(imported.code, 0, imported.stderr)

  const health = await (await fetch(`${server.url}/v1/health`)).json() as { durable_lsn: number }
  t.ok(health.durable_lsn > 10, `${health.durable_lsn} claims`)
  const versions = await query(env, 'debian/', 'version', '--prefix', '--limit', '100')
  t.ok(versions.length > 0)
  const contradicted = versions.filter((answer) => answer.candidates > 1)
  t.ok(contradicted.length > 0, 'a package that both lists have is claimed twice')
  for (const answer of versions) {
    t.match(answer.subject, /^debian\//)
    t.equal(answer.winner.signed_by, 'batch', 'signed with the whole batch')
  }
  const again = await stemedb(['import', 'debian', '--json', ...lists], { env })
  t.equal(again.code, 0)
  const after = await (await fetch(`${server.url}/v1/health`)).json() as { durable_lsn: number }
  t.equal(after.durable_lsn, health.durable_lsn, 'a second import adds nothing')
})

t.test(`the first ${REAL_LIMIT} packages of each of this machine's lists`, async (t) => {
  const found = existsSync(APT_LISTS) ? readdirSync(APT_LISTS).filter((name) => /_Packages(\.lz4)?$/.test(name)) : []
  if (found.length === 0) return t.pass('lists', { skip: 'no package lists: apt-get update' })
  const { server, env } = await serve(t)
  const imported = await stemedb(['import', 'debian', '--limit', String(REAL_LIMIT), '--json'], { env, msMax: 200_000 })
  t.equal(imported.code, 0, imported.stderr)
  const health = await (await fetch(`${server.url}/v1/health`)).json() as { durable_lsn: number }
  t.ok(health.durable_lsn > REAL_LIMIT, `${health.durable_lsn} claims of ${found.length} lists`)
  const answers = await query(env, 'debian/a', 'version', '--prefix', '--limit', '10')
  t.equal(answers.length, 10)
  return undefined
})
