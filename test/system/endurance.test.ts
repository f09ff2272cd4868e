import { connect, type Socket as NetSocket } from 'node:net'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { claimSource, type ClaimSource } from '../support/history.claims.ts'
import { startServer, SUBPROTOCOL, within, WS_PATH, type RunningServer, type Settings } from '../support/server.ts'
import { get } from './curl.ts'
import { Socket } from './socket.ts'

t.setTimeout(280_000)

// Those who take up room and give nothing: idle, slow, silent, half-open. Memory stays bounded and others do not notice.

async function serve(t: Test, settings: Settings = {}): Promise<{ server: RunningServer, claims: ClaimSource }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-endure-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 16 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return { server, claims: await claimSource(99, Date.now() - 1000) }
}

const residentMiB = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024
const one = (claims: ClaimSource, requestId: bigint): Uint8Array => encodeBatch({ requestId, items: [{ assertion: claims.next().bytes }] })

/** The sum of a counter over its labels, or of those lines that contain `label`. */
async function metric(server: RunningServer, name: string, label = ''): Promise<number> {
  const { body } = await get(`${server.url}/metrics`)
  return body.split('\n').filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** A WebSocket by hand, that can stop reading and never answers a ping. */
function rawUpgrade(t: Test, server: RunningServer): Promise<NetSocket> {
  const socket = connect(server.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined) // its end is what the test waits for
  socket.write(`GET ${WS_PATH} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n`
    + `sec-websocket-key: ${Buffer.alloc(16, 7).toString('base64')}\r\nsec-websocket-protocol: ${SUBPROTOCOL}\r\n\r\n`)
  return new Promise((resolve) => socket.once('data', () => resolve(socket)))
}

/** A masked binary frame; the mask is zero, so that the payload stands as it is. */
function clientFrame(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(14)
  head[0] = 0x82
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(BigInt(payload.length), 2)
  return Buffer.concat([head, payload])
}

/** 48 KB of outcomes each: more than all socket buffers of both sides hold. */
const FRAMES_MAX = 800
const FRAMES_AT_ONCE = 20

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const closedWithin = (socket: NetSocket, msMax: number): Promise<boolean> =>
  within(new Promise<boolean>((resolve) => { if (socket.destroyed) resolve(true); else socket.once('close', () => resolve(true)) }), msMax).then((closed) => closed === true)

t.test('a thousand idle connections', async (t) => {
  const { server, claims } = await serve(t)
  const before = residentMiB(server.pid)
  const idle = await Promise.all(Array.from({ length: 1000 }, () => Socket.open(server.wsUrl)))
  const worker = await Socket.open(server.wsUrl)
  for (let i = 0; i < 200; i++) t.equal((await worker.ask(one(claims, BigInt(i)))).accepted, 1)
  const grown = residentMiB(server.pid) - before
  t.ok(grown < 64, `${grown.toFixed(1)} MiB more for all of them`)
  t.ok(await metric(server, 'stemedb_connections') >= 1001)
  await Promise.all([...idle, worker].map((socket) => socket.close()))
  for (let i = 0; i < 50 && await metric(server, 'stemedb_connections') > 0; i++) await sleep(50)
  t.equal(await metric(server, 'stemedb_connections'), 0, 'and none is left over')
})

t.test('connections beyond sessionsMax are refused, the others stay', async (t) => {
  const { server, claims } = await serve(t, { sessionsMax: 3 })
  const sockets = await Promise.all(Array.from({ length: 3 }, () => Socket.open(server.wsUrl)))
  const answer = await get(`${server.url}${WS_PATH}`, '-H', 'upgrade: websocket', '-H', 'connection: upgrade', '-H', 'sec-websocket-version: 13',
    '-H', `sec-websocket-key: ${Buffer.alloc(16).toString('base64')}`, '-H', `sec-websocket-protocol: ${SUBPROTOCOL}`)
  t.equal(answer.status, 503)
  t.match(answer.json(), { code: 'connections_exhausted' })
  t.match(await sockets[0]!.ask(one(claims, 1n)), { accepted: 1 })
  await Promise.all(sockets.map((socket) => socket.close()))
})

t.test('who does not read loses the connection, not the others their memory', async (t) => {
  const { server, claims } = await serve(t, { sendBufferBytesMax: 64 * 1024, sessionCreditBytes: 64 * 2 ** 20 })
  const witness = await Socket.open(server.wsUrl)
  // Duplicates are answered one by one: a few bytes in are many out.
  const items = Array.from({ length: 2000 }, () => ({ assertion: claims.next().bytes }))
  const frame = encodeBatch({ requestId: 1n, items })
  t.match(await witness.ask(frame), { accepted: 2000 })
  const before = residentMiB(server.pid)
  const slow = await rawUpgrade(t, server)
  slow.pause()
  const wire = clientFrame(frame)
  const closedFor = (): Promise<number> => metric(server, 'stemedb_connections_closed_total', 'slow_reader')
  const acked = await metric(server, 'stemedb_acks_total')
  let sent = 0
  while (sent < FRAMES_MAX && await closedFor() === 0) {
    // Within the credit, as a client that reads would be: what is acked is known from the metrics only.
    for (let i = 0; i < FRAMES_AT_ONCE; i++) slow.write(wire)
    sent += FRAMES_AT_ONCE
    for (let i = 0; i < 500 && await metric(server, 'stemedb_acks_total') - acked < sent && await closedFor() === 0; i++) await sleep(10)
  }
  t.equal(await closedFor(), 1, `closed after ${sent} frames`)
  slow.resume()
  t.ok(await closedWithin(slow, 5000))
  const grown = residentMiB(server.pid) - before
  t.ok(grown < 128, `${grown.toFixed(1)} MiB more`)
  t.match(await witness.ask(one(claims, 2n)), { accepted: 1 })
  await witness.close()
})

t.test('silent and half-open ones are closed', async (t) => {
  const { server, claims } = await serve(t, { idleTimeoutSeconds: 8, ingressTimeoutMs: 1000 })
  const witness = await Socket.open(server.wsUrl)
  const deaf = await rawUpgrade(t, server) // upgraded, and never a pong
  const headless = connect(server.port, '127.0.0.1') // half a request line
  const stuck = connect(server.port, '127.0.0.1') // a body that stops
  for (const socket of [headless, stuck]) {
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    socket.resume()
  }
  deaf.resume()
  headless.write('GET /livez HT')
  stuck.write('POST /v1/assert HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{')
  const [deafClosed, headlessClosed, stuckClosed] = await Promise.all([closedWithin(deaf, 25_000), closedWithin(headless, 25_000), closedWithin(stuck, 25_000)])
  t.ok(deafClosed, 'a WebSocket without pongs')
  t.ok(headlessClosed, 'half a request')
  t.ok(stuckClosed, 'half a body')
  t.match(await witness.ask(one(claims, 1n)), { accepted: 1 }, 'who answers pings stays')
  await witness.close()
})

t.test('bytes that are no HTTP', async (t) => {
  const { server, claims } = await serve(t)
  const witness = await Socket.open(server.wsUrl)
  for (const junk of ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc', 'GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n', `GET / HTTP/1.1\r\n${'x: y\r\n'.repeat(5000)}\r\n`, '\0'.repeat(5000)]) {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.resume()
    socket.write(Buffer.from(junk, 'latin1'))
    socket.end()
    t.ok(await closedWithin(socket, 15_000), `${JSON.stringify(junk.slice(0, 20))} is answered or cut`)
  }
  t.match(await witness.ask(one(claims, 1n)), { accepted: 1 })
  await witness.close()
})
