import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ByteBuffer } from 'flatbuffers'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { errorNameOf } from '../../src/base/error-codes.ts'
import { EXIT } from '../../src/base/exit-codes.ts'
import { encodeSubscribe, encodeUnsubscribe, parseFeedFrame, type FeedFrame, type FeedIdentifier, type SubscribeParts } from '../../src/client/feed-frames.ts'
import { connect, type AnswerChange, type StemeClient, type StoredAssertion } from '../../src/client/client.ts'
import { ErrorFrame } from '../../src/fbs/stemedb/error-frame.ts'
import { residentMiB, scrape } from '../support/bystander.ts'
import { metricOf } from '../support/node-watch.ts'
import { frameKind } from '../support/history.driver.ts'
import { holdsWithin } from '../support/holds-within.ts'
import { sleep } from '../support/history.trial.ts'
import { cliPath, startServer, SUBPROTOCOL, type RunningServer, type Settings } from '../support/server.ts'
import { curl, get } from './curl.ts'

t.setTimeout(600_000)

const agent = new Uint8Array(32).fill(9)

async function serve(t: Test, settings: Settings = {}): Promise<{ server: RunningServer, dataDir: string, settings: Settings }> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-feed-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const all: Settings = { signatures: 'optional', verifyThreads: 1, lensThreads: 1, walReserveBytes: 0, ...settings }
  const server = await startServer({ dataDir, settings: all })
  t.teardown(() => server.kill9())
  return { server, dataDir, settings: all }
}

const draft = (subject: string, value: number): { subject: string, predicate: string, object: number, confidence: number, agent: Uint8Array } =>
  ({ subject, predicate: 'p', object: value, confidence: 0.5, agent })

async function clientOf(t: Test, server: RunningServer): Promise<StemeClient> {
  const client = await connect(server.wsUrl, { WebSocket, reconnect: { baseMs: 20, capMs: 200 } })
  t.teardown(() => client.abort())
  return client
}

/** A connection that subscribes by frames, and keeps what it got. */
class RawSubscriber {
  readonly frames: FeedFrame[] = []
  readonly errors: string[] = []
  readonly socket: WebSocket
  closedWith: number | undefined

  constructor(url: string) {
    this.socket = new WebSocket(url, SUBPROTOCOL, { perMessageDeflate: false })
    this.socket.on('message', (data: Buffer) => {
      const kind = frameKind(data)
      if (kind === 'SERR') this.errors.push(errorNameOf(ErrorFrame.getRootAsErrorFrame(new ByteBuffer(data)).code()))
      else if (kind !== 'SWEL' && kind !== 'SACK') this.frames.push(parseFeedFrame(kind as FeedIdentifier, new ByteBuffer(data)))
    })
    this.socket.on('error', () => undefined)
    this.socket.on('close', (code) => { this.closedWith = code })
  }

  static async open(t: Test, server: RunningServer): Promise<RawSubscriber> {
    const one = new RawSubscriber(server.wsUrl)
    t.teardown(() => one.socket.terminate())
    await new Promise((resolve) => one.socket.once('message', resolve))
    return one
  }

  subscribe(subscriptionId: bigint, more: Partial<SubscribeParts> = {}): void {
    this.socket.send(encodeSubscribe({
      subscriptionId, subject: undefined, subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined, lens: undefined, fromLsn: 0, ...more,
    }))
  }

  get lsns(): number[] {
    return this.frames.flatMap((frame) => (frame.kind === 'delivery' ? frame.items.map(({ lsn }) => lsn) : []))
  }

  ends(): Extract<FeedFrame, { kind: 'subscriptionEnd' }>[] {
    return this.frames.filter((frame) => frame.kind === 'subscriptionEnd')
  }
}

async function until(holds: () => boolean, what: string, msMax = 20_000): Promise<void> {
  if (!(await holdsWithin(msMax, holds, 10))) throw new Error(`not within ${msMax} ms: ${what}`)
}

interface Followed {
  readonly text: () => string
  readonly ended: Promise<unknown>
}

