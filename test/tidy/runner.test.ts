import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { repoRoot } from '../support/root.ts'
import { runTapFile, type FileResult } from '../support/tap-file.ts'

// The runner decides what "green" means, so it is shown each way in which a file can be red.

/** Runs a test file with this TAP on standard output, and then this code. */
async function run(dir: string, tap: string, code = '', timeoutMs = 30_000): Promise<FileResult> {
  const path = join(dir, 'sample.mjs')
  writeFileSync(path, `process.stdout.write(${JSON.stringify(tap)})\n${code}\n`)
  return runTapFile(path, repoRoot, timeoutMs)
}

t.test('counts leaves, not the subtests that hold them', async (t) => {
  const result = await run(t.testdir(), 'TAP version 14\n# Subtest: a\n    ok 1 - x\n    ok 2 - y\n    1..2\nok 1 - a\nok 2 - z\n1..2\n')
  t.equal(result.passed, 3)
  t.strictSame(result.failures, [])
})

t.test('a failed assertion carries its place and difference', async (t) => {
  const result = await run(t.testdir(), [
    'TAP version 14', '# Subtest: a', '    not ok 1 - same', '      ---', '      at:', '        fileName: test/x.test.ts',
    '        lineNumber: 7', '      diff: |', '        -2', '        +1', '      ...', '    1..1', 'not ok 1 - a', '1..1', '',
  ].join('\n'), 'process.exitCode = 1')
  t.equal(result.failures.length, 1)
  t.equal(result.failures[0]?.name, 'a > same')
  t.match(result.failures[0]?.detail, /test\/x\.test\.ts:7[\s\S]*-2\n\+1/)
})

t.test('skips keep their reason and are not passes', async (t) => {
  const result = await run(t.testdir(), 'TAP version 14\nok 1 - cut # SKIP missing tool: xfs_io\n1..1\n')
  t.equal(result.passed, 0)
  t.strictSame(result.skips, [{ name: 'cut', reason: 'missing tool: xfs_io' }])
})

t.test('red: a plan that is not kept', async (t) => {
  t.equal((await run(t.testdir(), 'TAP version 14\nok 1 - x\n1..2\n')).failures.length, 1)
})

t.test('red: no output at all', async (t) => {
  t.equal((await run(t.testdir(), '')).failures.length, 1)
})

t.test('a file that is skipped whole', async (t) => {
  const result = await run(t.testdir(), 'TAP version 14\n1..0 # SKIP needs root\n')
  t.strictSame(result.skips, [{ name: 'whole file', reason: 'needs root' }])
  t.strictSame(result.failures, [])
})

t.test('red: an exit code behind a good plan', async (t) => {
  const result = await run(t.testdir(), 'TAP version 14\nok 1 - x\n1..1\n', 'console.error("late"); process.exitCode = 3')
  t.match(result.failures[0]?.detail, /exit code 3/)
  t.equal(result.stderr, 'late')
})

/** Whether a process runs: neither gone nor a zombie that waits for its parent. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

t.test('red: a file that does not end; what it started is killed', async (t) => {
  const dir = t.testdir()
  const code = `const { spawn } = await import('node:child_process')
    const { writeFileSync } = await import('node:fs')
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    writeFileSync(${JSON.stringify(join(dir, 'pid'))}, String(child.pid))
    setInterval(() => {}, 1000)`
  const result = await run(dir, 'TAP version 14\nok 1 - x\n1..1\n', code, 1000)
  t.ok(result.failures.some((failure) => failure.detail.includes('did not end within 1 s')))
  const pid = Number(readFileSync(join(dir, 'pid'), 'utf8'))
  for (let tries = 0; runs(pid) && tries < 100; tries++) await sleep(20)
  t.notOk(runs(pid), 'the grandchild is gone')
})
