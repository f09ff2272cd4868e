import { createPublicKey, verify } from 'node:crypto'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { concatBytes, toHex } from '../../../src/base/bytes.ts'
import { connect, createSigner, newSecretKey, type AssertionDraft, type ConnectOptions, type StemeClient } from '../../../src/client/client.ts'
import { defaultPlatform } from '../../../src/client/platform.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import type { Assertion } from '../../../src/record/assertion.ts'
import { recordOf, sourceHashOf } from '../../../src/record/records.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BatchView } from '../../../src/wire/batch.codec.ts'
import { answer, FakeNode, encodeError, type ReceivedBatch } from './fake-node.ts'

const draft = (n: number): AssertionDraft => ({ subject: `a/${n}`, predicate: 'p', object: n, confidence: 0.5 })
const drafts = (count: number): AssertionDraft[] => Array.from({ length: count }, (_, i) => draft(i))

function streamFrom<T>(items: readonly T[]): ReadableStream<T> {
  const left = [...items]
  return new ReadableStream<T>({
    pull(controller) {
      const item = left.shift()
      if (item === undefined) controller.close()
      else controller.enqueue(item)
    },
  })
}

/** A node, and clients of it that are gone after the test. */
async function setting(t: Test, shape: Partial<FakeNode['welcome']> = {}): Promise<{
  node: FakeNode, open: (options?: ConnectOptions) => Promise<StemeClient>
}> {
  const node = await FakeNode.start()
  Object.assign(node.welcome, shape)
  const clients: StemeClient[] = []
  t.teardown(async () => {
    for (const client of clients) client.abort()
    await node.stop()
  })
  const signer = await createSigner(newSecretKey())
  const open = async (options: ConnectOptions = {}): Promise<StemeClient> => {
    const client = await connect(node.url, { WebSocket, signer, reconnect: { baseMs: 1, capMs: 5 }, ...options })
    clients.push(client)
    return client
  }
  return { node, open }
}

function verifies(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]), format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

t.test('one assertion is acked, twice is a duplicate', async (t) => {
  const { open } = await setting(t)
  const client = await open()
  const one = await client.assert({ ...draft(1), assertedAtMs: 5 })
  t.match(one, { lsn: 1, duplicate: false })
  t.equal(one.id.length, 32)
  const again = await client.assert({ ...draft(1), assertedAtMs: 5 })
  t.match(again, { lsn: 1, duplicate: true, id: one.id })
  t.match(await client.get(one.id), { lsn: 1 })
  t.equal(await client.get('00'.repeat(32)), undefined)
  await t.rejects(client.get('00'), { code: 'parameter_invalid' })
})

t.test('a read by id waits no longer than a query, and takes nothing for an answer that is none', async (t) => {
  const { node, open } = await setting(t)
  const client = await open({ queryTimeoutMs: 50 })
  node.onRequest = () => undefined
  await t.rejects(client.get('00'.repeat(32)), { code: 'timeout' })
  for (const [status, body] of [[404, '<html>'], [502, '<html>'], [200, { id: 1 }]] as const) {
    node.onRequest = (_url, response) => answer(response, status, body)
    await t.rejects(client.get('00'.repeat(32)), { code: 'unreachable', details: { status } }, `${status}`)
  }
})

t.test('calls of one turn share a batch and its signature', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  const acked = await Promise.all(drafts(20).map((d) => client.assert(d)))
  t.strictSame(acked.map((a) => a.lsn), drafts(20).map((_, i) => i + 1))
  t.equal(node.batches.length, 1)
  const { bytes, ids } = node.batches[0]!
  const view = new BatchView().reset(bytes)
  const agent = bytes.slice(view.agentOffset, view.agentOffset + 32)
  const message = batchMessage(realmHashOf('default'), 20, rootOfIds(concatBytes(...ids)))
  t.ok(verifies(agent, message, bytes.slice(view.signatureOffset, view.signatureOffset + 64)))
})

t.test('each signed singly, or none', async (t) => {
  const { node, open } = await setting(t, { signaturesRequired: false })
  const client = await open({ sign: 'single' })
  await client.assertMany(drafts(3))
  const { bytes, ids } = node.batches[0]!
  const view = new BatchView().reset(bytes)
  t.equal(view.signatureOffset, -1)
  for (let i = 0; i < 3; i++) {
    const at = view.itemSignatureOffset(i)
    const { agent } = decodeAssertion(bytes.slice(view.itemOffset(i), view.itemOffset(i) + view.itemLength(i)))
    t.ok(verifies(agent, singleMessage(realmHashOf('default'), ids[i]!), bytes.slice(at, at + 64)))
  }
  const unsigned = await connect(node.url, { WebSocket })
  t.teardown(() => unsigned.abort())
  await t.rejects(unsigned.assert(draft(1)), { code: 'field_missing' }, 'somebody must be the agent')
  await unsigned.assert({ ...draft(1), agent: new Uint8Array(32).fill(9) })
  const last = new BatchView().reset(node.batches.at(-1)!.bytes)
  t.strictSame([last.signatureOffset, last.itemSignatureOffset(0)], [-1, -1])
})

