import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { toHex } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { Assertion } from '../../src/record/assertion.ts'
import { initHash } from '../../src/record/claim.ts'
import { encodeAssertion } from '../../src/wire/assertion.codec.ts'
import { encodeBatch } from '../../src/wire/batch.codec.ts'
import { LIST_ITEMS_MAX, encodeList } from '../../src/wire/queries.codec.ts'
import type { DecodedReply, QueryResult } from '../../src/wire/query-reply.codec.ts'
import { encodeQuery, type QueryInput } from '../../src/wire/query-request.codec.ts'
import { startServer, type RunningServer, type Settings } from '../support/server.ts'
import { Socket } from './socket.ts'

t.setTimeout(240_000)

// Queries over the stream, through a real socket, with a client that is not ours (`ws`).

await initHash()

async function serve(t: Test, settings: Settings = {}): Promise<RunningServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stemedb-wsq-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, settings: { signatures: 'optional', walSegmentBytes: 32 * 2 ** 20, ...settings } })
  t.teardown(() => server.kill9())
  return server
}

async function open(t: Test, server: RunningServer): Promise<Socket> {
  const socket = await Socket.open(server.wsUrl)
  t.teardown(() => socket.close())
  return socket
}

let made = 0
const claim = (subject: string, value: number, change: Partial<Assertion> = {}): Uint8Array => encodeAssertion({
  subject, predicate: 'dose', object: { kind: 'number', value }, confidence: 0.5, sourceClass: 1, sourceHash: new Uint8Array(32),
  lifecycle: 'proposed', agent: Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 0x58 : 0x66)), assertedAtMs: Date.now() - 1000,
  note: `n${made++}`, ...change,
})
const batch = (requestId: bigint, claims: readonly Uint8Array[]): Uint8Array =>
  encodeBatch({ requestId, items: claims.map((assertion) => ({ assertion })) })
const lens = (subject: string, change: Partial<QueryInput> = {}): QueryInput => ({ kind: 'lens', subject, predicate: 'dose', ...change })

function resultOf(reply: DecodedReply | undefined): QueryResult {
  if (reply === undefined) throw new Error('no reply')
  if (reply.refused !== undefined) throw new Error(`${reply.refused}: ${reply.detail}`)
  return reply.result
}
const valueOf = (reply: DecodedReply | undefined): unknown => resultOf(reply).answers[0]?.winner?.assertion.object.value

