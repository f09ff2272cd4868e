import t from 'tap'
import { canRunAgain, countFor, measuredTimes, RUN_SECONDS_MAX, secondsOf } from '../../soak/plan.ts'
import { meaningOf, renderPage, rowsOf, shownRuns } from '../../soak/page.ts'
import { proofOf, USUAL_TIMES, type Proof } from '../../soak/proofs.ts'
import { formatRecord, fuzzTotals, mergeRecords, parseRecord, type FuzzLine, type Run } from '../../soak/record-file.ts'
import { drawSamples, growthOf, growthPerMinute, samplesFromCsv, samplesToCsv, type Sample } from '../../soak/samples.ts'
import type { FaultRecordLine } from '../../support/fault-record.ts'

t.test('what a file proves stands in its text', async (t) => {
  const text = `import { recordFault } from '../support/fault-record.js';
const CUTS = trialCount(1_000);
const seed = trialSeed();
t.teardown(() => recordFault({
    id: 'D3', title: 'power', trials: 1,
}));
recordFault({ title: 'also', id: 'D10' });`
  t.match(proofOf('fault/cut', text), { file: 'fault/cut', ids: ['D10', 'D3'], usualCount: 1000, hasSeed: true, times: USUAL_TIMES })
  t.equal(proofOf('fault/cut', text.replace('support/fault-record.js', 'support/other.js')), undefined)
  t.match(proofOf('unit/x', text.replace(/.*trial(Count|Seed).*\n/g, '')), { usualCount: undefined, hasSeed: false })
})

const proof: Proof = { file: 'fault/kill', ids: ['D1'], usualCount: 100, hasSeed: true, times: { trialSeconds: 2, restSeconds: 20 } }

t.test('trials fill the time, within a run\'s bounds', async (t) => {
  t.equal(countFor(proof, proof.times, 120, false), 50)
  t.equal(countFor({ ...proof, usualCount: 7 }, proof.times, 1e6, false), (RUN_SECONDS_MAX - 20) / 2, 'a run is not too long')
  t.equal(countFor({ ...proof, usualCount: 30 }, proof.times, 1e6, true), 30, 'the first is no longer than usual')
  t.equal(countFor(proof, { ...proof.times, inOneRun: true }, 10_020, true), 5000, 'but where one run is the point')
  t.equal(countFor(proof, proof.times, 1, true), 10, 'and never empty')
  t.equal(countFor({ ...proof, usualCount: 4 }, proof.times, 1, false), 4)
  t.equal(countFor({ ...proof, usualCount: undefined }, proof.times, 100, true), undefined)
  t.match(measuredTimes(proof.times, 50, 320), { trialSeconds: 6, restSeconds: 20 })
  t.match(measuredTimes(proof.times, 50, 20), { trialSeconds: 0.2, restSeconds: 10 })
  t.equal(secondsOf(measuredTimes(proof.times, undefined, 33), undefined), 33)
  t.strictSame([canRunAgain(proof), canRunAgain({ ...proof, hasSeed: false }), canRunAgain({ ...proof, times: { ...proof.times, inOneRun: true } })], [true, false, false])
})

const line = (more: Partial<FaultRecordLine> = {}): FaultRecordLine =>
  ({ id: 'D1', title: 'kill', trials: 100, unit: 'kills', failures: 0, seed: 7, file: 'fault/kill', atMs: 1000, ...more })
const run = (commit: string, ...records: FaultRecordLine[]): Run =>
  ({ kind: 'run', command: 'npm test', startedAtMs: 0, commit, node: 'v20', machine: '2 x cores', records, failures: [], fuzz: [] })

