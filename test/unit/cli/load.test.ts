import { createPublicKey, verify } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeFromCompressedBase64 } from 'hdr-histogram-js'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { isDbError } from '../../../src/base/errors.ts'
import { isAcks, readAcks, type FastAck } from '../../../src/cli/load/acks-reader.ts'
import { EXIT } from '../../../src/base/exit-codes.ts'
import { LoadRun, runLoad, type LoadOptions, type LoadProgress } from '../../../src/cli/load/load.ts'
import { FrameParser, MESSAGE_BYTES_MAX, frameOf, headerBytesOf } from '../../../src/cli/load/raw-ws.ts'
import { IDS_PER_MESSAGE, ReadBackConnection } from '../../../src/cli/load/read-back.ts'
import { Schedule, TICK_MS_MIN } from '../../../src/cli/load/schedule.ts'
import { PatchedSource, PreparedSource } from '../../../src/cli/load/source.ts'
import { FrameMaker, writeDigits, type TemplateOptions } from '../../../src/cli/load/template.ts'
import { parseCount, parseDuration } from '../../../src/cli/values.ts'
import { nodeUrlsOf } from '../../../src/client/urls.ts'
import { nodeSigner } from '../../../src/cli/node-signer.ts'
import { runCli } from '../../../src/cli/program.ts'
import { batchMessage, realmHashOf, singleMessage } from '../../../src/merkle/signed-message.ts'
import { rootOfIds } from '../../../src/merkle/tree.ts'
import { assertionIdOf, initHash } from '../../../src/record/claim.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { BatchView } from '../../../src/wire/batch.codec.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'
import { FakeNode, encodeAcks } from '../client/fake-node.ts'
import { run, testConsole } from './test-console.ts'

const signer = nodeSigner(new Uint8Array(32).fill(1))
const realmHash = realmHashOf('default')
const RUN_ID = '0123456789abcdef'
const options = (batch: number, sign: TemplateOptions['sign'] = 'none', recordBytes = 300): TemplateOptions =>
  ({ runId: RUN_ID, batch, sign, agent: signer.publicKey, recordBytes, assertedAtMs: 1_795_000_000_000 })

t.before(() => initHash())

function verifies(message: Uint8Array, signature: Uint8Array): boolean {
  const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), signer.publicKey]), format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

/** The ids of a Batch by the ordinary decoder. */
function idsOf(payload: Uint8Array): Uint8Array[] {
  const view = new BatchView().reset(payload)
  return Array.from({ length: view.count }, (_, i) =>
    assertionIdOf(decodeAssertion(payload.slice(view.itemOffset(i), view.itemOffset(i) + view.itemLength(i)))))
}

t.test('frames by overwriting are what the codecs would have made, and all different', async (t) => {
  for (const [batch, recordBytes] of [[1, 300], [3, 300], [20, 300], [9, 1500]] as const) {
    const maker = new FrameMaker(options(batch, 'none', recordBytes))
    t.ok(Math.abs(maker.recordBytes - recordBytes) <= 8, `${maker.recordBytes} bytes`)
    const seen = new Set<string>()
    for (const index of [0, 1, 2, 7, 8, 1000, 2 ** 33]) {
      const frame = new Uint8Array(maker.frameBytes)
      maker.write(frame, 0, index)
      const payload = frame.slice(headerBytesOf(maker.payloadBytes))
      t.equal(verifyBuffer('Batch', payload), 0)
      t.equal(new BatchView().reset(payload).requestId, BigInt(index))
      const ids = new Uint8Array(32 * batch)
      maker.idsInto(ids, index)
      const expected = idsOf(payload)
      t.equal(toHex(ids), expected.map(toHex).join(''), `ids of frame ${index}, ${batch} a frame`)
      for (const id of expected) seen.add(toHex(id))
    }
    t.equal(seen.size, 7 * batch)
  }
})

t.test('digits differ for every number', async (t) => {
  const seen = new Set<string>()
  const bytes = new Uint8Array(12)
  for (let n = 0; n < 200_000; n++) {
    writeDigits(bytes, 0, n)
    seen.add(Buffer.from(bytes).toString('latin1'))
  }
  t.equal(seen.size, 200_000)
  writeDigits(bytes, 0, 2 ** 32)
  t.match(Buffer.from(bytes).toString('latin1'), /^00010{8}$/)
})

