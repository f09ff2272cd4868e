import { ByteBuffer } from 'flatbuffers'
import t from 'tap'
import type { Clock } from '../../../src/base/clock.ts'
import { errorNameOf } from '../../../src/base/error-codes.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import type { Admission } from '../../../src/front/admission.ts'
import type { SessionAudit } from '../../../src/front/audit/session-audit.ts'
import { WAITING_QUERIES_BYTES_MAX } from '../../../src/front/front-limits.ts'
import type { FrontOptions } from '../../../src/front/hooks.ts'
import { Outbox, Session } from '../../../src/front/session.ts'
import { SlotTable } from '../../../src/front/slots.ts'
import { StreamQueries } from '../../../src/front/stream-queries.ts'
import { ListView, encodeList, isRepliesFrame } from '../../../src/wire/queries.codec.ts'
import { encodeQuery } from '../../../src/wire/query-request.codec.ts'

const TIMEOUT_MS = 1000
const QUERIES_MAX = 8

/** Questions of sockets that are none, to a pipeline that keeps what it is asked. */
class Rig {
  readonly slots = new SlotTable(64)
  readonly refusedCodes: string[] = []
  readonly sent: { slot: number, generation: number, queries: number, frame: Uint8Array }[] = []
  readonly queries: StreamQueries
  draining = false
  isFull = false
  appliedLsn = 10
  durableLsn = 20
  monoMs = 0
  #timers: { atMs: number, call: () => void }[] = []

  constructor() {
    const clock: Clock = {
      wallMs: () => 0, monoMs: () => this.monoMs,
      timer: (delayMs, call) => {
        this.#timers.push({ atMs: this.monoMs + delayMs, call })
        return () => undefined
      },
    }
    const pipeline = {
      status: () => ({ appliedLsn: this.appliedLsn, durableLsn: this.durableLsn }),
      ask: (slot: number, generation: number, queries: number, frame: Uint8Array) => {
        if (!this.isFull) this.sent.push({ slot, generation, queries, frame: frame.slice() })
        return !this.isFull
      },
    }
    const admission = { refused: (code: string) => void this.refusedCodes.push(code) }
    Object.defineProperty(admission, 'draining', { get: () => this.draining })
    const config = { sessionQueriesMax: QUERIES_MAX, processingTimeoutMs: TIMEOUT_MS }
    this.queries = new StreamQueries({ config, pipeline, clock } as unknown as FrontOptions, admission as unknown as Admission)
  }

  connect(): { session: Session, messages: Uint8Array[], audited: Uint8Array[], close: () => void, drops: () => void } {
    const messages: Uint8Array[] = []
    const audited: Uint8Array[] = []
    let drops = false
    const session = new Session('address', new Outbox(), {} as Admission)
    const socket = {
      send: (frame: Uint8Array) => {
        if (!drops) messages.push(frame.slice())
        return drops ? 2 : 1
      },
      close: () => {
        session.socket = undefined
      },
    }
    session.socket = socket as unknown as Session['socket']
    session.handle = this.slots.acquire(session)
    session.audit = { asked: (frame: Uint8Array) => void audited.push(frame.slice()), answered: () => undefined } as unknown as SessionAudit
    // As Stream does at the close event.
    const close = (): void => {
      session.socket = undefined
      this.slots.release(session.handle!)
      session.handle = undefined
      session.openQueries = 0
    }
    return { session, messages, audited, close, drops: () => { drops = true } }
  }

  /** Lets time pass, and what was to happen in it. */
  pass(ms: number): void {
    const endMs = this.monoMs + ms
    for (;;) {
      this.#timers.sort((a, b) => a.atMs - b.atMs)
      const next = this.#timers[0]
      if (next === undefined || next.atMs > endMs) break
      this.#timers.shift()
      this.monoMs = next.atMs
      next.call()
    }
    this.monoMs = endMs
  }

  get timers(): number {
    return this.#timers.length
  }
}

const question = (id: number, minLsn = 0, subject = 's'): Uint8Array => encodeQuery(BigInt(id), { kind: 'lens', subject, predicate: 'p', minLsn })
const many = (ids: readonly number[], minLsn = 0): Uint8Array => encodeList('SQRS', ids.map((id) => question(id, minLsn)))

