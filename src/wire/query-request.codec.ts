import { Builder } from 'flatbuffers'
import { Hash } from '../fbs/stemedb/hash.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import { lifecycleNumber, objectKindNumber, type Lifecycle, type ObjectValue, type SourceClass } from '../record/assertion.ts'

/** By name, `QueryRequest.kind`: the one place that knows these numbers. Append-only; 0 is reserved. */
export const QUERY_KINDS = Object.freeze({
  id: 1, lens: 2, list: 3, trace: 4, trust: 5, concepts: 6, aliases: 7, source: 8, epochs: 9, votes: 10, checkpoint: 11, inclusion: 12, consistency: 13,
  tile: 14, signature: 15, proofFile: 16, equivocations: 17,
})
export type AnyQueryKind = keyof typeof QUERY_KINDS
/** Those that a question by names may be of ({@link encodeQuery}). */
export type QueryKind = Exclude<AnyQueryKind, 'checkpoint' | 'inclusion' | 'consistency' | 'tile' | 'signature' | 'proofFile' | 'equivocations'>

/** What answers may come without: the bits of `QueryRequest.leave_out` (fbs/query.fbs). Append-only. */
export const LEAVE_OUT = Object.freeze({
  /** The assertions of an answer's sides; its winner is there. */
  sideClaims: 1,
  /** The sentences about answers and sides. */
  reasons: 2,
})

export type LeaveOutName = keyof typeof LEAVE_OUT

/** The fields of a question, as fbs/query.fbs describes them. What is absent is not asked for. */
export interface QueryFields {
  readonly kind: number
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
  /** Bit n: lifecycle n, tier n. */
  readonly lifecycles?: number | undefined
  readonly tiers?: number | undefined
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
  readonly proofFrom?: number | undefined
  /** {@link EMPTY_TREE}: none. */
  readonly proofTo?: number | bigint | undefined
  readonly tile?: string | undefined
  /** Bits of {@link LEAVE_OUT}. */
  readonly leaveOut?: number | undefined
}

/** As `proof_to`, where 0 means the last head: a tree without leaves. */
export const EMPTY_TREE = 2n ** 64n - 1n

/** A question by the names of things. */
export interface QueryInput extends Omit<QueryFields, 'kind' | 'lifecycles' | 'tiers' | 'proofFrom' | 'proofTo' | 'tile' | 'leaveOut'> {
  readonly kind: QueryKind
  readonly lifecycles?: readonly Lifecycle[] | undefined
  readonly tiers?: readonly SourceClass[] | undefined
  readonly leaveOut?: readonly LeaveOutName[] | undefined
}

/** As {@link encodeQueryRequest}, in memory of its own. */
export function encodeQuery(requestId: bigint, { lifecycles, tiers, leaveOut, ...query }: QueryInput): Uint8Array {
  return encodeQueryRequest(requestId, {
    ...query, kind: QUERY_KINDS[query.kind], lifecycles: lifecycles && bits(lifecycles.map(lifecycleNumber)), tiers: tiers && bits(tiers),
    leaveOut: leaveOut?.reduce((sum, name) => sum | LEAVE_OUT[name], 0),
  })
}

const bits = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum | 1 << n, 0)

/**
 * One QueryRequest buffer ("SQRQ"). Values are taken as they are: the node checks them.
 * @param builder cleared before; the buffer lies in its memory until it is used again
 */
