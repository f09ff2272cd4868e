import { QUERY_KINDS, type AnyQueryKind } from '../../wire/query-request.codec.ts'
import { aliasesDocument } from './aliases.ts'
import { conceptsDocument } from './concepts.ts'
import { equivocationsDocument } from './equivocations.ts'
import { epochsDocument } from './epochs.ts'
import type { DocumentKind } from './kind.ts'
import {
  answerCheckpoint, answerConsistency, answerInclusion, answerProofFile, answerSignature, answerTile,
} from './proofs.ts'
import { sourceDocument } from './source.ts'
import { traceDocument } from './trace.ts'
import { trustDocument } from './trust.ts'
import { votesDocument } from './votes.ts'

export type { DocumentKind, KindDependencies } from './kind.ts'

export const {
  trace: QUERY_TRACE, trust: QUERY_TRUST, concepts: QUERY_CONCEPTS, aliases: QUERY_ALIASES, source: QUERY_SOURCE, epochs: QUERY_EPOCHS, votes: QUERY_VOTES,
  checkpoint: QUERY_CHECKPOINT, inclusion: QUERY_INCLUSION, consistency: QUERY_CONSISTENCY, tile: QUERY_TILE, signature: QUERY_SIGNATURE,
  proofFile: QUERY_PROOF_FILE, equivocations: QUERY_EQUIVOCATIONS,
} = QUERY_KINDS

/** Every kind of question but those that plan.ts answers by itself: a kind that is added without an answer does not compile. */
const ANSWERS: Readonly<Record<Exclude<AnyQueryKind, 'id' | 'lens' | 'list'>, DocumentKind>> = {
  trace: traceDocument,
  trust: trustDocument,
  concepts: conceptsDocument,
  aliases: aliasesDocument,
  source: sourceDocument,
  epochs: epochsDocument,
  votes: votesDocument,
  checkpoint: answerCheckpoint,
  inclusion: answerInclusion,
  consistency: answerConsistency,
  tile: answerTile,
  signature: answerSignature,
  proofFile: answerProofFile,
  equivocations: equivocationsDocument,
}

/** By `QueryRequest.kind`. */
export const DOCUMENT_KINDS: ReadonlyMap<number, DocumentKind> =
  new Map(Object.entries(ANSWERS).map(([name, answer]) => [QUERY_KINDS[name as keyof typeof ANSWERS], answer]))
