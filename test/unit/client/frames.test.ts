import fc from 'fast-check'
import t from 'tap'
import { isDbError } from '../../../src/base/errors.ts'
import { AckQueue } from '../../../src/client/ack-queue.ts'
import { resultsOf, type LaneItem } from '../../../src/client/acks.ts'
import { parseServerFrame, type AckFrame } from '../../../src/client/frames.ts'
import { completeOptions } from '../../../src/client/options.ts'
import { nodeUrlsOf } from '../../../src/client/urls.ts'
import { NODE_ID, encodeAcks, encodeError, encodeReceipt, encodeWelcome } from './fake-node.ts'

const WELCOME = { realm: 'r', signaturesRequired: true, creditBytes: 5, frameBytesMax: 6, batchAssertionsMax: 7, protocolVersion: 1 }

t.test('frames of a server are read', async (t) => {
  t.match(parseServerFrame(encodeWelcome(WELCOME)), { kind: 'welcome', welcome: { ...WELCOME, nodeId: NODE_ID } })
  const acks = encodeAcks([
    { requestId: 9n, firstLsn: 100, accepted: 2, outcomes: [{ index: 1, code: 1, lsn: 4 }] },
    { requestId: 10n, refused: 'overloaded', retryAfterMs: 50 },
  ], 77)
  t.match(parseServerFrame(acks), {
    kind: 'acks', creditBytes: 77, acks: [
      { requestId: 9n, firstLsn: 100n, accepted: 2, refused: undefined, outcomes: [{ index: 1, code: 'duplicate', lsn: 4n }] },
      { requestId: 10n, refused: 'overloaded', retryAfterMs: 50, detail: 'because' },
    ],
  })
  t.match(parseServerFrame(encodeError('credit_exceeded')), { kind: 'error', error: { code: 'credit_exceeded', message: 'as told' } })
  const root = new Uint8Array(32).fill(3)
  t.match(parseServerFrame(encodeReceipt(4n, root)), { kind: 'receipt', requestId: 4n, durability: 1, receipt: { batchRoot: root } })
})

t.test('no bytes of a server throw anything but malformed_frame', async (t) => {
  const good = [
    encodeWelcome(WELCOME), encodeError('internal'), encodeReceipt(1n, new Uint8Array(32)),
    encodeAcks([{ requestId: 1n, firstLsn: 3, accepted: 1, outcomes: [{ index: 0, code: 24 }] }, { requestId: 2n, refused: 'disk_full' }], 1),
  ]
  let refused = 0
  const check = (bytes: Uint8Array): void => {
    try {
      parseServerFrame(bytes)
    } catch (error) {
      if (!isDbError(error) || error.code !== 'malformed_frame') throw error
      refused++
    }
  }
  for (const frame of good) {
    for (let end = 0; end < frame.length; end++) check(frame.slice(0, end))
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = frame.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      check(flipped)
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom('SWEL', 'SACK', 'SERR', 'SRCP'), (bytes, identifier) => {
    const frame = bytes.slice()
    for (let i = 0; i < 4 && frame.length >= 8; i++) frame[4 + i] = identifier.charCodeAt(i)
    check(frame)
  }))
  t.ok(refused > 500, `${refused} refused`)
})

t.test('an ack must fit its batch', async (t) => {
  const items: LaneItem[] = [1, 2, 3].map((n) => ({ id: new Uint8Array(32).fill(n), encoded: new Uint8Array(1) }))
  const ack: AckFrame = {
    requestId: 1n, firstLsn: 10n, firstHlc: 20n, accepted: 2, refused: undefined, detail: '', retryAfterMs: 0,
    outcomes: [{ index: 1, code: 'duplicate', lsn: 5n, hlc: 6n }],
  }
  t.match(resultsOf(items, ack), [
    { ok: true, lsn: 10, hlc: 20n, duplicate: false }, { ok: true, lsn: 5, hlc: 6n, duplicate: true }, { ok: true, lsn: 11, hlc: 21n },
  ], 'new ones are numbered without those that are not')
  const malformed = { code: 'malformed_frame' }
  t.throws(() => resultsOf(items, { ...ack, accepted: 3 }), malformed)
  t.throws(() => resultsOf(items, { ...ack, outcomes: [{ index: 3, code: 'duplicate', lsn: 5n, hlc: 6n }] }), malformed)
  t.throws(() => resultsOf(items, { ...ack, accepted: 1, outcomes: [ack.outcomes[0]!, ack.outcomes[0]!] }), malformed)
})

t.test('addresses', async (t) => {
  const both = { webSocket: 'ws://h:1/v1/stream', http: 'http://h:1' }
  for (const text of ['ws://h:1', 'http://h:1', 'ws://h:1/', 'ws://h:1/v1/stream']) t.strictSame(nodeUrlsOf(text), both, text)
  t.strictSame(nodeUrlsOf('https://h'), { webSocket: 'wss://h/v1/stream', http: 'https://h' })
  for (const text of ['', 'h:1', 'ftp://h', 'ws://h/other', 'ws://u:p@h', 'ws://h?x=1', 'ws://']) {
    t.throws(() => nodeUrlsOf(text), { code: 'parameter_invalid' }, text)
  }
})

t.test('options are checked', async (t) => {
  class Socket {}
  t.equal(completeOptions({ WebSocket: Socket }).batch.assertionsMax, 256)
  t.throws(() => completeOptions({ WebSocket: Socket, batch: { lingerMs: -1 } }), { code: 'parameter_invalid' })
  t.throws(() => completeOptions({ WebSocket: Socket, pendingBytesMax: Number.NaN }), { code: 'parameter_invalid' })
})

t.test('ack queue: order, bound, end, failure', async (t) => {
  const queue = new AckQueue<number>()
  const early = queue.next()
  queue.push(1)
  queue.push(2)
  queue.push(3)
  t.strictSame(await early, { value: 1, done: false })
  let isBelow = false
  const below = queue.whenBelow(2).then(() => { isBelow = true })
  t.equal(isBelow, false)
  t.equal((await queue.next()).value, 2)
  await below
  queue.fail(new Error('gone'))
  t.equal((await queue.next()).value, 3, 'what is queued comes first')
  await t.rejects(queue.next(), { message: 'gone' })
  t.equal((await queue.next()).done, true)
  const closed = new AckQueue<number>()
  const waiting = closed.next()
  closed.close()
  t.equal((await waiting).done, true)
})