async function metric(server: RunningServer, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith(`stemedb_${name}`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Writes and waits until it can be read: the LSN of the last. */
async function write(socket: Socket, claims: readonly Uint8Array[]): Promise<number> {
  const ack = await socket.ask(batch(BigInt(made++), claims))
  const lsn = ack.firstLsn + ack.accepted - 1
  const seen = await socket.query(encodeQuery(1n, lens('nothing', { minLsn: lsn })))
  if (resultOf(seen.get(1n)).seenLsn < lsn) throw new Error('min_lsn was not honoured')
  return lsn
}

t.test('one query, and dozens in one message', async (t) => {
  const server = await serve(t, { lensThreads: 2 })
  const socket = await open(t, server)
  t.equal(socket.welcome!.queriesMax(), 1024)
  await write(socket, Array.from({ length: 100 }, (_, i) => claim(`drug/${i}`, i)))
  const one = await socket.query(encodeQuery(2n ** 64n - 1n, lens('drug/7')))
  const { seenLsn, truncated, answers } = resultOf(one.get(2n ** 64n - 1n))
  t.match({ seenLsn, truncated }, { seenLsn: 100, truncated: false })
  t.match(answers, [{ subject: 'drug/7', predicate: 'dose', candidates: 1, winner: { lsn: 8, signedBy: 'nobody' } }])
  t.equal(valueOf(one.get(2n ** 64n - 1n)), 7)
  const frames = socket.replyFrames
  const many = await socket.query(encodeList('SQRS', Array.from({ length: 100 }, (_, i) => encodeQuery(BigInt(1000 - i), lens(`drug/${i}`)))), 100)
  t.equal(many.size, 100)
  for (let i = 0; i < 100; i++) t.equal(valueOf(many.get(BigInt(1000 - i))), i)
  t.ok(socket.replyFrames - frames < 50, `${socket.replyFrames - frames} messages of replies to a message of a hundred`)
  const mixed = await socket.query(encodeList('SQRS', [
    encodeQuery(1n, { kind: 'id', id: answers[0]!.winner!.id }), encodeQuery(2n, lens('drug/nobody')),
    encodeQuery(3n, { kind: 'lens', subject: 'drug/1', subjectIsPrefix: true, limit: 3 }), encodeQuery(4n, lens('drug/1', { lens: 'no such lens' })),
  ]), 4)
  t.equal(resultOf(mixed.get(1n)).found?.lsn, 8)
  t.strictSame(resultOf(mixed.get(2n)).answers, [])
  t.match(resultOf(mixed.get(3n)), { truncated: true, answers: { length: 3 } })
  t.match(mixed.get(4n), { refused: 'parameter_invalid' })
  const empty = await socket.query(encodeList('SQRS', []))
  t.match(empty.get(0n), { refused: 'malformed_frame' }, 'a message of none')
})

t.test('thousands under way on several connections, singly and in messages: each answered once', async (t) => {
  const server = await serve(t, { lensThreads: 2, sessionQueriesMax: 4096 })
  const sockets = await Promise.all(Array.from({ length: 4 }, () => open(t, server)))
  await write(sockets[0]!, Array.from({ length: 50 }, (_, i) => claim(`drug/${i}`, i)))
  const before = sockets.map(({ replies }) => replies.length)
  const perSocket = 1000
  for (const socket of sockets) {
    let next = 0
    while (next < perSocket) {
      const count = Math.min(perSocket - next, next % 3 === 0 ? 1 : 1 + next % 40)
      const queries = Array.from({ length: count }, (_, i) => encodeQuery(BigInt(next + i), lens(`drug/${(next + i) % 50}`)))
      socket.socket.send(count === 1 ? queries[0]! : encodeList('SQRS', queries))
      next += count
    }
  }
  await Promise.all(sockets.map((socket, s) => socket.until(() => socket.replies.length >= before[s]! + perSocket, 60_000)))
  for (const [s, socket] of sockets.entries()) {
    const replies = socket.replies.slice(before[s])
    t.strictSame(replies.map(({ requestId }) => Number(requestId)).sort((a, b) => a - b), Array.from({ length: perSocket }, (_, i) => i))
    t.ok(replies.every((reply) => valueOf(reply) === Number(reply.requestId) % 50), 'the answer to its own question')
    t.ok(socket.replyFrames < perSocket, 'replies that are ready together share a message')
  }
  t.ok(await metric(server, 'queries_total{endpoint="stream"}') >= 4 * perSocket)
})

t.test('reading what was acked', async (t) => {
  const server = await serve(t)
  const socket = await open(t, server)
  for (let i = 0; i < 50; i++) {
    const ack = await socket.ask(batch(BigInt(i), [claim('drug/own', i)]))
    const asked = [encodeQuery(7n, lens('drug/own', { minLsn: ack.firstLsn })), encodeQuery(8n, lens('drug/none'))]
    const replies = await socket.query(i % 2 === 0 ? asked[0]! : encodeList('SQRS', asked.reverse()), 1 + i % 2)
    t.equal(valueOf(replies.get(7n)), i)
  }
  const future = await socket.query(encodeList('SQRS', [encodeQuery(1n, lens('drug/own', { minLsn: 2 ** 50 })), encodeQuery(2n, lens('drug/own'))]), 2)
  t.match(future.get(1n), { refused: 'lsn_in_future' })
  t.match(future.get(2n), { refused: 'lsn_in_future' }, 'a message is taken or refused as one')
})

t.test('more than a connection may have unanswered', async (t) => {
  const server = await serve(t, { sessionQueriesMax: 8 })
  const socket = await open(t, server)
  await write(socket, [claim('drug/a', 1)])
  t.equal(socket.welcome!.queriesMax(), 8)
  const refused = await socket.query(encodeList('SQRS', Array.from({ length: 9 }, (_, i) => encodeQuery(BigInt(i), lens('drug/a')))), 9)
  t.strictSame([...refused.values()].map((reply) => reply.refused), new Array(9).fill('overloaded'))
  const taken = await socket.query(encodeList('SQRS', Array.from({ length: 8 }, (_, i) => encodeQuery(BigInt(i), lens('drug/a')))), 8)
  t.ok([...taken.values()].every((reply) => valueOf(reply) === 1))
  for (let round = 0; round < 20; round++) {
    const again = await socket.query(encodeList('SQRS', Array.from({ length: 8 }, (_, i) => encodeQuery(BigInt(i), lens('drug/a')))), 8)
    t.ok([...again.values()].every((reply) => valueOf(reply) === 1), 'what was answered counts no more')
  }
})

t.test('what is broken', async (t) => {
  const server = await serve(t)
  const witness = await open(t, server)
  await write(witness, [claim('drug/a', 1)])
  const good = encodeQuery(5n, lens('drug/a'))
  const damaged = await open(t, server)
  const replies = await damaged.query(encodeList('SQRS', [good, good.subarray(0, good.length - 12), new Uint8Array(0), encodeQuery(6n, lens('drug/a'))]), 4)
  t.equal(valueOf(replies.get(5n)), 1)
  t.equal(valueOf(replies.get(6n)), 1)
  t.equal(damaged.replies.filter((reply) => reply.refused === 'malformed_frame').length, 2, 'a broken query does not take the others with it')
  const ends = async (frame: Uint8Array, code: string, closeCode: number): Promise<void> => {
    const socket = await Socket.open(server.wsUrl)
    socket.socket.send(frame)
    t.equal((await socket.ending()).code, closeCode)
    t.match(socket.errors, [{ code }])
  }
  const frame = encodeList('SQRS', new Array(LIST_ITEMS_MAX).fill(good) as Uint8Array[])
  const more = frame.slice()
  new DataView(more.buffer).setUint32(24, LIST_ITEMS_MAX + 1, true)
  await ends(more, 'frame_too_large', 1009)
  await ends(encodeQuery(1n, lens('x'.repeat(300 * 1024))), 'frame_too_large', 1009)
  t.equal((await damaged.query(frame, LIST_ITEMS_MAX)).size, 1)

  const random = seededRandom(20261126)
  let answered = 0
  for (let i = 0; i < 1000; i++) {
    const bytes = (i % 2 === 0 ? good : encodeList('SQRS', [good, encodeQuery(9n, lens('drug/a', { minLsn: 1 })), good])).slice()
    for (let k = 0; k <= i % 4; k++) {
      const at = random.u32() % bytes.length
      if (at < 4 || at > 7) bytes[at]! ^= 1 << random.u32() % 8
    }
    if (damaged.socket.readyState !== damaged.socket.OPEN) break
    const count = damaged.replies.length
    damaged.socket.send(bytes)
    if (i % 50 === 0) {
      await damaged.until(() => damaged.replies.length > count || damaged.socket.readyState !== damaged.socket.OPEN)
      answered++
    }
  }
  t.ok(answered > 10 || damaged.errors.length > 0, `${answered} looks, ${damaged.errors.length} errors`)
  t.equal(valueOf((await witness.query(encodeQuery(3n, lens('drug/a')))).get(3n)), 1, 'others do not notice')
})

interface Told {
  readonly key: number
  readonly seenLsn: number
  readonly winnerLsn: number
}

/** A few hot keys, read all the time while they are written: every answer must have what its `seen_lsn` promises. */
async function staleness(t: Test, settings: Settings, seconds: number): Promise<{ server: RunningServer, told: number }> {
  const server = await serve(t, settings)
  const keys = 4
  const writer = await open(t, server)
  await write(writer, Array.from({ length: keys }, (_, key) => claim(`hot/${key}`, 0)))
  /** LSNs by key, ascending: one client writes. */
  const written: number[][] = Array.from({ length: keys }, () => [])
  const told: Told[] = []
  const end = Date.now() + seconds * 1000
  const random = seededRandom(7)
  const writing = (async () => {
    for (let i = 0; Date.now() < end; i++) {
      const key = random.u32() % keys
      const ack = await writer.ask(batch(BigInt(i), [claim(`hot/${key}`, i)]))
      written[key]!.push(ack.firstLsn)
      // Long enough apart for answers to be used again, and sometimes not.
      await new Promise((resolve) => setTimeout(resolve, random.u32() % 4))
    }
  })()
  const read = async (): Promise<void> => {
    const socket = await open(t, server)
    while (Date.now() < end) {
      const queries = Array.from({ length: 32 }, (_, i) => encodeQuery(BigInt(i), lens(`hot/${i % keys}`)))
      const replies = await socket.query(encodeList('SQRS', queries), 32)
      // The writer is in this process, too.
      await new Promise((resolve) => setTimeout(resolve, 1))
      for (const [id, reply] of replies) {
        const { seenLsn, answers } = resultOf(reply)
        told.push({ key: Number(id) % keys, seenLsn, winnerLsn: answers[0]!.winner!.lsn })
      }
    }
  }
  await Promise.all([writing, read(), read()])
  const stale = told.filter(({ key, seenLsn, winnerLsn }) => {
    const next = written[key]!.find((lsn) => lsn > winnerLsn)
    return next !== undefined && next <= seenLsn
  })
  const writes = written.flat().length
  t.strictSame(stale.slice(0, 3), [], `none of ${told.length} answers is older than it says, over ${writes} writes`)
  t.ok(writes > 5 * seconds, `${writes} writes`)
  return { server, told: told.length }
}

for (const [mode, settings] of [['two lens threads', { lensThreads: 2 }], ['inline', { mode: 'inline' }]] as const) {
  t.test(`kept answers under a writer: ${mode}`, async (t) => {
    const { server } = await staleness(t, settings, 4)
    t.ok(await metric(server, 'answer_cache_hits_total') > 100, 'answers were used again')
    t.ok(await metric(server, 'answer_cache_stale_total') > 10, 'and found outdated')
  })
}

for (const [mode, settings] of [['two lens threads', { lensThreads: 2 }], ['inline', { mode: 'inline' }]] as const) {
  t.test(`no answers or pairs are kept where there is no memory for them, but pages and claims are: ${mode}`, async (t) => {
    const { server } = await staleness(t, { ...settings, answerCacheBytes: 0, lensPairCacheBytes: 0 }, 3)
    t.equal(await metric(server, 'answer_cache_hits_total'), 0)
    t.equal(await metric(server, 'answer_cache_bytes'), 0)
    t.ok(await metric(server, 'index_page_lookups_total{result="kept"}') > 100, 'pages were used again')
    t.ok(await metric(server, 'claim_lookups_total{result="kept"}') > 100, 'claims were used again')
  })
}

t.test('kept answers are bounded, and say whose question they answer', async (t) => {
  const bytes = 64 * 1024
  const server = await serve(t, { lensThreads: 1, answerCacheBytes: bytes })
  const socket = await open(t, server)
  await write(socket, Array.from({ length: 300 }, (_, i) => claim(`drug/${i}`, i)))
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 300; i += 100) {
      const queries = Array.from({ length: 100 }, (_, k) => encodeQuery(BigInt(1 + round * 300 + i + k), lens(`drug/${i + k}`)))
      const replies = await socket.query(encodeList('SQRS', queries), 100)
      for (let k = 0; k < 100; k++) t.equal(valueOf(replies.get(BigInt(1 + round * 300 + i + k))), i + k)
    }
    t.ok(await metric(server, 'answer_cache_bytes') <= bytes)
  }
  t.ok(await metric(server, 'answer_cache_evictions_total') > 100)
  const before = await metric(server, 'answer_cache_hits_total')
  for (let i = 1; i <= 10; i++) t.equal(valueOf((await socket.query(encodeQuery(BigInt(i), lens('drug/1')))).get(BigInt(i))), 1)
  t.ok(await metric(server, 'answer_cache_hits_total') - before >= 9)
  const id = resultOf((await socket.query(encodeQuery(1n, lens('drug/1')))).get(1n)).answers[0]!.winner!.id
  t.equal(toHex(id).length, 64)
})

