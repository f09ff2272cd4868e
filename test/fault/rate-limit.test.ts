import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { median } from '../../bench/lib/stats.ts'
import { systemClock } from '../../src/base/clock.ts'
import { hlcWallMs } from '../../src/base/hlc.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { recordFault } from '../support/fault-record.ts'
import { claimSource, type ClaimSource } from '../support/history.claims.ts'
import { sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { startServer, type RunningServer } from '../support/server.ts'
import { Socket } from '../system/socket.ts'

t.setTimeout(240_000)

// Ten addresses with ten connections each want more than their rate: each gets its rate, whatever its connections do.
// How exact the limiter is shows under a clock of the test's own (test/unit/front/parts.test.ts); here a machine that stands
// still for a while lets a second's worth be saved up, or be lost.

const MEASURED_MS = 1000 * trialCount(14)
const seed = trialSeed()
const ADDRESSES = Array.from({ length: 10 }, (_, i) => `127.0.0.${i + 2}`)
const CONNECTIONS = 10
const RATE_PER_SECOND = 60
/** A second's worth may have been saved up: it is spent before the measure begins. */
const SPEND_MS = 1500
const WINDOW_MS = 10_000
const STEP_MS = 250
const ERROR_MAX = 0.02
/** Beside it, in a single span: a second's worth that was saved up, or lost, while the machine kept everybody from asking. */
const excessMax = (spanMs: number): number => 1000 / spanMs + ERROR_MAX

async function serve(t: Test, ratePerSecond: number): Promise<{ server: RunningServer, claims: ClaimSource }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-rate-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', ratePerSecond } })
  t.teardown(() => server.kill9())
  return { server, claims: await claimSource(seed, systemClock.wallMs() - 1000) }
}

interface Wanting {
  /** When each was admitted, by the node's stamp. */
  readonly admittedAtMs: number[]
  refused: number
  /** Refusals that are not what they should be. */
  readonly wrong: Set<string>
  stop(): Promise<void>
}

/** One address that asks again as soon as it may. Its connections are cut and made anew once, half way. */
async function want(server: RunningServer, claims: ClaimSource, address: string, reconnectAfterMs: number): Promise<Wanting> {
  const wanting = { admittedAtMs: [] as number[], refused: 0, wrong: new Set<string>() }
  let stopped = false
  const ask = async (socket: Socket): Promise<void> => {
    const ack = await socket.ask(encodeBatch({ requestId: 1n, items: [{ assertion: claims.next().bytes }] }))
    if (ack.accepted === 1) wanting.admittedAtMs.push(hlcWallMs(ack.firstHlc))
    else {
      wanting.refused++
      if (ack.refused !== 'rate_limited' || ack.retryAfterMs < 1 || ack.retryAfterMs > 1000) wanting.wrong.add(`${String(ack.refused)}, again after ${ack.retryAfterMs} ms`)
      await sleep(Math.min(ack.retryAfterMs, 1000))
    }
  }
  const one = async (): Promise<void> => {
    const reconnectMs = systemClock.monoMs() + reconnectAfterMs
    let socket = await Socket.open(server.wsUrl, address)
    let renewed = false
    while (!stopped) {
      await ask(socket)
      if (renewed || systemClock.monoMs() < reconnectMs) continue
      renewed = true
      socket.socket.terminate()
      socket = await Socket.open(server.wsUrl, address)
    }
    socket.socket.terminate()
  }
  const all = Promise.all(Array.from({ length: CONNECTIONS }, one))
  return Object.assign(wanting, { stop: async () => { stopped = true; await all } })
}

const countIn = (times: readonly number[], fromMs: number, lengthMs: number): number =>
  times.filter((ms) => ms >= fromMs && ms < fromMs + lengthMs).length

