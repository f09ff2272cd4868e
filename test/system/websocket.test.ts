import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { claimSource, type Claim, type ClaimSource } from '../support/history.claims.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { Socket, refusedUpgrade } from './socket.ts'

t.setTimeout(240_000)

// The stream protocol through a real socket, with a client that is not ours (`ws`).

const FRAME_BYTES_MAX = 128 * 1024
const CREDIT_BYTES = 192 * 1024

interface Served {
  readonly server: RunningServer
  readonly claims: ClaimSource
}

let seed = 1
async function serve(t: Test, settings: Settings = {}): Promise<Served> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-ws-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({
    dataDir, settings: { signatures: 'optional', walSegmentBytes: 8 * 2 ** 20, groupBytesMax: 2 ** 20, frameBytesMax: FRAME_BYTES_MAX, sessionCreditBytes: CREDIT_BYTES, ...settings },
  })
  t.teardown(() => server.kill9())
  return { server, claims: await claimSource(seed++, Date.now() - 1000) }
}

async function open(t: Test, server: RunningServer): Promise<Socket> {
  const socket = await Socket.open(server.wsUrl)
  t.teardown(() => socket.close())
  return socket
}

const take = (claims: ClaimSource, count: number): Claim[] => Array.from({ length: count }, () => claims.next())
const batch = (requestId: bigint, claims: readonly Claim[], flags = 0): Uint8Array =>
  encodeBatch({ requestId, flags, items: claims.map(({ bytes }) => ({ assertion: bytes })) })

t.test('handshake', async (t) => {
  const { server } = await serve(t)
  const socket = await open(t, server)
  t.equal(socket.socket.protocol, 'stemedb.v1')
  const welcome = socket.welcome!
  t.equal(welcome.protocolVersion(), 1)
  t.equal(welcome.frameBytesMax(), FRAME_BYTES_MAX)
  t.equal(welcome.creditBytes(), CREDIT_BYTES)
  t.equal(welcome.batchAssertionsMax(), 4096)
  t.equal(welcome.signaturesRequired(), false)
  t.equal(welcome.realm(), 'default')
  t.equal(welcome.durableLsn(), 0n)
  t.equal(socket.socket.extensions, '', 'no compression, whatever is offered')
  const many = new Socket(server.wsUrl, ['graphql-ws', 'stemedb.v1'])
  await many.until(() => many.welcome !== undefined)
  t.equal(many.socket.protocol, 'stemedb.v1', 'ours is chosen among several')
  await many.close()
  t.equal(await refusedUpgrade(server.wsUrl, 'stemedb.v9'), 400)
  t.equal(await refusedUpgrade(server.wsUrl, []), 400)
  t.equal(await refusedUpgrade(`ws://127.0.0.1:${server.port}/elsewhere`, 'stemedb.v1'), 404)
})

t.test('a batch, the same again, and a mixture', async (t) => {
  const { server, claims } = await serve(t)
  const socket = await open(t, server)
  const first = take(claims, 10)
  const acked = await socket.ask(batch(7n, first))
  t.match(acked, { requestId: 7n, firstLsn: 1, accepted: 10, outcomes: [] })
  t.equal(acked.refused, undefined)
  t.ok(acked.firstHlc > 0n)
  const again = await socket.ask(batch(8n, first))
  t.match(again, { requestId: 8n, accepted: 0, firstLsn: 0 })
  t.same(again.outcomes, first.map((_, index) => ({ index, code: 'duplicate', lsn: index + 1 })), 'with the LSNs of the originals')
  const fresh = take(claims, 2)
  const mixed = await socket.ask(batch(2n ** 64n - 1n, [first[3]!, fresh[0]!, first[4]!, fresh[1]!]))
  t.match(mixed, { requestId: 2n ** 64n - 1n, accepted: 2, firstLsn: 11 })
  t.same(mixed.outcomes, [{ index: 0, code: 'duplicate', lsn: 4 }, { index: 2, code: 'duplicate', lsn: 5 }])
  const twice = await socket.ask(batch(3n, [...take(claims, 1), ...fresh.slice(0, 1)]))
  t.match(twice, { accepted: 1, firstLsn: 13, outcomes: [{ index: 1, lsn: 11 }] })
  const one = take(claims, 1)[0]!
  const within = await socket.ask(batch(4n, [one, one]))
  t.match(within, { accepted: 1, firstLsn: 14, outcomes: [{ index: 1, code: 'duplicate', lsn: 14 }] }, 'twice in one batch is stored once')
})

