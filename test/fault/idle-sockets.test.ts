import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { bystander, cpuSeconds, describeSights, residentMiB, scrape, unnoticed } from '../support/bystander.ts'
import { recordFault } from '../support/fault-record.ts'
import { claimSource } from '../support/history.claims.ts'
import { sleep, trialCount } from '../support/history.trial.ts'
import { holdsWithin } from '../support/holds-within.ts'
import { Crowd, type Habit } from '../support/plain-sockets.ts'
import { buildRoot } from '../support/root.ts'
import { startServer, type RunningServer, type ServerOptions } from '../support/server.ts'
import { requireTool } from '../support/tools.ts'
import { Socket } from '../system/socket.ts'

t.setTimeout(600_000)

// Thousands of connections that do nothing cost little memory and no time; beyond the bounds a new one is refused, and
// those that are there do not notice. Where files run out, the node neither spins nor loses its log.

/** 9,800 idle WebSockets and 100 slow readers where nothing else is said; this process may have 20,000 files. */
const IDLE = trialCount(9800)
const SLOW = 100
const RESIDENT_GROWTH_MIB_MAX = 200
const BEYOND = 50
const OPENED_MS_MAX = 30_000

const upgrade = (tail = ''): string =>
  'GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
  + `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: stemedb.v1\r\n\r\n${tail}`
const IDLE_WEBSOCKET: Habit = { name: 'an idle WebSocket', head: upgrade() }
const NOTHING: Habit = { name: 'nothing', head: '' }

async function start(t: Test, options: Partial<ServerOptions>): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-idle-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, ...options, settings: { signatures: 'optional', ...options.settings } })
  t.teardown(() => server.kill9())
  return server
}

t.test(`${IDLE} idle WebSockets and ${SLOW} slow readers`, async (t) => {
  // Room for the others, and for nobody beyond them.
  const others = 8
  const server = await start(t, { settings: { sessionsMax: IDLE + SLOW + others } })
  const before = await bystander(server.url)
  const residentBefore = residentMiB(server.pid)
  const idle = await Crowd.open(server.port, IDLE, IDLE_WEBSOCKET)
  t.teardown(() => idle.closeAll())
  const slow = await Crowd.open(server.port, SLOW, IDLE_WEBSOCKET)
  t.teardown(() => slow.closeAll())
  for (const socket of slow.sockets) socket.pause()
  t.ok(await holdsWithin(OPENED_MS_MAX, async () => (await scrape(server.url, 'stemedb_connections '))[0]! >= IDLE + SLOW), `${IDLE + SLOW} are open`)
  t.strictSame([...idle.said].filter((line) => line.startsWith('HTTP')), ['HTTP/1.1 101 Switching Protocols'])
  const during = await bystander(server.url)
  const grown = residentMiB(server.pid) - residentBefore
  t.ok(grown <= RESIDENT_GROWTH_MIB_MAX, `resident memory grew by ${grown.toFixed(0)} MiB`)
  t.ok(unnoticed(before, during), describeSights(before, during))

  const witnesses = await Promise.all(Array.from({ length: others }, () => Socket.open(server.wsUrl)))
  const refused = await Crowd.open(server.port, BEYOND, IDLE_WEBSOCKET)
  t.ok(await holdsWithin(OPENED_MS_MAX, () => refused.said.size > 0))
  t.strictSame([...refused.said], ['HTTP/1.1 503 Service Unavailable'], `${BEYOND} more are refused`)
  refused.closeAll()
  const claims = await claimSource(1, systemClock.wallMs() - 1000)
  for (const witness of witnesses) {
    t.match(await witness.ask(encodeBatch({ requestId: 1n, items: [{ assertion: claims.next().bytes }] })), { accepted: 1 }, 'who was there goes on')
    await witness.close()
  }
  t.equal(idle.open, IDLE, 'and none of the idle ones was closed')
  recordFault({
    id: 'O2', title: 'idle connections and slow readers', trials: IDLE + SLOW, unit: 'connections', failures: IDLE - idle.open,
    figures: { residentGrowthMiB: Math.round(grown), othersP99RatioDuring: Number((during.p99Ms / before.p99Ms).toFixed(2)) },
    tooth: 'without the bound of connections: see the limit of open files, in the same file',
  })
})

const FILES_MAX = 400
const FILES_CROWD = 600
const IDLE_CPU_RATIO_MAX = 0.5
const WATCH_MS = 3000

