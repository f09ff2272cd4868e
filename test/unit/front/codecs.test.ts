import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { ERROR_CODES } from '../../../src/base/error-codes.ts'
import { configWith } from '../../../src/config/load.ts'
import { Acks } from '../../../src/fbs/stemedb/acks.ts'
import { ErrorFrame } from '../../../src/fbs/stemedb/error-frame.ts'
import { Welcome } from '../../../src/fbs/stemedb/welcome.ts'
import { AcksEncoder } from '../../../src/front/acks.codec.ts'
import { ACKS_PER_FRAME_MAX } from '../../../src/front/front-limits.ts'
import { encodeErrorFrame, encodeWelcome, isBatchFrame, peekAssertionCount } from '../../../src/front/frames.codec.ts'
import { LineSplitter } from '../../../src/front/line-splitter.ts'
import { negotiate, mediaTypeOf } from '../../../src/front/media.ts'
import { parametersReader, parseQuery } from '../../../src/front/parameters.ts'
import { matchRoute } from '../../../src/front/routes.ts'
import { SlotTable } from '../../../src/front/slots.ts'
import { encodeBatch } from '../../../src/wire/batch.codec.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'
import { ackOf } from './fake-pipeline.ts'

function plain(frame: Uint8Array) {
  const bb = new ByteBuffer(frame)
  const acks = Acks.getRootAsAcks(bb)
  return {
    credit: acks.creditBytes(),
    acks: Array.from({ length: acks.acksLength() }, (_, i) => {
      const ack = acks.acks(i)!
      return {
        requestId: ack.requestId(), firstLsn: ack.firstLsn(), firstHlc: ack.firstHlc(), accepted: ack.accepted(), refused: ack.refused(),
        detail: ack.detail(), retryAfterMs: ack.retryAfterMs(),
        outcomes: Array.from({ length: ack.outcomesLength() }, (_, k) => {
          const outcome = ack.outcomes(k)!
          return { lsn: outcome.lsn(), hlc: outcome.hlc(), index: outcome.index(), code: outcome.code() }
        }),
      }
    }),
  }
}

const U64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const U32 = fc.nat(0xffff_ffff)
const outcome = fc.record({ lsn: U64, hlc: U64, index: U32, code: fc.nat(0xffff) }, { noNullPrototype: true })
const input = fc.record({
  requestId: U64, firstLsn: U64, firstHlc: U64, accepted: U32, refused: fc.oneof(fc.constant(0), fc.nat(60)), retryAfterMs: U32,
  frameBytes: fc.nat(100_000), outcomes: fc.array(outcome, { maxLength: 40, size: 'small' }),
}, { noNullPrototype: true })

t.test('SACK frames verify against the schema and read back as what went in, by flatbuffers\' own reader', async () => {
  const encoder = new AcksEncoder()
  fc.assert(fc.property(fc.array(input, { minLength: 1, maxLength: ACKS_PER_FRAME_MAX }), (inputs) => {
    for (const one of inputs) encoder.add(ackOf(one))
    const frame = encoder.finish().slice()
    if (verifyBuffer('Acks', frame) !== 0) return false
    const back = plain(frame)
    const expected = inputs.map(({ requestId, firstLsn, firstHlc, accepted, refused, retryAfterMs, outcomes }) => {
      const full = refused !== 0 || outcomes.length > 0
      return { requestId, firstLsn, firstHlc, accepted, refused, retryAfterMs: full ? retryAfterMs : 0, outcomes }
    })
    assert.deepEqual(back.acks.map(({ detail: _, ...rest }) => rest), expected)
    assert.equal(back.credit, inputs.reduce((sum, one) => sum + one.frameBytes, 0))
    for (const ack of back.acks) assert.equal(ack.detail !== null, ack.refused !== 0)
    return new ByteBuffer(frame).__has_identifier('SACK')
  }), { numRuns: 60 })
})

