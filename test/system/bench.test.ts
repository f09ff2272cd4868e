import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { postgresBinDir } from '../../bench/lib/postgres.ts'
import { buildRoot } from '../support/root.ts'

t.setTimeout(900_000)

// The benches at their smallest: they run, and say what they promise to programs. What they say means nothing here.

const execute = promisify(execFile)
/** Of one bench: 173 s were seen on a slow machine, beside other tests. Only one that hangs gets there. */
const BENCH_MS_MAX = 300_000

async function figures(bench: string): Promise<Record<string, unknown>[]> {
  const { stdout } = await execute(process.execPath, [join(buildRoot, 'bench', `${bench}.js`), '--quick', '--json'], { timeout: BENCH_MS_MAX })
  return stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
}

t.test('ingest', async (t) => {
  const all = await figures('ingest')
  t.ok(all.length >= 10)
  for (const figure of all) t.match(figure, { name: String, value: Number, unit: String, better: /^(higher|lower)$/ }, String(figure['name']))
  t.ok(all.some((figure) => figure['atLeast'] === 0.8 && figure['aim'] === 0.95 && typeof figure['peerValue'] === 'number'))
})

t.test('growth', async (t) => {
  const all = await figures('growth')
  const names = all.map((figure) => String(figure['name']))
  for (const name of ['assertions a batch: 4', 'connections: 2', 'verify threads: 2', 'million assertions stored: 2', 'rate with 2M stored against 1M']) t.ok(names.includes(name), name)
  for (const figure of all) t.match(figure, { value: Number, unit: /^(assertions\/s|x)$/, better: 'higher' }, String(figure['name']))
})

t.test('query', async (t) => {
  if (postgresBinDir() === undefined) return t.pass('PostgreSQL', { skip: 'missing tool: postgres (apt-get install postgresql)' })
  const all = await figures('query')
  t.ok(all.length >= 17)
  for (const figure of all) t.match(figure, { name: String, value: Number, unit: String, better: /^(higher|lower)$/ }, String(figure['name']))
  t.equal(all.filter((figure) => typeof figure['peerValue'] === 'number' && figure['unit'] === 'x').length, 9)
  t.ok(all.some((figure) => figure['atLeast'] === 100 && figure['unit'] === 'ms' && typeof figure['value'] === 'number'), 'subscribers got what is theirs')
  return undefined
})

t.test('peers', async (t) => {
  if (postgresBinDir() === undefined) return t.pass('PostgreSQL', { skip: 'missing tool: postgres (apt-get install postgresql)' })
  const all = await figures('peers')
  const ratios = all.filter((figure) => figure['unit'] === 'x')
  t.equal(ratios.length, 2)
  for (const figure of ratios) t.match(figure, { value: Number, atLeast: Number, aim: Number, peer: String, peerValue: Number })
  return undefined
})
