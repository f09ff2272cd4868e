import { request } from 'node:http'
import { ByteBuffer } from 'flatbuffers'
import t, { type Test } from 'tap'
import { systemClock, type Clock } from '../../../src/base/clock.ts'
import { encodeSubscribe, encodeUnsubscribe, parseFeedFrame, type FeedFrame, type FeedIdentifier, type SubscribeParts } from '../../../src/client/feed-frames.ts'
import { deliveryBytes, SIGNED_BY_NOBODY, writeDelivery } from '../../../src/feed/delivery.codec.ts'
import { decodeCommand, type FeedCommand } from '../../../src/feed/feed-command.codec.ts'
import { deliveryHeadBytes, encodeEndMessage, encodeHeartbeatMessage, encodeSubscribedMessage, writeDeliveryHead } from '../../../src/feed/feed-message.codec.ts'
import { Piece } from '../../../src/feed/piece.ts'
import { isTimed } from '../../../src/front/feed-lens.ts'
import { lensOf, LENSES } from '../../../src/lens/registry.ts'
import type { Candidate, LensContext } from '../../../src/lens/lens.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import { HASH_BYTES } from '../../../src/record/limits.ts'
import { encodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { batchOf, claim, startFront, StreamClient, type UnderTest } from './front-under-test.ts'

/** The feed stage behind a front, played by a test. */
class Stage {
  readonly #pipeline: UnderTest['pipeline']

  constructor({ pipeline }: UnderTest) {
    this.#pipeline = pipeline
  }

  commands<K extends FeedCommand['kind']>(kind: K): Extract<FeedCommand, { kind: K }>[] {
    return this.#pipeline.feedCommands.map(decodeCommand).filter((command): command is Extract<FeedCommand, { kind: K }> => command.kind === kind)
  }

  /** The n-th subscription, when it has come. */
  async subscription(n: number): Promise<Extract<FeedCommand, { kind: 'subscribe' }>> {
    await until(() => this.commands('subscribe').length >= n)
    return this.commands('subscribe')[n - 1]!
  }

  async unsubscribed(number: number): Promise<void> {
    await until(() => this.commands('unsubscribe').some(({ subscription }) => subscription === number))
  }

  begins(number: number, fromLsn: number): void {
    this.#pipeline.handler.feed(encodeSubscribedMessage(number, fromLsn))
  }

  delivers(number: number, ...lsns: number[]): void {
    const frame = deliveryOf(lsns)
    const head = deliveryHeadBytes(1)
    const message = new Uint8Array(head + frame.length)
    writeDeliveryHead(new DataView(message.buffer), 0, [number], frame.length)
    message.set(frame, head)
    this.#pipeline.handler.feed(message)
  }

  reached(number: number, lsn: number): void {
    this.#pipeline.handler.feed(encodeHeartbeatMessage([{ subscription: number, lsn }]))
  }

  ends(number: number, lastLsn: number): void {
    this.#pipeline.handler.feed(encodeEndMessage(number, 0, '', lastLsn))
  }
}

function deliveryOf(lsns: readonly number[]): Uint8Array {
  const piece = new Piece()
  const items = lsns.map((lsn) => {
    const one = claim()
    const assertion = encodeAssertion(one)
    const bytes = new Uint8Array(HASH_BYTES + assertion.length)
    bytes.set(assertionIdOf(one))
    bytes.set(assertion, HASH_BYTES)
    return piece.add(
      { lsn, hlc: BigInt(lsn), bytes, idOffset: 0, assertionOffset: HASH_BYTES, assertionLength: assertion.length, signatureOffset: -1, signedBy: SIGNED_BY_NOBODY },
      { position: { segmentId: 1, offset: 0 }, lsnFirst: lsn },
    )
  })
  const frame = new Uint8Array(deliveryBytes(items.length, piece.byteCount))
  writeDelivery(frame, new DataView(frame.buffer), 0, piece, items)
  return frame
}

/** The test's own timeout is the bound. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

const WANTED: Omit<SubscribeParts, 'subscriptionId'> = {
  subject: 'a', subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined, lens: undefined, fromLsn: 0,
}

const framesOf = (client: StreamClient): FeedFrame[] => client.frames.slice(1)
  .map((bytes) => parseFeedFrame(String.fromCharCode(...bytes.subarray(4, 8)) as FeedIdentifier, new ByteBuffer(bytes)))

/** A stream of events, as text. */
function follow(t: Test, { http }: UnderTest, query: string): { readonly text: () => string } {
  let text = ''
  const ask = request(`${http}/v1/feed?${query}`, { headers: { accept: 'text/event-stream' } }, (response) => {
    response.on('data', (data: Buffer) => { text += data.toString() })
    response.on('error', () => undefined)
  })
  ask.on('error', () => undefined)
  ask.end()
  t.teardown(() => ask.destroy())
  return { text: () => text }
}

async function socketOf(t: Test, { ws }: UnderTest): Promise<StreamClient> {
  const client = await StreamClient.open(ws)
  t.teardown(() => client.socket.terminate())
  return client
}

/** A clock on which timers of `heldMs` go off when a test says so. */
function heldClock(heldMs: number): { readonly clock: Clock, readonly held: Set<() => void>, readonly goOff: () => void } {
  const held = new Set<() => void>()
  const clock: Clock = {
    ...systemClock,
    timer(delayMs, callback) {
      if (delayMs !== heldMs) return systemClock.timer(delayMs, callback)
      held.add(callback)
      return () => held.delete(callback)
    },
  }
  const goOff = (): void => {
    for (const callback of [...held]) {
      held.delete(callback)
      callback()
    }
  }
  return { clock, held, goOff }
}

t.test('a lens is asked again after a match of any tier: what takes a claim back may be of another one', async (t) => {
  const front = await startFront(t)
  const stage = new Stage(front)
  follow(t, front, 'subject=a&predicate=p&lens=recency&tier=0,1')
  const { filter } = await stage.subscription(1)
  t.match(filter, { subject: 'a', subjectIsPrefix: false, predicate: 'p', tiers: 0 })
  follow(t, front, 'subject=a&tier=0,1')
  t.equal((await stage.subscription(2)).filter.tiers, 3, 'matches of a filter are of its tiers')
})

t.test('the newest page: out of time, it has what a narrower look found, or is refused, and skips nothing', async (t) => {
  const front = await startFront(t, { processingTimeoutMs: 100 })
  const stage = new Stage(front)
  front.pipeline.appliedLsn = 20_000
  const first = fetch(`${front.http}/v1/feed?limit=2`)
  const scan = await stage.subscription(1)
  t.match(scan, { fromLsn: 20_001 - 1024, untilLsn: 20_000 })
  stage.delivers(scan.subscription, 18_990)
  await stage.unsubscribed(scan.subscription)
  stage.ends(scan.subscription, 19_000)
  const refused = await first
  t.match([refused.status, await refused.json()], [503, { code: 'timeout' }], 'the first look did not come to the mark')

  const second = fetch(`${front.http}/v1/feed?limit=2`)
  const narrow = await stage.subscription(2)
  // Written meanwhile.
  stage.delivers(narrow.subscription, 20_000, 20_003)
  stage.ends(narrow.subscription, 20_003)
  t.match((await (await second).json()), { items: [{ lsn: 20_000 }, { lsn: 20_003 }], next_lsn: 20_004 }, 'the next page begins behind what this one has')

  const third = fetch(`${front.http}/v1/feed?limit=2`)
  const found = await stage.subscription(3)
  stage.delivers(found.subscription, 19_999)
  stage.ends(found.subscription, 20_000)
  const wide = await stage.subscription(4)
  t.equal(wide.fromLsn, 20_001 - 8192)
  stage.delivers(wide.subscription, 12_000, 12_001)
  await stage.unsubscribed(wide.subscription)
  stage.ends(wide.subscription, 12_500)
  t.match((await (await third).json()), { items: [{ lsn: 19_999 }], next_lsn: 20_001 }, 'of the stretch that was looked through')
})

t.test('heartbeats of a lens go on while an answer is awaited, up to where the last one saw', async (t) => {
  const front = await startFront(t)
  const stage = new Stage(front)
  const client = await socketOf(t, front)
  client.send(batchOf(1n, [claim({ subject: 'a' })]))
  await client.until(() => client.identifiers().includes('SACK'))
  client.frames.splice(1)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 5n, lens: 'recency' }))
  const { subscription } = await stage.subscription(1)
  stage.begins(subscription, 2)
  await client.until(() => client.identifiers().includes('SANS'))
  stage.reached(subscription, 7)
  await client.until(() => client.identifiers().filter((name) => name === 'SHBT').length === 1)
  front.pipeline.silent = true
  stage.delivers(subscription, 8)
  stage.reached(subscription, 8)
  await client.until(() => client.identifiers().filter((name) => name === 'SHBT').length === 2)
  t.strictSame(framesOf(client).filter((frame) => frame.kind === 'heartbeat').map(({ reached }) => reached),
    [[{ subscriptionId: 5n, lsn: 7 }], [{ subscriptionId: 5n, lsn: 1 }]])
  client.send(encodeUnsubscribe(5n))
  await client.until(() => client.identifiers().includes('SSUE'))
  t.match(framesOf(client).at(-1), { kind: 'subscriptionEnd', subscriptionId: 5n, code: undefined, lastLsn: 1 }, 'its end says up to where the last answer saw')
})

