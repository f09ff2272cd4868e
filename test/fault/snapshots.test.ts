import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { systemSecrets } from '../../src/base/random.ts'
import { MiB } from '../../src/base/units.ts'
import { recoverWal } from '../../src/wal/recovery.ts'
import { readManifest } from '../../src/wal/wal-files.ts'
import { recordFault } from '../support/fault-record.ts'
import { readClaims, type Stream } from '../support/history.driver.ts'
import type { FoundClaim, History } from '../support/history.ts'
import { SMALL, Trial, sleep, trialClock, trialCount, trialSeed } from '../support/history.trial.ts'
import { differenceOf, loggedClaims } from '../support/logged-claims.ts'
import { LOOP_TOOLS, type FileSystemKind } from '../support/loop-fs.ts'
import type { RunningServer } from '../support/server.ts'
import { SnapshotFs } from '../support/snapshot-fs.ts'
import { verifyStoreOf } from '../support/store-check.ts'
import { requireEatmydata, requireRoot, requireTool } from '../support/tools.ts'

t.setTimeout(890_000)

// The device as it stands at a hundred moments of one stream: each is what a power cut at that moment would have left. Every
// ack that had arrived before a copy was begun is in it; nothing is that was sent after it was done.

const SNAPSHOTS_PER_KIND = trialCount(60)
const SNAPSHOTS_MIN = Math.min(SNAPSHOTS_PER_KIND, 20)
const USUAL_MS_PER_KIND = 30_000
/** A stream is ended, and the copies of it are read, so often: it is not to grow beyond what can be read quickly. */
const SNAPSHOTS_PER_STREAM = 60
const PAUSE_MS_MAX = 40
/** Of so many copies one is served by a node, and its store held against its log. */
const SERVED_EVERY = 12
const IMAGE_BYTES = 400 * MiB
const SHAPE = { connections: 32, batchMax: 8, window: 1, claimsMax: 50_000, pauseMs: 15 }

const seed = trialSeed()

interface Snapshot {
  readonly number: number
  /** Of the history's acks, and of its attempts: what must, and what may be in it. */
  readonly acksBefore: number
  readonly attemptsAfter: number
}

interface Case {
  readonly fs: SnapshotFs
  readonly trial: Trial
}

async function on(t: Test, kind: FileSystemKind): Promise<Case | undefined> {
  if (!requireRoot(t) || !requireTool(t, ...LOOP_TOOLS)) return undefined
  const fs = SnapshotFs.create(kind, IMAGE_BYTES)
  t.teardown(() => fs.remove())
  return { fs, trial: await Trial.create({ dataDir: join(fs.mountDir, 'data') }, seed) }
}

/** Copies of the device at moments of a stream, which goes on meanwhile. */
async function takeSnapshots({ fs, trial }: Case, server: RunningServer, count: number): Promise<{ snapshots: Snapshot[], stream: Stream }> {
  const { history } = trial
  const stream = await trial.beginStream(server, SHAPE)
  const snapshots: Snapshot[] = []
  for (let number = 0; number < count; number++) {
    await sleep(trial.random.u32() % PAUSE_MS_MAX)
    const acksBefore = history.ackedCount
    await fs.take(number)
    snapshots.push({ number, acksBefore, attemptsAfter: history.attemptedCount })
  }
  await server.kill9()
  trial.endStream()
  return { snapshots, stream }
}

/** What a snapshot breaks, in words. */
function judge(history: History, { acksBefore, attemptsAfter }: Snapshot, found: ReadonlyMap<string, FoundClaim>): string[] {
  const problems: string[] = []
  const lost = history.ackOrder.slice(0, acksBefore).filter((id) => !found.has(id))
  if (lost.length > 0) problems.push(`lost ${lost.length} of ${acksBefore} acks`)
  let attempts = 0
  const allowed = new Set<string>()
  for (const id of history.ids()) {
    if (attempts++ === attemptsAfter) break
    allowed.add(id)
  }
  const lsns = new Set<number>()
  for (const { id, lsn, print } of found.values()) {
    if (!allowed.has(id)) problems.push(`phantom ${id}`)
    else if (history.printOf(id) !== print) problems.push(`torn ${id}`)
    else if (history.batchOf(id).some((other) => !found.has(other))) problems.push(`torn batch of ${id}`)
    else if (history.lsnOf(id) !== 0 && history.lsnOf(id) !== lsn) problems.push(`${id} has LSN ${lsn}, its ack said ${history.lsnOf(id)}`)
    lsns.add(lsn)
  }
  if (lsns.size !== found.size) problems.push(`${found.size} claims have ${lsns.size} LSNs`)
  return problems
}

