import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createConnection, type Socket } from 'node:net'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { Welcome } from '../../../src/fbs/stemedb/welcome.ts'
import { StreamClient, batchOf, claim, startFront } from './front-under-test.ts'

const KiB = 1024

t.test('welcome, a batch, its ack, and the credit back', async (t) => {
  const { ws, pipeline } = await startFront(t, { realm: 'tests' })
  const client = await StreamClient.open(ws)
  t.equal(client.socket.protocol, 'stemedb.v1')
  const welcome = Welcome.getRootAsWelcome(new ByteBuffer(client.frames[0]!))
  t.strictSame(client.identifiers(), ['SWEL'])
  t.equal(welcome.realm(), 'tests')
  const frame = batchOf(77n, [claim(), claim({ note: 'refuse:signature_invalid' }), claim()])
  client.send(frame)
  await client.until(() => client.acks().length === 1)
  const ack = client.acks()[0]!
  t.equal(ack.requestId(), 77n)
  t.equal(ack.firstLsn(), 1n)
  t.equal(ack.accepted(), 2)
  t.equal(ack.refused(), 0)
  t.strictSame([ack.outcomes(0)!.index(), ack.outcomes(0)!.code()], [1, ERROR_CODES.signature_invalid.number])
  t.equal(client.creditReturned(), frame.length)
  client.send(frame)
  await client.until(() => client.acks().length === 2)
  const again = client.acks()[1]!
  t.equal(again.accepted(), 0, 'a resend stores nothing')
  t.strictSame([again.outcomes(0)!.code(), again.outcomes(0)!.lsn()], [ERROR_CODES.duplicate.number, 1n])
  t.equal(pipeline.stored.size, 2)
  await client.close()
})

t.test('acks of one drain share a frame, up to a bound', async (t) => {
  const { ws, pipeline } = await startFront(t)
  pipeline.held = true
  const client = await StreamClient.open(ws)
  const other = await StreamClient.open(ws)
  for (let i = 0; i < 300; i++) client.send(batchOf(BigInt(i), [claim()]))
  other.send(batchOf(9999n, [claim()]))
  while (pipeline.waiting.length < 301) await new Promise(setImmediate)
  pipeline.release()
  await client.until(() => client.acks().length === 300)
  await other.until(() => other.acks().length === 1)
  t.equal(client.frames.length, 1 + 2, '256 and 44')
  t.strictSame(client.acks().map((ack) => ack.requestId()), Array.from({ length: 300 }, (_, i) => BigInt(i)), 'in the order of their commit')
  t.equal(other.acks()[0]!.requestId(), 9999n)
  await Promise.all([client.close(), other.close()])
})

t.test('beyond what the process may open, a socket is closed as soon as it comes', async (t) => {
  const { ws, http, port } = await startFront(t, {}, { filesMax: 131 })
  const plain = async (): Promise<Socket> => {
    const socket = createConnection(port, '127.0.0.1').on('error', () => {}).resume()
    await once(socket, 'connect')
    return socket
  }
  for (let round = 0; round < 20; round++) {
    const client = await StreamClient.open(ws)
    const kept = [await plain(), await plain()]
    const refused = await plain()
    await once(refused, 'close')
    client.send(batchOf(1n, [claim()]))
    await client.until(() => client.acks().length === 1)
    t.notOk(kept.some((socket) => socket.closed), 'those that were there do not notice')
    const ended = kept.map((socket) => once(socket.destroy(), 'close'))
    await Promise.all([client.close(), ...ended])
    // The ends stand in the kernel: the front, in this process, takes them with the next look at its sockets.
    for (let turn = 0; turn < 3; turn++) await nextTurn()
  }
  t.equal((await fetch(`${http}/livez`)).status, 200, 'and room comes back with each that ends')
})

t.test('upgrades that are refused', async (t) => {
  const { http, ws, front } = await startFront(t, { sessionsMax: 1 })
  const refusal = (protocols: string[]): Promise<{ status: number, body: string, retryAfter: string | undefined }> => new Promise((resolve) => {
    const client = new StreamClient(ws, protocols)
    client.socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => { body += chunk.toString() })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, retryAfter: response.headers['retry-after'] }))
    })
  })
  for (const protocols of [[], ['stemedb.v2'], ['mqtt', 'xstemedb.v1']]) {
    const { status, body } = await refusal(protocols)
    t.equal(status, 400)
    t.match(JSON.parse(body), { code: 'protocol_unsupported', type: '/problems/protocol_unsupported', status: 400, retryable: false })
  }
  const first = await StreamClient.open(ws)
  const { status, body, retryAfter } = await refusal(['stemedb.v1'])
  t.equal(status, 503)
  t.match(JSON.parse(body), { code: 'connections_exhausted', retryable: true })
  t.equal(retryAfter, '1')
  await first.close()
  const second = await StreamClient.open(ws)
  t.pass('the place is free again')
  const plain = await fetch(`${http}/v1/stream`)
  t.equal(plain.status, 400)
  t.match(await plain.json(), { code: 'protocol_unsupported' })
  await second.close()
  front.close()
})