t.test('a refusal of the front itself says what to do', async (t) => {
  const encoder = new AcksEncoder()
  encoder.addRefused(2n ** 64n - 1n, ERROR_CODES.overloaded.number, 50, 1234)
  t.strictSame(plain(encoder.finish().slice()), {
    credit: 1234,
    acks: [{
      requestId: 2n ** 64n - 1n, firstLsn: 0n, firstHlc: 0n, accepted: 0, refused: ERROR_CODES.overloaded.number,
      detail: ERROR_CODES.overloaded.action, retryAfterMs: 50, outcomes: [],
    }],
  })
})

t.test('an ack with as many outcomes as there can be', async (t) => {
  const encoder = new AcksEncoder()
  const outcomes = Array.from({ length: 65_535 }, (_, index) => ({ index, code: 1, lsn: BigInt(index + 1), hlc: 7n }))
  encoder.add(ackOf({ requestId: 1n, outcomes }))
  const frame = encoder.finish().slice()
  t.equal(verifyBuffer('Acks', frame), 0)
  t.equal(plain(frame).acks[0]!.outcomes.length, 65_535)
  t.notOk(encoder.reusable, 'such a buffer is not kept')
  encoder.add(ackOf({ requestId: 2n }))
  t.equal(plain(encoder.finish().slice()).acks[0]!.requestId, 2n, 'and nothing of it is left behind')
})

t.test('welcome and error frames', async (t) => {
  const config = configWith({ realm: 'Räume', signatures: 'optional' })
  const nodeId = Uint8Array.from({ length: 32 }, (_, i) => i)
  const status = { durableLsn: 12, durableHlc: 34n, appliedLsn: 5, writable: 'yes' as const }
  const bytes = encodeWelcome({ config, nodeId, version: '1.2.3', status }).slice()
  t.equal(verifyBuffer('Welcome', bytes), 0)
  t.ok(new ByteBuffer(bytes).__has_identifier('SWEL'))
  const welcome = Welcome.getRootAsWelcome(new ByteBuffer(bytes))
  t.equal(welcome.realm(), 'Räume')
  t.equal(welcome.protocolVersion(), 1)
  t.equal(welcome.signaturesRequired(), false)
  t.equal(welcome.frameBytesMax(), config.frameBytesMax)
  t.equal(welcome.creditBytes(), Math.max(config.sessionCreditBytes, config.frameBytesMax))
  t.equal(welcome.durableLsn(), 12n)
  t.equal(welcome.serverVersion(), '1.2.3')
  t.equal(toHex(Uint8Array.from({ length: 32 }, (_, i) => welcome.nodeId()!.bytes(i)!)), toHex(nodeId))
  const error = encodeErrorFrame('credit_exceeded', 'too much').slice()
  t.equal(verifyBuffer('ErrorFrame', error), 0)
  const frame = ErrorFrame.getRootAsErrorFrame(new ByteBuffer(error))
  t.strictSame([frame.code(), frame.name(), frame.detail()], [ERROR_CODES.credit_exceeded.number, 'credit_exceeded', 'too much'])
})

t.test('peeking at batches: right for good ones, harmless for any bytes', async (t) => {
  for (const count of [1, 2, 300]) {
    const frame = encodeBatch({ requestId: 5n, items: Array.from({ length: count }, () => ({ assertion: new Uint8Array(16) })) })
    t.ok(isBatchFrame(frame))
    t.equal(peekAssertionCount(frame, 4096), count)
    t.equal(peekAssertionCount(frame, 100), Math.min(count, 100))
    fc.assert(fc.property(fc.nat(frame.length - 1), fc.nat(255), fc.nat(frame.length), (at, value, length) => {
      const broken = frame.slice()
      broken[at] = value
      const peeked = peekAssertionCount(broken.subarray(0, length), 4096)
      return peeked >= 1 && peeked <= 4096
    }), { numRuns: 500 })
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    isBatchFrame(bytes)
    const peeked = peekAssertionCount(bytes, 10)
    return peeked >= 1 && peeked <= 10
  }), { numRuns: 2000 })
})