interface AuditRecords {
  readonly records: readonly {
    readonly query_id: string, readonly who: unknown, readonly endpoint: string, readonly parameters: Record<string, unknown>, readonly outcome: string,
    readonly answers: number, readonly winners: readonly string[], readonly latency_us: number
  }[]
}

t.test('the audit records questions of the stream, each once', async (t) => {
  const server = await serve(t, { auditMode: 'full', sessionQueriesMax: 300 })
  const agent = '58'.repeat(32)
  const socket = await Socket.open(server.wsUrl, undefined, { 'x-agent-id': agent })
  t.teardown(() => socket.close())
  await write(socket, Array.from({ length: 40 }, (_, i) => claim(`drug/${i}`, i)))
  const audit = async (): Promise<AuditRecords['records']> => (await (await fetch(`${server.url}/v1/audit?limit=1000`)).json() as AuditRecords).records
  const [first] = await audit()
  t.match(first, { endpoint: 'stream', who: { agent, address: /127\.0\.0\.1/ }, parameters: { kind: 2, subject: 'nothing' }, outcome: 'answered', winners: [] }, 'that of write()')
  const before = (await audit()).length

  const one = await socket.query(encodeQuery(7n, lens('drug/7', { lens: 'consensus' })))
  t.match((await audit())[0], {
    who: { agent }, parameters: { subject: 'drug/7', predicate: 'dose', lens: 'consensus' }, outcome: 'answered', answers: 1,
    winners: [toHex(resultOf(one.get(7n)).answers[0]!.winner!.id)],
  })
  // Dozens in one message, answered in any order, with ids that another connection has too.
  const other = await open(t, server)
  const asked = (offset: number): Uint8Array => encodeList('SQRS', Array.from({ length: 20 }, (_, i) => encodeQuery(BigInt(i), lens(`drug/${offset + i}`))))
  const [mine, theirs] = await Promise.all([socket.query(asked(0), 20), other.query(asked(20), 20)])
  await socket.query(encodeQuery(1n, lens('drug/1', { lens: 'no such lens' })))
  const broken = encodeQuery(2n, lens('drug/2')).slice()
  broken[0] = 0xff
  await socket.query(broken)
  const records = await audit()
  t.equal(records.length, before + 1 + 40 + 2)
  t.match(records.slice(0, 2), [{ parameters: { kind: 0 }, outcome: 'malformed_frame' }, { parameters: { subject: 'drug/1' }, outcome: 'parameter_invalid' }])
  const winnerOf = (subject: string): string[] => records.filter(({ parameters, outcome }) => parameters['subject'] === subject && outcome === 'answered').flatMap(({ winners }) => winners)
  for (let i = 0; i < 20; i++) {
    if (i !== 7) t.strictSame(winnerOf(`drug/${i}`), [toHex(resultOf(mine.get(BigInt(i))).answers[0]!.winner!.id)])
    t.strictSame(winnerOf(`drug/${20 + i}`), [toHex(resultOf(theirs.get(BigInt(i))).answers[0]!.winner!.id)])
  }
  t.equal(new Set(records.map(({ query_id: id }) => id)).size, records.length)

  // What nobody is left to be answered, is recorded as such: whatever was under way when the connection went.
  socket.socket.send(encodeList('SQRS', Array.from({ length: 200 }, (_, i) => encodeQuery(BigInt(i), { kind: 'list', subject: 'drug', subjectIsPrefix: true, limit: 40 }))))
  socket.socket.terminate()
  let gone: AuditRecords['records'] = []
  for (let tries = 0; gone.length < 200 && tries < 200; tries++) {
    gone = (await audit()).filter(({ parameters }) => parameters['kind'] === 3)
    if (gone.length < 200 && gone.length > 0 && tries > 50) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.ok(gone.length === 0 || gone.length === 200, `${gone.length} records: all of a message, or none where it did not arrive`)
  t.ok(gone.every(({ outcome }) => outcome === 'unanswered' || outcome === 'answered'))
})

t.test('without an audit, and with a sample of none, nothing is recorded', async (t) => {
  for (const settings of [{}, { auditMode: 'sampled', auditSamplePerMille: 1 }] satisfies Settings[]) {
    const server = await serve(t, settings)
    const socket = await open(t, server)
    for (let i = 0; i < 3; i++) await socket.query(encodeQuery(1n, lens('drug/1')))
    const { records } = await (await fetch(`${server.url}/v1/audit`)).json() as AuditRecords
    t.ok(records.length < 3)
  }
})
