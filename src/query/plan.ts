import { ByteBuffer } from 'flatbuffers'
import { must } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { DbError } from '../base/errors.ts'
import { errorNameOf } from '../base/error-codes.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { Hash } from '../fbs/stemedb/hash.ts'
import { QueryRequest } from '../fbs/stemedb/query-request.ts'
import type { Lens } from '../lens/lens.ts'
import { LENS_DEFAULT, lensOf } from '../lens/registry.ts'
import type { LensSettings } from '../lens/settings.ts'
import { LIFECYCLES, SOURCE_CLASSES, objectKindOf, type ObjectValue } from '../record/assertion.ts'
import { blake3 } from '../record/blake3.ts'
import { HASH_BYTES, OBJECT_TEXT_BYTES_MAX } from '../record/limits.ts'
import { LEAVE_OUT, QUERY_KINDS } from '../wire/query-request.codec.ts'
import { verifyBuffer, verifyFault } from '../wire/verifier.ts'
import type { EntryPosition } from './candidate-source.ts'
import { passesAll, type Filter } from './filter.ts'
import { DOCUMENT_KINDS, type DocumentKind } from './kinds/registry.ts'
import { PAGE_CURSOR_BYTES_MAX, decodePageCursor, type PageCursor } from './page-cursor.ts'
import { asOfField, idField, limitField, predicateField, refuseParameter as refuse, subjectField } from './request-fields.ts'

export const { id: QUERY_BY_ID, lens: QUERY_BY_LENS, list: QUERY_LIST } = QUERY_KINDS

/** A chain of every lens there is fits. */
export const LENS_NAME_BYTES_MAX = 256

interface AnyPlan {
  readonly requestId: bigint
  /** What the answer must include; 0: anything. */
  readonly minLsn: Lsn
}

/**
 * What is walked through. Who names no subject but an agent or a time gets the order of the log, whose columns know those; everything else
 * is in the order of the index by subject and predicate.
 */
export interface ScanPlan extends AnyPlan {
  readonly order: 'index' | 'log'
  readonly subject: Uint8Array
  readonly subjectIsPrefix: boolean
  readonly predicate: Uint8Array | undefined
  /** The subject's aliases are looked at too. */
  readonly aliases: boolean
  readonly filter: Filter
  readonly limit: number
  /** Undefined: now. */
  readonly asOf: Hlc | undefined
  readonly cursor: PageCursor | undefined
  /** Of what is asked for, so that a cursor is known to belong to it. Costs a hash, which most queries need not pay. */
  readonly fingerprint: () => bigint
}

export interface LensPlan extends ScanPlan {
  readonly kind: 'lens'
  readonly lens: Lens
  readonly explain: boolean
  /** Bits of `LEAVE_OUT`. */
  readonly leaveOut: number
}

export interface ListPlan extends ScanPlan {
  readonly kind: 'list'
}

export interface IdPlan extends AnyPlan {
  readonly kind: 'id'
  readonly id: Uint8Array
}

export interface DocumentPlan extends AnyPlan {
  readonly kind: 'document'
  readonly answer: DocumentKind
  readonly request: QueryRequest
}

export type QueryPlan = IdPlan | DocumentPlan | LensPlan | ListPlan

export interface PlanLimits {
  /** Largest limit that a request may name. */
  readonly limitMax: number
  /** Stands in for the registry. */
  readonly lensOf?: (name: string) => Lens
  /** What lenses are told that is a setting: a request that names none of it is about that. */
  readonly lensSettings?: LensSettings
  /** Without it no moment is in the future. */
  readonly clock?: Clock
  /** Last HLC that this node has given out: it may be ahead of the clock. */
  readonly durableHlc?: () => Hlc
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
  const minLsn = minLsnOf(request)
  checkAsOf(request, limits)
  switch (request.kind()) {
    case QUERY_BY_ID: return { kind: 'id', requestId, minLsn, id: idField(request) }
    case QUERY_BY_LENS: {
      const name = lensNameOf(request)
      const lens = (limits.lensOf ?? lensOf)(name)
      return { kind: 'lens', ...scanOf(request, minLsn, limits, name), lens, explain: request.explain(), leaveOut: bitsOf(request.leaveOut(), LEAVE_OUT_BITS, 'leave_out') ?? 0 }
    }
    case QUERY_LIST: {
      if (request.explain()) refuse('explain', NO_ANSWERS)
      if (request.leaveOut() !== 0) refuse('leave_out', NO_ANSWERS)
      return { kind: 'list', ...scanOf(request, minLsn, limits, '') }
    }
    default: {
      const answer = DOCUMENT_KINDS.get(request.kind())
      if (answer === undefined) return refuse('kind', `is ${request.kind()}, which this node does not know`)
      return { kind: 'document', requestId, minLsn, answer, request }
    }
  }
}

