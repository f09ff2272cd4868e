import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Socket as NetSocket } from 'node:net'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { KiB, MiB } from '../../src/base/units.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { residentMiB, scrape } from '../support/bystander.ts'
import { recordFault } from '../support/fault-record.ts'
import { claimSource, type Claim } from '../support/history.claims.ts'
import { readClaims } from '../support/history.driver.ts'
import { sleep, trialCount, trialSeed } from '../support/history.trial.ts'
import { startServer, within, type RunningServer } from '../support/server.ts'
import { Socket } from '../system/socket.ts'

t.setTimeout(240_000)

// A client that sends and never reads its acks: its connection ends at the bound of what may wait for it, what it read
// until then has no gap, and what it sends again is acked with the stamps of the first time.

const READERS = trialCount(2)
const seed = trialSeed()
const SEND_BUFFER_BYTES_MAX = 64 * KiB
const RESIDENT_GROWTH_MIB_MAX = 100
/** The kernel takes some megabytes before the server has to hold anything. */
const ROUNDS_MAX = 200
const FRAMES_A_ROUND = 8
const WAIT_MS_MAX = 30_000
/** Duplicates, so that an ack has 24 bytes for each: most ack for the least frame. */
const FILLER_CLAIMS = 1000

const batchOf = (requestId: number, claims: readonly Claim[]): Uint8Array =>
  encodeBatch({ requestId: BigInt(requestId), items: claims.map(({ bytes }) => ({ assertion: bytes })) })

async function serve(t: Test, sendBufferBytesMax: number): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-slow-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', sendBufferBytesMax } })
  t.teardown(() => server.kill9())
  return server
}

/** The TCP socket below a `ws` client: what it does not read, nobody reads. */
const below = (socket: Socket): NetSocket => (socket.socket as unknown as { _socket: NetSocket })._socket

interface Slow {
  readonly socket: Socket
  /** Batches of one fresh claim each, by request id. */
  readonly sent: Claim[]
  readonly closed: boolean
  readonly rounds: number
}

/** Sends within its credit and reads nothing after the first few acks, until it is cut, or has had enough. */
async function sendWithoutReading(server: RunningServer, fresh: () => Claim, filler: readonly Claim[], roundsMax: number): Promise<Slow> {
  const socket = await Socket.open(server.wsUrl)
  const sent: Claim[] = []
  const next = (): Uint8Array => {
    sent.push(fresh())
    return batchOf(sent.length - 1, sent.slice(-1))
  }
  for (let i = 0; i < 5; i++) await socket.ask(next())
  below(socket).pause()
  let closed = false
  below(socket).on('error', () => { closed = true })
  below(socket).on('close', () => { closed = true })
  let rounds = 0
  for (; rounds < roundsMax && !closed; rounds++) {
    const [before] = await scrape(server.url, 'stemedb_acks_total')
    for (let i = 0; i < FRAMES_A_ROUND; i++) {
      socket.socket.send(next())
      socket.socket.send(batchOf(1_000_000, filler))
    }
    const end = systemClock.monoMs() + WAIT_MS_MAX
    while (!closed && (await scrape(server.url, 'stemedb_acks_total'))[0]! < before! + 2 * FRAMES_A_ROUND && systemClock.monoMs() < end) await sleep(5)
  }
  return { socket, sent, closed, rounds }
}

t.test(`${READERS} clients that do not read their acks`, async (t) => {
  t.comment(`seed ${seed}`)
  const server = await serve(t, SEND_BUFFER_BYTES_MAX)
  const claims = await claimSource(seed, systemClock.wallMs() - 1000)
  const filler = Array.from({ length: FILLER_CLAIMS }, () => claims.next())
  const witness = await Socket.open(server.wsUrl)
  t.equal((await witness.ask(batchOf(1, filler))).accepted, FILLER_CLAIMS)
  const residentBefore = residentMiB(server.pid)
  let failures = 0
  let roundsMost = 0
  let resentAsDuplicates = 0
  for (let reader = 0; reader < READERS; reader++) {
    const slow = await sendWithoutReading(server, () => claims.next(), filler, ROUNDS_MAX)
    roundsMost = Math.max(roundsMost, slow.rounds)
    const [closedAsSlow] = await scrape(server.url, 'stemedb_connections_closed_total{reason="slow_reader"}')
    below(slow.socket).resume()
    await within(slow.socket.closed, 5000)
    const read = slow.socket.acks.filter((ack) => ack.requestId < 1_000_000n)
    const gapless = read.length >= 5 && read.every((ack, i) => ack.requestId === BigInt(i))

    const again = await Socket.open(server.wsUrl)
    const stamps = new Map<string, number>()
    let sameStamps = 0
    for (const [i, claim] of slow.sent.entries()) {
      const ack = await again.ask(batchOf(i, [claim]))
      stamps.set(claim.id, ack.accepted === 1 ? ack.firstLsn : ack.outcomes[0]!.lsn)
      if (ack.outcomes[0]?.code === 'duplicate') resentAsDuplicates++
      if (read[i] === undefined || read[i].firstLsn === stamps.get(claim.id)) sameStamps++
    }
    await again.close()
    const found = await readClaims(server.port, [...stamps.keys()])
    const stored = [...stamps].filter(([id, lsn]) => found.get(id)?.lsn === lsn).length
    const whole = slow.closed && closedAsSlow === reader + 1 && gapless && sameStamps === slow.sent.length
      && stored === slow.sent.length && new Set(stamps.values()).size === slow.sent.length
    if (!whole) failures++
    t.ok(whole, `cut after ${slow.rounds} rounds; ${read.length} acks read without a gap; ${stored} of ${slow.sent.length} sent again have one stamp each`, {
      closed: slow.closed, closedAsSlow, gapless, sameStamps, stored, logs: whole ? undefined : server.logs(),
    })
  }
  t.ok(resentAsDuplicates > 0, `${resentAsDuplicates} had been stored, and their acks never read`)
  const grown = residentMiB(server.pid) - residentBefore
  t.ok(grown <= RESIDENT_GROWTH_MIB_MAX, `resident memory grew by ${grown.toFixed(0)} MiB`)
  t.match(await witness.ask(batchOf(2, [claims.next()])), { accepted: 1 }, 'others do not notice')
  await witness.close()

  await t.test('the tooth: with a bound that is far away it is not cut by as much', async (t) => {
    const lax = await serve(t, 256 * MiB)
    const other = await claimSource(seed + 1, systemClock.wallMs() - 1000)
    const known = Array.from({ length: FILLER_CLAIMS }, () => other.next())
    const first = await Socket.open(lax.wsUrl)
    await first.ask(batchOf(1, known))
    await first.close()
    const slow = await sendWithoutReading(lax, () => other.next(), known, roundsMost + 4)
    t.notOk(slow.closed, `still open after ${slow.rounds} rounds: it was the bound that cut the others`)
    below(slow.socket).destroy()
    recordFault({
      id: 'O4', title: 'a client that never reads its acks', trials: READERS, unit: 'slow readers', failures, seed,
      figures: { sentAgainAsDuplicates: resentAsDuplicates, residentGrowthMiB: Math.round(grown) },
      tooth: `a bound of 256 MiB: ${slow.closed ? 'cut all the same' : 'not cut'}`,
    })
  })
})
