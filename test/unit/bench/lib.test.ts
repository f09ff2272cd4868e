import t from 'tap'
import { Samples, parseBenchArgs } from '../../../bench/lib/harness.ts'
import { fsyncLatenciesMs, machineLine, peakResidentBytes } from '../../../bench/lib/machine.ts'
import { plainRecords } from '../../../bench/lib/records.ts'
import { figureLine, figureTable, reaches, type Figure } from '../../../bench/lib/report.ts'
import { median, quantile, spread } from '../../../bench/lib/stats.ts'

t.test('order statistics', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.ok(Number.isNaN(median([])))
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  t.same([quantile(hundred, 0), quantile(hundred, 0.5), quantile(hundred, 0.99), quantile(hundred, 1)], [1, 50, 99, 100])
  t.equal(spread([90, 100, 110]), 0.1)
  t.equal(spread([5]), 0)
})

t.test('samples: the ratio is that of the same repetition', async (t) => {
  const samples = new Samples()
  for (const value of [10, 100, 20]) samples.add('ours', value)
  for (const value of [5, 20, 10]) samples.add('theirs', value)
  t.equal(samples.medianRatio('ours', 'theirs'), 2)
  t.equal(samples.median('ours'), 20)
  t.ok(Number.isNaN(samples.median('nobody')))
})

const figure: Figure = { name: 'rate', value: 123_456.7, unit: 'x', better: 'higher', atLeast: 3, aim: 5, peer: 'other', peerValue: 42, note: 'not for programs', spread: 0.1 }

t.test('a figure as JSON has the agreed members and no others', async (t) => {
  t.same(JSON.parse(figureLine(figure)), { name: 'rate', value: 123_457, unit: 'x', better: 'higher', atLeast: 3, aim: 5, peer: 'other', peerValue: 42 })
  t.same(JSON.parse(figureLine({ name: 'n', value: Number.NaN, unit: 's', better: 'lower' })), { name: 'n', value: null, unit: 's', better: 'lower' })
})

t.test('a figure in a table says what it reached', async (t) => {
  t.match(figureTable([figure]), /aim/)
  t.match(figureTable([{ ...figure, value: 4 }]), /at least/)
  t.match(figureTable([{ ...figure, value: 1 }]), /below/)
  t.match(figureTable([{ ...figure, value: Number.NaN }]), /not measured/)
  t.notOk(reaches({ ...figure, better: 'lower', value: 6 }, 5))
})

t.test('arguments', async (t) => {
  t.match(parseBenchArgs(['--quick', '--json', '--only', 'a,b']), { quick: true, json: true, only: ['a', 'b'], seconds: 1, repetitions: 1 })
  t.match(parseBenchArgs([]), { quick: false, json: false, seconds: 30, repetitions: 3 })
  t.throws(() => parseBenchArgs(['--seconds', 'many']))
  t.throws(() => parseBenchArgs(['--unknown']))
})

t.test('the machine', async (t) => {
  const dir = t.testdir()
  t.equal(fsyncLatenciesMs(dir, 5).length, 5)
  t.match(machineLine(dir, 5), /Node v\d+.*p99 \d+ us.*load average/)
  t.ok(peakResidentBytes(process.pid)! > 1_000_000)
  t.equal(peakResidentBytes(2 ** 22 + 1), undefined)
})

t.test('rows for the peers: one seed, one sequence, no two alike', async (t) => {
  const take = (seed: number): string[] => {
    const rows = plainRecords(seed)
    return Array.from({ length: 200 }, () => JSON.stringify(rows.next().value))
  }
  t.same(take(1), take(1))
  t.equal(new Set([...take(1), ...take(2)]).size, 400)
})