function scanOf(request: QueryRequest, minLsn: Lsn, limits: PlanLimits, lensName: string): ScanPlan {
  const filter = filterOf(request, limits)
  const predicate = predicateField(request)
  if (predicate?.length === 0) refuse('predicate', 'is empty')
  // Without a subject everything is looked through, which is meant only where something else is asked for.
  const isBounded = predicate !== undefined || !passesAll(filter)
  const { subject, subjectIsPrefix, isLeftOut } = subjectOf(request, isBounded)
  const order = isLeftOut && (filter.agent !== undefined || filter.fromHlc !== undefined || filter.untilHlc !== undefined) ? 'log' : 'index'
  const aliases = request.aliases()
  if (aliases && subjectIsPrefix) refuse('aliases', 'needs a whole subject')
  const asOfGiven = asOfField(request)
  const what = { order, subject, subjectIsPrefix, predicate, aliases, filter } as const
  const kind = request.kind()
  const fingerprint = (): bigint => fingerprintOf(kind, lensName, what)
  const cursor = cursorOf(request, fingerprint)
  if (cursor !== undefined && ('belowLsn' in cursor.position) !== (order === 'log')) refuse('cursor', 'is of another order')
  if (cursor !== undefined && asOfGiven !== undefined && asOfGiven !== cursor.asOf) refuse('cursor', 'is of a walk as of another moment')
  return {
    requestId: request.requestId(), minLsn, ...what, limit: limitField(request, limits.limitMax), asOf: cursor?.asOf ?? asOfGiven, cursor,
    fingerprint,
  }
}

/** Where a walk through the index goes on. */
export function entryPositionOf({ cursor }: ScanPlan): EntryPosition | undefined {
  const position = cursor?.position
  return position === undefined || 'belowLsn' in position ? undefined : position
}

/** Where a walk in the order of the log goes on. */
export function belowLsnOf({ cursor }: ScanPlan): Lsn | undefined {
  const position = cursor?.position
  return position !== undefined && 'belowLsn' in position ? position.belowLsn : undefined
}

/** What pages of one walk have in common, hashed. */
function fingerprintOf(kind: number, lensName: string, { order, ...what }: Pick<ScanPlan, 'order' | 'subject' | 'subjectIsPrefix' | 'predicate' | 'aliases' | 'filter'>): bigint {
  const json = JSON.stringify(order === 'log' ? [kind, lensName, what, order] : [kind, lensName, what], (_, value: unknown) => {
    if (typeof value === 'bigint') return String(value)
    return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value
  })
  const hash = blake3(utf8.encode(json))
  return new DataView(hash.buffer, hash.byteOffset).getBigUint64(0, true)
}

function cursorOf(request: QueryRequest, fingerprint: () => bigint): PageCursor | undefined {
  const length = request.cursorLength()
  if (length === 0) return undefined
  if (length > PAGE_CURSOR_BYTES_MAX) refuse('cursor', 'is longer than any')
  return decodePageCursor(must(request.cursorArray()), fingerprint())
}

function hashOf(hash: Hash | null): Uint8Array | undefined {
  return hash === null ? undefined : must(hash.bb).bytes().slice(hash.bb_pos, hash.bb_pos + HASH_BYTES)
}

function subjectOf(request: QueryRequest, isBounded: boolean): { subject: Uint8Array, subjectIsPrefix: boolean, isLeftOut: boolean } {
  const subject = subjectField(request)
  const subjectIsPrefix = request.subjectIsPrefix()
  if (subject === undefined) {
    return isBounded ? { subject: new Uint8Array(0), subjectIsPrefix: true, isLeftOut: true } : refuse('subject', 'is missing, and nothing else is asked for')
  }
  if (subject.length === 0 && !subjectIsPrefix) refuse('subject', 'is empty')
  return { subject, subjectIsPrefix, isLeftOut: false }
}

function lensNameOf(request: QueryRequest): string {
  const name = request.lens()
  if (name === null) return LENS_DEFAULT
  return name.length > LENS_NAME_BYTES_MAX ? refuse('lens', `has more than ${LENS_NAME_BYTES_MAX} characters`) : name
}

function minLsnOf(request: QueryRequest): Lsn {
  const lsn = request.minLsn()
  return lsn > BigInt(Number.MAX_SAFE_INTEGER) ? refuse('min_lsn', 'is beyond 2^53') : Number(lsn)
}

