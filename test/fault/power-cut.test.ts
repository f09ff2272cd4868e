import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MiB } from '../../src/base/units.ts'
import { recordFault } from '../support/fault-record.ts'
import { describeVerdict, isWhole } from '../support/history.ts'
import { Trial, sleep, trialClock, trialCount, trialSeed, tryStart } from '../support/history.trial.ts'
import { LOOP_TOOLS, LoopFs, type FileSystemKind } from '../support/loop-fs.ts'
import { StartFailure } from '../support/server.ts'
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
  return { fs, trial: await Trial.create({ dataDir: join(fs.mountDir, 'data') }, seed) }
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
    for (let isLast = false; !isLast;) {
      cut++
      open += await trial.resendOpen(server)
      await trial.beginStream(server, SHAPE)
      await sleep(STREAM_MS_MIN + trial.random.u32() % STREAM_MS_SPAN)
      fs.cutPower()
      await server.kill9()
      trial.endStream()
      fs.unmount()
      fs.mount()
      server = await trial.start()
      isLast = cut === CUTS_PER_KIND || (cut >= CUTS_MIN && !mayGoOn())
      const verdict = isLast ? await trial.checkAll(server) : await trial.checkNew(server)
      if (!isWhole(verdict)) {
        failures++
        t.fail(`cut ${cut}: ${describeVerdict(verdict)}`, { logs: server.logs() })
      } else if (isLast) t.pass(`after ${cut} cuts: ${describeVerdict(verdict)}`)
    }
    await server.kill9()
    t.ok(trial.history.ackedCount >= 1000 && open > 0, `${trial.history.ackedCount} acks; ${open} batches were under way when the power went, and were sent again`)
    recordFault({
      id: 'D3', title: `power cut under load, ${kind}`, trials: cut, unit: 'power cuts', failures, seed,
      figures: { acked: trial.history.ackedCount }, tooth: 'without fsync a power cut loses acks',
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
