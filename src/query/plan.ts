import { ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import { errorNameOf } from '../base/error-codes.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import type { Lens } from '../lens/lens.ts'
import { LENS_DEFAULT, lensOf } from '../lens/registry.ts'
import { HASH_BYTES, PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import { verifyBuffer, verifyFault } from '../wire/verifier.ts'
import { DOCUMENT_KINDS, type DocumentKind } from './kinds/registry.ts'

/** Kinds of QueryRequest, append-only. */
export const QUERY_BY_ID = 1
export const QUERY_BY_LENS = 2

/** What a request that names no limit gets, or the node's largest where that is less. */
export const QUERY_LIMIT_DEFAULT = 100
const LENS_NAME_BYTES_MAX = 64

export type QueryPlan =
  | { readonly kind: 'id', readonly requestId: bigint, readonly id: Uint8Array }
  | { readonly kind: 'document', readonly requestId: bigint, readonly answer: DocumentKind, readonly request: QueryRequest }
  | {
    readonly kind: 'lens', readonly requestId: bigint, readonly subject: Uint8Array, readonly subjectIsPrefix: boolean,
    readonly predicate: Uint8Array | undefined, readonly lens: Lens, readonly limit: number,
  }

export interface PlanLimits {
  /** Largest limit that a request may name. */
  readonly limitMax: number
  /** Stands in for the registry. */
  readonly lensOf?: (name: string) => Lens
}

function refuse(parameter: string, why: string): never {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

/** The request's id, where its buffer is sound. */
export function requestIdOf(bytes: Uint8Array): bigint {
  return verifyBuffer('QueryRequest', bytes) === 0 ? QueryRequest.getRootAsQueryRequest(new ByteBuffer(bytes)).requestId() : 0n
}

/**
 * What a QueryRequest buffer asks for.
 * @throws {DbError} `malformed_frame`, `field_missing`, `parameter_invalid`
 */
export function planOf(bytes: Uint8Array, limits: PlanLimits): QueryPlan {
  const code = verifyBuffer('QueryRequest', bytes)
  if (code !== 0) throw new DbError(errorNameOf(code), verifyFault())
  const request = QueryRequest.getRootAsQueryRequest(new ByteBuffer(bytes))
  const requestId = request.requestId()
  switch (request.kind()) {
    case QUERY_BY_ID: {
      const id = request.id() ?? refuse('id', 'is missing')
      return { kind: 'id', requestId, id: must(id.bb).bytes().slice(id.bb_pos, id.bb_pos + HASH_BYTES) }
    }
    case QUERY_BY_LENS:
      return {
        kind: 'lens', requestId, subjectIsPrefix: request.subjectIsPrefix(), subject: subjectOf(request),
        predicate: predicateOf(request), limit: limitOf(request, limits.limitMax),
        lens: (limits.lensOf ?? lensOf)(lensNameOf(request)),
      }
    default: {
      const answer = DOCUMENT_KINDS.get(request.kind())
      if (answer === undefined) return refuse('kind', `is ${request.kind()}, which this node does not know`)
      return { kind: 'document', requestId, answer, request }
    }
  }
}

/** A copy of a text's bytes. A zero would reach into the next part of an index key. */
function textOf(text: Uint8Array, parameter: string, bytesMax: number): Uint8Array {
  if (text.length > bytesMax) refuse(parameter, `has more than ${bytesMax} bytes`)
  if (text.includes(0)) refuse(parameter, 'has a zero byte')
  return text.slice()
}

const utf8 = new TextEncoder()

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? utf8.encode(text) : text
}

// 1 is flatbuffers' Encoding.UTF8_BYTES: the bytes as they are, undecoded.
const RAW = 1

function subjectOf(request: QueryRequest): Uint8Array {
  const given = request.subject(RAW) ?? refuse('subject', 'is missing')
  const subject = textOf(bytesOf(given), 'subject', SUBJECT_BYTES_MAX)
  if (subject.length === 0 && !request.subjectIsPrefix()) refuse('subject', 'is empty')
  return subject
}

function predicateOf(request: QueryRequest): Uint8Array | undefined {
  const given = request.predicate(RAW)
  if (given === null) return undefined
  const predicate = textOf(bytesOf(given), 'predicate', PREDICATE_BYTES_MAX)
  return predicate.length === 0 ? refuse('predicate', 'is empty') : predicate
}

function lensNameOf(request: QueryRequest): string {
  const name = request.lens()
  if (name === null) return LENS_DEFAULT
  return name.length > LENS_NAME_BYTES_MAX ? refuse('lens', `has more than ${LENS_NAME_BYTES_MAX} characters`) : name
}

function limitOf(request: QueryRequest, limitMax: number): number {
  const limit = request.limit()
  if (limit === 0) return Math.min(QUERY_LIMIT_DEFAULT, limitMax)
  return limit > limitMax ? refuse('limit', `is ${limit}; this node gives ${limitMax} at most`) : limit
}