t.test('a lens that weighs is asked again when time has passed, others are not', async (t) => {
  const { clock, held, goOff } = heldClock(12_345)
  const front = await startFront(t, { subscriptionRefreshMs: 12_345 }, { clock })
  const stage = new Stage(front)
  const client = await socketOf(t, front)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 1n, lens: 'recency' }))
  stage.begins((await stage.subscription(1)).subscription, 1)
  await client.until(() => client.identifiers().filter((name) => name === 'SANS').length === 1)
  t.equal(held.size, 0)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 2n, lens: 'confidence' }))
  stage.begins((await stage.subscription(2)).subscription, 1)
  await client.until(() => client.identifiers().filter((name) => name === 'SANS').length === 2)
  await until(() => held.size === 1)
  // As if the answer had changed with time: nothing is delivered.
  client.send(batchOf(1n, [claim({ subject: 'a' })]))
  await client.until(() => client.identifiers().includes('SACK'))
  goOff()
  await client.until(() => client.identifiers().filter((name) => name === 'SANS').length === 3)
  await until(() => held.size === 1)
  client.send(encodeUnsubscribe(2n))
  await client.until(() => client.identifiers().includes('SSUE'))
  t.equal(held.size, 0, 'not behind its end')
})

t.test('which lenses look at the time', async (t) => {
  const candidates: Candidate[] = [3, 5].map((sourceClass) => {
    const assertion = claim({ sourceClass: sourceClass as 3 | 5, predicate: 'must_use', object: { kind: 'text', value: `${sourceClass}` }, agent: new Uint8Array(32).fill(sourceClass) })
    return { id: assertionIdOf(assertion), hlc: BigInt(sourceClass), assertion }
  })
  for (const lens of LENSES) {
    let looks = 0
    const context: LensContext = {
      get nowMs() { return looks++, 2_000_000_000_000 }, halfLifeDays: [1, 1, 1, 1, 1, 1], trustOf: () => 0.9, isSuperseded: () => false,
      votesOf: () => ({ agreeWeight: 0, disagreeWeight: 0, agreeCount: 0, disagreeCount: 0 }),
    }
    lens.resolve(candidates, context)
    t.equal(isTimed(lens), looks > 0, lens.name)
  }
  t.equal(isTimed(lensOf('authority,recency')), false)
  t.equal(isTimed(lensOf('authority,confidence')), true)
})