/** A stream of events, by curl. */
function followEvents(t: Test, server: RunningServer, url: string, ...args: string[]): Followed {
  const child = spawn('curl', ['-sN', '--max-time', '30', '-H', 'accept: text/event-stream', ...args, `${server.url}${url}`])
  t.teardown(() => child.kill())
  let text = ''
  child.stdout.on('data', (data: Buffer) => { text += data.toString() })
  return { text: () => text, ended: new Promise((resolve) => child.once('close', resolve)) }
}

/** LSN of the first answer's winner in each event; undefined where there is no answer. */
const winnersOf = ({ text }: Followed): (number | undefined)[] => [...text().matchAll(/^event: answer\ndata: (.*)$/gm)]
  .map((match) => (JSON.parse(match[1]!) as { answers: { winner: { lsn: number } }[] }).answers[0]?.winner.lsn)

const countingUp = (count: number, from = 1): number[] => Array.from({ length: count }, (_, i) => from + i)

t.test('exactly once and in order, while a writer writes and the node is killed and started again', async (t) => {
  // The node comes back on this port: outside of those that the system hands out to whoever connects.
  const { server: first, dataDir, settings: fixed } = await serve(t, { apiPort: 20_000 + process.pid % 10_000, subscriptionHeartbeatMs: 200 })
  let server = first
  t.teardown(() => server.kill9())
  const writer = await clientOf(t, server)
  const reader = await clientOf(t, server)
  const everything: StoredAssertion[] = []
  const evens: number[] = []
  const all = reader.subscribe({}, { fromLsn: 1 })
  const some = reader.subscribe({ prefix: 'even/' }, { fromLsn: 1 })
  const reading = [
    (async () => { for await (const found of all) everything.push(found) })(),
    (async () => { for await (const found of some) evens.push(found.lsn) })(),
  ]
  const subjects = new Map<number, string>()
  let written = 0
  let stopped = false
  const write = async (): Promise<void> => {
    while (!stopped) {
      const drafts = countingUp(37).map((n) => draft(`${(written + n) % 2 === 0 ? 'even' : 'odd'}/${written + n}`, written + n))
      written += drafts.length
      for (const ack of await writer.assertMany(drafts)) {
        ack.results.forEach((result, i) => { if (result.ok) subjects.set(result.lsn, drafts[ack.offset + i]!.subject) })
      }
    }
  }
  const writing = write()
  writing.catch(() => undefined) // awaited below, unless something else fails first
  for (let kills = 0; kills < 3; kills++) {
    const before = everything.length
    await until(() => everything.length > before + 200, 'deliveries go on')
    await server.kill9()
    server = await startServer({ dataDir, settings: fixed })
  }
  const before = everything.length
  await until(() => everything.length > before + 200, 'deliveries go on after the last start')
  stopped = true
  await writing
  const lastLsn = Math.max(...subjects.keys())
  await until(() => all.reachedLsn >= lastLsn && some.reachedLsn >= lastLsn, 'everything that was acked has come')
  await sleep(300) // what was reached stands in the queue, and is consumed in the next turns
  await reader.close()
  await Promise.all(reading)
  t.strictSame(everything.map(({ lsn }) => lsn), countingUp(everything.length), `${everything.length} matches, every LSN once and in order`)
  t.ok([...subjects].every(([lsn, subject]) => everything[lsn - 1]?.assertion.subject === subject), 'they are what was written')
  t.strictSame(evens, everything.filter(({ assertion }) => assertion.subject.startsWith('even/')).map(({ lsn }) => lsn), 'the filtered one has its own, each once')
  await writer.close()
})