t.test('what a connection must not send: an error frame, then the close, and nobody else is disturbed', async (t) => {
  const { ws, faults } = await startFront(t, { frameBytesMax: 64 * KiB, sessionCreditBytes: 64 * KiB })
  const bystander = await StreamClient.open(ws)
  const cases: [string, Uint8Array | string, string, number][] = [
    ['text', 'hello', 'malformed_frame', 1003],
    ['an unknown identifier', Buffer.from('\x08\0\0\0SXXX\0\0\0\0\0\0\0\0'), 'malformed_frame', 1003],
    ['nothing', new Uint8Array(0), 'malformed_frame', 1003],
    ['an ack', Buffer.from('\x08\0\0\0SACK\0\0\0\0\0\0\0\0'), 'malformed_frame', 1003],
    ['a frame that is too large', new Uint8Array(64 * KiB + 1), 'frame_too_large', 1009],
  ]
  for (const [what, data, name, code] of cases) {
    const client = await StreamClient.open(ws)
    client.send(data)
    await client.ended()
    t.match(client.error(), { name, code: ERROR_CODES[name as 'malformed_frame'].number }, what)
    t.strictSame(client.closed, { code, reason: name }, what)
  }
  const giant = await StreamClient.open(ws)
  giant.send(new Uint8Array(4 * 1024 * KiB))
  await giant.ended()
  t.pass('a giant one is cut off')
  bystander.send(batchOf(1n, [claim()]))
  await bystander.until(() => bystander.acks().length === 1)
  t.equal(faults.length, 0)
  await bystander.close()
})

t.test('credit', async (t) => {
  const { ws, pipeline } = await startFront(t, { frameBytesMax: 64 * KiB, sessionCreditBytes: 64 * KiB })
  pipeline.held = true
  const client = await StreamClient.open(ws)
  t.equal(Welcome.getRootAsWelcome(new ByteBuffer(client.frames[0]!)).creditBytes(), 64 * KiB)
  const batch = (i: number): Uint8Array => batchOf(BigInt(i), [claim({ object: { kind: 'text', value: 'x'.repeat(30 * KiB) } })])
  client.send(batch(1))
  client.send(batch(2))
  while (pipeline.waiting.length < 2) await new Promise(setImmediate)
  pipeline.release()
  await client.until(() => client.acks().length === 2)
  client.send(batch(3))
  client.send(batch(4))
  client.send(batch(5))
  await client.ended()
  t.match(client.error(), { name: 'credit_exceeded' })
  t.strictSame(client.closed, { code: 1008, reason: 'credit_exceeded' })
  t.equal(pipeline.waiting.length, 2, 'the third was not taken')
})

t.test('refusals come back as acks, at once, with the credit', async (t) => {
  const { ws, pipeline } = await startFront(t)
  const client = await StreamClient.open(ws)
  const refusedWith = async (): Promise<unknown> => {
    const before = client.acks().length
    const frame = batchOf(5n, [claim()])
    const creditBefore = client.creditReturned()
    client.send(frame)
    await client.until(() => client.acks().length > before)
    const ack = client.acks().at(-1)!
    t.equal(client.creditReturned() - creditBefore, frame.length)
    t.equal(ack.requestId(), 5n)
    t.equal(ack.accepted(), 0)
    return [ack.refused(), ack.retryAfterMs() > 0, (ack.detail() ?? '').length > 0]
  }
  pipeline.full = true
  t.strictSame(await refusedWith(), [ERROR_CODES.overloaded.number, true, true])
  pipeline.full = false
  for (const code of ['disk_full', 'read_only', 'starting', 'shutting_down'] as const) {
    pipeline.writable = code
    t.strictSame(await refusedWith(), [ERROR_CODES[code].number, true, true])
  }
  pipeline.writable = 'yes'
  pipeline.refuseBatches = 'durability_failed'
  t.strictSame(await refusedWith(), [ERROR_CODES.durability_failed.number, true, true])
  pipeline.refuseBatches = undefined
  client.send(batchOf(6n, [claim()]))
  await client.until(() => client.acks().at(-1)!.requestId() === 6n)
  t.equal(client.acks().at(-1)!.accepted(), 1, 'and then it goes on')
  await client.close()
})