/** Of what a list has none of. */
const NO_ANSWERS = 'is about answers, and without a lens there are none'

/** What has not been yet may still come to be otherwise: it has no answer that stays. */
function checkAsOf(request: QueryRequest, { clock, durableHlc }: PlanLimits): void {
  const asOf = asOfField(request)
  if (asOf === undefined || clock === undefined) return
  const asOfMs = hlcWallMs(asOf)
  // What was given out has been, whatever the clock says. Asked first, because an answer that looks at the clock is kept for a moment only.
  if (asOfMs <= hlcWallMs(durableHlc?.() ?? 0n)) return
  const nowMs = clock.wallMs()
  if (asOfMs > nowMs) refuse('as_of', `is ${momentText(asOfMs)}, which is in the future: the clock of this node says ${momentText(nowMs)}`)
}

const momentText = (ms: number): string => new Date(ms).toISOString()

const utf8 = new TextEncoder()

export const LEAVE_OUT_BITS = Object.values(LEAVE_OUT).reduce((bits, bit) => bits | bit, 0)
const LIFECYCLE_BITS = (1 << LIFECYCLES.length + 1) - 2
const TIER_BITS = (1 << SOURCE_CLASSES.length) - 1

function filterOf(request: QueryRequest, { lensSettings }: PlanLimits): Filter {
  const fromHlc = nonZero(request.fromHlc())
  const untilHlc = nonZero(request.untilHlc())
  if (fromHlc !== undefined && untilHlc !== undefined && fromHlc >= untilHlc) refuse('until', 'is not behind from')
  const assertedFromMs = millisOf(request.assertedFromMs(), 'asserted_from')
  const assertedUntilMs = millisOf(request.assertedUntilMs(), 'asserted_until')
  if (assertedFromMs !== undefined && assertedUntilMs !== undefined && assertedFromMs >= assertedUntilMs) {
    refuse('asserted_until', 'is not behind asserted_from')
  }
  return {
    lifecycles: bitsOf(request.lifecycles(), LIFECYCLE_BITS, 'lifecycle'), tiers: bitsOf(request.tiers(), TIER_BITS, 'tier'),
    fromHlc, untilHlc, agent: hashOf(request.agent()), source: hashOf(request.source()), epoch: hashOf(request.epoch()),
    assertedFromMs, assertedUntilMs, confidenceMin: ratioOf(request.confidenceMin(), 'confidence_min'),
    object: objectOf(request), tolerance: ratioOf(request.tolerance(), 'tolerance') ?? lensSettings?.tolerance ?? 0,
  }
}

const nonZero = (hlc: Hlc): Hlc | undefined => hlc === 0n ? undefined : hlc

function millisOf(time: bigint | null, parameter: string): number | undefined {
  if (time === null) return undefined
  return time > BigInt(Number.MAX_SAFE_INTEGER) ? refuse(parameter, 'is beyond 2^53') : Number(time)
}

function bitsOf(bits: number, known: number, parameter: string): number | undefined {
  if ((bits & ~known) !== 0) refuse(parameter, 'names one that there is not')
  return bits === 0 ? undefined : bits
}

function ratioOf(value: number | null, parameter: string): number | undefined {
  if (value === null) return undefined
  // Written so that NaN is refused.
  return value >= 0 && value <= 1 ? value : refuse(parameter, 'must be from 0 to 1')
}

function objectOf(request: QueryRequest): ObjectValue | undefined {
  if (request.objectKind() === 0) return undefined
  const kind = objectKindOf(request.objectKind())
  switch (kind) {
    case undefined: return refuse('object', 'has no known kind')
    case 'number': return Number.isFinite(request.objectNumber()) ? { kind, value: request.objectNumber() } : refuse('object', 'is not finite')
    case 'boolean': return { kind, value: request.objectBoolean() }
    case 'text':
    case 'reference': {
      // 1 is flatbuffers' Encoding.UTF8_BYTES: the bytes as they are, undecoded.
      const text = request.objectText(1)
      return text === null ? refuse('object', 'has no text') : { kind, value: decodeText(text) }
    }
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeText(text: string | Uint8Array): string {
  const bytes = typeof text === 'string' ? utf8.encode(text) : text
  if (bytes.length > OBJECT_TEXT_BYTES_MAX) refuse('object', `has more than ${OBJECT_TEXT_BYTES_MAX} bytes`)
  try {
    return decoder.decode(bytes)
  } catch {
    // TypeError: the bytes are no UTF-8.
    return refuse('object', 'is not UTF-8')
  }
}
