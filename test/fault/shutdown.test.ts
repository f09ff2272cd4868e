import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { GiB } from '../../src/base/units.ts'
import { OPTIONS, type OptionName } from '../../src/config/options.ts'
import { assertionToJson } from '../../src/record/assertion.json.ts'
import { inspectWal } from '../../src/wal/inspect.ts'
import { readManifest } from '../../src/wal/wal-files.ts'
import { recordFault } from '../support/fault-record.ts'
import { freePort } from '../support/free-port.ts'
import { claimSource, type ClaimSource } from '../support/history.claims.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { SMALL, Trial, sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { buildRoot } from '../support/root.ts'
import type { Exit, RunningServer, Settings } from '../support/server.ts'

t.setTimeout(890_000)

// SIGTERM in the middle of a stream: what was taken is answered, the log is sealed, the process ends with 0 in time, and
// the next start has nothing to do. SIGKILL in the same place must show the difference. After a kill, a start's time and
// memory are bounded however much there is to replay.
//
// Arguments: seed, rounds, assertions of the recovery (1000000 for the figures that the documents name).

const ROUNDS = trialCount(6)
const RECOVERED_CLAIMS = Number(process.argv[4] ?? 20_000)
const STREAM_MS_MIN = 150
const STREAM_MS_SPAN = 300
const END_MS_MAX = 10_000
const READY_MS_MAX = 30_000
const PEAK_BYTES_MAX = 1 * GiB
/** Fewer than that are replayed before anybody can look. */
const PROGRESS_CLAIMS_MIN = 200_000
const HTTP_WRITERS = 8

const seed = trialSeed()

/** Single assertions by HTTP as fast as they are answered, until `until` or until there is no more answer. */
async function writeByHttp(url: string, trial: Trial, claims: ClaimSource, until: () => boolean): Promise<void> {
  while (!until()) {
    const claim = claims.next()
    trial.history.attempt([claim])
    try {
      const response = await fetch(`${url}/v1/assert`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(assertionToJson(claim.assertion)),
      })
      const body = await response.json() as { lsn?: number | string }
      if (response.status === 201) trial.history.acked(claim.id, Number(body.lsn))
      else trial.history.refused(claim.id)
    } catch {
      trial.history.unknown(claim.id)
      return
    }
  }
}

interface Ending {
  /** What a drain promises and this one did not keep. */
  readonly broken: string[]
  readonly exit: Exit
  readonly endMs: number
  readonly acked: number
  readonly refused: number
}

/** Streams, ends the server in the middle of it, and looks at what is left and at the next start. */
async function endUnderLoad(t: Test, subseed: number, settings: Settings, end: (server: RunningServer) => Promise<Exit>, preload: readonly string[] = []): Promise<Ending> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-term-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const trial = await Trial.create({ dataDir, settings }, subseed)
  const { history } = trial
  const server = await trial.start({ preload })
  const stream = await trial.beginStream(server, { connections: 64, batchMax: 16, window: 2, claimsMax: 1_000_000, pauseMs: 5 })
  let stopped = false
  const writers = await Promise.all(Array.from({ length: HTTP_WRITERS }, (_, i) => claimSource(subseed ^ (i + 1) * 0x01000193, systemClock.wallMs() - 1000)))
  const writing = writers.map((claims) => writeByHttp(server.url, trial, claims, () => stopped))
  await sleep(STREAM_MS_MIN + trial.random.u32() % STREAM_MS_SPAN)
  const from = systemClock.monoMs()
  const exit = await end(server)
  stopped = true
  await Promise.all(writing)
  await sleep(20)
  trial.endStream()
  const broken: string[] = stream.faults.slice(0, 3)
  const endMs = exit.monoMs - from
  if (exit.code !== 0) broken.push(`exit: code ${exit.code}, signal ${exit.signal}`)
  if (endMs > END_MS_MAX) broken.push(`time: ${endMs.toFixed(0)} ms`)
  const walDir = join(dataDir, 'wal')
  const last = [...inspectWal(nodeDisk, walDir, { limit: 10_000_000 })].at(-1)
  if (last?.kind !== 'seal') broken.push(`seal: the last record is a ${last?.kind}`)
  if (readManifest(nodeDisk, walDir)?.clean !== true) broken.push('seal: the manifest is not that of an orderly end')
  const restarted = await trial.start()
  const { ready } = restarted
  if (ready.replayed !== 0 || ready.truncated_bytes !== 0) broken.push(`start: ${ready.replayed} replayed, ${ready.truncated_bytes} bytes cut`)
  const verdict = await trial.checkNew(restarted)
  if (!isWhole(verdict)) broken.push(`history: ${describeVerdict(verdict)}`)
  if (verdict.counts.recovered > 0) broken.push(`answers: ${verdict.counts.recovered} claims are stored, and nobody was told`)
  await restarted.kill9()
  return { broken, exit, endMs, acked: history.ackedCount, refused: history.refusedCount }
}

const terminate = (server: RunningServer): Promise<Exit> => server.stop(2 * END_MS_MAX)
const MODES: Settings[] = [{}, {}, { mode: 'inline' }]

