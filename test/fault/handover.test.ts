import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { seededRandom, type Random } from '../../src/base/random.ts'
import type { AppliedMark } from '../../src/store/store-meta.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, inTwoLanes, sleep, trialClock, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { loggedClaims } from '../support/logged-claims.ts'
import { buildRoot } from '../support/root.ts'
import { StartFailure, within, type Settings } from '../support/server.ts'
import { Shim, readShimLog } from '../support/shim.ts'
import { appliedMarkOf, copyOf, setAppliedMark, verifyStoreOf } from '../support/store-check.ts'
import { countPoints, describeGroups, killAt, samplePoints, totalOf, type PointGroup, type SyscallPoint } from '../support/syscall-points.ts'
import { requireTool } from '../support/tools.ts'

t.setTimeout(890_000)

// SIGKILL between the log and the store: at the store's own writes, syncs and renames, with memtables so small that it flushes
// and compacts all the time. The store says up to where it has the log in the batch that has it, so whenever it dies, its
// indexes are exactly those of the log up to its mark, and a start goes on behind that: nothing missing, nothing twice.

const KILLS = trialCount(160)
const KILLS_MIN = Math.min(KILLS, 24)
const USUAL_MS = 50_000
/** On one data directory, each start being the recovery of the kill before. */
const KILLS_PER_DIR = 8
const STREAM_MS_MAX = 30_000
/** Recent ids and memtables so small that ids go into runs, and columns into tables, every few hundred claims. */
const SETTINGS: Settings = { mode: 'inline', recentIdsMax: 1024, batchAssertionsMax: 1024, walSegmentBytes: 2 ** 18, frameBytesMax: 2 ** 16, groupBytesMax: 2 ** 16 }
const SHAPE = { connections: 4, batchMax: 32, window: 1, claimsMax: 1200 }
const STORE = '/data/db'

const seed = trialSeed()

interface Case {
  readonly dataDir: string
  readonly trial: Trial
  readonly preload: readonly string[]
}

async function newCase(t: Test, subseed: number, preload: readonly string[] = []): Promise<Case> {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-handover-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const dataDir = join(folder, 'data')
  return { dataDir, preload, trial: await Trial.create({ dataDir, settings: SETTINGS }, subseed) }
}

/** Starts, which recovers, and streams, until the point kills it; or all is acked. Tells whether it did. */
async function streamUntilKilled({ trial, preload }: Case, shim: Shim, point: SyscallPoint, random: Random): Promise<{ hit: boolean, problem: string | undefined }> {
  const { env, log } = shim.environment(killAt(point, random))
  const server = await tryStart(trial, { env, preload })
  const hit = (): boolean => readShimLog(log).some((event) => event.what === 'fault')
  if (server instanceof StartFailure) return { hit: hit(), problem: server.exit?.signal === 'SIGKILL' ? undefined : server.message }
  const stream = await trial.beginStream(server, SHAPE)
  for (let waited = 0; waited < STREAM_MS_MAX; waited += 5) {
    if (stream.claimsMade >= SHAPE.claimsMax && stream.unacked === 0) break
    if (await within(server.exited, 5) !== undefined) break
  }
  await server.kill9()
  await sleep(5)
  trial.endStream()
  return { hit: hit(), problem: stream.faults[0] }
}

/** The store against its log, and both against the history; problems in words. */
async function judge(dataDir: string, trial: Trial): Promise<{ problems: string[], mark: AppliedMark | undefined, lag: number }> {
  const problems: string[] = []
  try {
    const found = loggedClaims(dataDir)
    const verdict = trial.history.judge(trial.history.ids(), found)
    if (!isWhole(verdict)) problems.push(describeVerdict(verdict))
    // Killed before there was a log: nothing was acked, and nothing can be indexed.
    if (found.size === 0) return { problems, mark: undefined, lag: 0 }
    const report = await verifyStoreOf(dataDir)
    if (!report.ok) problems.push(...report.problems.map(({ kind, message }) => `${kind}: ${message}`))
    if (report.lastLsn !== found.size) problems.push(`the log ends at LSN ${report.lastLsn} and has ${found.size} ids`)
    return { problems, mark: await appliedMarkOf(dataDir), lag: report.lastLsn - report.appliedLsn }
  } catch (error) {
    return { problems: [...problems, String(error)], mark: undefined, lag: 0 }
  }
}

async function storePoints(t: Test, shim: Shim): Promise<PointGroup[]> {
  const { trial } = await newCase(t, seed)
  const { env, log } = shim.environment({ path: STORE, operation: 'any', nth: 0, action: 'kill' })
  const server = await trial.start({ env })
  const stream = await trial.beginStream(server, SHAPE)
  while (stream.claimsMade < SHAPE.claimsMax || stream.unacked > 0) await sleep(5)
  trial.endStream()
  await server.stop()
  return countPoints(log, [STORE])
}