/** The part of a core that a node takes while more sockets want in than it may have files. */
async function crowded(t: Test, preload: readonly string[]): Promise<{ cpuRatio: number, refused: number, accepted: number, asked: number }> {
  const server = await start(t, {
    wrapper: ['prlimit', `--nofile=${FILES_MAX}:${FILES_MAX}`], preload, settings: { walSegmentBytes: 2 ** 20, frameBytesMax: 2 ** 18, groupBytesMax: 2 ** 18 },
  })
  const witness = await Socket.open(server.wsUrl)
  const crowd = await Crowd.open(server.port, FILES_CROWD, NOTHING)
  await sleep(500)
  const refused = crowd.livedMs.length
  // The mutant may end at once, for want of a file.
  const cpuNow = (): number => existsSync(`/proc/${server.pid}`) ? cpuSeconds(server.pid) : Number.NaN
  const cpuBefore = cpuNow()
  const startMs = systemClock.monoMs()
  await sleep(WATCH_MS)
  const cpuRatio = (cpuNow() - cpuBefore) / ((systemClock.monoMs() - startMs) / 1000)
  // Enough for several segments of the log, each of which is a file to open.
  const claims = await claimSource(2, systemClock.wallMs() - 1000)
  const asked = 24
  let accepted = 0
  try {
    for (let i = 0; i < asked; i++) {
      const ack = await witness.ask(encodeBatch({ requestId: BigInt(i), items: Array.from({ length: 400 }, () => ({ assertion: claims.next().bytes })) }))
      if (ack.accepted === 400) accepted++
    }
  } catch {
    // The mutant may have ended: what was accepted counts.
  }
  crowd.closeAll()
  witness.socket.terminate()
  await server.kill9()
  return { cpuRatio, refused, accepted, asked }
}

t.test(`${FILES_CROWD} connections to a node that may open ${FILES_MAX} files`, async (t) => {
  if (!requireTool(t, 'prlimit')) return
  const real = await crowded(t, [])
  t.ok(real.refused >= FILES_CROWD - FILES_MAX, `${real.refused} were closed as they came`)
  t.ok(real.cpuRatio < IDLE_CPU_RATIO_MAX, `it idles: ${(real.cpuRatio * 100).toFixed(0)} % of a core`)
  t.equal(real.accepted, real.asked, 'and the log goes on')
  const mutant = await crowded(t, [pathToFileURL(join(buildRoot, 'test', 'fault', 'mutants', 'unlimited-files.js')).href])
  const caught = mutant.refused === 0 || mutant.accepted < mutant.asked
  t.ok(caught, `the tooth: without the bound ${mutant.refused} are closed, ${(mutant.cpuRatio * 100).toFixed(0)} % of a core, ${mutant.accepted} of ${mutant.asked} batches accepted`)
  recordFault({
    id: 'O2', title: 'more connections than files', trials: FILES_CROWD, unit: 'connections', failures: real.asked - real.accepted,
    figures: { closedAtOnce: real.refused, cpuPercent: Math.round(real.cpuRatio * 100), cpuPercentOfMutant: Math.round(mutant.cpuRatio * 100) },
    tooth: `no bound: ${caught ? 'caught' : 'NOT caught'}`,
  })
})

const SILENT_TLS = 100
/** uWebSockets gives 10 s, in steps of 4; the rest is noise. */
const SILENT_MS_MAX = 20_000

t.test(`${SILENT_TLS} TLS handshakes that never begin`, async (t) => {
  if (!requireTool(t, 'openssl', 'curl')) return
  const dir = t.testdir()
  const files = { tlsCertFile: join(dir, 'cert.pem'), tlsKeyFile: join(dir, 'key.pem') }
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', files.tlsKeyFile, '-out', files.tlsCertFile, '-days', '2', '-subj', '/CN=localhost'], { stdio: 'ignore' })
  const server = await start(t, { settings: files })
  const crowd = await Crowd.open(server.port, SILENT_TLS, NOTHING)
  const half = await Crowd.open(server.port, SILENT_TLS, { name: 'half a hello', head: '\x16\x03\x01' })
  t.teardown(() => { crowd.closeAll(); half.closeAll() })
  t.ok(await holdsWithin(SILENT_MS_MAX, () => crowd.open + half.open === 0), `${crowd.open + half.open} are left after ${(Math.max(...crowd.livedMs, ...half.livedMs) / 1000).toFixed(1)} s`)
  t.match(execFileSync('curl', ['-sk', `https://127.0.0.1:${server.port}/livez`]).toString(), /ok/, 'others are served')
})
