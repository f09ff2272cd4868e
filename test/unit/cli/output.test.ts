import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { EXIT } from '../../../src/base/exit-codes.ts'
import { buildRoot } from '../../support/root.ts'

// Output that can not be written, by real processes and shells.

const CLI = `"${process.execPath}" "${join(buildRoot, 'src', 'cli', 'main.js')}"`
const shell = (line: string, cwd?: string): SpawnSyncReturns<string> => spawnSync('bash', ['-c', line], { encoding: 'utf8', timeout: 60_000, ...(cwd === undefined ? {} : { cwd }) })

t.test('a full device: one line, and no success', async (t) => {
  if (!existsSync('/dev/full')) {
    t.pass('the device', { skip: 'this system has no /dev/full' })
    return
  }
  for (const command of ['dashboard', 'config', '--help', 'assert --help']) {
    const { status, stderr } = shell(`${CLI} ${command} >/dev/full`)
    t.equal(status, EXIT.io, command)
    t.match(stderr, /^stemedb: standard output can not be written: ENOSPC \[io_error\]\. Free space there[^\n]*\n$/, command)
  }
  const json = shell(`${CLI} dashboard --json >/dev/full`)
  t.equal(json.status, EXIT.io)
  t.match(JSON.parse(json.stderr), { error: { code: 'io_error' } })
})

t.test('a file that takes a part: that is no success either', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-output-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const whole = shell(`${CLI} dashboard > whole.json`, dir)
  t.equal(whole.status, 0, whole.stderr)
  t.doesNotThrow(() => void JSON.parse(readFileSync(join(dir, 'whole.json'), 'utf8')))
  // The last write of all is cut short by the limit, as it is on a disk that is full behind it.
  const { status, stderr } = shell(`ulimit -f 8; ${CLI} dashboard > part.json`, dir)
  t.equal(status, EXIT.io)
  t.match(stderr, /^stemedb: standard output can not be written: EFBIG \[io_error\]/)
})

t.test('a reader that has gone ends a command quietly', async (t) => {
  const { status, stderr } = shell(`set -o pipefail; ${CLI} dashboard | true`)
  t.strictSame([status, stderr], [EXIT.ok, ''])
})