t.test('prepared frames carry signatures that verify', async (t) => {
  for (const sign of ['batch', 'single'] as const) {
    const maker = new FrameMaker(options(5, sign))
    const source = new PreparedSource(maker)
    for (let i = 0; i < 3; i++) source.prepareOne(signer, realmHash)
    const run = source.take(10)!
    t.match(run, { firstIndex: 0, count: 3 })
    t.equal(source.take(1), undefined)
    for (let k = 0; k < run.count; k++) {
      const payload = run.bytes.slice(k * maker.frameBytes + headerBytesOf(maker.payloadBytes), (k + 1) * maker.frameBytes)
      t.equal(verifyBuffer('Batch', payload), 0)
      const view = new BatchView().reset(payload)
      const ids = idsOf(payload)
      const signatureAt = (at: number): Uint8Array => payload.slice(at, at + 64)
      if (sign === 'batch') t.ok(verifies(batchMessage(realmHash, 5, rootOfIds(Buffer.concat(ids))), signatureAt(view.signatureOffset)))
      else ids.forEach((id, i) => t.ok(verifies(singleMessage(realmHash, id), signatureAt(view.itemSignatureOffset(i)))))
    }
  }
})

t.test('slabs are used again only when they have been written', async (t) => {
  const maker = new FrameMaker(options(1))
  const source = new PatchedSource(maker, 5)
  const first = source.take(2)!
  const copy = first.bytes.slice()
  const second = source.take(2)!
  t.strictSame(first.bytes, copy)
  t.not(second.bytes.buffer, first.bytes.buffer)
  first.release!()
  const third = source.take(9)!
  t.equal(third.bytes.buffer, first.bytes.buffer)
  t.match(third, { firstIndex: 4, count: 1 })
  t.equal(source.take(1), undefined)
})

t.test('WebSocket messages, however the bytes are cut', async (t) => {
  const message = fc.uint8Array({ maxLength: 300 })
  fc.assert(fc.property(fc.array(message, { maxLength: 8 }), fc.integer({ min: 1, max: 50 }), fc.boolean(), (messages, cut, fragmented) => {
    const frames = messages.flatMap((bytes) => {
      if (!fragmented) return [serverFrame(bytes, 2, true)]
      const middle = bytes.length >> 1
      return [serverFrame(bytes.subarray(0, middle), 2, false), serverFrame(new Uint8Array(1), 9, true), serverFrame(bytes.subarray(middle), 0, true)]
    })
    const stream = Buffer.concat(frames)
    const got: Uint8Array[] = []
    let pings = 0
    const parser = new FrameParser({ message: (bytes) => void got.push(bytes.slice()), ping: () => void pings++, closed: () => undefined })
    // As a socket reads: into one buffer, over what it read before.
    const buffer = Buffer.alloc(cut)
    for (let at = 0; at < stream.length; at += cut) {
      const count = stream.copy(buffer, 0, at, at + cut)
      parser.push(buffer.subarray(0, count))
    }
    if (Buffer.concat(got).compare(Buffer.concat(messages)) !== 0 || got.length !== messages.length) throw new Error('other messages came out')
    if (fragmented && pings !== messages.length) throw new Error('pings in between')
  }))
  t.equal(frameOf(new Uint8Array(70_000)).length, 70_014)
  t.equal(frameOf(new Uint8Array(200)).length, 208)
})

function serverFrame(payload: Uint8Array, opcode: number, final: boolean): Uint8Array {
  const head = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255]
  return Buffer.concat([Uint8Array.of((final ? 128 : 0) | opcode, ...head), payload])
}

