import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { APT_LISTS_DIR, installedLists } from '../../src/cli/debian/lists.ts'
import { repoRoot } from '../support/root.ts'
import { StartFailure, startServer, type RunningServer, type ServerOptions } from '../support/server.ts'
import { missing } from '../support/tools.ts'
import { clientEnv, stemedb } from './command.ts'
import { runAll, stepsOf, withoutChance, type Step } from './page.ts'

// What the README promises for the first minute, with the commands that it names and the settings that nobody changed.

t.setTimeout(300_000)

/** How a start is refused. @throws {Error} where it is not. */
async function refusalOf(options: ServerOptions): Promise<StartFailure> {
  try {
    await (await startServer(options)).kill9()
  } catch (error) {
    if (error instanceof StartFailure) return error
    throw error
  }
  throw new Error('it started')
}

t.test('assert, query, kill -9, start again, found', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-first-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  const keyFile = join(folder, 'agent.key')
  const first = await startServer({ dataDir })
  t.teardown(() => first.kill9())
  const env = clientEnv(first, keyFile)

  const assert = (object: string, ...more: string[]): Promise<Awaited<ReturnType<typeof stemedb>>> =>
    stemedb(['assert', 'drug/aspirin/safety', 'verdict', object, '--json', ...more], { env })
  const safe = await assert('safe for adults', '--confidence', '0.8', '--source-class', 'clinical')
  t.equal(safe.code, 0, safe.stderr)
  const risk = await assert('bleeding risk', '--confidence', '0.9', '--source-class', 'regulatory')
  t.equal(risk.code, 0, risk.stderr)
  t.not(risk.lines()[0]!['id'], safe.lines()[0]!['id'], 'both stand')

  const people = await stemedb(['query', 'drug/aspirin/safety'], { env })
  t.equal(people.code, 0)
  t.match(people.stdout, /bleeding risk/, 'the later one wins by recency')
  const before = await stemedb(['query', 'drug/aspirin/safety', '--json'], { env })
  t.match(before.stdout, /"candidates":2/)

  const loaded = await stemedb(['load', '--duration', '1s', '--check', '--json'], { env })
  t.equal(loaded.code, 0, loaded.stderr.slice(-500))
  const report = loaded.lines().at(-1) as { accepted: number, unacked: number, check: { found: number, missing: number } }
  t.ok(report.accepted > 0)
  t.match(report, { unacked: 0, check: { missing: 0 } }, 'and a load test reads every acked id back')

  await first.kill9()
  const gone = await stemedb(['query', 'drug/aspirin/safety'], { env })
  t.equal(gone.code, 69, 'a node that is not there is said to be so')

  const second = await startServer({ dataDir })
  t.teardown(() => second.kill9())
  t.ok(second.ready.durable_lsn >= report.accepted + 2)
  const again = clientEnv(second, keyFile)
  const after = await stemedb(['query', 'drug/aspirin/safety', '--json'], { env: again })
  t.equal(after.code, 0)
  t.same(after.lines()[0]!['answers'], before.lines()[0]!['answers'], 'the same answer, from another process')
  t.equal((after.lines()[0]!['answers'] as unknown[]).length, 1)
  const id = String(safe.lines()[0]!['id'])
  const byId = await stemedb(['get', id, '--json'], { env: again })
  t.equal(byId.code, 0)
  t.match(byId.stdout, /safe for adults/)
  const repeated = await stemedb(['get', '00'.repeat(32)], { env: again })
  t.equal(repeated.code, 1, 'what is not there is said to be so')
})

function hasPackageLists(): boolean {
  try {
    return installedLists().length > 0
  } catch {
    return false
  }
}

/** Lines without figures, and without what is as long as they are. */
const shapeOf = (text: string): string[] => withoutChance(text).map((line) => line.replaceAll(/\S*\d\S*/g, 'N')).filter((line) => line !== '')

t.test('every command of the first minute in README.md does what the page says, over a kill -9', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const page = readFileSync(join(repoRoot, 'README.md'), 'utf8')
  const steps = stepsOf(page.slice(page.indexOf('## First minute'), page.indexOf('## From a program')))
  const kill = steps.findIndex(({ command }) => command.startsWith('kill -9'))
  t.ok(kill > 3 && steps.length > kill + 2 && steps.filter(({ shown }) => shown !== undefined).length >= 4, `${steps.length} steps`)
  const dataDir = join(folder, 'data')
  const first = await startServer({ dataDir })
  t.teardown(() => first.kill9())
  const run = async (some: readonly Step[], server: RunningServer): Promise<void> => {
    const mine = hasPackageLists() ? some : some.filter(({ command }) => !command.includes('debian'))
    if (mine.length < some.length) missing(t, `package lists in ${APT_LISTS_DIR} (apt-get update)`)
    const done = await runAll(mine.map(({ command }) => command), folder, { HOME: folder, ...clientEnv(server, join(folder, 'agent.key')) })
    for (const [i, { command, shown }] of mine.entries()) {
      const { code, printed } = done[i]!
      t.equal(code, 0, `${command}\n${printed}`)
      if (shown === undefined) continue
      // What Debian has today is not what it had when the page was written: then the table's head is the same.
      const expected = command.includes('debian') ? shapeOf(shown).filter((line) => /^│ (list|side) /.test(line)) : shapeOf(shown)
      t.ok(expected.length > 0, command)
      for (const line of expected) t.ok(shapeOf(printed).includes(line), `${command}: ${line}\n${printed}`)
    }
  }
  await run(steps.slice(0, kill), first)
  await first.kill9()
  const second = await startServer({ dataDir })
  t.teardown(() => second.kill9())
  await run(steps.slice(kill + 1), second)
})

t.test('a second node on the same folder is refused', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-second-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const first = await startServer({ dataDir })
  t.teardown(() => first.kill9())
  const refusal = await refusalOf({ dataDir })
  t.equal(refusal.exit?.code, 66)
  t.match(refusal.logs, /data_dir_locked/)
})

t.test('an unknown or impossible setting stops the start with a clear message', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-setting-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const unknown = await refusalOf({ dataDir, env: { STEMEDB_WAL_SEGMENT_SIZE: '1' } })
  t.equal(unknown.exit?.code, 78)
  t.match(unknown.logs, /STEMEDB_WAL_SEGMENT_BYTES/, 'it names the one that was meant')
  const impossible = await refusalOf({ dataDir, settings: { ringBytes: 1_000_000 } })
  t.equal(impossible.exit?.code, 78)
  t.match(impossible.logs, /power of two/)
})

t.test('SIGTERM under load: everything acked is there, and the next start replays nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-term-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  const first = await startServer({ dataDir })
  t.teardown(() => first.kill9())
  const loading = stemedb(['load', '--duration', '3s', '--json'], { env: clientEnv(first, join(folder, 'agent.key')) })
  await new Promise((resolve) => setTimeout(resolve, 2500))
  const exit = await first.stop()
  t.equal(exit.code, 0, 'an orderly end under load', { exit, logs: first.logs() })
  const report = (await loading).lines().at(-1) as { accepted: number } | undefined
  const second = await startServer({ dataDir })
  t.teardown(() => second.kill9())
  t.match(second.ready, { replayed: 0, truncated_bytes: 0, clean_shutdown: true })
  t.ok(second.ready.durable_lsn >= (report?.accepted ?? 0), `${second.ready.durable_lsn} in the log, ${report?.accepted} acked`)
  t.equal((await second.stop()).code, 0)
})