t.test('the rate of an address', async (t) => {
  const { ws } = await startFront(t, { ratePerSecond: 1 })
  const client = await StreamClient.open(ws)
  // A debt that no stall of the machine pays off before the test is over.
  client.send(batchOf(1n, Array.from({ length: 500 }, () => claim())))
  client.send(batchOf(2n, [claim()]))
  const other = await StreamClient.open(ws)
  other.send(batchOf(3n, [claim()]))
  await client.until(() => client.acks().length === 2)
  await other.until(() => other.acks().length === 1)
  const byId = new Map([...client.acks(), ...other.acks()].map((ack) => [ack.requestId(), ack]))
  t.equal(byId.get(1n)!.accepted(), 500)
  t.equal(byId.get(2n)!.refused(), ERROR_CODES.rate_limited.number)
  t.ok(byId.get(2n)!.retryAfterMs() > 1000, 'the debt of the first is paid first')
  t.equal(byId.get(3n)!.refused(), ERROR_CODES.rate_limited.number, 'another connection of the same address')
  await Promise.all([client.close(), other.close()])
})

t.test('acks and receipts of a connection that has gone reach nobody', async (t) => {
  const { ws, pipeline } = await startFront(t)
  pipeline.held = true
  const first = await StreamClient.open(ws)
  first.send(batchOf(1n, [claim()]))
  while (pipeline.waiting.length < 1) await new Promise(setImmediate)
  const { slot, generation } = pipeline.waiting[0]!
  first.socket.terminate()
  await first.ended()
  const second = await StreamClient.open(ws)
  second.send(batchOf(2n, [claim()]))
  while (pipeline.waiting.length < 2) await new Promise(setImmediate)
  t.equal(pipeline.waiting[1]!.slot, slot, 'the slot is used again')
  t.not(pipeline.waiting[1]!.generation, generation)
  pipeline.release()
  pipeline.handler.receipt(slot, generation, Buffer.from('\x08\0\0\0SRCPlate'))
  pipeline.handler.receipt(slot, pipeline.handler === undefined ? 0 : generation + 1, Buffer.from('\x08\0\0\0SRCPmine'))
  await second.until(() => second.identifiers().includes('SRCP'))
  t.strictSame(second.acks().map((ack) => ack.requestId()), [2n])
  t.strictSame(second.identifiers(), ['SWEL', 'SACK', 'SRCP'], 'the ack stands before the receipt')
  t.ok(Buffer.from(second.frames.at(-1)!).toString().endsWith('mine'))
  await second.close()
})

t.test('a reader that does not read is closed; others go on', async (t) => {
  const { ws, pipeline } = await startFront(t, { sendBufferBytesMax: 64 * KiB, sessionCreditBytes: 256 * 1024 * KiB })
  const slow = await StreamClient.open(ws)
  const fine = await StreamClient.open(ws)
  pipeline.held = true
  slow.send(batchOf(1n, [claim()]))
  while (pipeline.waiting.length < 1) await new Promise(setImmediate)
  const { slot, generation } = pipeline.waiting[0]!
  slow.socket.pause()
  const receipt = new Uint8Array(32 * KiB)
  // Until the kernel's buffers are full and 64 KiB wait; far below the count after which this would be a leak.
  let sent = 0
  for (; sent < 2000; sent++) {
    pipeline.handler.receipt(slot, generation, receipt)
    if (sent % 16 === 0) await new Promise(setImmediate)
  }
  slow.socket.resume()
  await slow.ended()
  t.ok(slow.frames.length < 1500, `only ${slow.frames.length} of ${sent} went out`)
  t.equal(slow.closed!.code, 1006)
  pipeline.held = false
  fine.send(batchOf(2n, [claim()]))
  await fine.until(() => fine.acks().length === 1)
  await fine.close()
})

t.test('random and damaged frames: each is answered or refused, and nobody else notices', async (t) => {
  const { ws, faults, pipeline } = await startFront(t)
  const random = seededRandom(20_260_101)
  const bystander = await StreamClient.open(ws)
  const good = batchOf(3n, [claim(), claim()])
  for (let round = 0; round < 150; round++) {
    const damaged = round % 3 === 0
      ? Uint8Array.from({ length: random.u32() % 200 }, () => random.u32() & 255)
      : good.slice(0, good.length - (round % 3 === 1 ? random.u32() % good.length : 0))
    if (damaged.length > 0) for (let i = 0; i < 4; i++) damaged[random.u32() % damaged.length] = random.u32() & 255
    const client = await StreamClient.open(ws)
    client.send(damaged)
    await client.until(() => client.acks().length > 0 || client.closed !== undefined)
    client.socket.terminate()
  }
  t.ok(pipeline.submitCount > 20, 'some came as far as the pipeline')
  bystander.send(batchOf(4n, [claim()]))
  await bystander.until(() => bystander.acks().length === 1)
  t.equal(bystander.acks()[0]!.accepted(), 1)
  t.equal(faults.length, 0)
  await bystander.close()
})