t.test('refusals: of one, of all, of the client itself', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  await t.rejects(client.assert({ ...draft(1), confidence: 2 }), { code: 'field_invalid' })
  t.equal(node.batches.length, 0, 'nothing was sent')
  const [ack] = await client.assertMany([draft(1), { ...draft(2), subject: '' }, draft(3)])
  t.match(ack!.results, [{ ok: true, lsn: 1 }, { ok: false, id: undefined, error: { code: 'field_invalid' } }, { ok: true, lsn: 2 }])
  t.match(ack, { accepted: 2, duplicates: 0, refused: 1, offset: 0 })
  node.onBatch = (batch) => node.refuse(batch, 'signature_invalid')
  await t.rejects(client.assert(draft(9)), { code: 'signature_invalid' })
  const [all] = await client.assertMany([draft(9), draft(10)])
  t.match(all, { accepted: 0, refused: 2 })
})

t.test('an overloaded node gets the batch again, later', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  let refusals = 3
  node.onBatch = (batch) => (refusals-- > 0 ? node.refuse(batch, 'overloaded', 1) : node.ack(batch))
  t.match(await client.assert(draft(1)), { lsn: 1, duplicate: false })
  t.equal(node.batches.length, 4)
  t.equal(new Set(node.batches.map((b) => b.requestId)).size, 1, 'under the same request id')
  node.onBatch = (batch) => node.refuse(batch, 'disk_full', 1)
  const impatient = await open({ refusalRetriesMax: 1 })
  await t.rejects(impatient.assert(draft(2)), { code: 'disk_full' }, 'but not for ever')
})

t.test('a lost connection: what is unacked is sent again, nothing is lost', async (t) => {
  const { node, open } = await setting(t)
  const states: string[] = []
  const client = await open({ onState: ({ state }) => states.push(state), batch: { assertionsMax: 10 } })
  let seen = 0
  node.onBatch = (batch) => {
    seen++
    // Stored but not acked; or neither.
    if (seen === 3) return node.cut()
    if (seen === 6) {
      node.ack({ ...batch, socket: { send: () => undefined } as unknown as ReceivedBatch['socket'] })
      return node.cut()
    }
    node.ack(batch)
  }
  node.credit = (batch) => batch.bytes.length
  const acks = await client.assertMany(drafts(100))
  t.equal(acks.flatMap((ack) => ack.results).filter((r) => r.ok).length, 100)
  t.equal(node.stored.size, 100)
  t.ok(acks.reduce((sum, ack) => sum + ack.duplicates, 0) > 0, 'what had been stored before the cut came back as duplicate')
  t.strictSame(acks.map((ack) => ack.offset), Array.from({ length: acks.length }, (_, i) => acks.slice(0, i).reduce((sum, a) => sum + a.results.length, 0)))
  t.ok(states.filter((s) => s === 'down').length >= 2 && states.at(-1) === 'up', states.join())
  await client.close()
})

t.test('credit is kept and the source is read no faster than acks come', async (t) => {
  const { node, open } = await setting(t, { creditBytes: 4000 })
  const client = await open({ batch: { assertionsMax: 4 }, pendingAssertionsMax: 50 })
  let produced = 0
  let held: ReceivedBatch[] = []
  node.onBatch = (batch) => void held.push(batch)
  async function* source(): AsyncGenerator<AssertionDraft> {
    for (let i = 0; i < 400; i++) {
      produced++
      yield draft(i)
    }
  }
  const acks: number[] = []
  const done = (async () => {
    for await (const ack of client.stream(source())) acks.push(ack.results.length)
  })()
  const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 5))
  for (let i = 0; i < 20 && held.length === 0; i++) await turn()
  await turn()
  t.ok(produced <= 60, `${produced} read with 50 pending allowed`)
  t.ok(node.unackedBytesMax <= 4000, `${node.unackedBytesMax} bytes unacked`)
  node.onBatch = (batch) => node.ack(batch)
  for (const batch of held) node.ack(batch)
  held = []
  await done
  t.equal(acks.reduce((a, b) => a + b, 0), 400)
  t.ok(node.unackedBytesMax <= 4000, `${node.unackedBytesMax} bytes unacked`)
  t.equal(node.stored.size, 400)
})