t.test('lines are the same however the bytes are cut', async () => {
  const text = fc.array(fc.string({ unit: fc.constantFrom('a', 'é', ' ', '') }), { maxLength: 30 }).map((lines) => lines.join('\n'))
  fc.assert(fc.property(text, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (body, sizes) => {
    const splitter = new LineSplitter()
    const bytes = new TextEncoder().encode(body)
    const lines: string[] = []
    const drain = (): void => {
      for (let line = splitter.next(); line !== undefined; line = splitter.next()) lines.push(new TextDecoder().decode(line))
    }
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length]!
      splitter.push(bytes.subarray(at, at + size))
      at += size
      drain()
    }
    splitter.end()
    drain()
    const expected = body.split('\n')
    if (expected.at(-1) === '') expected.pop()
    return JSON.stringify(lines) === JSON.stringify(expected) && splitter.bufferedBytes === 0
  }))
})

t.test('slots: bounded, and a late ack reaches nobody', async (t) => {
  const table = new SlotTable(2)
  const owner = { onAck() {}, onReceipt() {}, onReplies() {} }
  const a = table.acquire(owner)!
  const b = table.acquire(owner)!
  t.equal(table.acquire(owner), undefined)
  t.equal(table.ownerOf(a.slot, a.generation), owner)
  table.release(a)
  t.equal(table.ownerOf(a.slot, a.generation), undefined)
  t.throws(() => table.release(a))
  const again = table.acquire({ ...owner })!
  t.equal(again.slot, a.slot)
  t.not(again.generation, a.generation)
  t.equal(table.ownerOf(a.slot, a.generation), undefined, 'the slot\'s new owner does not get the old one\'s')
  t.equal(table.ownerOf(99, 1), undefined)
  t.equal(table.ownerOf(b.slot, b.generation), owner)
  t.equal(table.used, 2)
})

t.test('media types and their negotiation', async (t) => {
  t.equal(mediaTypeOf('Application/JSON; charset="UTF-8"'), 'application/json')
  t.equal(mediaTypeOf('application/json; charset=latin1'), '')
  t.equal(mediaTypeOf(''), '')
  const offered = ['application/json', 'application/vnd.stemedb.assertion']
  t.equal(negotiate('', offered), offered[0])
  t.equal(negotiate('*/*', offered), offered[0])
  t.equal(negotiate('application/vnd.stemedb.assertion', offered), offered[1])
  t.equal(negotiate('application/json;q=0.1, application/*;q=0.9', offered), offered[1])
  t.equal(negotiate('application/json;q=0, */*', offered), offered[1])
  t.equal(negotiate('text/html', offered), undefined)
  t.equal(negotiate('application/json;q=nonsense', offered), undefined)
})

t.test('routes', async (t) => {
  t.strictSame(matchRoute('GET', '/nope'), { kind: 'none' })
  t.strictSame(matchRoute('PUT', '/v1/assert'), { kind: 'method', allow: 'POST, OPTIONS' })
  t.strictSame(matchRoute('POST', '/livez'), { kind: 'method', allow: 'GET, HEAD, OPTIONS' })
  const match = matchRoute('HEAD', '/v1/assertions/abc')
  t.strictSame(match.kind === 'found' && match.parameters, { id: 'abc' })
  t.equal(matchRoute('GET', '/v1/assertions/').kind, 'none')
  t.equal(matchRoute('GET', `/${'a/'.repeat(1000)}`).kind, 'none')
})

t.test('query strings', async (t) => {
  t.strictSame([...parseQuery('a=b%20c&d=e+f&g')], [['a', 'b c'], ['d', 'e f'], ['g', '']])
  t.throws(() => parseQuery('a=%ff'), { code: 'parameter_invalid' })
  t.throws(() => parseQuery('a=%'), { code: 'parameter_invalid' })
  t.throws(() => parseQuery('a=1&a=2'), { code: 'parameter_invalid' })
  t.throws(() => parseQuery('x&'.repeat(40)), { code: 'parameter_invalid' })
  const read = parametersReader<{ limit?: number }>({ type: 'object', properties: { limit: { type: 'integer', description: '' } }, additionalProperties: false })
  t.match(read('limit=5'), { limit: 5 })
  for (const name of ['__proto__', 'constructor', 'toString', '%5F_proto__']) {
    t.throws(() => read(`limit=5&${name}=1`), { code: 'parameter_invalid' }, `${name} is no parameter, and not let pass`)
  }
})