/** What a client reads of refusals: id and code each. */
function refusals(message: Uint8Array | undefined): string[] {
  if (message === undefined) return []
  const list = new ListView().reset(message)
  const items = isRepliesFrame(message) ? Array.from({ length: list.count }, (_, i) => list.item(i)) : [message]
  return items.map((item) => {
    const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(item))
    return `${reply.requestId()} ${errorNameOf(reply.refused())}`
  })
}

t.test('a frame goes on as it is, behind the number of its connection, and counts until it is answered', async (t) => {
  const rig = new Rig()
  rig.connect()
  const { session, messages, audited } = rig.connect()
  rig.queries.ask(session, 3, many([1, 2, 3]))
  t.match(rig.sent, [{ slot: 1, generation: 1, queries: 3 }])
  t.strictSame(rig.sent[0]!.frame, many([1, 2, 3]))
  t.strictSame(audited, [many([1, 2, 3])])
  t.equal(session.openQueries, 3)
  rig.slots.ownerOf(1, 1)!.onReplies(2, Uint8Array.of(7))
  t.equal(session.openQueries, 1)
  t.strictSame(messages, [Uint8Array.of(7)], 'a reply is sent as it came')
  t.equal(rig.timers, 0, 'nobody looks at the clock')
})

t.test('full rings: each question is refused by its id, in one message, and counts as none', async (t) => {
  const rig = new Rig()
  const { session, messages, audited } = rig.connect()
  rig.isFull = true
  rig.queries.ask(session, 2, many([5, 6]))
  rig.queries.ask(session, 1, question(7))
  t.strictSame(messages.map(refusals), [['5 overloaded', '6 overloaded'], ['7 overloaded']])
  t.strictSame(rig.refusedCodes, ['overloaded', 'overloaded'])
  t.equal(session.openQueries, 0)
  t.strictSame(audited, [], 'what was not asked is not recorded')
  rig.isFull = false
  rig.queries.ask(session, 1, question(8))
  t.equal(rig.sent.length, 1, 'and later it goes')
})

t.test('what a connection may have unanswered is bounded, and a frame beyond it is refused whole', async (t) => {
  const rig = new Rig()
  const { session, messages } = rig.connect()
  const other = rig.connect()
  rig.queries.ask(session, 6, many([1, 2, 3, 4, 5, 6]))
  rig.queries.ask(session, 3, many([7, 8, 9]))
  t.strictSame(refusals(messages[0]), ['7 overloaded', '8 overloaded', '9 overloaded'])
  rig.queries.ask(session, 2, many([10, 11]))
  t.equal(session.openQueries, QUERIES_MAX)
  rig.queries.ask(other.session, 1, question(1))
  t.strictSame(rig.sent.map(({ queries }) => queries), [6, 2, 1], 'another connection is not touched')
  session.onReplies(QUERIES_MAX, Uint8Array.of(0))
  rig.queries.ask(session, QUERIES_MAX, many([1, 2, 3, 4, 5, 6, 7, 8]))
  t.equal(rig.sent.length, 4)
})

t.test('a draining node refuses new questions', async (t) => {
  const rig = new Rig()
  const { session, messages } = rig.connect()
  rig.draining = true
  rig.queries.ask(session, 1, question(1))
  t.strictSame(refusals(messages[0]), ['1 shutting_down'])
  t.equal(rig.sent.length, 0)
})

t.test('min_lsn: at once, waited for, not in time, never', async (t) => {
  const rig = new Rig()
  const { session, messages } = rig.connect()
  rig.queries.ask(session, 1, question(1, 10))
  t.equal(rig.sent.length, 1, 'applied already')
  rig.queries.ask(session, 1, question(2, 21))
  t.strictSame(refusals(messages[0]), ['2 lsn_in_future'])

  const frame = many([3, 4], 15)
  rig.queries.ask(session, 2, frame)
  // The socket's memory is used again.
  frame.fill(0xff)
  rig.queries.ask(session, 1, question(5, 18))
  t.equal(session.openQueries, 4, 'what waits counts')
  rig.pass(100)
  t.equal(rig.sent.length, 1)
  rig.appliedLsn = 15
  rig.pass(10)
  t.strictSame(rig.sent[1]!.frame, many([3, 4], 15))
  t.equal(session.openQueries, 4)
  rig.pass(TIMEOUT_MS)
  t.strictSame(refusals(messages[1]), ['5 lsn_not_reached'])
  t.equal(session.openQueries, 3)
  rig.pass(TIMEOUT_MS)
  t.equal(rig.timers, 0, 'nothing waits: nobody looks any more')
})

