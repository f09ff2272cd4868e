/**
 * The StemeDB client, for browsers and Node (docs/client.md): all that the package exports as `stemedb/client`.
 */
import { initHash } from '../record/claim.ts'
import { completeOptions, type ConnectOptions } from './options.ts'
import { StemeClient } from './steme-client.ts'
import { nodeUrlsOf } from './urls.ts'

/**
 * Connects to a node.
 * @param url `ws://host:port` (or `wss`, `http`, `https`)
 * @throws {DbError} as rejection: `unreachable` where nobody answers, `protocol_unsupported`, `signature_missing` where the node
 *   wants signatures and there is no signer, `parameter_invalid` for a wrong option, URL or realm.
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<StemeClient> {
  const client = new StemeClient(completeOptions(options), nodeUrlsOf(url))
  await initHash()
  await client.open()
  return client
}

export { StemeClient, type ClientState } from './steme-client.ts'
export type { BatchOptions, ConnectOptions, ReconnectOptions, StateEvent } from './options.ts'
export type { AckedAssertion, AssertResult, BatchAck, BatchReceipt, RefusedAssertion } from './acks.ts'
export type { EpochDeclaration, HashLike, OutcomeReport, RecordOptions, SourceRegistration } from './record-writer.ts'
export type { StreamOptions } from './streams.ts'
export type { AssertionDraft } from './draft.ts'
export type { AnswerChange, WatchedAnswer } from './feed-frames.ts'
export type { SubscribeFilter, SubscribeOptions, Subscription, Watch, WatchParameters } from './subscriptions.ts'
export type { Welcome } from './frames.ts'
export type { QueryReply, StoredAssertion } from './http.ts'
export type { QueryOutcome, QueryParameters } from './queries.ts'
export type {
  AnswerExplanation, AnswerSide, ConsideredCandidate, FoundAssertion, QueryResult, ResolvedAnswer, RuleConflict, RuleRow,
} from '../wire/query-reply.codec.ts'
export type { QueryKind } from '../wire/query-request.codec.ts'
export { httpConcepts, httpEquivocations, httpTrace, type Concepts, type Equivocations, type Trace } from './http-trace.ts'
export { createSigner, newSecretKey, type Signer } from './signer.ts'
export { DbError, isDbError } from '../base/errors.ts'
export { ERROR_CODES, type ErrorCode, type ErrorName } from '../base/error-codes.ts'
export { fromHex, toHex } from '../base/bytes.ts'
export { hlcWallMs, type Hlc } from '../base/hlc.ts'
export type { Assertion, Lifecycle, ObjectValue, SourceClass } from '../record/assertion.ts'
export { LIFECYCLES, SOURCE_CLASSES } from '../record/assertion.ts'
export { recordOf, sourceHashOf, type StemeRecord } from '../record/records.ts'
export { assertionIdOf, initHash } from '../record/claim.ts'
export { pathOfId } from '../merkle/tree.ts'
export { verifyInclusion } from '../merkle/proof.ts'
export { receiptCovers, verifyReceipt, type Receipt } from '../merkle/receipt.ts'
export { verifyEquivocation, verifyStatement, type EquivocationJson, type StatementJson } from '../merkle/statement.ts'
export { httpProofs } from './http-proofs.ts'
export {
  LogMonitor, claimedKeyOf, verifyCheckpoint, verifyProofFile, verifySignatureProof, type ProofFileOptions, type ProofSource, type SignatureProof,
  type TrustedKey, type VerifiedProof,
} from './proofs.ts'
export { parseCheckpoint, verifierKeyOf, type Checkpoint, type TreeHead } from '../merkle/checkpoint.ts'
export { verifyTlogConsistency, verifyTlogInclusion } from '../merkle/tlog.ts'
export { realmHashOf } from '../merkle/signed-message.ts'
