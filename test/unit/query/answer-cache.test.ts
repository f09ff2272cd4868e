import { ByteBuffer, Builder } from 'flatbuffers'
import fc from 'fast-check'
import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { concatBytes } from '../../../src/base/bytes.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../../src/fbs/stemedb/query-request.ts'
import type { ThreadMetrics } from '../../../src/observe/thread-metrics.ts'
import { AnswerCache, TIMED_ANSWER_MS_MAX } from '../../../src/query/answer-cache.ts'
import { DEPENDENCIES_MAX, Dependencies, NotedClock, NotedSource } from '../../../src/query/dependencies.ts'
import type { CandidateSource, Place } from '../../../src/query/candidate-source.ts'
import { PairLsns } from '../../../src/store/pair-lsns.ts'
import { encodeQuery, type QueryInput } from '../../../src/wire/query-request.codec.ts'

const utf8 = new TextEncoder()
const ZERO = Uint8Array.of(0)

/** A store of one number a pair, whose answers read one pair, and votes of it where the lens says so. */
class World {
  readonly pairLsns = new PairLsns(new SharedArrayBuffer(PairLsns.BYTES))
  writes = 0
  readonly dependencies = new Dependencies(this.pairLsns)
  readonly counts: Record<string, number> = {}
  readonly values = new Map<string, number>()
  appliedLsn = 1
  nowMs = 1000
  worked = 0
  readonly clock: Clock = { wallMs: () => this.nowMs, monoMs: () => this.nowMs, timer: () => () => undefined }
  readonly #noted = new NotedClock(this.clock, this.dependencies)
  readonly source: NotedSource
  /** What an id leads to. */
  place: Place | undefined = { lsn: 1 } as Place
  readonly cache: AnswerCache

  constructor(bytesMax: number) {
    const plain: CandidateSource = {
      appliedLsn: () => this.appliedLsn, appliedHlc: () => 1n, byId: () => this.place,
      entries: () => ({ next: () => undefined, skipPair() {}, seek() {}, close() {} }), latest: () => ({ next: () => undefined, close() {} }),
    }
    this.source = new NotedSource(plain, this.dependencies)
    const metrics = {
      inc: (name: string) => { this.counts[name] = (this.counts[name] ?? 0) + 1 }, set() {}, observe() {},
    } as unknown as ThreadMetrics
    this.cache = new AnswerCache({
      answer: (request) => this.#answer(request), dependencies: this.dependencies, appliedLsn: () => this.appliedLsn, clock: this.clock, bytesMax, metrics,
    })
  }

  write(subject: string, predicate: string, value: number, countsIt = true): void {
    this.values.set(`${subject} ${predicate}`, value)
    const pair = concatBytes(utf8.encode(subject), ZERO, utf8.encode(predicate), ZERO)
    const keys = concatBytes(new Uint8Array(4), pair, new Uint8Array(16))
    if (countsIt) this.pairLsns.written({ count: 1, bytes: keys, keyStarts: Uint32Array.of(4), keyEnds: Uint32Array.of(keys.length) }, ++this.writes)
    this.appliedLsn++
  }

  #read(subject: string, predicate: string, subjectIsPrefix = false): number {
    this.source.entries({ subject: utf8.encode(subject), subjectIsPrefix, predicate: utf8.encode(predicate) })
    return this.values.get(`${subject} ${predicate}`) ?? 0
  }

  #answer(bytes: Uint8Array): Uint8Array {
    this.worked++
    const request = QueryRequest.getRootAsQueryRequest(new ByteBuffer(bytes))
    const subject = request.subject() ?? ''
    const lens = request.lens() ?? ''
    let value = this.#read(subject, request.predicate() ?? '', request.subjectIsPrefix())
    if (lens === 'votes') value += 1000 * this.#read(`steme://assertion/${subject}`, 'vote')
    if (lens === 'decay') value += this.#noted.wallMs() / 1e6
    if (lens === 'by id') this.source.byId(new Uint8Array(32))
    if (lens === 'applied') this.source.appliedHlc()
    if (lens === 'many') for (let i = 0; i < DEPENDENCIES_MAX; i++) this.#read(`other ${i}`, 'p')
    const builder = new Builder(128)
    const detail = builder.createString(String(value))
    QueryReply.startQueryReply(builder)
    QueryReply.addRequestId(builder, request.requestId())
    if (lens === 'refused') QueryReply.addRefused(builder, 30)
    QueryReply.addDetail(builder, detail)
    QueryReply.addSeenLsn(builder, BigInt(this.appliedLsn))
    builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
    return builder.asUint8Array()
  }

  ask(query: Partial<QueryInput> = {}, requestId = 1n): { readonly id: bigint, readonly value: number, readonly seenLsn: number } {
    const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(this.cache.answer(encodeQuery(requestId, { kind: 'lens', subject: 's', predicate: 'p', ...query }))))
    return { id: reply.requestId(), value: Number(reply.detail()), seenLsn: Number(reply.seenLsn()) }
  }

  /** Whether asking twice is worked out once. */
  keeps(query: Partial<QueryInput>): boolean {
    this.ask(query, 7n)
    const before = this.worked
    this.ask(query, 8n)
    return this.worked === before
  }
}