t.test('assert() refuses beyond its bound, and says what to do', async (t) => {
  const { node, open } = await setting(t)
  const client = await open({ pendingAssertionsMax: 5 })
  node.onBatch = () => undefined
  const pending = drafts(5).map((d) => client.assert(d))
  await t.rejects(client.assert(draft(6)), { code: 'overloaded', message: /stream\(\)/ })
  client.abort()
  for (const one of pending) await t.rejects(one, { code: 'unreachable' })
})

t.test('Web streams: a sink, and acks for assertions', async (t) => {
  const { node, open } = await setting(t)
  const client = await open({ batch: { assertionsMax: 10 } })
  await streamFrom(drafts(35)).pipeTo(client.writable())
  t.equal(node.stored.size, 35, 'closing waited for all acks')
  let results = 0
  const reader = streamFrom(drafts(25).map((d) => ({ ...d, note: 'x' }))).pipeThrough(client.transform()).getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) results += next.value.results.length
  t.equal(results, 25)
  node.onBatch = (batch) => node.refuse(batch, 'signature_invalid')
  await t.rejects(streamFrom(drafts(3)).pipeTo(client.writable()), { code: 'signature_invalid' })
  const acks: number[] = []
  await streamFrom(drafts(3)).pipeTo(client.writable({ onAck: (ack) => acks.push(ack.refused) }))
  t.equal(acks.reduce((a, b) => a + b, 0), 3)
})

t.test('a source that fails, and a reader that stops, end the stream', async (t) => {
  const { open } = await setting(t)
  const client = await open()
  async function* broken(): AsyncGenerator<AssertionDraft> {
    yield draft(1)
    throw new Error('source broke')
  }
  await t.rejects((async () => { for await (const ack of client.stream(broken())) t.equal(ack.accepted, 1) })(), { message: 'source broke' })
  let endless = 0
  let isReturned = false
  async function* forever(): AsyncGenerator<AssertionDraft> {
    try {
      for (;;) yield draft(endless++)
    } finally {
      isReturned = true
    }
  }
  for await (const ack of client.stream(forever())) {
    t.ok(ack.accepted > 0)
    break
  }
  for (let i = 0; i < 100 && !isReturned; i++) await new Promise((resolve) => setTimeout(resolve, 1))
  t.ok(isReturned, 'the source was told')
})

t.test('receipts on demand', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  const [plain] = await client.assertMany([draft(0)])
  t.equal(plain!.receipt, undefined)
  const [ack] = await client.assertMany(drafts(3).map((d) => ({ ...d, note: 'n' })), { receipts: true })
  const receipt = await ack!.receipt!
  t.equal(toHex(receipt.batchRoot), toHex(rootOfIds(concatBytes(...receipt.ids))))
  t.equal(receipt.ids.length, 3)
  t.equal(client.pendingAssertions, 0)
  // Acked, and the connection gone before the receipt: asked for again.
  let isFirst = true
  node.onBatch = (batch) => {
    if (!isFirst) return node.ack(batch)
    isFirst = false
    node.ack({ ...batch, wantsReceipt: false })
    setTimeout(() => node.cut(), 5)
  }
  const [late] = await client.assertMany([draft(77)], { receipts: true })
  t.match(late, { accepted: 1 }, 'the first ack stands')
  t.equal((await late!.receipt!).ids.length, 1)
  node.onBatch = (batch) => node.ack({ ...batch, wantsReceipt: false })
  const hasty = await open({ receiptTimeoutMs: 20 })
  const [none] = await hasty.assertMany([draft(78)], { receipts: true })
  await t.rejects(none!.receipt!, { code: 'timeout' })
})

t.test('close waits for acks; what comes afterwards is refused', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  node.onBatch = (batch) => void setTimeout(() => node.ack(batch), 20)
  const late = client.assert(draft(1))
  await client.close()
  t.match(await late, { lsn: 1 })
  t.equal(client.state, 'closed')
  await t.rejects(client.assert(draft(2)), { code: 'unreachable' })
  await t.rejects(client.assertMany([draft(2)]), { code: 'unreachable' })
  const stuck = await open({ closeTimeoutMs: 20 })
  node.onBatch = () => undefined
  const never = stuck.assert(draft(3))
  await t.rejects(stuck.close(), { code: 'unreachable', message: /1 assertions/ })
  await t.rejects(never, { code: 'unreachable' })
})

t.test('servers that can not be worked with', async (t) => {
  const { node, open } = await setting(t)
  await t.rejects(connect('ws://127.0.0.1:1', { WebSocket }), { code: 'unreachable' }, 'nobody there')
  await t.rejects(connect(node.url, { WebSocket }), { code: 'signature_missing' })
  await t.rejects(open({ realm: 'other' }), { code: 'parameter_invalid', message: /realm/ })
  node.welcome.protocolVersion = 2
  await t.rejects(open(), { code: 'protocol_unsupported' })
  node.welcome.protocolVersion = 1
  node.onConnection = () => undefined
  await t.rejects(open({ connectTimeoutMs: 20 }), { code: 'timeout' })
  node.onConnection = (socket) => socket.send('hello')
  await t.rejects(open(), { code: 'malformed_frame' })
  node.onConnection = (socket) => socket.send(encodeError('connections_exhausted'), () => socket.close())
  await t.rejects(open(), { code: 'connections_exhausted' })
})