t.test('a record\'s text and its runs', async (t) => {
  const { records: _records, failures: _failures, fuzz: _fuzz, ...head } = run('aa')
  const failure = { kind: 'failure', file: 'fault/kill', atMs: 5, seed: 9, count: 3, why: 'lost' }
  const text = [line({ id: 'C1' }), head, line(), failure, head].map((value) => JSON.stringify(value)).join('\n')
  const runs = parseRecord(`${text}\n`)
  t.equal(runs.length, 2)
  t.match(runs[0], { commit: 'aa', records: [{ id: 'D1' }], failures: [{ why: 'lost' }] })
  t.equal(runs[0]!.records.length, 1, 'what stands before the first run is nobody\'s')
})

t.test('what each target of the fuzzer has had adds up over runs and commits', async (t) => {
  const { records: _records, failures: _failures, fuzz: _fuzz, ...head } = run('aa')
  const had = (target: string, seconds: number, seed: number): FuzzLine => ({ kind: 'fuzz', target, atMs: 1000 * seed, seconds, inputs: 10 * seconds, findings: 0, seed })
  const lines = [head, had('batch', 240, 1), had('json', 60, 1), { ...head, commit: 'bb' }, had('batch', 180, 2), had('batch', 180, 3)]
  const runs = parseRecord(lines.map((value) => JSON.stringify(value)).join('\n'))
  t.strictSame(fuzzTotals(runs, ['batch', 'json', 'wal']), [
    { target: 'batch', minutes: 10, inputs: 6000, findings: 0, seeds: [1, 2, 3], commits: ['aa', 'bb'], lastMs: 3000 },
    { target: 'json', minutes: 1, inputs: 600, findings: 0, seeds: [1], commits: ['aa'], lastMs: 1000 },
    { target: 'wal', minutes: 0, inputs: 0, findings: 0, seeds: [], commits: [], lastMs: 0 },
  ])
  const page = renderPage({ runs, ids: [], targets: ['batch', 'json', 'wal'], charts: [] })
  t.match(page, 'Still short of 10 minutes: 2 of 3.')
  t.match(page, '| batch | 10.0 | 6,000 | 0 | 1, 2, 3 | `aa`, `bb` | 1970-01-01 |')
})

t.test('rows: the newest commit, and an older one that was tried more', async (t) => {
  const rows = rowsOf([run('old', line({ trials: 1000 })), run('mid', line({ atMs: 2000 })), run('new', line({ atMs: 3000 }), line({ atMs: 3001 }), line({ id: 'C1', title: 'flips', atMs: 3002 }))])
  t.strictSame(rows.map(({ id, commit, trials }) => [id, commit, trials]), [['C1', 'new', 100], ['D1', 'new', 200], ['D1', 'old', 1000]])
  const numeric = rowsOf([run('a', line({ id: 'D10' }), line({ id: 'D2' }))])
  t.strictSame(numeric.map(({ id }) => id), ['D2', 'D10'])
  const { seed: _seed, ...everyCase } = line({ id: 'C2' })
  t.equal(rowsOf([run('a', everyCase, everyCase)])[0]!.trials, 100, 'the same cases again are no more trials')
})

t.test('what the page tells of is kept, and is the page again without what it was made from', async (t) => {
  const fuzz: FuzzLine = { kind: 'fuzz', target: 'batch', atMs: 9, seconds: 600, inputs: 1, findings: 0, seed: 1 }
  const failure = { kind: 'failure', file: 'fault/kill', atMs: 5, why: 'lost' } as const
  const old = { ...run('old', line()), startedAtMs: 1 }
  const mid = { ...run('mid', line({ trials: 1000, atMs: 2000 }), line({ id: 'D3', title: 'cut', atMs: 2001 })), failures: [failure], startedAtMs: 2 }
  const last = { ...run('new', line({ atMs: 3000 })), startedAtMs: 3 }
  const fuzzed = { ...run('old'), fuzz: [fuzz], startedAtMs: 4 }
  const runs = [old, mid, last, fuzzed]
  const shown = shownRuns(runs)
  t.strictSame(shown.map(({ startedAtMs, records }) => [startedAtMs, records.length]), [[2, 2], [3, 1], [4, 0]], 'nothing of what newer runs outdo')
  const kept = parseRecord(formatRecord(shown))
  t.strictSame(kept, shown)
  const page = (of: readonly Run[]): string => renderPage({ runs: of, ids: ['D1'], targets: ['batch'], charts: [] })
  t.equal(page(kept), page(runs))
  t.match(page(kept), 'lost')
  const longer = { ...last, records: [...last.records, line({ atMs: 3100, trials: 5 })] }
  t.strictSame(mergeRecords(kept, [longer, { ...run('newest'), startedAtMs: 0 }]).map(({ commit, records }) => [commit, records.length]),
    [['newest', 0], ['mid', 2], ['new', 2], ['old', 0]], 'a run that went on is there once')
})

