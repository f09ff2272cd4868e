import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { countsToTry } from '../../src/cli/tune/choose.ts'
import { stemedb } from './command.ts'

t.setTimeout(280_000)

// At its shortest: it runs, leaves nothing behind, and prints what a node takes. What it says means nothing here.

t.test('tune', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-tune-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  // Settings of the real node that a trial must not meet.
  const env = { STEMEDB_API_PORT: '1', STEMEDB_MODE: 'inline', STEMEDB_BIND_ADDRESS: '192.0.2.1' }
  const json = await stemedb(['tune', '--data-dir', join(folder, 'not', 'yet'), '--duration', '1s', '--batch', '16', '--connections', '2', '--json'], { env, msMax: 260_000 })
  t.equal(json.code, 0, json.stderr)
  const report = json.lines()[0] as { writes: unknown[], queries: unknown[], ack: { p99Ms: number }, settings: Record<string, number>, choices: unknown[] }
  const counts = countsToTry(availableParallelism()).length
  t.equal(report.writes.length, 2 * counts)
  t.equal(report.queries.length, counts)
  t.ok(report.ack.p99Ms > 0)
  t.match(report, { cores: Number, verifyPerCore: Number, sync: { p50Ms: Number, p99Ms: Number } })
  for (const choice of report.choices) t.match(choice, { setting: String, value: Number, why: /\d/ })
  t.ok((report.settings['STEMEDB_VERIFY_THREADS'] ?? 0) >= 1 && (report.settings['STEMEDB_LENS_THREADS'] ?? 0) >= 1)
  t.strictSame(readdirSync(folder), [], 'nothing is left')
})