t.test('an unknown lens is refused before anything begins', async (t) => {
  const front = await startFront(t)
  const stage = new Stage(front)
  for (const lens of ['nonsense', 'none', 'recency,', 'recency,nonsense']) {
    const answer = await fetch(`${front.http}/v1/feed?subject=a&lens=${lens}`, { headers: { accept: 'text/event-stream' } })
    t.match([answer.status, await answer.json()], [400, { code: 'parameter_invalid' }], lens)
  }
  const client = await socketOf(t, front)
  const lenses = ['nonsense', 'none', '', 'recency,nonsense']
  lenses.forEach((lens, i) => client.send(encodeSubscribe({ ...WANTED, subscriptionId: BigInt(i), lens })))
  await client.until(() => client.frames.length === 1 + lenses.length)
  t.strictSame(framesOf(client).map((frame) => frame.kind === 'subscriptionEnd' && [frame.code, frame.lastLsn]), lenses.map(() => ['parameter_invalid', 0]))
  t.strictSame(stage.commands('subscribe'), [])
})

t.test('tiers that there are not are refused', async (t) => {
  const front = await startFront(t)
  const client = await socketOf(t, front)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 1n, tiers: 0xc0 }))
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 2n, tiers: 0x41, lens: 'recency' }))
  await client.until(() => client.frames.length === 3)
  t.strictSame(framesOf(client).map((frame) => frame.kind === 'subscriptionEnd' && frame.code), ['parameter_invalid', 'parameter_invalid'])
})

