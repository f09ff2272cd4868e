import { conceptsDocument } from './concepts.ts'
import type { DocumentKind } from './kind.ts'

export type { DocumentKind, KindDependencies } from './kind.ts'

export const QUERY_TRACE = 4
export const QUERY_TRUST = 5
export const QUERY_CONCEPTS = 6
export const QUERY_ALIASES = 7
export const QUERY_SOURCE = 8
export const QUERY_EPOCHS = 9
export const QUERY_VOTES = 10

/** By `QueryRequest.kind`. */
export const DOCUMENT_KINDS: ReadonlyMap<number, DocumentKind> = new Map<number, DocumentKind>([
  [QUERY_CONCEPTS, conceptsDocument],
])
