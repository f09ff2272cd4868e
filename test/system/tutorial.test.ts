import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { repoRoot } from '../support/root.ts'
import { startServer } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { runAll, stepsOf, withoutChance } from './page.ts'

// docs/tutorial.md, line by line: each command that it shows runs in one shell, against a node with the usual settings, and says what the page says that it says.

t.setTimeout(240_000)

/** When the youngest of the page's lists was released: before that, no clock can agree with the page. */
function releasedMs(): number {
  const folder = join(repoRoot, 'docs', 'tutorial')
  return Math.max(...readdirSync(folder).filter((name) => name.endsWith('_Release')).map((name) => Date.parse(/^Date: (.+)$/m.exec(readFileSync(join(folder, name), 'utf8'))![1]!)))
}

t.test('every command of docs/tutorial.md does what the page says', async (t) => {
  if (!requireTool(t, 'curl') || !requireTool(t, 'jq')) return
  if (Date.now() < releasedMs()) {
    t.pass('the clock', { skip: 'this machine\'s clock is before the release of the page\'s package lists' })
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-tutorial-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(join(repoRoot, 'docs'), join(folder, 'docs'))
  const server = await startServer({ dataDir: join(folder, 'data') })
  t.teardown(() => server.kill9())
  const steps = stepsOf(readFileSync(join(repoRoot, 'docs', 'tutorial.md'), 'utf8'))
  t.ok(steps.length > 20 && steps.filter(({ shown }) => shown !== undefined).length > 15, `${steps.length} steps`)
  const commands = steps.map(({ command }) => command.replaceAll('127.0.0.1:18180', `127.0.0.1:${server.port}`))
  const done = await runAll(commands, folder, { HOME: folder, STEMEDB_URL: server.url.replace('http', 'ws'), STEMEDB_KEY_FILE: join(folder, 'agent.key') })
  for (const [i, { command, shown }] of steps.entries()) {
    const { code, printed } = done[i]!
    t.equal(code, 0, `${command}\n${printed}`)
    if (shown !== undefined) t.strictSame(withoutChance(printed), withoutChance(shown), command)
  }
  t.ok(existsSync(join(folder, 'curl.tlog')), 'the proof that the page keeps')
})
