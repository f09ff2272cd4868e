import { Builder, ByteBuffer } from 'flatbuffers'
import { errorNameOf, type ErrorName } from '../../../src/base/error-codes.ts'
import { DbError } from '../../../src/base/errors.ts'
import type { Hlc } from '../../../src/base/hlc.ts'
import { Hash } from '../../../src/fbs/stemedb/hash.ts'
import { QueryReply } from '../../../src/fbs/stemedb/query-reply.ts'
import { QueryRequest } from '../../../src/fbs/stemedb/query-request.ts'
import { QueryExecutor, type QueryDependencies } from '../../../src/query/execute.ts'
import { LogAssertionReader } from '../../../src/query/log-assertion-reader.ts'
import { recordReader } from '../../../src/query/record-reader.ts'
import { StoreSource } from '../../../src/query/store-source.ts'
import { verifyBuffer } from '../../../src/wire/verifier.ts'
import { NOW_MS, type TestLog } from './test-log.ts'

/** A question whose answer is a document, for executors over a log in memory. */
export interface DocumentAsk {
  readonly kind: number
  readonly id?: Uint8Array
  readonly subject?: string | Uint8Array
  readonly predicate?: string
  readonly limit?: number
  readonly cursor?: Uint8Array
  readonly depth?: number
  readonly asOfHlc?: Hlc
}

function encode(ask: DocumentAsk): Uint8Array {
  const builder = new Builder(64)
  const subject = ask.subject === undefined ? 0 : builder.createString(ask.subject)
  const predicate = ask.predicate === undefined ? 0 : builder.createString(ask.predicate)
  const cursor = ask.cursor === undefined ? 0 : QueryRequest.createCursorVector(builder, ask.cursor)
  QueryRequest.startQueryRequest(builder)
  QueryRequest.addRequestId(builder, 77n)
  QueryRequest.addKind(builder, ask.kind)
  if (ask.id !== undefined) QueryRequest.addId(builder, Hash.createHash(builder, [...ask.id]))
  if (subject !== 0) QueryRequest.addSubject(builder, subject)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  if (cursor !== 0) QueryRequest.addCursor(builder, cursor)
  QueryRequest.addLimit(builder, ask.limit ?? 0)
  QueryRequest.addDepth(builder, ask.depth ?? 0)
  QueryRequest.addAsOfHlc(builder, ask.asOfHlc ?? 0n)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array().slice()
}

/** The document. @throws {DbError} that a refusal stands for, {Error} where the reply is not well-formed. */
export function askDocument<T>(executor: QueryExecutor, ask: DocumentAsk): T {
  const bytes = executor.answer(encode(ask)).slice()
  if (verifyBuffer('QueryReply', bytes) !== 0) throw new Error('a malformed reply')
  const reply = QueryReply.getRootAsQueryReply(new ByteBuffer(bytes))
  if (reply.refused() !== 0) throw new DbError(errorNameOf(reply.refused()), reply.detail() ?? '')
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(reply.documentArray()!)) as T
}

/** The code of the refusal, or 'answered'. */
export function refusalOf(executor: QueryExecutor, ask: DocumentAsk): ErrorName | 'answered' {
  try {
    askDocument(executor, ask)
    return 'answered'
  } catch (error) {
    if (error instanceof DbError) return error.code
    throw error
  }
}

const clock = { wallMs: () => NOW_MS, monoMs: () => 0, timer: () => () => {} }

export function executorOver(log: TestLog, change: Partial<QueryDependencies> = {}): QueryExecutor {
  const lsn = (): number => log.nextLsn - 1
  const source = new StoreSource({ store: log.store, find: log.find, readLog: log.readRange, appliedLsn: lsn, durableLsn: lsn })
  const reader = new LogAssertionReader(log.readRange)
  return new QueryExecutor({
    source, reader, records: (asOfHlc) => recordReader({ source, reader, clock }, asOfHlc), clock, durableHlc: () => source.appliedHlc() ?? 0n,
    limitMax: 1000, replyBytesMax: 1 << 20, ...change,
  })
}