t.test(`${ROUNDS} orderly ends in the middle of a stream`, async (t) => {
  t.comment(`seed ${seed}`)
  let acked = 0
  let refused = 0
  let slowestMs = 0
  let failures = 0
  for (let round = 0; round < ROUNDS; round++) {
    const ending = await endUnderLoad(t, seed + round, MODES[round % MODES.length]!, terminate)
    for (const problem of ending.broken) t.fail(`round ${round}: ${problem}`)
    if (ending.broken.length > 0) failures++
    acked += ending.acked
    refused += ending.refused
    slowestMs = Math.max(slowestMs, ending.endMs)
  }
  t.ok(acked >= ROUNDS * 100, `${acked} acks, ${refused} refused by name meanwhile, the slowest end after ${slowestMs.toFixed(0)} ms`)
  recordFault({
    id: 'D9', title: 'SIGTERM in the middle of a stream', trials: ROUNDS, unit: 'orderly ends', failures, seed,
    figures: { acked, slowestEndMs: Math.round(slowestMs) }, tooth: 'SIGKILL, and a server that exits at once: no seal, claims stored that nobody was told of',
  })
})

t.test('the control: SIGKILL in the same place leaves none of it', async (t) => {
  const { broken } = await endUnderLoad(t, seed ^ 0x5eed, {}, (server) => server.kill9())
  for (const kind of ['exit: ', 'seal: ']) t.ok(broken.some((problem) => problem.startsWith(kind)), `${kind}${broken.join('; ')}`)
})

t.test('the tooth: a server that exits at once, with code 0', async (t) => {
  const preload = [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'exit-at-once.js')).href]
  const { broken, exit } = await endUnderLoad(t, seed ^ 0xe417, {}, terminate, preload)
  t.equal(exit.code, 0, 'its exit code says nothing')
  t.ok(broken.some((problem) => problem.startsWith('seal: ')), broken.join('; '))
})

/** The sizes that a node has where nobody sets any. */
const DEFAULTS = Object.fromEntries((Object.keys(SMALL) as OptionName[]).filter((name) => name !== 'signatures' && name !== 'logLevel')
  .map((name) => [name, OPTIONS[name].default])) as Settings

/** What a starting node says of how far it is: the distinct figures in the order in which they came. */
async function watchStart(port: number, until: () => boolean): Promise<string[]> {
  const seen: string[] = []
  while (!until()) {
    await sleep(20)
    try {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(1000) })).text()
      const lag = /^\w*ingest_lag_bytes(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]
      if (lag !== undefined && lag !== seen.at(-1)) seen.push(lag)
    } catch {
      // It does not listen yet.
    }
  }
  return seen
}

async function measuredStart(trial: Trial): Promise<{ server: RunningServer, peakBytes: number, seen: string[] }> {
  const port = await freePort()
  let done = false
  const watching = watchStart(port, () => done)
  const server = await trial.start({ settings: { ...DEFAULTS, apiPort: port }, readyMsMax: 4 * READY_MS_MAX })
  done = true
  const peakKib = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1])
  return { server, peakBytes: peakKib * 1024, seen: await watching }
}

t.test(`a start after a kill, with ${RECOVERED_CLAIMS} assertions in the log`, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-cost-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const trial = await Trial.create({ dataDir }, seed)
  const { server, peakBytes } = await measuredStart(trial)
  // Where even a start from nothing takes long, something else has the machine.
  const readyMsMax = Math.max(READY_MS_MAX, 3 * server.startMs)
  t.comment(`an empty start: ${server.startMs.toFixed(0)} ms, peak ${(peakBytes / 2 ** 20).toFixed(0)} MiB`)
  const stream = await trial.beginStream(server, { connections: 8, batchMax: 256, window: 2, claimsMax: RECOVERED_CLAIMS, resendRate: 0 })
  while (stream.claimsMade < RECOVERED_CLAIMS || stream.unacked > 0) await sleep(20)
  await server.kill9()
  trial.endStream()
  const figures: Record<string, number> = { assertions: trial.history.ackedCount }
  // As a kill leaves it, and with no index left at all: no start has more to replay.
  for (const kind of ['afterKill', 'withoutStore'] as const) {
    if (kind === 'withoutStore') rmSync(join(dataDir, 'db'), { recursive: true })
    const start = await measuredStart(trial)
    const { ready, startMs } = start.server
    t.equal(ready.durable_lsn, trial.history.ackedCount, `${kind}: all of it is there, ${ready.replayed} replayed`)
    if (kind === 'withoutStore') t.equal(ready.replayed, ready.durable_lsn, 'all of it was replayed')
    t.ok(startMs <= readyMsMax, `${kind}: ready after ${startMs.toFixed(0)} ms`)
    t.ok(start.peakBytes <= PEAK_BYTES_MAX, `${kind}: peak ${(start.peakBytes / 2 ** 20).toFixed(0)} MiB`)
    if (ready.replayed >= PROGRESS_CLAIMS_MIN) t.ok(start.seen.length >= 3, `${kind}: ${start.seen.length} figures of /metrics on the way, from ${start.seen[0]} bytes still to replay to ${start.seen.at(-1)}`)
    Object.assign(figures, {
      [`${kind}ReadyMs`]: Math.round(startMs), [`${kind}PeakMib`]: Math.round(start.peakBytes / 2 ** 20), [`${kind}Replayed`]: ready.replayed,
    })
    await start.server.kill9()
  }
  recordFault({ id: 'D9', title: 'a start after a kill', trials: 2, unit: 'starts', failures: t.passing() ? 0 : 1, seed, figures })
})