t.test('what a row means', async (t) => {
  const meaning = (more: Partial<FaultRecordLine>): string => meaningOf(rowsOf([run('a', line(more))])[0]!)
  t.equal(meaning({ trials: 300 }), '0 of 300: below 1 %')
  t.equal(meaning({ trials: 1_000_000 }), '0 of 1,000,000: below 3 in a million')
  t.equal(meaning({ failures: 2 }), '**2 failed**')
  const { seed: _seed, ...everyCase } = line()
  t.match(meaningOf(rowsOf([run('a', everyCase)])[0]!), /nothing is left to chance/)
})

t.test('the page', async (t) => {
  const failed: Run = { ...run('new'), failures: [{ kind: 'failure', file: 'fault/kill', atMs: 5, seed: 9, count: 3, why: 'a | b' }] }
  const page = renderPage({
    targets: [],
    runs: [run('new', line({ figures: { readyMs: 3 }, tooth: 'a tooth' }), line({ figures: { readyMs: 5 } , tooth: 'a tooth' })), { ...failed, records: [line({ id: 'D2' })] }],
    ids: ['D1', 'D9', 'C1', 'C1'], charts: [{ file: 'endurance.svg', text: 'memory' }],
  })
  t.match(page, '| D1 | kill | 200 kills | 0 of 200: below 1.5 % | readyMs 3..5 | 7 and 1 more | `new` |')
  t.match(page, 'No record of C1, D9')
  t.match(page, '`node dist/test/fault/kill.test.js 9 3` | a \\| b |')
  t.match(page, '| D1 | a tooth |')
  t.match(page, '![memory](endurance.svg)')
})

const sample = (seconds: number, more: Partial<Sample> = {}): Sample => ({
  seconds, residentMiB: 100, openFiles: 10, dataFiles: 3, threads: 12, timers: 4, walSegments: 2, walWrittenMiB: seconds, loopDelayP99Ms: 11.5, acceptedPerSecond: 1000,
  ingestLagMiB: 0.5, tlogLag: 3, writeStopped: 0, writesRefused: 0, diskFreeMiB: 9000, ...more,
})

t.test('samples: there and back, and how they grow', async (t) => {
  const samples = Array.from({ length: 600 }, (_, i) => sample(i, { residentMiB: 100 + i / 30 + (i === 300 ? 500 : 0), threads: i < 550 ? 12 : 14 }))
  t.strictSame(samplesFromCsv(samplesToCsv([sample(1), sample(2)])), [sample(1), sample(2)])
  t.throws(() => samplesFromCsv('a,b\n1,2\n'))
  t.ok(Math.abs(growthPerMinute(samples, 'residentMiB') - 2) < 0.01, 'one outlier changes nothing')
  t.equal(growthPerMinute(samples, 'openFiles'), 0)
  t.equal(growthOf(samples, 'openFiles'), 0)
  t.equal(growthOf([1, 1, 1, 2, 2, 2, 5, 5, 5].map((timers, i) => sample(i, { timers })), 'timers'), 4)
  const svg = drawSamples(samplesToCsv(samples))
  t.equal(svg.match(/<polyline/g)?.length, 10)
})