t.test('a thousand idle connections, and one that works', async (t) => {
  const { ws } = await startFront(t)
  const clients: StreamClient[] = []
  for (let i = 0; i < 10; i++) {
    clients.push(...await Promise.all(Array.from({ length: 100 }, () => StreamClient.open(ws))))
  }
  const last = clients.at(-1)!
  last.send(batchOf(1n, [claim()]))
  await last.until(() => last.acks().length === 1)
  t.equal(clients.length, 1000)
  t.ok(clients.every((client) => client.closed === undefined))
  for (const client of clients) client.socket.terminate()
  await Promise.all(clients.map((client) => client.ended()))
})

t.test('drain: no new work, owed acks go out, then 1012', async (t) => {
  const { ws, http, front, pipeline, port } = await startFront(t)
  pipeline.held = true
  const client = await StreamClient.open(ws)
  client.send(batchOf(1n, [claim()]))
  while (pipeline.waiting.length < 1) await new Promise(setImmediate)
  const drained = front.drain()
  client.send(batchOf(2n, [claim()]))
  await client.until(() => client.acks().length === 1)
  t.strictSame([client.acks()[0]!.requestId(), client.acks()[0]!.refused()], [2n, ERROR_CODES.shutting_down.number])
  t.equal(client.closed, undefined, 'still open: an ack is owed')
  const connection = await new Promise<string>((resolve) => {
    const socket = createConnection(port, '127.0.0.1')
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    socket.on('connect', () => { socket.destroy(); resolve('connected') })
  })
  t.equal(connection, 'ECONNREFUSED')
  await t.rejects(fetch(`${http}/livez`))
  pipeline.release()
  await client.ended()
  await drained
  t.strictSame(client.acks().map((ack) => [ack.requestId(), ack.refused()]), [[2n, ERROR_CODES.shutting_down.number], [1n, 0]])
  t.strictSame(client.closed, { code: 1012, reason: 'shutting_down' })
})

t.test('a drain that is owed an ack for ever ends at its timeout', async (t) => {
  const { ws, front, pipeline } = await startFront(t, { drainTimeoutMs: 100 })
  pipeline.held = true
  const client = await StreamClient.open(ws)
  client.send(batchOf(1n, [claim()]))
  while (pipeline.waiting.length < 1) await new Promise(setImmediate)
  await front.drain()
  await client.ended()
  t.equal(client.closed!.code, 1012)
  t.strictSame(client.acks(), [])
})

t.test('a pipeline that throws costs one connection', async (t) => {
  const { ws, pipeline, faults } = await startFront(t)
  const client = await StreamClient.open(ws)
  const submit = pipeline.submit
  pipeline.submit = () => { throw new Error('bug') }
  client.send(batchOf(1n, [claim()]))
  await client.ended()
  t.equal(client.closed!.code, 1011)
  t.equal(client.error()!.name, 'internal')
  t.equal(faults.length, 1)
  pipeline.submit = submit
  const other = await StreamClient.open(ws)
  other.send(batchOf(2n, [claim()]))
  await other.until(() => other.acks().length === 1)
  await other.close()
})

t.test('a port in use, and a certificate that is none', async (t) => {
  const { port } = await startFront(t)
  await t.rejects(startFront(t, { apiPort: port }), { code: 'config_invalid', message: /port \d+: the port is in use;.*apiPort/ })
  await t.rejects(startFront(t, { bindAddress: '192.0.2.1' }), { code: 'config_invalid', message: /no interface of this machine has that address; correct bindAddress/ })
  await t.rejects(startFront(t, { tlsCertFile: '/nowhere/cert.pem', tlsKeyFile: '/nowhere/key.pem' }), { code: 'config_invalid' })
  const dir = t.testdir({ 'cert.pem': 'no certificate', 'key.pem': 'no key' })
  await t.rejects(startFront(t, { tlsCertFile: join(dir, 'cert.pem'), tlsKeyFile: join(dir, 'key.pem') }), { code: 'config_invalid' })
})

t.test('TLS', async (t) => {
  const dir = t.testdir()
  const files = { tlsCertFile: join(dir, 'cert.pem'), tlsKeyFile: join(dir, 'key.pem') }
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-keyout', files.tlsKeyFile, '-out', files.tlsCertFile,
  ], { stdio: 'ignore' })
  const { ws } = await startFront(t, files)
  t.ok(ws.startsWith('wss:'))
  const client = await StreamClient.open(ws)
  client.send(batchOf(1n, [claim()]))
  await client.until(() => client.acks().length === 1)
  t.equal(Acks.getRootAsAcks(new ByteBuffer(client.frames[1]!)).acks(0)!.accepted(), 1)
  await client.close()
})