t.test('a server that does not speak WebSocket is refused', async (t) => {
  const wrong: Record<string, Uint8Array> = {
    masked: Uint8Array.of(0x82, 0x81, 0, 0, 0, 0, 1),
    compressed: Uint8Array.of(0xc2, 0),
    'reserved opcode': Uint8Array.of(0x83, 0),
    'continuation of nothing': Uint8Array.of(0x80, 0),
    'message inside a fragmented one': Uint8Array.of(0x02, 1, 0, 0x82, 0),
    'too long': Uint8Array.of(0x82, 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((s) => ((MESSAGE_BYTES_MAX + 1) >> s) & 255)),
  }
  for (const [name, bytes] of Object.entries(wrong)) {
    const parser = new FrameParser({ message: () => undefined, ping: () => undefined, closed: () => undefined })
    t.throws(() => parser.push(bytes), { code: 'malformed_frame' }, name)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    const parser = new FrameParser({ message: () => undefined, ping: () => undefined, closed: () => undefined })
    try {
      parser.push(bytes)
    } catch (error) {
      if (!isDbError(error)) throw error
    }
  }))
})

t.test('acks are read as the generated code reads them, and never out of bounds', async (t) => {
  const frame = encodeAcks([
    { requestId: 2n ** 40n + 3n, firstLsn: 77, accepted: 5, outcomes: [{ index: 2, code: 1, lsn: 9 }, { index: 4, code: 21 }] },
    { requestId: 5n, refused: 'overloaded', retryAfterMs: 50 },
  ], 123)
  const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const seen: FastAck[] = []
  t.ok(isAcks(view(frame)))
  t.equal(readAcks(view(frame), (ack) => seen.push({ ...ack })), 123)
  t.match(seen, [
    { requestId: 2 ** 40 + 3, firstLsn: 77, accepted: 5, refused: 0, outcomeCount: 2 },
    { requestId: 5, refused: 30, retryAfterMs: 50, outcomeCount: 0 },
  ])
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const flipped = frame.slice()
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    let count = 0
    try {
      readAcks(view(flipped), () => void count++)
    } catch (error) {
      if (!isDbError(error) || error.code !== 'malformed_frame') throw error
    }
    if (count > frame.length) t.fail('read more acks than there are bytes')
  }
})

t.test('an open loop is due at times that do not depend on the server', async (t) => {
  fc.assert(fc.property(fc.double({ min: 0.5, max: 50_000, noNaN: true }), fc.nat(100_000), (perSecond, index) => {
    const schedule = new Schedule(1000, perSecond, 3_600_000)
    const due = schedule.dueMs(index)
    const ideal = 1000 + (index * 1000) / perSecond
    if (due < ideal - 1e-3 || due > ideal + schedule.tickMs + 1e-3) throw new Error(`due ${due} for ${ideal}`)
    if (index >= schedule.framesMax) return
    if (schedule.dueCount(due + 1e-4) <= index) throw new Error('not counted when due')
    if (schedule.dueCount(due - schedule.tickMs / 2) > index) throw new Error('counted before it was due')
  }))
  const schedule = new Schedule(0, 20_000, 1000)
  t.equal(schedule.tickMs, TICK_MS_MIN)
  t.equal(schedule.framesMax, 20_000)
  t.strictSame([schedule.dueCount(-1), schedule.dueCount(0), schedule.dueCount(0.25), schedule.dueCount(1e9)], [0, 1, 6, 20_000])
})

async function fakeNode(t: Test): Promise<FakeNode> {
  const node = await FakeNode.start()
  node.welcome.signaturesRequired = false
  t.teardown(() => node.stop())
  return node
}

const small: Omit<LoadOptions, 'url'> = { connections: 2, batch: 4, window: 2, durationMs: 200, sign: 'batch', prepareAssertions: 4000 }

