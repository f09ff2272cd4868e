import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { isDbError } from '../../src/base/errors.ts'
import { MiB } from '../../src/base/units.ts'
import { LogMonitor, httpProofs } from '../../src/client/client.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialClock, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { LOOP_TOOLS, LoopFs, type FileSystemKind } from '../support/loop-fs.ts'
import { StartFailure, type RunningServer } from '../support/server.ts'
import { nodeKeyOf } from '../system/proofs.ts'
import { requireEatmydata, requireRoot, requireTool } from '../support/tools.ts'

t.setTimeout(800_000)

// The power goes: nothing that was not synced reaches the device any more, the file system's own log included. Every ack
// that ever arrived, and everything that a read ever showed, is there after the restart.

const CUTS_PER_KIND = trialCount(30)
/** A machine that does something else as well does fewer of them, and says how many. */
const CUTS_MIN = Math.min(CUTS_PER_KIND, 10)
const USUAL_MS_PER_KIND = 35_000
const STREAM_MS_MIN = 150
const STREAM_MS_SPAN = 350
const IMAGE_BYTES = 400 * MiB
/** Paced, so that the stream never ends before the cut and everything can be read back after it. */
const SHAPE = { connections: 64, batchMax: 8, window: 1, claimsMax: 20_000, pauseMs: 10 }

const seed = trialSeed()

async function on(t: Test, kind: FileSystemKind): Promise<{ fs: LoopFs, trial: Trial } | undefined> {
  if (!requireRoot(t) || !requireTool(t, ...LOOP_TOOLS)) return undefined
  const fs = LoopFs.create(kind, IMAGE_BYTES)
  t.teardown(() => fs.remove())
  return { fs, trial: await Trial.create({ dataDir: join(fs.mountDir, 'data'), settings: { tlogCheckpointMs: 10 } }, seed) }
}

/** What keeps a client from taking a head may pass; a head that is another log's does not. */
const HEAD_MS_MAX = 20_000

const monitorOf = (server: RunningServer, key: Uint8Array): LogMonitor => new LogMonitor(httpProofs(server.url), key)

/** Takes heads until then, each proven to go on from the one before. @returns the last */
async function headsUntil(endMs: number, monitor: LogMonitor): Promise<string | undefined> {
  while (systemClock.monoMs() < endMs) {
    await monitor.advance().catch((error: unknown) => {
      if (isDbError(error) && error.code === 'history_rewritten') throw error
    })
    await sleep(5)
  }
  return monitor.head
}

/** Why the node's head does not go on from the monitor's; undefined where it does. */
async function goesOn(monitor: LogMonitor): Promise<string | undefined> {
  const endMs = systemClock.monoMs() + HEAD_MS_MAX
  for (;; await sleep(20)) {
    const code = await monitor.advance().then(() => undefined, (error: unknown) => (isDbError(error) ? error.code : String(error)))
    if (code === undefined || code === 'history_rewritten' || systemClock.monoMs() > endMs) return code
  }
}

for (const kind of ['ext4', 'xfs'] as const) {
  t.test(`${kind}: up to ${CUTS_PER_KIND} power cuts under load lose no ack`, async (t) => {
    const made = await on(t, kind)
    if (made === undefined) return
    const { fs, trial } = made
    t.comment(`seed ${seed}`)
    let open = 0
    let failures = 0
    let cut = 0
    const mayGoOn = trialClock(USUAL_MS_PER_KIND)
    let server = await trial.start()
    let heads = 0
    const key = nodeKeyOf(join(fs.mountDir, 'data'))
    for (let isLast = false; !isLast;) {
      cut++
      open += await trial.resendOpen(server)
      await trial.beginStream(server, SHAPE)
      const cutAtMs = systemClock.monoMs() + STREAM_MS_MIN + trial.random.u32() % STREAM_MS_SPAN
      const kept = await headsUntil(cutAtMs, monitorOf(server, key))
      await sleep(Math.max(0, cutAtMs - systemClock.monoMs()))
      fs.cutPower()
      await server.kill9()
      trial.endStream()
      fs.unmount()
      fs.mount()
      server = await trial.start()
      if (kept !== undefined) {
        heads++
        const monitor = monitorOf(server, key)
        await monitor.resume(kept)
        const code = await goesOn(monitor)
        if (code !== undefined) {
          failures++
          t.fail(`cut ${cut}: the head after it does not go on from the one before: ${code}`, { kept, logs: server.logs() })
        }
      }
      isLast = cut === CUTS_PER_KIND || (cut >= CUTS_MIN && !mayGoOn())
      const verdict = isLast ? await trial.checkAll(server) : await trial.checkNew(server)
      if (!isWhole(verdict)) {
        failures++
        t.fail(`cut ${cut}: ${describeVerdict(verdict)}`, { logs: server.logs() })
      } else if (isLast) t.pass(`after ${cut} cuts: ${describeVerdict(verdict)}`)
    }
    await server.kill9()
    t.ok(trial.history.ackedCount >= 1000 && open > 0, `${trial.history.ackedCount} acks; ${open} batches were under way when the power went, and were sent again`)
    t.ok(heads > 0, `${heads} tree heads that a client had seen before a cut were gone on from`)
    recordFault({
      id: 'D3', title: `power cut under load, ${kind}`, trials: cut, unit: 'power cuts', failures, seed,
      figures: { acked: trial.history.ackedCount, treeHeadsKept: heads }, tooth: 'without fsync a power cut loses acks',
    })
  })

  t.test(`${kind}, the tooth: without fsync a power cut loses acks`, async (t) => {
    const made = await on(t, kind)
    const library = requireEatmydata(t)
    if (made === undefined || library === undefined) return
    const { fs, trial } = made
    const server = await trial.start({ env: { LD_PRELOAD: library } })
    const stream = await trial.beginStream(server, SHAPE)
    await sleep(STREAM_MS_MIN + STREAM_MS_SPAN)
    fs.cutPower()
    await server.kill9()
    trial.endStream()
    t.ok(trial.history.ackedCount > 100, `${trial.history.ackedCount} acks of ${stream.claimsMade} before the cut`)
    fs.unmount()
    fs.mount()
    const restarted = await tryStart(trial)
    if (restarted instanceof StartFailure) {
      t.comment('it refuses to start: all acks are lost')
      t.not(restarted.exit?.code, 0, 'and says so')
      return
    }
    const verdict = await trial.checkAll(restarted)
    await restarted.kill9()
    t.ok(verdict.broken.lost.length > 0, `lost ${verdict.broken.lost.length} of ${trial.history.ackedCount} acks`)
  })
}