t.test('many batches under way: each acked once, LSNs without gap', async (t) => {
  const { server, claims } = await serve(t)
  const sockets = await Promise.all(Array.from({ length: 8 }, () => open(t, server)))
  const perSocket = 100
  for (let i = 0; i < perSocket; i++) for (const socket of sockets) socket.socket.send(batch(BigInt(i), take(claims, 1 + i % 4)))
  await Promise.all(sockets.map((socket) => socket.until(() => socket.acks.length === perSocket)))
  const lsns = new Set<number>()
  for (const socket of sockets) {
    t.same(socket.acks.map((ack) => ack.requestId).sort((a, b) => Number(a - b)), Array.from({ length: perSocket }, (_, i) => BigInt(i)))
    for (const ack of socket.acks) for (let k = 0; k < ack.accepted; k++) lsns.add(ack.firstLsn + k)
  }
  const total = 8 * perSocket * 2.5
  t.equal(lsns.size, total)
  t.equal(Math.max(...lsns), total)
})

t.test('an assertion that is refused does not take its batch with it', async (t) => {
  const { server, claims } = await serve(t, { signatures: 'required' })
  const socket = await open(t, server)
  t.equal(socket.welcome!.signaturesRequired(), true)
  const unsigned = await socket.ask(batch(1n, take(claims, 3)))
  t.equal(unsigned.accepted, 0)
  t.same(unsigned.outcomes.map(({ index, code }) => ({ index, code })), [0, 1, 2].map((index) => ({ index, code: 'signature_missing' })))
  const { server: lenient, claims: others } = await serve(t)
  const second = await open(t, lenient)
  const [a, b] = take(others, 2)
  const wrong = encodeBatch({ requestId: 2n, items: [{ assertion: a!.bytes }, { assertion: b!.bytes, signature: new Uint8Array(64).fill(1) }] })
  const mixed = await second.ask(wrong)
  t.equal(mixed.accepted, 1)
  t.equal(mixed.outcomes.length, 1)
  t.equal(mixed.outcomes[0]!.index, 1)
  t.match(mixed.outcomes[0]!.code, /^signature_|^key_/)
})

t.test('a receipt for whoever asks', async (t) => {
  const { server, claims } = await serve(t)
  const socket = await open(t, server)
  const ack = await socket.ask(batch(5n, take(claims, 4), 1))
  await socket.until(() => socket.receipts.length === 1)
  const receipt = socket.receipts[0]!
  t.equal(receipt.requestId(), 5n)
  t.equal(Number(receipt.firstLsn()), ack.firstLsn)
  t.equal(receipt.accepted(), 4)
  t.equal(receipt.durability(), 1)
})

t.test('credit comes back with the acks, and more than it is an error', async (t) => {
  const { server, claims } = await serve(t)
  const polite = await open(t, server)
  const frame = batch(1n, take(claims, 50))
  await polite.ask(frame)
  t.equal(polite.creditReturned, frame.length)
  const greedy = await open(t, server)
  for (let i = 0; i < 60 && greedy.socket.readyState === greedy.socket.OPEN; i++) greedy.socket.send(batch(BigInt(i), take(claims, 200)))
  const closing = await greedy.ending()
  t.match(greedy.errors, [{ code: 'credit_exceeded' }])
  t.equal(closing.code, 1008)
  t.match(await polite.ask(batch(2n, take(claims, 1))), { accepted: 1 }, 'others do not notice')
})

