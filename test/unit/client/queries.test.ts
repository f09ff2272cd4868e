import { Builder } from 'flatbuffers'
import t from 'tap'
import { ERROR_CODES, type ErrorName } from '../../../src/base/error-codes.ts'
import { DbError, isDbError } from '../../../src/base/errors.ts'
import { Queries, type QueriesOptions } from '../../../src/client/queries.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { peekRequestIds } from '../../../src/wire/query-peek.ts'

function replyTo(requestId: bigint, refused?: ErrorName): Uint8Array {
  const builder = new Builder(64)
  QueryReply.startQueryReply(builder)
  QueryReply.addRequestId(builder, requestId)
  if (refused !== undefined) QueryReply.addRefused(builder, ERROR_CODES[refused].number)
  QueryReply.addSeenLsn(builder, requestId)
  builder.finish(QueryReply.endQueryReply(builder), 'SQRP')
  return builder.asUint8Array()
}

function started(change: Partial<QueriesOptions> = {}) {
  let nowMs = 0
  const timers: { at: number, run: () => void }[] = []
  const frames: bigint[][] = []
  const platform = {
    wallMs: () => nowMs, monoMs: () => nowMs, random: () => 0.5,
    timer(delayMs: number, run: () => void) {
      const timer = { at: nowMs + delayMs, run }
      timers.push(timer)
      return () => { if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1) }
    },
  }
  const queries = new Queries({ platform, queriesUnderWayMax: 4, queriesWaitingMax: 8, queryTimeoutMs: 1000, refusalRetriesMax: 2, ...change }, (frame) => frames.push(peekRequestIds(frame)))
  const pass = (ms: number): void => {
    nowMs += ms
    for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
      if (timer.at > nowMs || !timers.includes(timer)) continue
      timers.splice(timers.indexOf(timer), 1)
      timer.run()
    }
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const answer = (...ids: bigint[]): void => {
    for (const id of ids) queries.reply(replyTo(id))
    queries.flush()
  }
  return { queries, frames, pass, turn, answer, timers }
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => 'answered', (error: unknown) => isDbError(error) ? error.code : String(error))

t.test('those asked in one turn share a message, as many as may be under way; replies in any order', async (t) => {
  const { queries, frames, turn, answer } = started()
  queries.connected(100)
  const asked = Array.from({ length: 6 }, () => queries.ask({ subject: 'a' }))
  await turn()
  t.strictSame(frames, [[1n, 2n, 3n, 4n]])
  answer(3n, 1n)
  t.strictSame(frames, [[1n, 2n, 3n, 4n], [5n, 6n]])
  answer(6n, 2n, 5n, 4n)
  t.strictSame((await Promise.all(asked)).map(({ seenLsn }) => seenLsn), [1, 2, 3, 4, 5, 6])
  t.equal(queries.pending, 0)
})

t.test('the node allows fewer', async (t) => {
  const { queries, frames, turn, answer } = started()
  queries.connected(1)
  const both = [queries.ask({ subject: 'a' }), queries.ask({ subject: 'a' })]
  await turn()
  t.strictSame(frames, [[1n]])
  answer(1n)
  answer(2n)
  await Promise.all(both)
  t.strictSame(frames, [[1n], [2n]])
  const unsupported = codeOf(queries.ask({ subject: 'a' }))
  queries.connected(0)
  t.equal(await unsupported, 'protocol_unsupported')
})

t.test('a lost connection: what was not answered is sent again', async (t) => {
  const { queries, frames, turn, answer } = started()
  queries.connected(100)
  const all = Promise.all([1, 2, 3].map(() => queries.ask({ subject: 'a' })))
  await turn()
  answer(2n)
  queries.disconnected()
  const late = queries.ask({ subject: 'b' })
  await turn()
  t.equal(frames.length, 1, 'nothing is sent without a connection')
  queries.connected(100)
  t.strictSame(frames[1], [1n, 3n, 4n])
  answer(1n, 3n, 4n)
  await all
  await late
})

t.test('refusals: those that pass are asked again, a few times; others reject', async (t) => {
  const { queries, frames, turn, pass } = started()
  queries.connected(100)
  const [tries, wrong] = [codeOf(queries.ask({ subject: 'a' })), codeOf(queries.ask({ subject: 'a', lens: 'x' }))]
  await turn()
  queries.reply(replyTo(2n, 'parameter_invalid'))
  t.equal(await wrong, 'parameter_invalid')
  for (let i = 0; i < 2; i++) {
    queries.reply(replyTo(1n, 'overloaded'))
    t.equal(frames.length, 1 + i)
    pass(60)
    t.strictSame(frames.at(-1), [1n])
  }
  queries.reply(replyTo(1n, 'overloaded'))
  t.equal(await tries, 'overloaded')
})

t.test('time, room, and the end', async (t) => {
  const { queries, turn, pass, answer, timers } = started()
  queries.connected(100)
  const first = codeOf(queries.ask({ subject: 'a' }))
  await turn()
  pass(900)
  const second = queries.ask({ subject: 'a' })
  await turn()
  pass(100)
  t.equal(await first, 'timeout')
  answer(1n, 2n)
  t.equal((await second).seenLsn, 2, 'an answer that comes too late is nobody\'s')
  t.equal(timers.length, 0, 'no timer is left')
  const many = Array.from({ length: 12 }, () => codeOf(queries.ask({ subject: 'a' })))
  t.equal(await codeOf(queries.ask({ subject: 'a' })), 'overloaded')
  const waiting = queries.many([{ subject: 'z' }, { subject: 'z', prefix: 'q' }])
  await turn()
  answer(3n, 4n)
  t.throws(() => queries.reply(replyTo(999n)), { code: 'malformed_frame' }, 'an answer that nobody asked for')
  t.throws(() => queries.reply(Uint8Array.of(1, 2, 3)), { code: 'malformed_frame' })
  await turn()
  queries.end(new DbError('unreachable', 'the end'))
  t.strictSame(await Promise.all(many), ['answered', 'answered', ...new Array<string>(10).fill('unreachable')])
  t.match(await waiting, [{ ok: false, error: { code: 'unreachable' } }, { ok: false, error: { code: 'parameter_invalid' } }])
  t.equal(await codeOf(queries.ask({ subject: 'a' })), 'unreachable')
})
