import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { MiB } from '../../src/base/units.ts'
import { TRUSTED_NAME } from '../../src/wal/wal-files.ts'
import { recordFault } from '../support/fault-record.ts'
import { readClaims, type Stream } from '../support/history.driver.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { LoopFs } from '../support/loop-fs.ts'
import { buildRoot } from '../support/root.ts'
import { StartFailure, type RunningServer, type Settings } from '../support/server.ts'
import { requireRoot, requireTool } from '../support/tools.ts'

t.setTimeout(600_000)

// Under load the disk fills to the last byte and empties again, many times: what is refused is refused at once and is
// not there later, what was acked is, reads go on, and writes come back by themselves.

const CYCLES = trialCount(12)
const IMAGE_BYTES = 192 * MiB
const REFUSED_MS_MAX = 10_000
/** RocksDB, which has met a full disk in the background, looks again after 5 s only, and nobody can tell it to. */
const HEALED_MS_MAX = 10_000
const REFUSAL_LATENCY_MS_MAX = 100
const SETTINGS: Settings = { walSegmentBytes: 2 ** 19, frameBytesMax: 2 ** 17, groupBytesMax: 2 ** 17, walReserveBytes: 8 * MiB }
const SHAPE = { connections: 16, batchMax: 8, claimsMax: 1_000_000, pauseMs: 10 }

const seed = trialSeed()
const done = { cycles: 0, failed: new Set<number>(), healedMs: [] as number[], refusedP99Ms: Number.NaN, tooth: '' }

t.teardown(() => recordFault({
  id: 'D7', title: 'the disk full to the last byte and free again, under load; then a start with no byte free', trials: done.cycles, unit: 'times full',
  failures: done.failed.size, seed, figures: { healedMsMost: Math.round(Math.max(...done.healedMs)), refusalMsP99: Number(done.refusedP99Ms.toFixed(1)) }, tooth: done.tooth,
}))

async function on(t: Test, settings: Settings): Promise<{ fs: LoopFs, trial: Trial } | undefined> {
  if (!requireRoot(t) || !requireTool(t, 'mkfs.ext4', 'mount', 'umount', 'losetup')) return undefined
  const fs = LoopFs.create('ext4', IMAGE_BYTES)
  t.teardown(() => fs.remove())
  return { fs, trial: await Trial.create({ dataDir: join(fs.mountDir, 'data'), settings }, seed) }
}

/** Milliseconds until `holds`, or undefined where it does not within `msMax`. */
async function timeUntil(msMax: number, holds: () => boolean | Promise<boolean>): Promise<number | undefined> {
  const start = systemClock.monoMs()
  while (!(await holds())) {
    if (systemClock.monoMs() - start > msMax) return undefined
    await sleep(10)
  }
  return systemClock.monoMs() - start
}

const refusedCount = (stream: Stream): number => stream.refusals.get('disk_full') ?? 0
const ackedBatches = (stream: Stream): number => stream.acks.reduce((sum, ack) => sum + (ack.accepted > 0 ? 1 : 0), 0)

/** Some ids that were acked, to be read while the disk is full. */
function someAcked(trial: Trial): string[] {
  const ids: string[] = []
  for (const id of trial.history.ids()) {
    if (trial.history.state(id) === 'acked') ids.push(id)
    if (ids.length === 20) break
  }
  return ids
}

/** Who holds back what. */
async function metricsOf(server: RunningServer): Promise<string[]> {
  const text = await (await fetch(`${server.url}/metrics`, { signal: AbortSignal.timeout(5000) })).text()
  return text.split('\n').filter((line) => /^stemedb_(applied|durable|ingest|commit_stall|writes_refused|wal_disk_free|wal_rotations|storage|ring)/.test(line))
}