t.test('one who does not read holds nothing in the node, is ended, and goes on from where it was', async (t) => {
  const { server } = await serve(t, { subscriptionBufferBytesMax: 64 * 1024, subscriptionStallMsMax: 3000 })
  const writer = await clientOf(t, server)
  const slow = await RawSubscriber.open(t, server)
  const quick = await RawSubscriber.open(t, server)
  slow.subscribe(1n)
  quick.subscribe(1n)
  await until(() => slow.frames.length > 0 && quick.frames.length > 0, 'both are subscribed')
  const below = (slow.socket as unknown as { _socket: { pause(): void, resume(): void } })._socket
  const note = 'x'.repeat(3000)
  let count = 0
  // The kernel's buffers take some megabytes first.
  const writeMany = async (): Promise<void> => {
    for (let round = 0; round < 40; round++, count += 200) {
      await writer.assertMany(countingUp(200).map((n) => ({ ...draft(`s/${count + n}`, n), note })))
    }
    await until(() => quick.lsns.length === count, 'the quick one has everything', 60_000)
  }
  // Rings, memtables and heaps grow to their size under the first load, whoever reads.
  await writeMany()
  await until(() => slow.lsns.length === count, 'and so has the other, as yet', 60_000)
  below.pause()
  const residentBefore = residentMiB(server.pid)
  await writeMany()
  const grown = residentMiB(server.pid) - residentBefore
  t.ok(grown < 120, `${(count / 2 * 3.3 / 1024).toFixed(0)} MiB were written, resident memory grew by ${grown.toFixed(0)} MiB`)
  await sleep(4500)
  const [ended] = await scrape(server.url, 'stemedb_subscriptions_ended_total{code="subscriber_too_slow"}')
  t.equal(ended, 1)
  below.resume()
  await until(() => slow.ends().length === 1, 'it hears of its end')
  const end = slow.ends()[0]!
  t.equal(end.code, 'subscriber_too_slow')
  t.strictSame(slow.lsns, countingUp(end.lastLsn), 'it had everything up to where it ended')
  slow.subscribe(2n, { fromLsn: end.lastLsn + 1 })
  await until(() => slow.lsns.length === count, 'it catches up')
  t.strictSame(slow.lsns, countingUp(count))
  t.strictSame(quick.lsns, countingUp(count))
})