t.test('closed loop: window kept, everything acked and found again', async (t) => {
  const node = await fakeNode(t)
  const phases = new Set<string>()
  const report = await runLoad({ ...small, url: node.url, assertionsMax: 400, check: true, checkConnections: 3, durationMs: 10_000, onProgress: (p: LoadProgress) => phases.add(p.phase) })
  t.match(report, {
    loop: 'closed', sent: 400, accepted: 400, duplicates: 0, refused: 0, unacked: 0, exhausted: true, highestLsn: 400, connectionErrors: [],
    check: { read: 400, found: 400, missing: 0, failed: 0, missingIds: [] }, latency: { count: 100 },
  })
  t.equal(node.stored.size, 400)
  t.ok(node.unackedBytesMax <= 2 * report.frameBytes, 'two frames a connection')
  t.ok(report.acceptedPerSecond > 0 && report.latency.p50Ms <= report.latency.p99Ms && report.latency.p99Ms <= report.latency.maxMs)
  t.equal(decodeFromCompressedBase64(report.histogram).totalCount, 100)
  t.ok(phases.has('prepare'))
  const again = await runLoad({ ...small, url: node.url, assertionsMax: 40, runId: report.runId, secretKey: new Uint8Array(32).fill(2) })
  t.equal(again.duplicates, 0, 'another agent, other ids')
  const given = { ...small, url: node.url, assertionsMax: 40, runId: RUN_ID }
  t.match(await runLoad(given), { accepted: 40, duplicates: 0, refusalLatency: { count: 0 }, retryAfterMsMin: null })
  t.match(await runLoad(given), { accepted: 0, duplicates: 40 }, 'a given run id alone makes the same assertions again')
})

t.test('a number of assertions: exactly that, or it is said why not', async (t) => {
  const node = await fakeNode(t)
  const args = ['load', '--url', node.url, '--connections', '1', '--duration', '20s', '--sign', 'none']
  const few = await run([...args, '--batch', '256', '--assertions', '10'])
  t.equal(few.code, 0)
  t.equal(node.stored.size, 10)
  t.notMatch(few.outLines.join('\n'), /note/)
  const uneven = await run([...args, '--batch', '4', '--assertions', '11'])
  t.equal(node.stored.size, 10 + 8)
  t.match(uneven.outLines.join('\n'), /8 of the 11 of --assertions were sent: every frame has 4/)
  const json = await run([...args, '--batch', '4', '--assertions', '12', '--json'])
  t.match(JSON.parse(json.outLines[0]!), { sent: 12, assertionsMax: 12, batch: 4 })
  t.equal((await run([...args, '--assertions', '0'])).code, EXIT.usage)
  const short = await run(['load', '--url', node.url, '--connections', '1', '--batch', '4', '--duration', '20s', '--assertions', '400', '--prepare', '40'])
  t.match(short.outLines.join('\n'), /the prepared frames ran out/)
})

t.test('reading back: what is there, what is not, and who hangs up', async (t) => {
  const node = await fakeNode(t)
  const ids = Array.from({ length: IDS_PER_MESSAGE }, (_, i) => new Uint8Array(32).fill(i + 1))
  ids.forEach((id, i) => { if (i % 3 === 0) node.stored.set(toHex(id), i + 1) })
  const wanted = ids.map((_, i) => (i % 3 === 0 ? 'found' : 'missing'))
  const connection = new ReadBackConnection()
  t.strictSame(await connection.ask(ids), ids.map(() => 'failed'), 'nobody was asked')
  await connection.open(nodeUrlsOf(node.url))
  t.strictSame(await connection.ask(ids), wanted)
  t.strictSame(await connection.ask(ids.slice(0, 7)), wanted.slice(0, 7), 'a message of fewer')
  t.strictSame(await connection.ask(ids.toReversed()), wanted.toReversed(), 'in the order in which they were asked for')
  const cut = connection.ask(ids)
  node.cut()
  t.strictSame(await cut, ids.map(() => 'failed'))
  t.equal(connection.isOpen, false)
})

t.test('duplicates, refusals, what is missing and what never comes back', async (t) => {
  const node = await fakeNode(t)
  const secretKey = new Uint8Array(32).fill(5)
  let count = 0
  node.onBatch = (batch) => {
    count++
    if (count === 3) return node.refuse(batch, 'overloaded', 1)
    if (count === 4) {
      return batch.socket.send(encodeAcks([{ requestId: batch.requestId, firstLsn: 500, accepted: 3, outcomes: [{ index: 1, code: 21 }] }], node.credit(batch)))
    }
    if (count === 6) return
    node.ack(batch)
    if (count === 5) node.stored.delete(toHex(batch.ids[0]!))
  }
  const run = new LoadRun({ ...small, url: node.url, connections: 1, window: 1, secretKey, runId: RUN_ID, assertionsMax: 24, durationMs: 500, drainTimeoutMs: 50, sign: 'none' })
  const report = await run.run()
  t.match(report, { sent: 24, accepted: 15, refused: 5, refusedBy: { overloaded: 4, signature_invalid: 1 }, unacked: 4, latency: { count: 3 }, refusalLatency: { count: 1 }, retryAfterMsMin: 1 })
  t.strictSame(Object.keys(report.refusedBy).sort(), ['overloaded', 'signature_invalid'])
})

