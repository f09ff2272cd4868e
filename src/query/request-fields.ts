import { must } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import type { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { HASH_BYTES, PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'

/** Fields of a QueryRequest whose structure has been checked, each with its rules. All throw {DbError} `parameter_invalid`. */

const LIMIT_DEFAULT = 100
// 1 is flatbuffers' Encoding.UTF8_BYTES: the bytes as they are, undecoded.
const RAW = 1
const utf8 = new TextEncoder()

export function refuseParameter(parameter: string, why: string): never {
  throw new DbError('parameter_invalid', `${parameter} ${why}`, { parameter })
}

/** A copy of a text's bytes. A zero would reach into the next part of an index key. */
function textField(given: string | Uint8Array | null, parameter: string, bytesMax: number): Uint8Array | undefined {
  if (given === null) return undefined
  const text = typeof given === 'string' ? utf8.encode(given) : given.slice()
  if (text.length > bytesMax) refuseParameter(parameter, `has more than ${bytesMax} bytes`)
  if (text.includes(0)) refuseParameter(parameter, 'has a zero byte')
  return text
}

/** The subject, or what subjects begin with; undefined where it is left out. */
export const subjectField = (request: QueryRequest): Uint8Array | undefined =>
  textField(request.subject(RAW), request.subjectIsPrefix() ? 'prefix' : 'subject', SUBJECT_BYTES_MAX)

export const predicateField = (request: QueryRequest): Uint8Array | undefined =>
  textField(request.predicate(RAW), 'predicate', PREDICATE_BYTES_MAX)

/** A whole subject and a predicate: what names a pair. */
export function pairFields(request: QueryRequest): { readonly subject: Uint8Array, readonly predicate: Uint8Array } {
  const subject = subjectField(request) ?? refuseParameter('subject', 'is missing')
  const predicate = predicateField(request) ?? refuseParameter('predicate', 'is missing')
  if (subject.length === 0) refuseParameter('subject', 'is empty')
  if (predicate.length === 0) refuseParameter('predicate', 'is empty')
  return { subject, predicate }
}

/** A copy of the 32 bytes. */
export function idField(request: QueryRequest): Uint8Array {
  const id = request.id() ?? refuseParameter('id', 'is missing')
  return must(id.bb).bytes().slice(id.bb_pos, id.bb_pos + HASH_BYTES)
}

/** Most answers: 100 where none is named, and never more than the node gives. */
export function limitField(request: QueryRequest, limitMax: number): number {
  const limit = request.limit()
  if (limit === 0) return Math.min(LIMIT_DEFAULT, limitMax)
  return limit > limitMax ? refuseParameter('limit', `is ${limit}; this node gives ${limitMax} at most`) : limit
}

export function asOfField(request: QueryRequest): Hlc | undefined {
  const asOf = request.asOfHlc()
  return asOf === 0n ? undefined : asOf
}
