import type { Clock } from '../../base/clock.ts'
import type { Hlc } from '../../base/hlc.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import type { AssertionReader, CandidateSource } from '../candidate-source.ts'
import type { RecordReader } from '../record-reader.ts'
import {
  answerCheckpoint, answerConsistency, answerInclusion, answerProofFile, answerSignature, answerTile, type ProofDependencies,
} from './proofs.ts'

/** What a kind of query whose answer is a document works with. */
export interface KindDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly records: (asOfHlc: Hlc | undefined) => RecordReader
  readonly clock: Clock
  /** Largest limit that a request may name. */
  readonly limitMax: number
  readonly proofs?: ProofDependencies | undefined
}

/**
 * Answers a request whose structure has been checked; what comes back is sent as JSON, and bytes as they are.
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
export const QUERY_CHECKPOINT = 11
export const QUERY_INCLUSION = 12
export const QUERY_CONSISTENCY = 13
export const QUERY_TILE = 14
export const QUERY_SIGNATURE = 15
export const QUERY_PROOF_FILE = 16

/** By `QueryRequest.kind`. */
export const DOCUMENT_KINDS: ReadonlyMap<number, DocumentKind> = new Map<number, DocumentKind>([
  [QUERY_CHECKPOINT, answerCheckpoint],
  [QUERY_INCLUSION, answerInclusion],
  [QUERY_CONSISTENCY, answerConsistency],
  [QUERY_TILE, answerTile],
  [QUERY_SIGNATURE, answerSignature],
  [QUERY_PROOF_FILE, answerProofFile],
])