t.test('frames that are none', async (t) => {
  const { server, claims } = await serve(t)
  const witness = await open(t, server)
  const ends = async (frame: Uint8Array | string, code: string, closeCode: number): Promise<void> => {
    const socket = await Socket.open(server.wsUrl)
    socket.socket.send(frame)
    const closing = await socket.ending()
    t.match(socket.errors, [{ code }], code)
    t.equal(closing.code, closeCode)
  }
  await ends('hello', 'malformed_frame', 1003)
  await ends(Buffer.from('no batch at all'), 'malformed_frame', 1003)
  await ends(new Uint8Array(0), 'malformed_frame', 1003)
  await ends(new Uint8Array(FRAME_BYTES_MAX + 1), 'frame_too_large', 1009)
  const huge = await Socket.open(server.wsUrl)
  huge.socket.send(new Uint8Array(FRAME_BYTES_MAX + 2 * 2 ** 20))
  t.not((await huge.ending()).code, 1000, 'a giant one ends the connection at once')

  const damaged = await open(t, server)
  const good = batch(77n, take(claims, 3))
  const truncated = await damaged.ask(good.subarray(0, good.length - 40))
  t.equal(truncated.refused, 'malformed_frame')
  t.equal(truncated.accepted, 0)
  t.match(await damaged.ask(good), { requestId: 77n, accepted: 3 }, 'and the connection goes on')
  t.match(await damaged.ask(encodeBatch({ requestId: 1n, items: [] })), { refused: 'batch_empty' })
  t.match(await witness.ask(batch(1n, take(claims, 1))), { accepted: 1 })
})

t.test('a thousand damaged batches: each is answered or ends its connection, and others go on', async (t) => {
  const { server, claims } = await serve(t)
  const witness = await open(t, server)
  let answered = 0
  let ended = 0
  let socket = await Socket.open(server.wsUrl)
  for (let i = 0; i < 1000; i++) {
    const frame = batch(BigInt(i), take(claims, 2)).slice()
    // Past the identifier, so that it is a batch to the front and damaged to the verifier.
    for (let k = 0; k <= i % 4; k++) frame[8 + (i * 7919 + k * 104_729) % (frame.length - 8)]! ^= 1 << (i + k) % 8
    const before = socket.acks.length
    socket.socket.send(frame)
    try {
      await socket.until(() => socket.acks.length > before)
      answered++
    } catch {
      ended++
      t.not(socket.errors.length, 0, 'it was told why')
      socket = await Socket.open(server.wsUrl)
    }
  }
  await socket.close()
  t.equal(answered + ended, 1000, `${answered} answered, ${ended} ended`)
  t.match(await witness.ask(batch(1n, take(claims, 1))), { accepted: 1 })
})

t.test('resume: what was not acked is sent again after a reconnect', async (t) => {
  const { server, claims } = await serve(t)
  const first = await Socket.open(server.wsUrl)
  const batches = Array.from({ length: 50 }, () => take(claims, 3))
  batches.forEach((claims, i) => first.socket.send(batch(BigInt(i), claims)))
  await first.until(() => first.acks.length >= 5)
  first.socket.terminate()
  const second = await open(t, server)
  batches.forEach((claims, i) => second.socket.send(batch(BigInt(i), claims)))
  await second.until(() => second.acks.length === 50)
  const known = new Map(first.acks.map((ack) => [ack.requestId, ack.firstLsn]))
  const lsns = new Set<number>()
  for (const ack of second.acks) {
    const firstLsn = ack.accepted > 0 ? ack.firstLsn : ack.outcomes[0]!.lsn
    t.equal(ack.accepted + ack.outcomes.length, 3)
    const before = known.get(ack.requestId)
    if (before !== undefined) t.equal(firstLsn, before, 'the LSN that the first ack named')
    for (let k = 0; k < 3; k++) lsns.add(firstLsn + k)
  }
  t.equal(lsns.size, 150)
})
