import { DbError } from '../base/errors.ts'
import { fromHex, toHex } from '../base/bytes.ts'
import type { ConceptsDocument } from '../query/kinds/concepts.ts'
import type { EquivocationsDocument } from '../query/kinds/equivocations.ts'
import type { TraceDocument } from '../query/kinds/trace.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { getDocument, hasTexts, isMembers, type Fetch } from './http.ts'
import { nodeUrlsOf } from './urls.ts'

/** What `GET /v1/trace/{id}` answers (openapi.json). */
export type Trace = TraceDocument
/** What `GET /v1/concepts` answers. */
export type Concepts = ConceptsDocument
/** What `GET /v1/equivocations` answers. */
export type Equivocations = EquivocationsDocument

interface Moment {
  /** As it was then: an HLC in decimal, Unix milliseconds, or RFC 3339. */
  readonly asOf?: string | undefined
  /** Answer only from what includes this LSN. */
  readonly minLsn?: number | undefined
}

export interface TraceParameters extends Moment {
  /** Most steps, 1 to 16; 3 where it is left out. */
  readonly depth?: number | undefined
}

export interface ConceptsParameters extends Moment {
  /** Beginning of subjects; left out: all. */
  readonly prefix?: string | undefined
  readonly limit?: number | undefined
  /** Of the page before. */
  readonly cursor?: string | undefined
}

export interface EquivocationsParameters extends Moment {
  readonly subject: string
  readonly predicate: string
  readonly limit?: number | undefined
}

function searchOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined).map(([name, value]): [string, string] => [name, String(value)])
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

/** Whether it has these lists, of members each with these texts: enough to tell a node's answer from anything else. */
const hasLists = (value: unknown, lists: Readonly<Record<string, readonly string[]>>): boolean => isMembers(value)
  && Object.entries(lists).every(([name, texts]) => {
    const list = value[name]
    return Array.isArray(list) && list.every((item) => isMembers(item) && hasTexts(item, ...texts))
  })
const isTrace = (value: unknown): value is Trace => hasLists(value, { nodes: ['node', 'id'], edges: ['from', 'to', 'kind'] })
const isConcepts = (value: unknown): value is Concepts => hasLists(value, { concepts: ['path', 'kind'] })
const isEquivocations = (value: unknown): value is Equivocations => hasLists(value, { equivocations: [] })

/**
 * All that bears on an assertion, as a graph.
 * @param url of the node, as `connect` takes it; so for the others
 * @param timeoutMs longest wait for the answer, 30 s where it is left out; so for the others
 * @throws {DbError} as rejection: the problem's code (`not_found`, ...), `timeout`, or `unreachable`
 */
export async function httpTrace(
  fetchImpl: Fetch, url: string, id: Uint8Array | string, { depth, asOf, minLsn }: TraceParameters = {}, timeoutMs?: number,
): Promise<Trace> {
  const hex = typeof id === 'string' ? id : toHex(id)
  if (fromHex(hex, HASH_BYTES) === undefined) {
    throw new DbError('parameter_invalid', `an id has ${HASH_BYTES} bytes, or ${2 * HASH_BYTES} hex digits`, { parameter: 'id' })
  }
  return await getDocument(fetchImpl, `${nodeUrlsOf(url).http}/v1/trace/${hex.toLowerCase()}${searchOf({ depth, as_of: asOf, min_lsn: minLsn })}`, isTrace, timeoutMs)
}

/** A page of the concept paths one level below a prefix. @throws {DbError} as {@link httpTrace} */
export async function httpConcepts(
  fetchImpl: Fetch, url: string, { prefix, limit, cursor, asOf, minLsn }: ConceptsParameters = {}, timeoutMs?: number,
): Promise<Concepts> {
  return await getDocument(fetchImpl, `${nodeUrlsOf(url).http}/v1/concepts${searchOf({ prefix, limit, cursor, as_of: asOf, min_lsn: minLsn })}`, isConcepts, timeoutMs)
}

/** Keys that contradict themselves, with proofs for `verifyEquivocation`. @throws {DbError} as {@link httpTrace} */
export async function httpEquivocations(
  fetchImpl: Fetch, url: string, { subject, predicate, limit, asOf, minLsn }: EquivocationsParameters, timeoutMs?: number,
): Promise<Equivocations> {
  const search = searchOf({ subject, predicate, limit, as_of: asOf, min_lsn: minLsn })
  return await getDocument(fetchImpl, `${nodeUrlsOf(url).http}/v1/equivocations${search}`, isEquivocations, timeoutMs)
}