t.test('where the node ends, each subscription is told up to where it has everything', async (t) => {
  const front = await startFront(t)
  const stage = new Stage(front)
  const client = await socketOf(t, front)
  for (let id = 1n; id <= 4n; id++) client.send(encodeSubscribe({ ...WANTED, subscriptionId: id, fromLsn: 3 }))
  const events = follow(t, front, 'subject=a')
  const numbers: number[] = []
  for (let n = 1; n <= 5; n++) numbers.push((await stage.subscription(n)).subscription)
  const [delivered, reached, begun, , overSse] = numbers as [number, number, number, number, number]
  for (const number of [delivered, reached, begun, overSse]) stage.begins(number, 3)
  stage.delivers(delivered, 4, 6)
  stage.delivers(reached, 4)
  stage.reached(reached, 9)
  stage.delivers(overSse, 5)
  const drained = front.front.drain()
  await client.until(() => client.identifiers().filter((name) => name === 'SSUE').length === 4)
  const ends = framesOf(client).filter((frame) => frame.kind === 'subscriptionEnd')
  t.strictSame(ends.map(({ subscriptionId, code, lastLsn }) => [subscriptionId, code, lastLsn]),
    [[1n, 'shutting_down', 6], [2n, 'shutting_down', 9], [3n, 'shutting_down', 2], [4n, 'shutting_down', 0]])
  await until(() => events.text().includes('event: end'))
  t.match(events.text(), /event: end\ndata: \{"code":"shutting_down".*"last_lsn":5\}/)
  await drained
})

t.test('pages are read though there are as many subscriptions as may be', async (t) => {
  const front = await startFront(t, { subscriptionsMax: 1 })
  const stage = new Stage(front)
  front.pipeline.appliedLsn = 10
  const client = await socketOf(t, front)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 1n }))
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 2n }))
  await client.until(() => client.frames.length === 2)
  t.match(framesOf(client), [{ kind: 'subscriptionEnd', subscriptionId: 2n, code: 'subscriptions_exhausted' }])
  const read = async (n: number): Promise<void> => {
    const answer = fetch(`${front.http}/v1/feed`)
    const { subscription } = await stage.subscription(n)
    stage.ends(subscription, 10)
    t.match(await (await answer).json(), { items: [], next_lsn: 11 })
  }
  await read(2)
  await read(3)
  client.send(encodeSubscribe({ ...WANTED, subscriptionId: 3n }))
  await client.until(() => client.frames.length === 3)
  t.match(framesOf(client)[1], { subscriptionId: 3n, code: 'subscriptions_exhausted' }, 'nor does a page make room')
})