/**
 * Points of the log and ranges of agents are cut where a write batch ends, so records that are batched otherwise make others
 * beside the old: that the mark is in the batch is all that keeps these from standing twice.
 */
const isCutByBatch = (problem: string): boolean => /^(log|agent): /.test(problem)

/** The store again, the log's records from `mark` on applied once more over what they have made already. */
async function applyAgain(dataDir: string, mark: AppliedMark, { trial }: Case): Promise<{ replayed: number, problems: string[] }> {
  await setAppliedMark(dataDir, mark)
  const server = await trial.start({ dataDir })
  const { replayed } = server.ready
  await server.stop()
  const judged = await judge(dataDir, trial)
  const problems = judged.problems.filter((problem) => !isCutByBatch(problem))
  const { lag } = judged
  return { replayed, problems: lag === 0 ? problems : [...problems, `${lag} LSNs are not applied after an orderly end`] }
}

t.test('kills between the log and the store leave indexes that say exactly what the log says', async (t) => {
  if (!requireTool(t, 'gcc')) return
  t.comment(`seed ${seed}`)
  const shim = new Shim()
  t.teardown(() => shim.remove())
  const groups = await storePoints(t, shim)
  t.comment(`${totalOf(groups)} points: ${describeGroups(groups)}`)
  const flushed = groups.find(({ operation }) => operation === 'fdatasync')?.count ?? 0
  t.ok(flushed > 5, `${flushed} syncs of the store in one run: it flushes all the time`)
  const points = samplePoints(groups, seededRandom(seed))
  const mayGoOn = trialClock(USUAL_MS)
  let hits = 0
  let kills = 0
  let failures = 0
  let behind = 0
  let again = 0
  const isEnough = (): boolean => kills >= KILLS || (kills >= KILLS_MIN && !mayGoOn())
  await inTwoLanes(() => !isEnough(), async (number) => {
    const made = await newCase(t, seed + number + 1)
    const random = seededRandom(seed + number)
    const { dataDir, trial } = made
    let early: AppliedMark | undefined
    for (let i = 0; i < KILLS_PER_DIR && !isEnough(); i++) {
      const point = points.next().value
      kills++
      const killed = await streamUntilKilled(made, shim, point, random)
      if (killed.hit) hits++
      // Whatever the store's own recovery does happens in the next start, and not here.
      const copy = copyOf(dataDir)
      const { problems, mark, lag } = await judge(copy.dataDir, trial)
      copy.remove()
      if (lag > 0) behind++
      early ??= mark !== undefined && mark.lsn > 0 ? mark : undefined
      if (killed.problem !== undefined) problems.push(killed.problem)
      if (problems.length > 0) failures++
      for (const problem of problems) t.fail(`directory ${number}, kill ${i}, ${point.operation} ${point.nth}: ${problem}`)
    }
    const server = await trial.start()
    const verdict = await trial.checkNew(server)
    if (!isWhole(verdict)) t.fail(`served: ${describeVerdict(verdict)}`)
    await server.stop()
    const settled = await judge(dataDir, trial)
    if (settled.problems.length > 0 || settled.lag > 0) t.fail(`after an orderly end: ${settled.problems.join('; ')}, ${settled.lag} LSNs behind`)
    if (early !== undefined && settled.mark !== undefined && early.lsn < settled.mark.lsn) {
      const { replayed, problems } = await applyAgain(dataDir, early, made)
      again += replayed
      for (const problem of problems) t.fail(`applied again from LSN ${early.lsn}: ${problem}`)
    }
    rmSync(dataDir, { recursive: true })
  })
  t.ok(hits >= kills * 0.5, `${hits} of ${kills} points were reached, ${failures} with a problem; ${behind} left the store behind the log`)
  t.ok(again > 0, `${again} LSNs were applied a second time: no subject and no id stands twice`)
  recordFault({
    id: 'D10', title: 'SIGKILL between the log and the store', trials: hits, unit: 'kills', failures, seed,
    figures: { storePoints: totalOf(groups), storeBehindLog: behind, lsnsAppliedTwice: again }, tooth: 'an applied mark that is written before its data',
  })
})

t.test('the tooth: a store whose mark is written before its data', async (t) => {
  if (!requireTool(t, 'gcc')) return
  const shim = new Shim()
  t.teardown(() => shim.remove())
  const preload = [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'mark-apart.js')).href]
  const random = seededRandom(seed)
  let caught = 0
  let hits = 0
  // Every second write to the store's log is data that the mark before it speaks of.
  for (let nth = 60; nth < 68; nth++) {
    const made = await newCase(t, seed - nth, preload)
    const { hit } = await streamUntilKilled(made, shim, { path: STORE, operation: 'write', nth }, random)
    const { problems } = await judge(made.dataDir, made.trial)
    if (hit) hits++
    if (hit && problems.length > 0) caught++
  }
  t.ok(hits >= 4 && caught >= hits / 4, `${caught} of ${hits} kills were noticed`)
})
