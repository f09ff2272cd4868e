import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { repoRoot } from '../support/root.ts'
import { cliPath, startServer } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'

// docs/tutorial.md, line by line: each command that it shows runs in one shell, against a node with the usual settings, and says what the page says that it says.

t.setTimeout(240_000)

/** A command of the page, and what it prints there; undefined where the page does not show it. */
interface Step {
  readonly command: string
  readonly shown: string | undefined
}

/** Commands that the test does itself: the node is started, and `stemedb` is a function. */
const DONE_BY_TEST = /^(npm |alias )/

/** What ``` fences a page has, in order. */
const fencesOf = (page: string): { kind: string, text: string }[] =>
  [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({ kind: match[1]!, text: match[2]! }))

/** Every line of an `sh` fence is a command (a `\` at its end goes on); a `text` fence shows what the last one before it prints. */
function stepsOf(page: string): Step[] {
  const steps: Step[] = []
  for (const { kind, text } of fencesOf(page)) {
    if (kind === 'text') steps.push({ ...steps.pop()!, shown: text })
    else if (kind === 'sh') for (const command of text.replaceAll(/\\\n\s*/g, '').split('\n')) if (command !== '') steps.push({ command, shown: undefined })
  }
  return steps.filter(({ command }) => !DONE_BY_TEST.test(command))
}

/** What is another at every run, or follows from how old the claims are today, is not compared. */
const withoutChance = (text: string): string[] => text
  .replaceAll(/did:key:\w+|z6Mk\w+…/g, 'KEY').replaceAll(/\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}/g, '+KEY').replaceAll(/\b[0-9a-f]{12,64}(?![\w.-])/g, 'HEX')
  .replaceAll(/^Made a new agent key.*$/gm, '').replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replaceAll(/\d+ µs/g, 'N µs').replaceAll(/of the \d+ assertions/g, 'of the N assertions')
  .replaceAll(/(conflict|certainty) [\d.]+/g, '$1 N').replaceAll(/"conflict_score":[\d.]+/g, '"conflict_score":N').replaceAll(/\d+%/g, 'N%').replaceAll(/--cursor \S+/g, '--cursor C')
  .replaceAll(/(?<![\w.])\d\.\d{1,3}(?![\w.~+-])/g, 'N').replaceAll(/[█▏▎▍▌▋▊▉]+/g, '█').replaceAll(/─+/g, '─').replaceAll(/ +/g, ' ')
  .split('\n').map((line) => line.trim()).filter((line) => line !== '')

interface Done { readonly code: number, readonly printed: string }

/** Runs all commands in one bash, standard output and error as one. @returns what each has printed, and how it ended */
function runAll(commands: readonly string[], cwd: string, env: Record<string, string>): Promise<Done[]> {
  const mark = '@@@'
  const script = [
    'exec 2>&1', 'set -o pipefail', `stemedb() { "${process.execPath}" "${cliPath}" "$@"; }`,
    ...commands.flatMap((command) => [command, `printf '\\n${mark}%d\\n' $?`]),
  ].join('\n')
  return new Promise((resolve, reject) => {
    execFile('bash', ['-c', script], { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 24, timeout: 200_000 }, (error, stdout) => {
      if (error !== null && typeof error.code !== 'number') return reject(new Error('bash', { cause: error }))
      const parts = stdout.split(new RegExp(`\\n${mark}(\\d+)\\n`))
      return resolve(commands.map((_, i) => ({ printed: parts[2 * i] ?? '(did not run)', code: Number(parts[2 * i + 1] ?? -1) })))
    })
  })
}

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
