import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { nodeDisk } from '../../../src/base/disk-node.ts'
import { MiB } from '../../../src/base/units.ts'
import { bottleneckOf, chooseSettings, countsToTry, medianOf, type Measured, type QueryTrial, type WriteTrial } from '../../../src/cli/tune/choose.ts'
import { syncLatenciesMs } from '../../../src/cli/tune/sync-probe.ts'
import { metricSum } from '../../../src/cli/tune/tune.ts'
import { verifyRate } from '../../../src/cli/tune/verify-rate.ts'
import { tuneText } from '../../../src/cli/tune.ts'
import { configWith, loadConfig } from '../../../src/config/load.ts'

const config = configWith({})
const write = (verifyThreads: number, acceptedPerSecond: number): WriteTrial => ({ verifyThreads, acceptedPerSecond, verifyBusy: 0.5, syncBusy: 0.5 })
const query = (lensThreads: number, queriesPerSecond: number): QueryTrial => ({ lensThreads, queriesPerSecond, p99Ms: 1 })
const measured = (more: Partial<Measured> = {}): Measured => ({
  cores: 8, sync: { p50Ms: 0.1, p99Ms: 1 }, verifyPerCore: 200_000, recordBytes: 300, writes: [], queries: [], ...more,
})
const valueOf = (of: Partial<Measured>, setting: string, of2 = config): number | undefined => chooseSettings(measured(of), of2).find((choice) => choice.setting === setting)?.value

t.test('counts to try', async (t) => {
  t.strictSame(countsToTry(1), [1])
  t.strictSame(countsToTry(2), [1, 2])
  t.strictSame(countsToTry(3), [1, 2, 3])
  t.strictSame(countsToTry(16), [1, 8, 15, 16])
  t.equal(medianOf([3, 1, 2]), 2)
  t.equal(medianOf([4, 1]), 2.5)
  t.ok(Number.isNaN(medianOf([])))
})

t.test('the fewest threads that are as good as the best', async (t) => {
  t.equal(valueOf({ writes: [write(1, 100), write(4, 300), write(7, 310), write(8, 250)] }, 'verifyThreads'), 4)
  t.equal(valueOf({ writes: [write(1, 100), write(4, 290), write(7, 310)] }, 'verifyThreads'), 7)
  t.equal(valueOf({ writes: [write(1, 100), write(2, 50), write(1, 10), write(2, 60), write(1, 90), write(2, 70)] }, 'verifyThreads'), 1, 'by the median of its trials')
  t.equal(valueOf({ queries: [query(1, 1000), query(4, 1020)] }, 'lensThreads'), 1)
  t.equal(valueOf({ queries: [query(1, 1000), query(4, 4000)] }, 'lensThreads'), 4)
  t.strictSame(chooseSettings(measured(), config), [], 'nothing measured, nothing said')
})

t.test('groups hold what arrives while a slow sync lasts', async (t) => {
  const fast = { writes: [write(1, 200_000)] }
  t.equal(valueOf(fast, 'groupBytesMax'), undefined, 'the default is enough for an NVMe disk')
  t.equal(valueOf({ ...fast, sync: { p50Ms: 20, p99Ms: 80 } }, 'groupBytesMax'), 8 * MiB)
  t.equal(valueOf({ ...fast, sync: { p50Ms: 20, p99Ms: 80 } }, 'groupBytesMax', configWith({ groupBytesMax: 8 * MiB })), undefined, 'it is so already')
  t.equal(valueOf({ ...fast, sync: { p50Ms: 900, p99Ms: 9000 } }, 'groupBytesMax'), config.walSegmentBytes, 'at most a segment')
  const values = Object.fromEntries(chooseSettings(measured({ ...fast, sync: { p50Ms: 900, p99Ms: 9000 } }), config).map(({ setting, value }) => [setting, value]))
  t.doesNotThrow(() => configWith(values), 'and a start takes it')
})

t.test('reasons name the figures', async (t) => {
  const [choice] = chooseSettings(measured({ writes: [write(1, 50_000), write(4, 100_000), write(8, 101_000)] }), config)
  t.match(choice?.why, '100,000 assertions/s (1: 50,000, 8: 101,000); more bring less than 5 %')
  t.match(bottleneckOf({ ...write(2, 1), syncBusy: 0.95 }, 8), /^the disk's syncs/)
  t.match(bottleneckOf({ ...write(2, 1), verifyBusy: 0.95 }, 8), /^checking: verify threads busy 95 %, commit in fdatasync 50 %/)
  t.match(bottleneckOf({ ...write(8, 1), verifyBusy: 0.95 }, 8), /every core has a thread/)
  t.match(bottleneckOf(write(2, 1), 8), /^the cores/)
})

t.test('the text, and lines that a start takes', async (t) => {
  const of = measured({ writes: [write(1, 50_000), write(4, 100_000), write(4, 110_000)], queries: [query(1, 1000), query(4, 4000)], sync: { p50Ms: 20, p99Ms: 300 } })
  const text = await tuneText({ ...of, ack: { ratePerSecond: 52_500, p50Ms: 1.25, p99Ms: 9.9 }, choices: chooseSettings(of, config) }, { connections: 8, batch: 256, sign: 'none' })
  t.match(text, /writes, 4 verify.*105,000 assertions\/s/)
  t.match(text, /8 connections, 256 a frame, unsigned/)
  t.match(text, /queries, 4 lens.*4,000\/s/)
  const lines = text.split('\n').filter((line) => line.startsWith('STEMEDB_'))
  t.strictSame(lines, ['STEMEDB_VERIFY_THREADS=4', 'STEMEDB_GROUP_BYTES_MAX=16777216', 'STEMEDB_LENS_THREADS=4'])
  t.doesNotThrow(() => loadConfig({}, Object.fromEntries(lines.map((line) => line.split('=') as [string, string]))))
})

t.test('metrics are added up over their labels', async (t) => {
  const text = '# HELP a_total x\na_total{x="1"} 2\na_total{x="2"} 3.5\na_total_more 7\nb 1e3\n'
  t.equal(metricSum(text, 'a_total'), 5.5)
  t.equal(metricSum(text, 'b'), 1000)
  t.equal(metricSum(text, 'c'), 0)
})

t.test('probes measure something, and leave nothing behind', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'stemedb-probe-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const times = syncLatenciesMs(nodeDisk, dir, 20)
  t.equal(times.length, 20)
  t.ok(times.every((ms) => ms > 0))
  t.ok(syncLatenciesMs(nodeDisk, dir, 1_000_000, 20).length < 1_000_000, 'or the time is up')
  t.strictSame(readdirSync(dir), [])
  for (const sign of ['batch', 'single', 'none'] as const) t.ok(await verifyRate({ seconds: 0.02, frames: 5, batch: sign === 'single' ? 1 : 16, sign, recordBytes: 300 }) > 0, sign)
})