t.test('a hostile server ends the client with an error, not the process', async (t) => {
  const { node, open } = await setting(t)
  const frames: ((batch: ReceivedBatch) => void)[] = [
    ({ socket }) => socket.send(new Uint8Array([1, 2, 3])),
    ({ socket }) => socket.send(encodeError('malformed_frame')),
    (batch) => node.ack({ ...batch, requestId: 999n }),
    (batch) => node.ack({ ...batch, ids: [...batch.ids, ...batch.ids] }),
  ]
  for (const hostile of frames) {
    const client = await open()
    node.onBatch = hostile
    await t.rejects(client.assert(draft(1)), { code: 'unreachable' }, 'the outcome is unknown')
    t.equal(client.state, 'failed')
    await t.rejects(client.close(), { code: 'unreachable' })
  }
})

t.test('gives up after attemptsMax', async (t) => {
  const { node, open } = await setting(t)
  const delays: number[] = []
  const client = await open({
    reconnect: { baseMs: 8, capMs: 20, attemptsMax: 4 },
    // Delays are cut short; the time that a connection has to come up is not.
    platform: { ...defaultPlatform, random: () => 0, timer: (ms, callback) => defaultPlatform.timer(ms > 1000 ? ms : Math.min(ms, 5), callback) },
    onState: (event) => { if (event.state === 'down') delays.push(event.retryInMs) },
  })
  node.onBatch = () => undefined
  const lost = client.assert(draft(1))
  await node.stop()
  await t.rejects(lost, { code: 'unreachable' })
  t.strictSame(delays, [4, 8, 10], 'half of 8, 16, 20')
  t.equal(client.state, 'failed')
})

t.test('records: each is what its builder makes, signed and acked like any assertion', async (t) => {
  const { node, open } = await setting(t)
  const client = await open()
  const written = (): Assertion[] => node.batches.flatMap(({ bytes }) => {
    const view = new BatchView().reset(bytes)
    return Array.from({ length: view.count }, (_, i) => decodeAssertion(bytes.slice(view.itemOffset(i), view.itemOffset(i) + view.itemLength(i))))
  })
  const id = new Uint8Array(32).fill(3)
  await client.vote(toHex(id), -0.5, { note: 'no', assertedAtMs: 7, confidence: 0.5 })
  t.match(written().at(-1), { subject: `steme://assertion/${toHex(id)}`, predicate: 'vote', object: { value: -0.5 }, note: 'no', assertedAtMs: 7, confidence: 0.5 })
  const { id: epoch } = await client.declareEpoch({ name: 'x' })
  await client.declareEpoch({ name: 'y', supersedes: epoch, reason: 'r' })
  t.strictSame(recordOf(written().at(-1)!), { kind: 'epoch', name: 'y', supersedes: epoch, reason: 'r', withdraws: undefined, isWithdrawn: false })
  await client.declareEpoch({ name: 'x', withdraws: toHex(epoch) })
  t.match(recordOf(written().at(-1)!), { kind: 'epoch', withdraws: epoch })
  await client.reportOutcome({ agent: 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK', accurate: false, assertion: id }, { withdraw: true })
  t.match(recordOf(written().at(-1)!), { kind: 'outcome', accurate: false, judged: id, isWithdrawn: true })
  const both = await client.alias('a', 'rfc://1')
  t.match(written().slice(-2).map((one) => recordOf(one)), [{ subject: 'a', alias: 'rfc://1' }, { subject: 'rfc://1', alias: 'a' }])
  t.equal(both.length, 2)
  const content = 'é'.repeat(40_000)
  const { hash, acks } = await client.registerSource({ title: 'T', content })
  t.strictSame([toHex(hash), acks.length], [toHex(sourceHashOf(content)), 3])
  t.equal(written().slice(-2).map(({ object }) => object.value).join(''), content)

  await t.rejects(client.vote(id, 2), { code: 'record_invalid' })
  await t.rejects(client.vote('xy', 1), { code: 'parameter_invalid' })
  await t.rejects(client.vote(id.subarray(1), 1), { code: 'record_invalid' })
  await t.rejects(client.reportOutcome({ agent: 'me', accurate: true }), { code: 'parameter_invalid' })
  await t.rejects(client.alias('a', 'a'), { code: 'record_invalid' })
  await t.rejects(client.assert({ subject: 'steme://x', predicate: 'p', object: 1, confidence: 1 }), { code: 'record_invalid' })
})
