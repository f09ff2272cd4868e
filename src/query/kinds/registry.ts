import type { Clock } from '../../base/clock.ts'
import type { Hlc } from '../../base/hlc.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import type { AssertionReader, CandidateSource } from '../candidate-source.ts'
import type { RecordReader } from '../record-reader.ts'

/** What a kind of query whose answer is a document works with. */
export interface KindDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly records: (asOfHlc: Hlc | undefined) => RecordReader
  readonly clock: Clock
  /** Largest limit that a request may name. */
  readonly limitMax: number
}

/**
 * Answers a request whose structure has been checked; what comes back is sent as JSON.
 * @throws {DbError} for what is missing or wrong in the request, and as reads do
 */
export type DocumentKind = (request: QueryRequest, deps: KindDependencies) => object

export const QUERY_TRACE = 4
export const QUERY_TRUST = 5
export const QUERY_CONCEPTS = 6
export const QUERY_ALIASES = 7
export const QUERY_SOURCE = 8
export const QUERY_EPOCHS = 9
export const QUERY_VOTES = 10

/** By `QueryRequest.kind`. */
export const DOCUMENT_KINDS: ReadonlyMap<number, DocumentKind> = new Map<number, DocumentKind>([
])