export function encodeQueryRequest(requestId: bigint, query: QueryFields, builder = new Builder(256)): Uint8Array {
  builder.clear()
  const text = (value: string | undefined): number => value === undefined ? 0 : builder.createString(value)
  const subject = text(query.subject)
  const predicate = text(query.predicate)
  const lens = text(query.lens)
  const { object } = query
  const objectText = text(object?.kind === 'text' || object?.kind === 'reference' ? object.value : undefined)
  const tile = text(query.tile)
  const cursor = query.cursor === undefined ? 0 : builder.createByteVector(query.cursor)
  QueryRequest.startQueryRequest(builder)
  // Always there, also as zeros, so that two requests that ask the same have one form but for these.
  builder.forceDefaults(true)
  QueryRequest.addRequestId(builder, requestId)
  QueryRequest.addMinLsn(builder, BigInt(query.minLsn ?? 0))
  builder.forceDefaults(false)
  QueryRequest.addKind(builder, query.kind)
  addHashes(builder, query)
  if (subject !== 0) QueryRequest.addSubject(builder, subject)
  QueryRequest.addSubjectIsPrefix(builder, query.subjectIsPrefix ?? false)
  if (predicate !== 0) QueryRequest.addPredicate(builder, predicate)
  if (lens !== 0) QueryRequest.addLens(builder, lens)
  addFilters(builder, query)
  if (object !== undefined) addObject(builder, object, objectText)
  if (cursor !== 0) QueryRequest.addCursor(builder, cursor)
  if (tile !== 0) QueryRequest.addTile(builder, tile)
  addScalars(builder, query)
  builder.finish(QueryRequest.endQueryRequest(builder), 'SQRQ')
  return builder.asUint8Array()
}

/** Structs, which stand inline. */
function addHashes(builder: Builder, { id, agent, source, epoch }: QueryFields): void {
  if (id !== undefined) QueryRequest.addId(builder, Hash.createHash(builder, [...id]))
  if (agent !== undefined) QueryRequest.addAgent(builder, Hash.createHash(builder, [...agent]))
  if (source !== undefined) QueryRequest.addSource(builder, Hash.createHash(builder, [...source]))
  if (epoch !== undefined) QueryRequest.addEpoch(builder, Hash.createHash(builder, [...epoch]))
}

function addFilters(builder: Builder, query: QueryFields): void {
  QueryRequest.addLifecycles(builder, query.lifecycles ?? 0)
  QueryRequest.addTiers(builder, query.tiers ?? 0)
  QueryRequest.addFromHlc(builder, query.fromHlc ?? 0n)
  QueryRequest.addUntilHlc(builder, query.untilHlc ?? 0n)
  // Of these zero says something, and is written.
  if (query.assertedFromMs !== undefined) QueryRequest.addAssertedFromMs(builder, BigInt(query.assertedFromMs))
  if (query.assertedUntilMs !== undefined) QueryRequest.addAssertedUntilMs(builder, BigInt(query.assertedUntilMs))
  if (query.confidenceMin !== undefined) QueryRequest.addConfidenceMin(builder, query.confidenceMin)
  if (query.tolerance !== undefined) QueryRequest.addTolerance(builder, query.tolerance)
}

function addObject(builder: Builder, object: ObjectValue, textOffset: number): void {
  QueryRequest.addObjectKind(builder, objectKindNumber(object.kind))
  if (object.kind === 'number') QueryRequest.addObjectNumber(builder, object.value)
  else if (object.kind === 'boolean') QueryRequest.addObjectBoolean(builder, object.value)
  else QueryRequest.addObjectText(builder, textOffset)
}

function addScalars(builder: Builder, query: QueryFields): void {
  QueryRequest.addLimit(builder, query.limit ?? 0)
  QueryRequest.addAsOfHlc(builder, query.asOfHlc ?? 0n)
  QueryRequest.addExplain(builder, query.explain ?? false)
  QueryRequest.addAliases(builder, query.aliases ?? false)
  QueryRequest.addDepth(builder, query.depth ?? 0)
  QueryRequest.addWithContent(builder, query.withContent ?? false)
  QueryRequest.addProofFrom(builder, BigInt(query.proofFrom ?? 0))
  QueryRequest.addProofTo(builder, BigInt(query.proofTo ?? 0))
  QueryRequest.addLeaveOut(builder, query.leaveOut ?? 0)
}
