import { Builder, ByteBuffer } from 'flatbuffers'
import t from 'tap'
import { toHex } from '../../../src/base/bytes.ts'
import { errorNameOf } from '../../../src/base/error-codes.ts'
import type { Hlc } from '../../../src/base/hlc.ts'
import type { Found } from '../../../src/fbs/stemedb/found.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../../src/fbs/stemedb/query-request.ts'
import { replyToJson, type QueryReplyJson } from '../../../src/front/query.codec.ts'
import { QueryExecutor, type QueryDependencies } from '../../../src/query/execute.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { QUERY_BY_ID, QUERY_BY_LENS, QUERY_LIST } from '../../../src/query/plan.ts'
import { recordReader, type RecordReader } from '../../../src/query/record-reader.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import { objectKindNumber, type Assertion, type ObjectValue } from '../../../src/record/assertion.ts'
import { assertionIdOf } from '../../../src/record/claim.ts'
import { decodeAssertion } from '../../../src/wire/assertion.codec.ts'
import { decodeReply, type QueryResult } from '../../../src/wire/query-reply.codec.ts'
import { verifyBuffer, verifyFault } from '../../../src/wire/verifier.ts'
import { NOW_MS, type TestLog } from './test-log.ts'

export interface Ask {
  kind?: number
  id?: Uint8Array
  subject?: string | Uint8Array
  prefix?: boolean
  predicate?: string
  lens?: string
  limit?: number
  agent?: Uint8Array
  source?: Uint8Array
  epoch?: Uint8Array
  lifecycles?: number
  tiers?: number
  fromHlc?: Hlc
  untilHlc?: Hlc
  assertedFromMs?: number
  assertedUntilMs?: number
  confidenceMin?: number
  object?: ObjectValue
  asOfHlc?: Hlc
  minLsn?: number | bigint
  cursor?: Uint8Array
  explain?: boolean
  tolerance?: number
  aliases?: boolean
  leaveOut?: number
}

export function requestOf(given: Ask): Uint8Array {
  const { kind, id, subject, prefix, predicate, lens, limit, agent, source, epoch, object, cursor } = given
  const builder = new Builder(64)
  const text = (value: string | Uint8Array | undefined): number => value === undefined ? 0 : builder.createString(value)
  const [subjectAt, predicateAt, lensAt] = [text(subject), text(predicate), text(lens)]
  const objectAt = object?.kind === 'text' || object?.kind === 'reference' ? builder.createString(object.value) : 0
  const cursorAt = cursor === undefined ? 0 : builder.createByteVector(cursor)
  const hash = (bytes: Uint8Array): number => Hash.createHash(builder, [...bytes])
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, 77n)
  QueryRequest.addKind(builder, kind ?? (id === undefined ? QUERY_BY_LENS : QUERY_BY_ID))
  if (id !== undefined) QueryRequest.addId(builder, hash(id))
  if (subjectAt !== 0) QueryRequest.addSubject(builder, subjectAt)
  QueryRequest.addSubjectIsPrefix(builder, prefix ?? false)
  if (predicateAt !== 0) QueryRequest.addPredicate(builder, predicateAt)
  if (lensAt !== 0) QueryRequest.addLens(builder, lensAt)
  QueryRequest.addLimit(builder, limit ?? 0)
  if (agent !== undefined) QueryRequest.addAgent(builder, hash(agent))
  if (source !== undefined) QueryRequest.addSource(builder, hash(source))
  if (epoch !== undefined) QueryRequest.addEpoch(builder, hash(epoch))
  QueryRequest.addLifecycles(builder, given.lifecycles ?? 0)
  QueryRequest.addTiers(builder, given.tiers ?? 0)
  QueryRequest.addFromHlc(builder, given.fromHlc ?? 0n)
  QueryRequest.addUntilHlc(builder, given.untilHlc ?? 0n)
  if (given.assertedFromMs !== undefined) QueryRequest.addAssertedFromMs(builder, BigInt(given.assertedFromMs))
  if (given.assertedUntilMs !== undefined) QueryRequest.addAssertedUntilMs(builder, BigInt(given.assertedUntilMs))
  if (given.confidenceMin !== undefined) QueryRequest.addConfidenceMin(builder, given.confidenceMin)
  if (object !== undefined) {
    QueryRequest.addObjectKind(builder, objectKindNumber(object.kind))
    if (objectAt !== 0) QueryRequest.addObjectText(builder, objectAt)
    if (object.kind === 'number') QueryRequest.addObjectNumber(builder, object.value)
    if (object.kind === 'boolean') QueryRequest.addObjectBoolean(builder, object.value)
  }
  QueryRequest.addAsOfHlc(builder, given.asOfHlc ?? 0n)
  QueryRequest.addMinLsn(builder, BigInt(given.minLsn ?? 0))
  if (cursorAt !== 0) QueryRequest.addCursor(builder, cursorAt)
  QueryRequest.addExplain(builder, given.explain ?? false)
  if (given.tolerance !== undefined) QueryRequest.addTolerance(builder, given.tolerance)
  QueryRequest.addAliases(builder, given.aliases ?? false)
  QueryRequest.addLeaveOut(builder, given.leaveOut ?? 0)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array().slice()
}

export interface Shown {
  refused: string
  detail: string
  /** That is wrong; empty where none is. */
  parameter: string
  seenLsn: number
  truncated: boolean
  cursor: Uint8Array | undefined
  found: string | undefined
  /** Ids. */
  listed: string[]
  answers: ShownAnswer[]
}