t.test('an answer is used again with the id of the question and the LSN of now, until something is written', async (t) => {
  const world = new World(1 << 20)
  world.write('s', 'p', 5)
  t.strictSame(world.ask({}, 3n), { id: 3n, value: 5, seenLsn: 2 })
  world.write('other', 'p', 1)
  t.strictSame(world.ask({ minLsn: 2 }, 2n ** 64n - 1n), { id: 2n ** 64n - 1n, value: 5, seenLsn: 3 })
  t.strictSame(world.ask({}, 0n), { id: 0n, value: 5, seenLsn: 3 })
  t.equal(world.worked, 1)
  t.ok(world.ask({ minLsn: 9 }).value === 5 && world.worked === 2, 'an LSN that is not applied is for the executor to refuse')
  world.write('s', 'p', 6)
  t.strictSame(world.ask({}, 4n), { id: 4n, value: 6, seenLsn: 4 })
  t.match(world.counts, { answer_cache_hits_total: 2, answer_cache_stale_total: 1 })
})

t.test('what is kept, and what is not', async (t) => {
  const world = new World(1 << 20)
  t.ok(world.keeps({}))
  t.ok(world.keeps({ asOfHlc: 77n }))
  t.ok(world.keeps({ lens: 'by id' }), 'an assertion that is there stays as it is')
  t.notOk(world.keeps({ explain: true }))
  t.notOk(world.keeps({ subjectIsPrefix: true }))
  t.notOk(world.keeps({ kind: 'list' }))
  t.notOk(world.keeps({ lens: 'refused' }))
  t.notOk(world.keeps({ lens: 'applied' }), 'a mark that moves after the LSNs of the pairs')
  t.notOk(world.keeps({ lens: 'many' }))
  t.notOk(world.keeps({ subject: 'x'.repeat(5000) }))
  world.place = undefined
  t.notOk(world.keeps({ lens: 'by id', limit: 2 }), 'one that is not there may come')
  world.place = { lsn: world.appliedLsn + 1 } as Place
  t.notOk(world.keeps({ lens: 'by id', limit: 3 }), 'so may one that is there and not applied')
})

t.test('what depends on the time is kept for its time', async (t) => {
  const world = new World(1 << 20)
  t.ok(world.keeps({ lens: 'decay' }))
  const { value } = world.ask({ lens: 'decay' })
  world.nowMs += TIMED_ANSWER_MS_MAX - 1
  t.equal(world.ask({ lens: 'decay' }).value, value)
  world.nowMs++
  t.not(world.ask({ lens: 'decay' }).value, value)
  world.nowMs += 10 * TIMED_ANSWER_MS_MAX
  const { worked } = world
  world.ask()
  world.nowMs += 10 * TIMED_ANSWER_MS_MAX
  world.ask()
  t.equal(world.worked, worked + 1, 'others have none')
})

t.test('broken bytes are for the executor, and leave nothing', async (t) => {
  const world = new World(1 << 20)
  const throwing = new AnswerCache({
    answer: (request) => request.slice(0, 4), dependencies: world.dependencies, appliedLsn: () => 1, clock: world.clock, bytesMax: 1 << 20,
    metrics: { inc() {}, set() {}, observe() {} } as unknown as ThreadMetrics,
  })
  const good = encodeQuery(9n, { kind: 'lens', subject: 's', predicate: 'p' })
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 8 }), fc.nat(good.length), (changes, cut) => {
    const bytes = good.slice(0, cut)
    for (const [at, value] of changes) if (at < cut) bytes[at] = value
    return throwing.answer(bytes).length === Math.min(4, cut) && throwing.count === 0
  }), { numRuns: 1000 })
  t.pass()
})

t.test('any order of writes and questions: never an old answer, never beyond its bound', async (t) => {
  const subject = fc.constantFrom('a', 'b', 'c', 'd')
  const step = fc.oneof(
    fc.record({ do: fc.constant('write' as const), subject, votes: fc.boolean() }),
    fc.record({ do: fc.constant('ask' as const), subject, votes: fc.boolean(), limit: fc.nat(3) }),
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), fc.constantFrom(0, 700, 1600, 3000, 1 << 20), (steps, bytesMax) => {
    const world = new World(bytesMax)
    let next = 1
    for (const each of steps) {
      const votes = `steme://assertion/${each.subject}`
      if (each.do === 'write') world.write(each.votes ? votes : each.subject, each.votes ? 'vote' : 'p', next++)
      else {
        const { value, seenLsn } = world.ask({ subject: each.subject, lens: each.votes ? 'votes' : 'recency', limit: each.limit }, BigInt(next))
        const expected = (world.values.get(`${each.subject} p`) ?? 0) + (each.votes ? 1000 * (world.values.get(`${votes} vote`) ?? 0) : 0)
        if (value !== expected || seenLsn !== world.appliedLsn || world.cache.bytes > bytesMax) return false
      }
    }
    return world.cache.bytes > 0 === world.cache.count > 0
  }))
  const unseen = new World(1 << 20)
  unseen.write('s', 'p', 1)
  unseen.ask()
  unseen.write('s', 'p', 2, false)
  t.equal(unseen.ask().value, 1, 'without its LSN, a write would not be seen: it is the LSNs that do it')
})