/** Recovers the log of a copy by the node's own code, and reads it before and after. */
function recovered(dataDir: string): { found: Map<string, FoundClaim>, problem: string | undefined } {
  const walDir = join(dataDir, 'wal')
  const found = loggedClaims(dataDir)
  const nodeId = readManifest(nodeDisk, walDir)?.nodeId
  if (nodeId === undefined) return { found, problem: undefined }
  recoverWal(nodeDisk, walDir, { nodeId, secrets: systemSecrets, segmentBytes: Number(SMALL.walSegmentBytes), reserveBytes: 0 })
  return { found, problem: differenceOf(found, loggedClaims(dataDir)) }
}

async function checkServed({ trial }: Case, dataDir: string, snapshot: Snapshot): Promise<string[]> {
  const ids = trial.history.ackOrder.slice(0, snapshot.acksBefore)
  const server = await trial.start({ dataDir })
  const found = await readClaims(server.port, ids)
  const exit = await server.stop()
  const problems = ids.some((id) => !found.has(id)) ? [`served ${found.size} of ${ids.length} acks`] : []
  if (exit.code !== 0) problems.push(`a node on it ended with ${exit.code}`)
  const { ok, problems: storeProblems } = await verifyStoreOf(dataDir)
  if (!ok) problems.push(`its store: ${storeProblems[0]?.message}`)
  return problems
}

async function check(made: Case, snapshot: Snapshot, served: boolean): Promise<string[]> {
  return await made.fs.open(snapshot.number, async (mountDir) => {
    const dataDir = join(mountDir, 'data')
    try {
      if (served) return await checkServed(made, dataDir, snapshot)
      const { found, problem } = recovered(dataDir)
      const problems = judge(made.trial.history, snapshot, found)
      return problem === undefined ? problems : [...problems, `recovery changed it: ${problem}`]
    } catch (error) {
      return [String(error)]
    }
  })
}

for (const kind of ['ext4', 'xfs'] as const) {
  t.test(`${kind}: up to ${SNAPSHOTS_PER_KIND} copies of the device under load hold every ack`, async (t) => {
    const mayGoOn = trialClock(USUAL_MS_PER_KIND)
    t.comment(`seed ${seed}`)
    let checked = 0
    let failures = 0
    let acks = 0
    let withAcks = 0
    while (checked < SNAPSHOTS_PER_KIND) {
      const made = await on(t, kind)
      if (made === undefined) return
      const { snapshots } = await takeSnapshots(made, await made.trial.start(), Math.min(SNAPSHOTS_PER_STREAM, SNAPSHOTS_PER_KIND - checked))
      const before = checked
      for (const snapshot of snapshots) {
        if (checked >= SNAPSHOTS_MIN && !mayGoOn()) break
        const problems = await check(made, snapshot, snapshot.number % SERVED_EVERY === SERVED_EVERY - 1)
        for (const problem of problems.slice(0, 3)) t.fail(`snapshot ${snapshot.number}: ${problem}`)
        if (problems.length > 0) failures++
        if (snapshot.acksBefore > 0) withAcks++
        checked++
        made.fs.drop(snapshot.number)
      }
      acks += made.trial.history.ackedCount
      made.fs.remove()
      if (!mayGoOn() || checked === before) break
    }
    t.ok(checked >= SNAPSHOTS_MIN && withAcks >= checked * 0.8, `${checked} copies, ${withAcks} of them after the first of ${acks} acks, ${failures} with a problem`)
    recordFault({
      id: 'D3', title: `copies of the device under load, ${kind}`, trials: checked, unit: 'device snapshots', failures, seed,
      figures: { acks }, tooth: 'without fsync the copies lack acks',
    })
  })
}

t.test('the tooth: without fsync the copies lack acks', async (t) => {
  const library = requireEatmydata(t)
  const made = await on(t, 'ext4')
  if (library === undefined || made === undefined) return
  const { snapshots } = await takeSnapshots(made, await made.trial.start({ env: { LD_PRELOAD: library } }), 10)
  let caught = 0
  const late = snapshots.filter(({ acksBefore }) => acksBefore > 0)
  for (const snapshot of late) if ((await check(made, snapshot, false)).length > 0) caught++
  t.ok(late.length > 0 && caught === late.length, `${caught} of ${late.length} copies lack acks`)
})
