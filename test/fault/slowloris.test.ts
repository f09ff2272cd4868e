import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { bystander, describeSights, residentMiB, unnoticed } from '../support/bystander.ts'
import { recordFault } from '../support/fault-record.ts'
import { sleep, trialCount } from '../support/history.trial.ts'
import { Crowd, type Habit } from '../support/plain-sockets.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'

t.setTimeout(280_000)

// Thousands of connections that send a byte now and then, in every place where a node waits for more: all of them are
// closed within seconds, and who sends as usual does not notice.

const PER_HABIT = trialCount(250)
/** uWebSockets gives 10 s in steps of 4; bodies get ingressTimeoutMs. The rest is the noise of a shared machine. */
const LIVED_MS_MAX = 15_000
const NOISE_MS = 5_000
const RESIDENT_GROWTH_MIB_MAX = 200
/** Requests of an ordinary client beside it, over HTTP. */
const POST_EVERY_MS = 100
const POSTS_FAILED_RATIO_MAX = 0.1
const CONTROL_COUNT = 20

const post = (path: string, type: string, length: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\n${length}\r\n\r\n`
const UPGRADE = 'GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: '

/** Bodies are this program's own to watch; what comes before them is uWebSockets'. Those beyond httpRequestsMax are refused at once. */
const BODIES: readonly Habit[] = [
  { name: 'blank lines', head: post('/v1/assert/batch', 'application/x-ndjson', 'Content-Length: 100000'), drop: '\n', everyMs: 1000 },
  { name: 'refused lines', head: post('/v1/assert/batch', 'application/x-ndjson', 'Content-Length: 100000'), drop: '1\n', everyMs: 1000 },
  { name: 'a body', head: post('/v1/assert', 'application/json', 'Content-Length: 1000'), drop: ' ', everyMs: 1000 },
  { name: 'chunks', head: post('/v1/assert', 'application/json', 'Transfer-Encoding: chunked'), drop: '1\r\n \r\n', everyMs: 1000 },
  { name: 'a chunk\'s length', head: post('/v1/assert', 'application/json', 'Transfer-Encoding: chunked'), drop: '0', everyMs: 1000 },
  { name: 'a line', head: post('/v1/assert/batch', 'application/x-ndjson', 'Content-Length: 100000'), drop: 'a', everyMs: 1000 },
  { name: 'a frame', head: post('/v1/assert/batch', 'application/vnd.stemedb.batch', 'Content-Length: 100000'), drop: 'a', everyMs: 1000 },
]
const HEADS: readonly Habit[] = [
  { name: 'nothing', head: '' },
  { name: 'a header', head: 'GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ', drop: 'a', everyMs: 5000 },
  { name: 'half an upgrade', head: UPGRADE, drop: 'a', everyMs: 5000 },
  { name: 'a header after a request', head: 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX-A: ', drop: 'a', everyMs: 5000 },
  { name: 'a body to no path', head: post('/nowhere', 'application/json', 'Content-Length: 60000'), drop: 'a', everyMs: 1000 },
]

async function serve(t: Test, settings: Settings = {}): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-loris-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', ...settings } })
  t.teardown(() => server.kill9())
  return server
}

interface Posts {
  sent: number
  failed: number
}

/** An ordinary writer over HTTP, one small request at a time. */
async function postAlong(server: RunningServer, stopped: () => boolean): Promise<Posts> {
  const posts: Posts = { sent: 0, failed: 0 }
  while (!stopped()) {
    const body = { subject: 'loris', predicate: 'is', object: posts.sent, confidence: 1, agent: `58${'66'.repeat(31)}` }
    const status = await fetch(`${server.url}/v1/assert`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000),
    }).then(async (response) => (await response.arrayBuffer(), response.status), () => 0)
    posts.sent++
    if (status !== 201) posts.failed++
    await sleep(POST_EVERY_MS)
  }
  return posts
}

t.test(`${PER_HABIT} connections with each of ${BODIES.length + HEADS.length} habits`, async (t) => {
  const server = await serve(t)
  // A node that gives bodies ten minutes: what the test must find open.
  const control = await serve(t, { ingressTimeoutMs: 600_000 })
  const before = await bystander(server.url)
  const residentBefore = residentMiB(server.pid)

  const startMs = systemClock.monoMs()
  const crowds: Crowd[] = []
  const controls: Crowd[] = []
  t.teardown(() => { for (const crowd of [...crowds, ...controls]) crowd.closeAll() })
  for (const habit of BODIES) controls.push(await Crowd.open(control.port, CONTROL_COUNT, habit))
  for (const habit of [...BODIES, ...HEADS]) crowds.push(await Crowd.open(server.port, PER_HABIT, habit))
  const openedMs = systemClock.monoMs() - startMs
  let stopped = false
  const posting = postAlong(server, () => stopped)
  const during = await bystander(server.url)
  const residentGrowth = residentMiB(server.pid) - residentBefore
  const deadlineMs = startMs + openedMs + LIVED_MS_MAX + NOISE_MS
  while (crowds.some((crowd) => crowd.open > 0) && systemClock.monoMs() < deadlineMs) await sleep(50)
  stopped = true
  const posts = await posting

  let survivors = 0
  let longestMs = 0
  for (const crowd of crowds) {
    const longest = Math.max(0, ...crowd.livedMs)
    longestMs = Math.max(longestMs, longest)
    survivors += crowd.open
    t.ok(crowd.open === 0 && longest <= LIVED_MS_MAX + NOISE_MS, `${crowd.habit.name}: ${crowd.livedMs.length} closed, after at most ${(longest / 1000).toFixed(1)} s (${[...crowd.said].slice(0, 3).join('; ')})`, { open: crowd.open })
    t.equal(crowd.connected, PER_HABIT)
  }
  t.ok(unnoticed(before, during), describeSights(before, during))
  t.ok(posts.sent > 10 && posts.failed <= posts.sent * POSTS_FAILED_RATIO_MAX, `${posts.failed} of ${posts.sent} ordinary requests failed`)
  t.ok(residentGrowth <= RESIDENT_GROWTH_MIB_MAX, `resident memory grew by ${residentGrowth.toFixed(0)} MiB`)

  const caught = controls.every((crowd) => crowd.open === CONTROL_COUNT)
  t.ok(caught, `the tooth: with ten minutes for a body, ${controls.reduce((sum, crowd) => sum + crowd.open, 0)} of ${controls.length * CONTROL_COUNT} were found open`)
  recordFault({
    id: 'O3', title: 'connections that send a byte now and then', trials: crowds.length * PER_HABIT, unit: 'connections', failures: survivors,
    figures: {
      longestSeconds: Number((longestMs / 1000).toFixed(1)), othersP99RatioDuring: Number((during.p99Ms / before.p99Ms).toFixed(2)),
      postsFailed: posts.failed, postsSent: posts.sent, residentGrowthMiB: Math.round(residentGrowth),
    },
    tooth: `ten minutes for a body: ${caught ? 'found open' : 'NOT found open'}`,
  })
})
