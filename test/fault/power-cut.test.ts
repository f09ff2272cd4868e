import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MiB } from '../../src/base/units.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { LOOP_TOOLS, LoopFs, type FileSystemKind } from '../support/loop-fs.ts'
import { StartFailure } from '../support/server.ts'
import { requireEatmydata, requireRoot, requireTool } from '../support/tools.ts'

t.setTimeout(800_000)

// The power goes: nothing that was not synced reaches the device any more, the file system's own log included. Every ack
// that ever arrived, and everything that a read ever showed, is there after the restart.

const CUTS_PER_KIND = trialCount(10)
const STREAM_MS_MIN = 150
const STREAM_MS_SPAN = 350
const IMAGE_BYTES = 400 * MiB
/** Paced, so that the stream never ends before the cut and everything can be read back after it. */
const SHAPE = { connections: 64, batchMax: 8, window: 1, claimsMax: 20_000, pauseMs: 10 }

const seed = trialSeed()
const done = { cuts: 0, failures: 0, acked: 0, withoutFsync: 0, caught: 0 }

t.teardown(() => recordFault({
  id: 'D3', title: 'power cut under load, ext4 and xfs', trials: done.cuts, unit: 'power cuts', failures: done.failures, seed,
  figures: { ackedAssertions: done.acked }, tooth: `without fsync (libeatmydata) acks were lost on ${done.caught} of ${done.withoutFsync} file systems`,
}))

async function on(t: Test, kind: FileSystemKind): Promise<{ fs: LoopFs, trial: Trial } | undefined> {
  if (!requireRoot(t) || !requireTool(t, ...LOOP_TOOLS)) return undefined
  const fs = LoopFs.create(kind, IMAGE_BYTES)
  t.teardown(() => fs.remove())
  return { fs, trial: await Trial.create({ dataDir: join(fs.mountDir, 'data') }, seed) }
}

for (const kind of ['ext4', 'xfs'] as const) {
  t.test(`${kind}: ${CUTS_PER_KIND} power cuts under load lose no ack`, async (t) => {
    const made = await on(t, kind)
    if (made === undefined) return
    const { fs, trial } = made
    t.comment(`seed ${seed}`)
    let open = 0
    let server = await trial.start()
    for (let cut = 1; cut <= CUTS_PER_KIND; cut++) {
      open += await trial.resendOpen(server)
      await trial.beginStream(server, SHAPE)
      await sleep(STREAM_MS_MIN + trial.random.u32() % STREAM_MS_SPAN)
      fs.cutPower()
      await server.kill9()
      trial.endStream()
      fs.unmount()
      fs.mount()
      server = await trial.start()
      const isLast = cut === CUTS_PER_KIND
      const verdict = isLast ? await trial.checkAll(server) : await trial.checkNew(server)
      done.cuts++
      if (!isWhole(verdict)) {
        done.failures++
        t.fail(`cut ${cut}: ${describeVerdict(verdict)}`, { logs: server.logs() })
      } else if (isLast) t.pass(`after ${CUTS_PER_KIND} cuts: ${describeVerdict(verdict)}`)
    }
    await server.kill9()
    done.acked += trial.history.ackedCount
    t.ok(trial.history.ackedCount >= 1000 && open > 0, `${trial.history.ackedCount} acks; ${open} batches were under way when the power went, and were sent again`)
  })

  t.test(`${kind}, the tooth: without fsync a power cut loses acks`, async (t) => {
    const made = await on(t, kind)
    const library = requireEatmydata(t)
    if (made === undefined || library === undefined) return
    const { fs, trial } = made
    done.withoutFsync++
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
      if (t.not(restarted.exit?.code, 0, 'and says so')) done.caught++
      return
    }
    const verdict = await trial.checkAll(restarted)
    await restarted.kill9()
    if (t.ok(verdict.broken.lost.length > 0, `lost ${verdict.broken.lost.length} of ${trial.history.ackedCount} acks`)) done.caught++
  })
}