t.test('a connection that goes while its questions wait: nothing is asked for it, and nothing told', async (t) => {
  const rig = new Rig()
  const gone = rig.connect()
  rig.queries.ask(gone.session, 1, question(1, 15))
  gone.close()
  // Its slot has a new owner with questions of its own.
  const next = rig.connect()
  t.strictSame([next.session.handle!.slot, next.session.handle!.generation], [0, 2])
  rig.queries.ask(next.session, 1, question(2, 15))
  rig.appliedLsn = 15
  rig.pass(20)
  t.match(rig.sent, [{ slot: 0, generation: 2, queries: 1 }])
  t.equal(rig.sent.length, 1)
  t.strictSame([gone.session.openQueries, gone.messages.length, next.session.openQueries, next.messages.length], [0, 0, 1, 0])

  rig.queries.ask(gone.session, 1, question(3))
  t.equal(rig.sent.length, 1, 'nor for one that has gone already')
})

t.test('an answer for a connection that has gone reaches nobody, also where its slot has a new owner', async (t) => {
  const rig = new Rig()
  const gone = rig.connect()
  rig.queries.ask(gone.session, 1, question(1))
  const [{ slot, generation }] = rig.sent as [Rig['sent'][number]]
  gone.close()
  t.equal(rig.slots.ownerOf(slot, generation), undefined)
  const next = rig.connect()
  rig.queries.ask(next.session, 1, question(1))
  t.equal(rig.slots.ownerOf(slot, generation), undefined)
  t.equal(rig.slots.ownerOf(slot, rig.sent[1]!.generation), next.session)
  // Held by somebody else still: nothing may be sent, and nothing thrown.
  gone.session.onReplies(1, Uint8Array.of(1))
  t.strictSame([gone.messages.length, next.messages.length, next.session.openQueries], [0, 0, 1])
})

t.test('a reader who does not take its answers is closed, not left with a gap', async (t) => {
  const rig = new Rig()
  const slow = rig.connect()
  rig.queries.ask(slow.session, 1, question(1))
  slow.drops()
  slow.session.onReplies(1, Uint8Array.of(1))
  t.equal(slow.session.closeReason, 'slow_reader')
  t.equal(slow.session.socket, undefined)
})

t.test('what waits is bounded in bytes, by whomever, and room comes back when it is over', async (t) => {
  const rig = new Rig()
  const long = question(1, 15, 'x'.repeat(250 * 1024))
  const fits = Math.floor(WAITING_QUERIES_BYTES_MAX / long.length)
  const connections = Array.from({ length: Math.ceil((fits + 1) / QUERIES_MAX) }, () => rig.connect())
  for (let i = 0; i < fits; i++) rig.queries.ask(connections[Math.floor(i / QUERIES_MAX)]!.session, 1, long)
  const last = connections.at(-1)!
  const openBefore = last.session.openQueries
  rig.queries.ask(last.session, 1, long)
  t.strictSame(refusals(last.messages[0]), ['1 overloaded'])
  t.equal(last.session.openQueries, openBefore)
  // Half of them go away, the others are answered.
  connections[0]!.close()
  rig.appliedLsn = 15
  rig.pass(20)
  t.equal(rig.sent.length, fits - QUERIES_MAX)
  rig.appliedLsn = 10
  const fresh = Array.from({ length: connections.length }, () => rig.connect())
  for (let i = 0; i < fits; i++) rig.queries.ask(fresh[Math.floor(i / QUERIES_MAX)]!.session, 1, long)
  t.ok(fresh.every(({ messages }) => messages.length === 0), 'as many fit as before')
})

t.test('rings that are full when a wait is over: refused, and no longer counted', async (t) => {
  const rig = new Rig()
  const { session, messages } = rig.connect()
  rig.queries.ask(session, 2, many([1, 2], 15))
  rig.isFull = true
  rig.appliedLsn = 15
  rig.pass(20)
  t.strictSame(messages.map(refusals), [['1 overloaded', '2 overloaded']])
  t.equal(session.openQueries, 0)
})