async function postOne(server: RunningServer, note: string): Promise<{ status: number, code: unknown }> {
  const body = { subject: 'disk/full', predicate: 'is', object: 'so', confidence: 1, agent: `58${'66'.repeat(31)}`, note }
  const response = await fetch(`${server.url}/v1/assert`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(5000),
  })
  return { status: response.status, code: (await response.json() as { code?: unknown }).code }
}

t.test(`${CYCLES} times full and free again, under load`, async (t) => {
  const made = await on(t, SETTINGS)
  if (made === undefined) return
  const { fs, trial } = made
  t.comment(`seed ${seed}`)
  const server = await trial.start()
  const stream = await trial.beginStream(server, SHAPE)
  await sleep(500)
  const known = someAcked(trial)
  t.ok(known.length > 0, 'something was acked before')
  const postStatus = new Set<number>()
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    done.cycles++
    const wrong = (what: string, more = {}): void => {
      done.failed.add(cycle)
      t.fail(what, more)
    }
    const refusedBefore = refusedCount(stream)
    const free = fs.fill()
    const refusedAfter = await timeUntil(REFUSED_MS_MAX, () => refusedCount(stream) > refusedBefore)
    if (refusedAfter === undefined) wrong(`cycle ${cycle}: nothing was refused in ${REFUSED_MS_MAX} ms`, { logs: server.logs() })
    const post = await postOne(server, `full ${cycle}`)
    postStatus.add(post.status)
    if (post.status === 507 && post.code !== 'disk_full') wrong(`507 with the code ${String(post.code)}`)
    const found = await readClaims(server.port, known)
    if (found.size !== known.length) wrong(`cycle ${cycle}: ${found.size} of ${known.length} reads worked while the disk was full`)
    await sleep(200)
    const ackedBefore = ackedBatches(stream)
    free()
    const ms = await timeUntil(HEALED_MS_MAX, () => ackedBatches(stream) > ackedBefore + 3)
    if (ms === undefined) wrong(`cycle ${cycle}: no ack ${HEALED_MS_MAX} ms after space came back`, { metrics: await metricsOf(server), logs: server.logs() })
    else done.healedMs.push(ms)
    await sleep(100)
  }
  t.equal(done.healedMs.length, CYCLES, `writes came back after at most ${Math.max(...done.healedMs).toFixed(0)} ms`)
  t.ok(postStatus.has(507), `over HTTP: ${[...postStatus].join(', ')}`)
  const late = stream.acks.filter((ack) => ack.refused === 'disk_full').map((ack) => ack.latencyMs).sort((a, b) => a - b)
  const p99 = late[Math.floor(late.length * 0.99)] ?? Number.NaN
  done.refusedP99Ms = p99
  // On a busy machine everything is late, acks and refusals alike, and two tails of one run differ by chance: a refusal is
  // prompt where its tail is not of another order than that of the acks.
  const acked = stream.acks.filter((ack) => ack.accepted > 0).map((ack) => ack.latencyMs).sort((a, b) => a - b)
  const ackP99 = acked[Math.floor(acked.length * 0.99)] ?? Number.NaN
  t.ok(p99 <= Math.max(REFUSAL_LATENCY_MS_MAX, 2 * ackP99), `${late.length} batches were refused, p99 after ${p99.toFixed(1)} ms; acks: p99 after ${ackP99.toFixed(1)} ms`)

  await t.test('and it starts with no byte free', async (t) => {
    stream.pause()
    await stream.settle()
    trial.endStream()
    await server.kill9()
    const free = fs.fill()
    t.ok(fs.freeBytes() < 4096, `${fs.freeBytes()} bytes free`)
    const restarted = await trial.start()
    const verdict = await trial.checkAll(restarted)
    if (!t.ok(isWhole(verdict), describeVerdict(verdict), isWhole(verdict) ? {} : { logs: restarted.logs() })) done.failed.add(0)
    t.ok(verdict.counts.refused > 0 && verdict.counts.acked >= 1000, 'enough happened to mean anything')
    free()
    const again = await trial.beginStream(restarted, SHAPE)
    const ms = await timeUntil(HEALED_MS_MAX, () => ackedBatches(again) > 0)
    t.ok(ms !== undefined, `the first ack ${String(ms?.toFixed(0))} ms after space came back`)
    trial.endStream()
    await restarted.kill9()
  })
})

