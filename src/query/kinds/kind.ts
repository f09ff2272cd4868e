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
  /** Longest document, as JSON in UTF-8. */
  readonly documentBytesMax: number
}

/**
 * Answers a request whose structure has been checked; what comes back is sent as JSON.
 * @throws {DbError} for what is missing or wrong in the request, and as reads do
 */
export type DocumentKind = (request: QueryRequest, deps: KindDependencies) => object
