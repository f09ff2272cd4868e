import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { seededRandom, type Random } from '../../src/base/random.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole, type FoundClaim } from '../support/history.ts'
import { Trial, inTwoLanes, sleep, trialClock, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { differenceOf, loggedClaims } from '../support/logged-claims.ts'
import { buildRoot } from '../support/root.ts'
import { StartFailure, within, type Exit, type RunningServer, type Settings } from '../support/server.ts'
import { Shim, readShimLog, type Fault } from '../support/shim.ts'
import { countPoints, describeGroups, killAt, samplePoints, totalOf, type PointGroup, type SyscallPoint } from '../support/syscall-points.ts'
import { requireTool } from '../support/tools.ts'

t.setTimeout(890_000)

// SIGKILL at a chosen system call on the log, the store or the node's key, from the first start to the seal; then at a
// chosen one of the recovery, of the recovery after that, and of a third. However often a recovery is interrupted, it
// comes to the same records. A kill proves nothing about fsync (see power-cut.test.ts): it proves the order of the steps.

/** Chains of four kills: one in the scenario, three in recoveries. */
const CHAINS = Math.ceil(trialCount(300) / 4)
/** A machine that does something else as well does fewer of them, and says how many. */
const CHAINS_MIN = Math.min(CHAINS, 12)
const USUAL_MS = 100_000
const RECOVERIES_KILLED = 3
/** Every so many chains with all threads: there the n-th call is another one each time, and a start costs three times as much. */
const THREADED_EVERY = 8
const SCENARIO_MS_MAX = 30_000
/** Small enough that the stream rotates several times and that the store flushes. */
const SETTINGS: Settings = { walSegmentBytes: 2 ** 18, frameBytesMax: 2 ** 16, groupBytesMax: 2 ** 16 }
const SHAPE = { connections: 4, batchMax: 32, window: 1, claimsMax: 1200 }
const PARTS = ['/data/wal', '/data/db', '/data/node.key']
const DRY: Fault = { path: '/data/', operation: 'any', nth: 0, action: 'kill' }

const seed = trialSeed()
const mutant = (name: string): string => pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', `${name}.js`)).href

interface Case {
  readonly dataDir: string
  readonly trial: Trial
  readonly preload: readonly string[]
}

async function newCase(t: Test, subseed: number, mode: 'inline' | 'threaded', preload: readonly string[] = []): Promise<Case & { remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'stemedb-syscall-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  t.teardown(remove)
  const dataDir = join(folder, 'data')
  return { dataDir, remove, preload, trial: await Trial.create({ dataDir, settings: { ...SETTINGS, mode } }, subseed) }
}

/** Streams until all is acked, and seals; or until it is dead. */
async function streamAndSeal(trial: Trial, server: RunningServer): Promise<Exit | undefined> {
  const stream = await trial.beginStream(server, SHAPE)
  let exit: Exit | undefined
  for (let waited = 0; exit === undefined && waited < SCENARIO_MS_MAX; waited += 5) {
    if (stream.claimsMade >= SHAPE.claimsMax && stream.unacked === 0) break
    exit = await within(server.exited, 5)
  }
  exit ??= await server.stop()
  await sleep(5)
  trial.endStream()
  return exit
}

interface Killed {
  /** The point was reached. */
  readonly hit: boolean
  /** How it ended otherwise than by that kill. */
  readonly problem: string | undefined
}

/** Starts with a fault and does the scenario, or, for a recovery, nothing. */
async function runWith({ trial, preload }: Case, shim: Shim, fault: Fault, scenario: boolean): Promise<Killed> {
  const { env, log } = shim.environment(fault)
  const server = await tryStart(trial, { env, preload })
  let exit: Exit | undefined
  if (server instanceof StartFailure) exit = server.exit
  else exit = scenario ? await streamAndSeal(trial, server) : await server.kill9()
  const hit = readShimLog(log).some((event) => event.what === 'fault')
  const orderly = exit?.code === 0 || (!scenario && !(server instanceof StartFailure))
  const problem = exit?.signal === 'SIGKILL' || orderly ? undefined
    : `code ${exit?.code}, signal ${exit?.signal}: ${server instanceof StartFailure ? server.logs : server.logs()}`
  return { hit, problem }
}

/** The log as it is on the disk, held against the history; a problem in words. */
function judgeLog({ dataDir, trial }: Case, before: ReadonlyMap<string, FoundClaim> | undefined): { found: Map<string, FoundClaim>, problem: string | undefined } {
  let found: Map<string, FoundClaim>
  try {
    found = loggedClaims(dataDir)
  } catch (error) {
    return { found: new Map(), problem: String(error) }
  }
  const verdict = trial.history.judge(trial.history.ids(), found)
  if (!isWhole(verdict)) return { found, problem: describeVerdict(verdict) }
  return { found, problem: before === undefined ? undefined : differenceOf(before, found) }
}

const named = ({ path, operation, nth }: SyscallPoint): string => `${operation} ${nth} on ${path}`

interface ChainResult {
  readonly hits: number
  readonly problems: string[]
  /** Claims that the last start served. */
  readonly found: number
}

/** One kill in the scenario, then `recoveries` killed ones, then a start that serves. */
async function chain(made: Case, shim: Shim, point: SyscallPoint, recoveries: readonly SyscallPoint[], random: Random): Promise<ChainResult> {
  const problems: string[] = []
  let hits = 0
  let before: Map<string, FoundClaim> | undefined
  for (const [level, at] of [point, ...recoveries].entries()) {
    const { hit, problem } = await runWith(made, shim, killAt(at, random), level === 0)
    if (hit) hits++
    const what = `${level === 0 ? 'scenario' : `recovery ${level}`}, ${named(at)}`
    if (problem !== undefined) problems.push(`${what}: ${problem}`)
    const judged = judgeLog(made, before)
    if (judged.problem !== undefined) problems.push(`after ${what}: ${judged.problem}`)
    before = judged.found
  }
  const server = await tryStart(made.trial, { preload: made.preload })
  if (server instanceof StartFailure) return { hits, problems: [...problems, `does not start: ${server.logs}`], found: 0 }
  const verdict = await made.trial.checkNew(server)
  if (!isWhole(verdict)) problems.push(`served: ${describeVerdict(verdict)}`)
  if (verdict.counts.found !== before!.size) problems.push(`served ${verdict.counts.found} claims, the log had ${before!.size}`)
  await server.kill9()
  return { hits, problems, found: verdict.counts.found }
}

/** Calls of a whole scenario, and of the start after a kill in the middle of one. */
async function dryRun(t: Test, shim: Shim): Promise<{ scenario: PointGroup[], recovery: PointGroup[] }> {
  const whole = await newCase(t, seed, 'inline')
  const { env, log } = shim.environment(DRY)
  const exit = await streamAndSeal(whole.trial, await whole.trial.start({ env }))
  t.equal(exit?.code, 0, 'the scenario ends in order')
  const scenario = countPoints(log, PARTS)
  const half = await newCase(t, seed + 1, 'inline')
  const writes = scenario.find(({ operation, path }) => operation === 'fdatasync' && path === '/data/wal')?.count ?? 0
  await runWith(half, shim, { path: '/data/wal', operation: 'fdatasync', nth: Math.floor(writes / 2), action: 'kill' }, true)
  const again = shim.environment(DRY)
  const server = await half.trial.start({ env: again.env })
  await server.kill9()
  return { scenario, recovery: countPoints(again.log, PARTS) }
}

t.test('kills at system calls of a scenario, and of three recoveries after each', async (t) => {
  if (!requireTool(t, 'gcc')) return
  t.comment(`seed ${seed}`)
  const shim = new Shim()
  t.teardown(() => shim.remove())
  const { scenario, recovery } = await dryRun(t, shim)
  t.comment(`a scenario has ${totalOf(scenario)} points: ${describeGroups(scenario)}`)
  t.comment(`a recovery has ${totalOf(recovery)} points: ${describeGroups(recovery)}`)
  const random = seededRandom(seed)
  const points = samplePoints(scenario, random)
  const levels = Array.from({ length: RECOVERIES_KILLED }, () => samplePoints(recovery, random))
  let hits = 0
  let failures = 0
  let found = 0
  const mayGoOn = trialClock(USUAL_MS)
  let chains = 0
  await inTwoLanes((i) => i < CHAINS && (i < CHAINS_MIN || mayGoOn()), async (i) => {
    const point = points.next().value
    const recoveries = levels.map((level) => level.next().value)
    const made = await newCase(t, seed + 2 + i, i % THREADED_EVERY === THREADED_EVERY - 1 ? 'threaded' : 'inline')
    const result = await chain(made, shim, point, recoveries, seededRandom(seed + i))
    made.remove()
    chains++
    hits += result.hits
    found += result.found
    if (result.problems.length > 0) failures++
    for (const problem of result.problems) t.fail(`chain ${i}, from ${named(point)}: ${problem}`)
  })
  const tried = chains * (1 + RECOVERIES_KILLED)
  t.ok(hits >= tried * 0.5, `${hits} of ${tried} points were reached in ${chains} chains, ${failures} with a problem`)
  t.ok(found > 100, `${found} claims were served after them`)
  recordFault({
    id: 'D2', title: 'SIGKILL at the n-th system call, and in three recoveries after it', trials: hits, unit: 'kills', failures, seed,
    figures: { scenarioPoints: totalOf(scenario), recoveryPoints: totalOf(recovery), chains, servedClaims: found },
    tooth: 'a server that replaces files in two steps: 3 of 3 kills between them are noticed',
  })
})

t.test('the tooth: a server that replaces files in two steps', async (t) => {
  if (!requireTool(t, 'gcc')) return
  const shim = new Shim()
  t.teardown(() => shim.remove())
  const random = seededRandom(seed)
  const manifest = (nth: number): SyscallPoint => ({ path: '/data/wal/MANIFEST', operation: 'rename', nth })
  const middle: SyscallPoint = { path: '/data/wal', operation: 'fdatasync', nth: 40 }
  // A log's first manifest replaces nothing; the tail that a recovery rewrites takes the place of its segment.
  const cases: SyscallPoint[][] = [[manifest(2)], [manifest(3)], [middle, { path: '/data/wal/0', operation: 'rename', nth: 1 }]]
  for (const [point, ...recoveries] of cases) {
    const made = await newCase(t, seed - recoveries.length, 'inline', [mutant('replace-in-two')])
    const { hits, problems } = await chain(made, shim, point!, recoveries, random)
    t.ok(hits > recoveries.length && problems.length > 0, `${named(recoveries.at(-1) ?? point!)}: ${problems[0]?.slice(0, 200)}`)
    made.remove()
  }
})