t.test('SSE by curl: history, then what comes, heartbeats, and on from Last-Event-ID', async (t) => {
  const { server } = await serve(t, { subscriptionHeartbeatMs: 300 })
  const writer = await clientOf(t, server)
  await writer.assertMany(countingUp(5).map((n) => draft(`a/${n}`, n)))
  // Until it is indexed: before, the first answer of a lens would be that there is none.
  t.equal((await get(`${server.url}/v1/query?subject=a/1&min_lsn=5`)).status, 200)
  const follow = (url: string, ...args: string[]): Followed => followEvents(t, server, url, ...args)
  const idsOf = (text: string): number[] => [...text.matchAll(/^id: (\d+)\nevent: assertion$/gm)].map((match) => Number(match[1]))
  const stream = follow('/v1/feed?prefix=a/&from_lsn=2')
  const resumed = follow('/v1/feed?prefix=a/&from_lsn=1', '-H', 'last-event-id: 4')
  const lens = follow('/v1/feed?subject=a/1&lens=recency')
  await until(() => idsOf(stream.text()).length === 4 && idsOf(resumed.text()).length === 1 && lens.text().includes('event: answer'), 'history is there')
  await writer.assertMany([draft('a/6', 6), draft('b/7', 7), draft('a/1', 8)])
  await until(() => idsOf(stream.text()).length === 6 && (lens.text().match(/event: answer/g) ?? []).length === 2, 'what came is there')
  t.strictSame(idsOf(stream.text()), [2, 3, 4, 5, 6, 8])
  t.strictSame(idsOf(resumed.text()), [5, 6, 8])
  t.strictSame(winnersOf(lens), [1, 8])
  await until(() => stream.text().includes('\nid: 8\n\n: reached LSN 8') || stream.text().includes(': reached LSN 8\nid: 8\n\n'), 'a heartbeat names the LSN that was reached')
  await writer.assertMany([draft('b/2', 1)])
  await sleep(1000)
  t.equal((lens.text().match(/event: answer/g) ?? []).length, 2, 'nothing is told where nothing has changed')

  const page = (await get(`${server.url}/v1/feed?prefix=a/&from_lsn=1&limit=2`)).json() as { items: { lsn: number }[], next_lsn: number, applied_lsn: number }
  t.match({ ...page, items: page.items.map(({ lsn }) => lsn) }, { items: [1, 2], next_lsn: 3, applied_lsn: 9 })
  const newest = (await get(`${server.url}/v1/feed?limit=2`)).json() as { items: { lsn: number }[], next_lsn: number }
  t.match({ ...newest, items: newest.items.map(({ lsn }) => lsn) }, { items: [8, 9], next_lsn: 10 })
  const last = (await get(`${server.url}/v1/feed?from_lsn=10`)).json() as { items: unknown[], next_lsn: number }
  t.match(last, { items: [], next_lsn: 10 })

  const stopping = server.stop()
  await stream.ended
  t.match(stream.text(), /event: end\ndata: \{"code":"shutting_down"/)
  await stopping
})

t.test('bad input: refused with its code, nothing of it ends the connection but what is no frame', async (t) => {
  const { server } = await serve(t, { subscriptionsMax: 20, subscriptionsPerSessionMax: 5 })
  const writer = await clientOf(t, server)
  await writer.assertMany(countingUp(3).map((n) => draft(`a/${n}`, n)))
  for (const [query, status, code] of [
    ['from_lsn=5', 400, 'lsn_in_future'], ['from_lsn=x', 400, 'parameter_invalid'], ['subject=a&prefix=b', 400, 'parameter_invalid'],
    ['tier=9', 400, 'parameter_invalid'], ['tier=wise', 400, 'parameter_invalid'], ['agent=12', 400, 'parameter_invalid'], ['limit=0', 400, 'parameter_invalid'],
    ['limit=1000000', 400, 'parameter_invalid'], ['what=1', 400, 'parameter_invalid'], [`subject=${'x'.repeat(1025)}`, 400, 'parameter_invalid'],
    ['lens=recency&subject=a/1', 400, 'parameter_invalid'],
  ] as const) {
    const answer = await get(`${server.url}/v1/feed?${query}`)
    t.match({ status: answer.status, code: answer.json()['code'] }, { status, code }, query)
  }
  const sse = ['-H', 'accept: text/event-stream'] as const
  for (const [query, code] of [['from_lsn=9', 'lsn_in_future'], ['lens=recency', 'parameter_invalid'], ['limit=3', 'parameter_invalid'], ['subject=a&lens=nonsense', 'parameter_invalid']] as const) {
    const answer = await curl([...sse, `${server.url}/v1/feed?${query}`])
    t.match([answer.status, answer.json()['code']], [400, code], query)
  }
  t.equal((await curl([...sse, '-H', 'last-event-id: -1', `${server.url}/v1/feed`])).json()['code'], 'parameter_invalid')
  t.equal((await curl(['-H', 'accept: image/png', `${server.url}/v1/feed`])).status, 406)

  const raw = await RawSubscriber.open(t, server)
  raw.subscribe(1n, { fromLsn: 4 })
  raw.subscribe(1n)
  raw.subscribe(2n, { fromLsn: 2 ** 53 })
  raw.subscribe(3n, { subject: '' })
  raw.subscribe(4n, { subject: 'x'.repeat(1025), subjectIsPrefix: true })
  raw.subscribe(5n, { lens: 'recency' })
  raw.subscribe(6n, { lens: 'nonsense', subject: 'a/1' })
  raw.socket.send(encodeUnsubscribe(77n))
  await until(() => raw.ends().length === 7, 'each is refused')
  t.strictSame(raw.ends().map(({ subscriptionId, code }) => `${subscriptionId} ${code ?? 'asked'}`).sort(),
    ['1 parameter_invalid', '2 lsn_in_future', '3 parameter_invalid', '4 parameter_invalid', '5 parameter_invalid', '6 parameter_invalid', '77 asked'])
  for (let id = 10n; id < 16n; id++) raw.subscribe(id)
  await until(() => raw.ends().length === 9, 'there are five at most')
  t.strictSame(raw.ends().slice(7).map(({ code }) => code), ['subscriptions_exhausted', 'subscriptions_exhausted'])
  raw.socket.send(encodeUnsubscribe(1n))
  await until(() => raw.ends().length === 10, 'it was ended')
  t.match(raw.ends()[9], { subscriptionId: 1n, code: undefined, lastLsn: 3 })
  await writer.assertMany([draft('b/1', 1)])
  await until(() => raw.lsns.length === 4, 'the four that stand get what comes')

  const frame = encodeSubscribe({ subscriptionId: 1n, subject: 'abc', subjectIsPrefix: false, predicate: undefined, tiers: 0, agent: undefined, lens: undefined, fromLsn: 0 })
  for (let at = 8; at < frame.length; at += 3) {
    const broken = frame.slice()
    broken[at] = broken[at]! ^ 0xff
    raw.socket.send(broken)
    raw.socket.send(broken.slice(0, at))
  }
  await until(() => raw.closedWith !== undefined, 'what is no frame ends the connection')
  t.equal(raw.closedWith, 1003)
  t.strictSame(raw.errors, ['malformed_frame'])
  const others = await Promise.all(Array.from({ length: 5 }, () => RawSubscriber.open(t, server)))
  others.forEach((one) => { for (let id = 0n; id < 5n; id++) one.subscribe(id) })
  await until(() => others.flatMap((one) => one.ends()).length === 5, 'there are twenty at most in all')
  t.equal((await curl([...sse, `${server.url}/v1/feed`])).json()['code'], 'subscriptions_exhausted')
  t.equal((await get(`${server.url}/readyz`)).status, 200)
})

t.test('a thousand subscribers: each gets its own, and the node lets go of them', async (t) => {
  const { server } = await serve(t)
  const writer = await clientOf(t, server)
  const subscribers: RawSubscriber[] = []
  for (let from = 0; from < 1000; from += 100) {
    subscribers.push(...await Promise.all(Array.from({ length: 100 }, () => RawSubscriber.open(t, server))))
  }
  subscribers.forEach((one, i) => one.subscribe(BigInt(i), i < 10 ? {} : { subject: `own/${i}/`, subjectIsPrefix: true }))
  await until(() => subscribers.every(({ frames }) => frames[0]?.kind === 'subscribed'), 'all are subscribed', 60_000)
  await writer.assertMany(subscribers.flatMap((_, i) => [draft(`own/${i}/a`, i), draft(`own/${i}/b`, i)]))
  await until(() => subscribers.every(({ lsns }, i) => lsns.length === (i < 10 ? 2000 : 2)), 'all have theirs', 60_000)
  t.ok(subscribers.every(({ lsns }) => lsns.every((lsn, i) => i === 0 || lsn > lsns[i - 1]!)), 'in order')
  t.ok(subscribers.every(({ frames }, i) => frames.every((frame) => frame.kind === 'heartbeat' || frame.subscriptionId === BigInt(i))), 'under the ids that they chose')
  const [records] = await scrape(server.url, 'stemedb_feed_records_total')
  t.ok(records! < 2000, `${records} records were read for all of them together`)
  for (const { socket } of subscribers) socket.terminate()
  let left: number | undefined
  for (let tries = 0; tries < 100 && left !== 0; tries++) {
    await sleep(50)
    left = metricOf(await (await fetch(`${server.url}/metrics`)).text(), 'stemedb_subscriptions')
  }
  t.equal(left, 0)
  await writer.assertMany(countingUp(100).map((n) => draft(`later/${n}`, n)))
  t.equal((await scrape(server.url, 'stemedb_feed_records_total'))[0], records, 'nothing is read for nobody')
})

t.test('inline, and the command line', async (t) => {
  const { server } = await serve(t, { mode: 'inline' })
  const writer = await clientOf(t, server)
  await writer.assertMany(countingUp(3).map((n) => draft(`a/${n}`, n)))
  const run = (args: string[]): Promise<{ code: number | null, out: string }> => new Promise((resolve) => {
    const child = spawn(process.execPath, [cliPath, 'feed', ...args, '--url', server.wsUrl])
    let out = ''
    child.stdout.on('data', (data: Buffer) => { out += data.toString() })
    child.once('close', (code) => resolve({ code, out }))
  })
  const json = await run(['a/', '--prefix', '--from-lsn', '2', '--limit', '2', '--json'])
  t.equal(json.code, 0)
  t.strictSame(json.out.trim().split('\n').map((line) => (JSON.parse(line) as StoredAssertion).lsn), [2, 3])
  const lines = await run(['--from-lsn', '1', '--limit', '1'])
  t.match(lines.out, / 1 {2}\d{4}-.*a\/1 {2}p {2}1/)
  const watched = await run(['a/2', '--lens', 'recency', '--limit', '1'])
  t.match(watched.out, /a\/2 {2}p {2}2/)
  const answers = await run(['a/2', '--lens', 'recency', '--limit', '1', '--json'])
  t.match(JSON.parse(answers.out), { seen_lsn: 3, answers: [{ subject: 'a/2', winner: { lsn: 2 } }] }, 'named as in the answer to a query')
  if (existsSync('/dev/full')) {
    const full = spawnSync('bash', ['-c', `"${process.execPath}" "${cliPath}" feed --from-lsn 1 --url ${server.wsUrl} >/dev/full`], { encoding: 'utf8', timeout: 60_000 })
    t.equal(full.status, EXIT.io, 'what can not be written ends it')
    t.match(full.stderr, /^stemedb: standard output can not be written: ENOSPC [^\n]*\n$/)
  }
  // A draft that says nothing of it is anecdotal.
  const filtered = await run(['a/', '--prefix', '--lens', 'layered', '--tier', 'anecdotal', '--agent', '09'.repeat(32), '--limit', '1', '--json'])
  const change = JSON.parse(filtered.out) as Pick<AnswerChange, 'answers'>
  t.match(change.answers.map(({ subject, sides }) => [subject, sides?.map(({ label }) => label)]), [['a/1', ['anecdotal']], ['a/2', ['anecdotal']], ['a/3', ['anecdotal']]])
  const others = await run(['a/', '--prefix', '--lens', 'recency', '--tier', '0', '--limit', '1', '--json'])
  t.strictSame((JSON.parse(others.out) as Pick<AnswerChange, 'answers'>).answers, [])
  t.equal((await run(['--from-lsn', '99'])).code, 1)
})

t.test('HEAD of a stream, and a stream that nobody reads', async (t) => {
  const { server } = await serve(t, { subscriptionBufferBytesMax: 64 * 1024 })
  const writer = await clientOf(t, server)
  const head = await curl(['-I', '-H', 'accept: text/event-stream', `${server.url}/v1/feed`])
  t.match([head.status, head.headers.get('content-type')], [200, 'text/event-stream'])
  const ask = request(`${server.url}/v1/feed?from_lsn=1`, { headers: { accept: 'text/event-stream' } })
  ask.end()
  const response = await new Promise<import('node:http').IncomingMessage>((resolve) => ask.once('response', resolve))
  t.teardown(() => response.destroy())
  response.pause()
  const note = 'x'.repeat(3000)
  let count = 0
  for (let round = 0; round < 20; round++) {
    await writer.assertMany(countingUp(200).map((n) => ({ ...draft(`s/${count + n}`, n), note })))
    count += 200
  }
  await sleep(1000)
  const residentBefore = residentMiB(server.pid)
  t.ok(residentBefore > 0)
  let text = ''
  response.on('data', (data: Buffer) => { text += data.toString() })
  response.resume()
  await until(() => (text.match(/event: assertion/g) ?? []).length === count, 'it catches up', 60_000)
  t.strictSame([...text.matchAll(/^id: (\d+)\nevent: assertion$/gm)].map((match) => Number(match[1])), countingUp(count))
})

t.test('a lens of one tier hears of what takes back or replaces, whatever tier that is of', async (t) => {
  const { server } = await serve(t)
  const writer = await clientOf(t, server)
  const first = await writer.assert({ ...draft('s', 1), sourceClass: 0 })
  t.equal((await get(`${server.url}/v1/query?subject=s&min_lsn=${first.lsn}`)).status, 200)
  const lens = followEvents(t, server, '/v1/feed?subject=s&predicate=p&lens=recency&tier=0')
  await until(() => winnersOf(lens).length === 1, 'the answer of now')
  await writer.assert({ ...draft('s', 1), parent: first.id, lifecycle: 'retracted' })
  await until(() => winnersOf(lens).length === 2, 'it was taken back')
  const second = await writer.assert({ ...draft('s', 2), sourceClass: 0 })
  await until(() => winnersOf(lens).length === 3, 'there is another one')
  await writer.assert({ ...draft('s', 3), parent: second.id })
  await until(() => winnersOf(lens).length === 4, 'which was replaced by a version of another tier')
  t.strictSame(winnersOf(lens), [first.lsn, undefined, second.lsn, undefined])
})

t.test('an answer that changes with time alone is told', async (t) => {
  // Anecdotes are worth half after a second.
  const { server } = await serve(t, { decayHalfLifeDays: `inf,inf,inf,inf,inf,${1 / 86_400}`, subscriptionRefreshMs: 1000 })
  const writer = await clientOf(t, server)
  const lens = followEvents(t, server, '/v1/feed?subject=s&lens=confidence')
  await until(() => winnersOf(lens).length === 1, 'the answer of now: there is none')
  const lasting = await writer.assert({ ...draft('s', 1), confidence: 0.2, sourceClass: 0 })
  const fading = await writer.assert({ ...draft('s', 2), confidence: 1, sourceClass: 5 })
  await until(() => winnersOf(lens).includes(fading.lsn), 'the surer one wins')
  await until(() => winnersOf(lens).at(-1) === lasting.lsn, 'until it has faded')
  t.equal((await scrape(server.url, 'stemedb_feed_deliveries_total'))[0], 2, 'nothing else came')
})

t.test('a stream of events may take nothing for as long as the settings say, and hears of its end', async (t) => {
  // Longer than the 10 s that the library below allows for a write.
  const { server } = await serve(t, { subscriptionBufferBytesMax: 64 * 1024, subscriptionStallMsMax: 13_000 })
  const writer = await clientOf(t, server)
  const note = 'x'.repeat(3000)
  // More than the kernel's buffers and the window take.
  for (let from = 1; from < 6000; from += 200) await writer.assertMany(countingUp(200, from).map((n) => ({ ...draft(`s/${n}`, n), note })))
  const ask = request(`${server.url}/v1/feed?from_lsn=1`, { headers: { accept: 'text/event-stream' } })
  ask.end()
  const response = await new Promise<import('node:http').IncomingMessage>((resolve) => ask.once('response', resolve))
  t.teardown(() => response.destroy())
  response.pause()
  let failure = ''
  response.on('error', (error) => { failure = error.message })
  for (const count of [1, 0]) while ((await scrape(server.url, 'stemedb_subscriptions '))[0] !== count) await sleep(200)
  t.strictSame(await scrape(server.url, 'stemedb_subscriptions_ended_total{code="subscriber_too_slow"}'), [1], 'it was ended, and not cut before')
  let text = ''
  response.on('data', (data: Buffer) => { text += data.toString() })
  response.resume()
  await until(() => text.includes('event: end') || failure !== '', 'it is told', 60_000)
  const end = JSON.parse(/^event: end\ndata: (.*)$/m.exec(text)![1]!) as { code: string, last_lsn: number }
  t.equal(end.code, 'subscriber_too_slow')
  t.strictSame([...text.matchAll(/^id: (\d+)\nevent: assertion$/gm)].map((match) => Number(match[1])), countingUp(end.last_lsn), 'it had everything up to there')
})