t.test('open loop: the rate is kept, latency counts from when a request was due', async (t) => {
  const node = await fakeNode(t)
  node.onBatch = (batch) => void sleep(15).then(() => node.ack(batch))
  const report = await runLoad({ ...small, url: node.url, ratePerSecond: 4000, warmupMs: 100, durationMs: 300, sign: 'single' })
  t.match(report, { loop: 'open', sent: 1200, accepted: 1200, warmup: 400, unacked: 0, exhausted: false })
  t.ok(report.latency.minMs >= 14, `${report.latency.minMs} ms with 15 ms of the server`)
  // One frame at a time fits the credit: the others are due all the same, and wait.
  const stalled = await fakeNode(t)
  stalled.welcome.creditBytes = report.frameBytes
  stalled.onBatch = node.onBatch
  const late = await runLoad({ ...small, url: stalled.url, connections: 1, ratePerSecond: 800, durationMs: 200 })
  t.ok(late.delayed > 20, `${late.delayed} delayed`)
  t.ok(late.latency.maxMs > 200, `the last one waited ${late.latency.maxMs} ms for its turn`)
})

t.test('a node that goes away ends the run, with what is known', async (t) => {
  const node = await fakeNode(t)
  node.onBatch = (batch) => (node.batches.length === 5 ? node.cut() : node.ack(batch))
  const report = await runLoad({ ...small, url: node.url, durationMs: 60_000, prepareAssertions: 10_000 })
  t.ok(report.unacked > 0)
  t.equal(report.connectionErrors.length, 2)
})

t.test('what can not begin says why', async (t) => {
  const node = await fakeNode(t)
  await t.rejects(runLoad({ url: 'ws://127.0.0.1:1' }), { code: 'unreachable' })
  await t.rejects(runLoad({ url: node.url.replace('ws', 'http'), batch: 5000 }), { code: 'parameter_invalid', message: /4096/ })
  t.throws(() => new LoadRun({ url: node.url, connections: 0 }), { code: 'parameter_invalid' })
  t.throws(() => new LoadRun({ url: node.url, runId: 'x' }), { code: 'parameter_invalid' })
  node.welcome.frameBytesMax = 1000
  await t.rejects(runLoad({ url: node.url, batch: 100 }), { code: 'parameter_invalid', message: /bytes/ })
  node.welcome.signaturesRequired = true
  await t.rejects(runLoad({ url: node.url, sign: 'none' }), { code: 'signature_missing' })
  node.onConnection = (socket) => socket.close()
  await t.rejects(runLoad({ url: node.url }), { code: 'unreachable' })
})

t.test('the command: table, JSON, exit code', async (t) => {
  const node = await fakeNode(t)
  const args = ['load', '--url', node.url, '--connections', '2', '--batch', '4', '--duration', '20s', '--prepare', '0.1k', '--check']
  const table = testConsole()
  t.equal(await runCli(args, table), 0)
  t.match(table.outLines.join('\n'), /accepted[^\n]+assertions\/s[\s\S]+read back/)
  node.onBatch = (batch) => node.refuse(batch, 'signature_invalid')
  const refused = testConsole()
  t.equal(await runCli([...args, '--json'], refused), 1)
  t.match(JSON.parse(refused.outLines[0]!), { accepted: 0, refusedBy: { signature_invalid: 100 } })
  t.strictSame([parseDuration('d', '30'), parseDuration('d', '500ms'), parseDuration('d', '1.5m')], [30_000, 500, 90_000])
  t.strictSame([parseCount('c', '200k'), parseCount('c', '1.5M'), parseCount('c', '1_000')], [200_000, 1_500_000, 1000])
})
