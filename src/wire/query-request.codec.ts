import { Builder } from 'flatbuffers'
import { Hash } from '../fbs/stemedb/hash.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { lifecycleNumber, objectKindNumber, type Lifecycle, type ObjectValue, type SourceClass } from '../record/assertion.ts'

/** By name, `QueryRequest.kind`. */
export const QUERY_KINDS = Object.freeze({
  id: 1, lens: 2, list: 3, trace: 4, trust: 5, concepts: 6, aliases: 7, source: 8, epochs: 9, votes: 10,
})
export type QueryKind = keyof typeof QUERY_KINDS

/** A question, as fbs/query.fbs describes its fields. What is absent is not asked for. */
export interface QueryInput {
  readonly kind: QueryKind
  /** 32 bytes; so have `agent`, `source` and `epoch`. */
  readonly id?: Uint8Array | undefined
  readonly subject?: string | undefined
  readonly subjectIsPrefix?: boolean | undefined
  readonly predicate?: string | undefined
  readonly lens?: string | undefined
  readonly limit?: number | undefined
  readonly agent?: Uint8Array | undefined
  readonly source?: Uint8Array | undefined
  readonly epoch?: Uint8Array | undefined
  readonly lifecycles?: readonly Lifecycle[] | undefined
  readonly tiers?: readonly SourceClass[] | undefined
  readonly fromHlc?: bigint | undefined
  readonly untilHlc?: bigint | undefined
  readonly assertedFromMs?: number | undefined
  readonly assertedUntilMs?: number | undefined
  readonly confidenceMin?: number | undefined
  readonly object?: ObjectValue | undefined
  readonly asOfHlc?: bigint | undefined
  readonly minLsn?: number | undefined
  readonly cursor?: Uint8Array | undefined
  readonly explain?: boolean | undefined
  readonly tolerance?: number | undefined
  readonly aliases?: boolean | undefined
  readonly depth?: number | undefined
  readonly withContent?: boolean | undefined
}

/** One QueryRequest buffer ("SQRQ") of its own memory. Values are taken as they are: the node checks them. */
export function encodeQuery(requestId: bigint, query: QueryInput): Uint8Array {
  const builder = new Builder(256)
  const text = (value: string | undefined): number => value === undefined ? 0 : builder.createString(value)
  const subject = text(query.subject)
  const predicate = text(query.predicate)
  const lens = text(query.lens)
  const { object } = query
  const objectText = text(object?.kind === 'text' || object?.kind === 'reference' ? object.value : undefined)
  const cursor = query.cursor === undefined ? 0 : QueryRequest.createCursorVector(builder, query.cursor)
  QueryRequest.startQueryRequest(builder)
  // Always there, also as zeros, so that two requests that ask the same have one form but for these.
  builder.forceDefaults(true)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addMinLsn(builder, BigInt(query.minLsn ?? 0))
  builder.forceDefaults(false)
  QueryRequest.addKind(builder, QUERY_KINDS[query.kind])
  addHashes(builder, query)
  if (subject !== 0) QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, query.subjectIsPrefix ?? false)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  if (lens !== 0) QueryRequest.addLens(builder, lens)
  addFilters(builder, query)
  if (object !== undefined) addObject(builder, object, objectText)
  if (cursor !== 0) QueryRequest.addCursor(builder, cursor)
  addScalars(builder, query)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}

/** Structs, which stand inline. */
function addHashes(builder: Builder, { id, agent, source, epoch }: QueryInput): void {
  if (id !== undefined) QueryRequest.addId(builder, Hash.createHash(builder, [...id]))
  if (agent !== undefined) QueryRequest.addAgent(builder, Hash.createHash(builder, [...agent]))
  if (source !== undefined) QueryRequest.addSource(builder, Hash.createHash(builder, [...source]))
  if (epoch !== undefined) QueryRequest.addEpoch(builder, Hash.createHash(builder, [...epoch]))
}

function addFilters(builder: Builder, query: QueryInput): void {
  const bits = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum | 1 << n, 0)
  if (query.lifecycles !== undefined) QueryRequest.addLifecycles(builder, bits(query.lifecycles.map(lifecycleNumber)))
  if (query.tiers !== undefined) QueryRequest.addTiers(builder, bits(query.tiers))
  QueryRequest.addFromHlc(builder, query.fromHlc ?? 0n)
  QueryRequest.addUntilHlc(builder, query.untilHlc ?? 0n)
  QueryRequest.addAssertedFromMs(builder, BigInt(query.assertedFromMs ?? 0))
  QueryRequest.addAssertedUntilMs(builder, BigInt(query.assertedUntilMs ?? 0))
  QueryRequest.addConfidenceMin(builder, query.confidenceMin ?? 0)
}

function addObject(builder: Builder, object: ObjectValue, textOffset: number): void {
  QueryRequest.addObjectKind(builder, objectKindNumber(object.kind))
  if (object.kind === 'number') QueryRequest.addObjectNumber(builder, object.value)
  else if (object.kind === 'boolean') QueryRequest.addObjectBoolean(builder, object.value)
  else QueryRequest.addObjectText(builder, textOffset)
}

function addScalars(builder: Builder, query: QueryInput): void {
  QueryRequest.addLimit(builder, query.limit ?? 0)
  QueryRequest.addAsOfHlc(builder, query.asOfHlc ?? 0n)
  QueryRequest.addExplain(builder, query.explain ?? false)
  QueryRequest.addTolerance(builder, query.tolerance ?? 0)
  QueryRequest.addAliases(builder, query.aliases ?? false)
  QueryRequest.addDepth(builder, query.depth ?? 0)
  QueryRequest.addWithContent(builder, query.withContent ?? false)
}