export interface ShownAnswer {
  subject: string
  predicate: string
  candidates: number
  /** Of an answer without one, what is not there: tests that expect one fail. */
  winner: Assertion
  id: string
  /** Number of the one that it has been given since; 0: none. */
  lifecycle: number
  lsn: number
  signedBy: number
  why: string
  conflict: number
  certainty: number
  status: string
  sides: { label: string, id: string, lifecycle: number, why?: string, weight: number, share: number, candidates: number, sources: number, conflict: number }[]
  explanation: { considered: { id: string, verdict: number, why: string }[], entriesRead: number, claimsRead: number } | undefined
}

const hex = (at: { bytes: (i: number) => number | null }): string => toHex(Uint8Array.from({ length: 32 }, (_, b) => at.bytes(b)!))

function idOf(found: Found): string {
  t.equal(toHex(assertionIdOf(decodeAssertion(found.assertionArray()!))), hex(found.id()!), 'the id is that of the claim')
  return hex(found.id()!)
}

/** Every reply is verified as an outside one would be, nested buffers too, before it is read. */
export function ask(executor: QueryExecutor, request: Uint8Array): Shown {
  const bytes = executor.answer(request).slice()
  if (verifyBuffer('QueryReply', bytes) !== 0) t.fail('a reply is not well-formed: ' + verifyFault())
  const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes))
  const found = reply.found()
  return {
    refused: reply.refused() === 0 ? '' : errorNameOf(reply.refused()), detail: reply.detail() ?? '', parameter: reply.parameter() ?? '',
    seenLsn: Number(reply.seenLsn()), truncated: reply.truncated(), cursor: reply.cursorArray() ?? undefined,
    found: found === null ? undefined : idOf(found),
    listed: Array.from({ length: reply.listedLength() }, (_, i) => hex(reply.listed(i)!.id()!)),
    answers: Array.from({ length: reply.answersLength() }, (_, i) => {
      const answer = reply.answers(i)!
      const winner = answer.winner()
      const explanation = answer.explanation()
      if (winner !== null && winner.assertionArray()!.byteOffset % 8 !== bytes.byteOffset % 8) t.fail('a nested buffer is not aligned')
      return {
        subject: answer.subject(), predicate: answer.predicate(), candidates: answer.candidates(), why: answer.why() ?? '',
        winner: winner === null ? undefined! : decodeAssertion(winner.assertionArray()!), lsn: Number(winner?.lsn() ?? 0),
        signedBy: winner?.signedBy() ?? -1, id: winner === null ? '' : hex(winner.id()!), lifecycle: answer.winnerLifecycle(),
        conflict: answer.conflict(), certainty: answer.certainty(), status: answer.status() ?? '',
        sides: Array.from({ length: answer.sidesLength() }, (_, s) => {
          const side = answer.sides(s)!
          const winnerOf = side.winner()
          return {
            label: side.label()!, id: winnerOf === null ? '' : hex(winnerOf.id()!), lifecycle: side.winnerLifecycle(), why: side.why() ?? '', weight: side.weight(), share: side.share(), candidates: side.candidates(),
            sources: side.sources(), conflict: side.conflict(),
          }
        }),
        explanation: explanation === null ? undefined : {
          considered: Array.from({ length: explanation.consideredLength() }, (_, c) => {
            const one = explanation.considered(c)!
            return { id: hex(one.id()!), verdict: one.verdict(), why: one.why() ?? '' }
          }),
          entriesRead: explanation.entriesRead(), claimsRead: explanation.claimsRead(),
        },
      }
    }),
  }
}

export const clock = { wallMs: () => NOW_MS, monoMs: () => 0, timer: () => () => {} }

export function executorOver(log: TestLog, change: Partial<QueryDependencies> = {}, durableLsn = (): number => log.nextLsn - 1): QueryExecutor {
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: () => log.nextLsn - 1, durableLsn })
  const reader = new LogAssertionReader(log.readRange)
  const records = (asOfHlc: Hlc | undefined): RecordReader => recordReader({ source, reader, clock }, asOfHlc)
  return new QueryExecutor({ source, reader, records, clock, durableHlc: () => source.appliedHlc() ?? 0n, limitMax: 1000, replyBytesMax: 1 << 20, ...change })
}

/** The answer as the client's reader has it, and as JSON. @throws {Error} where it is refused */
export function answer(log: TestLog, question: Ask): { result: QueryResult, json: QueryReplyJson } {
  const bytes = executorOver(log).answer(requestOf(question)).slice()
  const decoded = decodeReply(bytes)
  if (decoded.refused !== undefined) throw new Error(decoded.detail)
  return { result: decoded.result, json: replyToJson(QueryReply.getRootAsQueryReply(new ByteBuffer(bytes)), { isList: question.kind === QUERY_LIST }) }
}

/** Pages of a query that are followed, at most. */
const PAGES_MAX = 1000

/** All pages of a query. `between` runs after each. Throws where a page is refused, or where there are more than `pagesMax`. */
export function pagesOf(executor: QueryExecutor, query: Ask, between: (page: number) => void = () => {}, pagesMax = PAGES_MAX): Shown[] {
  const pages: Shown[] = []
  let cursor: Uint8Array | undefined
  do {
    const page = ask(executor, requestOf({ ...query, ...cursor !== undefined && { cursor } }))
    if (page.refused !== '' || page.truncated !== (page.cursor !== undefined)) throw new Error(`${page.refused} ${page.detail}`)
    pages.push(page)
    cursor = page.cursor
    between(pages.length)
  } while (cursor !== undefined && pages.length < pagesMax)
  if (cursor !== undefined) throw new Error('the pages do not end')
  return pages
}