/** A node was killed after a sync that failed, and somebody else has filled the disk: what stands in the page cache must be copied, or not believed. */
async function killedInDoubt(t: Test, settings: Settings): Promise<{ trial: Trial, fs: LoopFs, free: () => void } | undefined> {
  const made = await on(t, settings)
  if (made === undefined) return undefined
  const { fs, trial } = made
  const server = await trial.start()
  await timeUntil(HEALED_MS_MAX, () => settings.walReserveBytes === 0 || existsSync(join(fs.mountDir, 'data', 'RESERVE')))
  const stream = await trial.beginStream(server, SHAPE)
  await timeUntil(HEALED_MS_MAX, () => ackedBatches(stream) > 20)
  stream.pause()
  await stream.settle()
  trial.endStream()
  await server.kill9()
  rmSync(join(fs.mountDir, 'data', 'wal', TRUSTED_NAME))
  return { trial, fs, free: fs.fill() }
}

t.test('a log in doubt, on a full disk: its last segment is copied into the space that was laid aside', async (t) => {
  const killed = await killedInDoubt(t, SETTINGS)
  if (killed === undefined) return
  const { trial, fs } = killed
  t.ok(fs.freeBytes() < 4096, `${fs.freeBytes()} bytes free`)
  const server = await trial.start()
  const verdict = await trial.checkAll(server)
  t.ok(isWhole(verdict) && verdict.counts.acked > 0, describeVerdict(verdict), isWhole(verdict) ? {} : { logs: server.logs() })
  t.notOk(existsSync(join(fs.mountDir, 'data', 'RESERVE')), 'the reserve is spent')
  t.ok(existsSync(join(fs.mountDir, 'data', 'wal', TRUSTED_NAME)), 'what was copied and synced is believed')
  await server.kill9()
})

t.test('a log in doubt, on a full disk, with nothing laid aside: no start before there is space, and nothing is lost by trying', async (t) => {
  const killed = await killedInDoubt(t, { ...SETTINGS, walReserveBytes: 0 })
  if (killed === undefined) return
  const { trial, free } = killed
  const refused = await tryStart(trial)
  t.match(refused, { name: 'StartFailure', message: /"code":"disk_full"/ })
  if (!(refused instanceof StartFailure)) await refused.kill9()
  free()
  const server = await trial.start()
  const verdict = await trial.checkAll(server)
  t.ok(isWhole(verdict) && verdict.counts.acked > 0, describeVerdict(verdict), isWhole(verdict) ? {} : { logs: server.logs() })
  await server.kill9()
})

t.test('the tooth: a server that takes a full disk for success', async (t) => {
  const made = await on(t, { ...SETTINGS, walReserveBytes: 0 })
  if (made === undefined) return
  const { fs, trial } = made
  const preload = [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'swallow-enospc.js')).href]
  const server = await trial.start({ preload })
  const stream = await trial.beginStream(server, { ...SHAPE, pauseMs: 1 })
  await sleep(300)
  const free = fs.fill()
  await sleep(3000)
  stream.pause()
  await stream.settle(2000)
  trial.endStream()
  await server.kill9()
  // What the page cache holds is not on the disk: only a new mount tells the truth.
  fs.unmount()
  fs.mount()
  free()
  const restarted = await tryStart(trial)
  if (restarted instanceof StartFailure) {
    if (t.not(restarted.exit?.code, 0, 'it refuses to start: the log is damaged')) done.tooth = 'a full disk taken for success: the next start is refused'
    return
  }
  const verdict = await trial.checkAll(restarted)
  await restarted.kill9()
  if (t.notOk(isWhole(verdict), describeVerdict(verdict))) done.tooth = 'a full disk taken for success: losses noticed'
})