t.test(`${ADDRESSES.length} addresses with ${CONNECTIONS} connections each`, async (t) => {
  t.comment(`seed ${seed}`)
  const { server, claims } = await serve(t, RATE_PER_SECOND)
  const all = await Promise.all(ADDRESSES.map((address) => want(server, claims, address, SPEND_MS + MEASURED_MS / 2)))
  await sleep(SPEND_MS)
  const fromMs = systemClock.wallMs()
  await sleep(MEASURED_MS + STEP_MS)
  await Promise.all(all.map((one) => one.stop()))

  const expected = RATE_PER_SECOND * WINDOW_MS / 1000
  const errors: number[] = []
  for (const { admittedAtMs } of all) {
    for (let at = fromMs; at + WINDOW_MS <= fromMs + MEASURED_MS; at += STEP_MS) errors.push(countIn(admittedAtMs, at, WINDOW_MS) / expected - 1)
  }
  const wholeErrors = all.map(({ admittedAtMs }) => countIn(admittedAtMs, fromMs, MEASURED_MS) / (RATE_PER_SECOND * MEASURED_MS / 1000) - 1)
  const percent = (value: number): string => `${(value * 100).toFixed(2)} %`
  const typical = median(errors.map(Math.abs))
  const most = Math.max(...errors)
  t.ok(typical <= excessMax(WINDOW_MS), `${errors.length} windows of 10 s: the median is ${percent(typical)} off the limit`)
  t.ok(most <= excessMax(WINDOW_MS), `the most that one got in any is ${percent(most)} above it`)
  const whole = median(wholeErrors.map(Math.abs))
  const wholeMost = Math.max(...wholeErrors)
  t.ok(whole <= excessMax(MEASURED_MS) && wholeMost <= excessMax(MEASURED_MS), `over ${MEASURED_MS / 1000} s, in which all reconnected: the median is ${percent(whole)} off, the most ${percent(wholeMost)} above`)
  const refused = all.reduce((sum, one) => sum + one.refused, 0)
  t.ok(all.every((one) => one.refused > 0), `${refused} refusals`)
  t.strictSame([...new Set(all.flatMap((one) => [...one.wrong]))], [], 'each says rate_limited, and when to come again')

  let caught = false
  await t.test('the tooth: without a limit the same crowd gets more', async (t) => {
    const free = await serve(t, 0)
    const one = await want(free.server, free.claims, ADDRESSES[0]!, 60_000)
    await sleep(SPEND_MS)
    const freeFromMs = systemClock.wallMs()
    await sleep(1000)
    await one.stop()
    const admitted = countIn(one.admittedAtMs, freeFromMs, 1000)
    caught = admitted > RATE_PER_SECOND * (1 + excessMax(1000))
    t.ok(caught, `${admitted} in a second where ${RATE_PER_SECOND} are the limit`)
  })
  recordFault({
    id: 'O5', title: 'ten addresses that want more than their rate, with ten connections each', trials: errors.length, unit: '10 s windows',
    failures: errors.filter((error) => error > excessMax(WINDOW_MS)).length, seed,
    figures: { medianErrorPercent: Number((typical * 100).toFixed(2)), mostAbovePercent: Number((most * 100).toFixed(2)), refusals: refused },
    tooth: `no limit: ${caught ? 'seen' : 'NOT seen'}`,
  })
})

t.test('headers that name another client change nothing', async (t) => {
  // A debt of minutes: what comes after it is refused, from whomever it says that it comes.
  const { server, claims } = await serve(t, 2)
  const socket = await Socket.open(server.wsUrl)
  t.match(await socket.ask(encodeBatch({ requestId: 1n, items: Array.from({ length: 500 }, () => ({ assertion: claims.next().bytes })) })), { accepted: 500 })
  await socket.close()
  const body = JSON.stringify({ subject: 'rate', predicate: 'is', object: 1, confidence: 1, agent: `58${'66'.repeat(31)}` })
  for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded', 'cf-connecting-ip', 'true-client-ip', 'x-client-ip']) {
    const value = name === 'forwarded' ? 'for=10.1.2.3' : '10.1.2.3'
    const response = await fetch(`${server.url}/v1/assert`, { method: 'POST', headers: { 'content-type': 'application/json', [name]: value }, body })
    t.equal(response.status, 429, name)
    t.ok(Number(response.headers.get('retry-after')) > 1, 'and says when to come again')
    await response.arrayBuffer()
  }
})
