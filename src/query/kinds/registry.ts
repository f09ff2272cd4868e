import { aliasesDocument } from './aliases.ts'
import { conceptsDocument } from './concepts.ts'
import { epochsDocument } from './epochs.ts'
import { equivocationsDocument } from './equivocations.ts'
import type { DocumentKind } from './kind.ts'
import { sourceDocument } from './source.ts'
import { traceDocument } from './trace.ts'
import { trustDocument } from './trust.ts'
import { votesDocument } from './votes.ts'

export type { DocumentKind, KindDependencies } from './kind.ts'

export const QUERY_TRACE = 4
export const QUERY_TRUST = 5
export const QUERY_CONCEPTS = 6
export const QUERY_ALIASES = 7
export const QUERY_SOURCE = 8
export const QUERY_EPOCHS = 9
export const QUERY_VOTES = 10
export const QUERY_EQUIVOCATIONS = 14

/** By `QueryRequest.kind`. */
export const DOCUMENT_KINDS: ReadonlyMap<number, DocumentKind> = new Map<number, DocumentKind>([
  [QUERY_TRACE, traceDocument],
  [QUERY_CONCEPTS, conceptsDocument],
  [QUERY_EQUIVOCATIONS, equivocationsDocument],
  [QUERY_TRUST, trustDocument],
  [QUERY_CONCEPTS, conceptsDocument],
  [QUERY_ALIASES, aliasesDocument],
  [QUERY_SOURCE, sourceDocument],
  [QUERY_EPOCHS, epochsDocument],
  [QUERY_VOTES, votesDocument],
])
