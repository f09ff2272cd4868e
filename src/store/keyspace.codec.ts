import { concatBytes } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn, type Lsn, type WalPosition } from '../base/lsn.ts'
import {
  AGENT_KEY_BYTES, AGENT_KEY_LSN, AGENT_RANGE_BYTES, AGENT_RANGE_COUNT, AGENT_RANGE_LSN_DELTA,
  AGENT_RANGE_RECORD_OFFSET, AGENT_RANGE_SEGMENT_ID, LOG_BY_HLC, LOG_BY_LSN, LOG_COUNT, LOG_HLC, LOG_HLC_VALUE_BYTES,
  LOG_KEY_BYTES, LOG_KEY_NUMBER, LOG_RECORD_OFFSET, LOG_SEGMENT_ID, LOG_VALUE_BYTES, SP_SEPARATOR, SP_TAIL_BYTES, SP_TAIL_HLC,
  SP_TAIL_ID,
} from './keyspace.layout.ts'
import {
  ENTRY_ASSERTION_SUM, ENTRY_HAS_PARENT, ENTRY_INDEX, ENTRY_LIFECYCLE_KIND, ENTRY_LIFECYCLE_MASK, ENTRY_LSN, ENTRY_OBJECT_KIND_SHIFT,
  ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID, ENTRY_SOURCE_CLASS, ENTRY_VALUE_BYTES,
} from './entry-runs.layout.ts'
import type { RangeBounds } from './store.ts'

/** Where an assertion stands, and what lenses filter by before they read it. */
export interface SpValue {
  readonly segmentId: number
  readonly recordOffset: number
  /** Place in its batch. */
  readonly index: number
  /** `wordSum` of the Assertion buffer. */
  readonly assertionSum: number
  readonly sourceClass: number
  readonly lifecycle: number
  readonly objectKind: number
  readonly hasParent: boolean
  readonly lsn: Lsn
}

/** @throws {DbError} `store_corrupt` */
export function decodeSpValue(bytes: Uint8Array): SpValue {
  const view = sized(bytes, ENTRY_VALUE_BYTES, 'an entry of column sp')
  return {
    segmentId: view.getUint32(ENTRY_SEGMENT_ID, true),
    recordOffset: view.getUint32(ENTRY_RECORD_OFFSET, true),
    index: view.getUint16(ENTRY_INDEX, true),
    assertionSum: view.getUint32(ENTRY_ASSERTION_SUM, true),
    sourceClass: view.getUint8(ENTRY_SOURCE_CLASS),
    lifecycle: view.getUint8(ENTRY_LIFECYCLE_KIND) & ENTRY_LIFECYCLE_MASK,
    objectKind: view.getUint8(ENTRY_LIFECYCLE_KIND) >> ENTRY_OBJECT_KIND_SHIFT,
    hasParent: (view.getUint8(ENTRY_LIFECYCLE_KIND) & ENTRY_HAS_PARENT) !== 0,
    lsn: view.getUint32(ENTRY_LSN, true) + view.getUint16(ENTRY_LSN + 4, true) * 0x1_0000_0000,
  }
}

export interface SpKey {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly hlc: Hlc
  /** First 8 bytes of the id. */
  readonly idPrefix: Uint8Array
}

// An inverted HLC, turned: a DataView of each key and arithmetic on bigints would cost several times as much.
const hlcBytes = new Uint8Array(8)
const hlcWord = new BigUint64Array(hlcBytes.buffer)

/** The HLC of a key that has been decoded, or is about to be. The machine is little-endian, as everywhere here. */
export function spKeyHlc(key: Uint8Array): Hlc {
  const at = key.length - SP_TAIL_BYTES + SP_TAIL_HLC
  for (let i = 0; i < 8; i++) hlcBytes[7 - i] = ~key[at + i]!
  return hlcWord[0]!
}

/** Whether two keys are of one subject and predicate. */
export function isSameSpPair(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  // From behind: keys that are neighbours differ late.
  for (let i = a.length - SP_TAIL_BYTES - 1; i >= 0; i--) if (a[i] !== b[i]) return false
  return true
}

/** First 8 bytes of the id, a view. */
export const spKeyId = (key: Uint8Array): Uint8Array => key.subarray(key.length - SP_TAIL_BYTES + SP_TAIL_ID)

/** Views of the key's parts. @throws {DbError} `store_corrupt` */
export function decodeSpKey(key: Uint8Array): SpKey {
  const tail = key.length - SP_TAIL_BYTES
  const subjectEnd = key.indexOf(SP_SEPARATOR)
  const predicateEnd = subjectEnd < 0 ? -1 : key.indexOf(SP_SEPARATOR, subjectEnd + 1)
  if (predicateEnd < 0 || predicateEnd !== tail - 1) {
    throw new DbError('store_corrupt', 'a key of column sp has a wrong shape; run "stemedb store rebuild"')
  }
  return {
    subject: key.subarray(0, subjectEnd),
    predicate: key.subarray(subjectEnd + 1, predicateEnd),
    hlc: spKeyHlc(key),
    idPrefix: spKeyId(key),
  }
}

const ZERO = Uint8Array.of(SP_SEPARATOR)
const AFTER_ZERO = Uint8Array.of(SP_SEPARATOR + 1)

/**
 * Bounds of the entries of a subject, of one of its predicates, or of all subjects that begin with it; the newest
 * entry of each subject and predicate comes first.
 * @param asOf nothing newer than this HLC; needs a predicate.
 */
export function spRange(
  subject: Uint8Array, predicate?: Uint8Array, options: { readonly subjectIsPrefix?: boolean, readonly asOf?: Hlc } = {},
): RangeBounds {
  if (options.subjectIsPrefix === true) {
    const lt = prefixEnd(subject)
    return lt === undefined ? { gte: subject } : { gte: subject, lt }
  }
  if (predicate === undefined) return { gte: concatBytes(subject, ZERO), lt: concatBytes(subject, AFTER_ZERO) }
  const start = concatBytes(subject, ZERO, predicate, ZERO)
  const lt = concatBytes(subject, ZERO, predicate, AFTER_ZERO)
  return options.asOf === undefined ? { gte: start, lt } : { gte: concatBytes(start, u64(~options.asOf)), lt }
}

/** The least key that an entry of the same subject and predicate can have that is not newer than `asOf`. */
export function spKeyAsOf(key: Uint8Array, asOf: Hlc): Uint8Array {
  return concatBytes(key.subarray(0, key.length - SP_TAIL_BYTES), u64(~asOf))
}

/** The key of one entry, or with neither HLC nor id what all entries of a subject and predicate begin with. */
export function spKey(subject: Uint8Array, predicate: Uint8Array, hlc?: Hlc, idPrefix: Uint8Array = new Uint8Array(0)): Uint8Array {
  const start = concatBytes(subject, ZERO, predicate, ZERO)
  return hlc === undefined ? start : concatBytes(start, u64(~hlc), idPrefix)
}

/** The first key behind all that begin with `prefix`; undefined where there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const end = prefix.slice(0, length)
  end[length - 1]!++
  return end
}

/** Consecutive LSNs of one agent in one record. */
export interface AgentRange {
  readonly lsnFirst: Lsn
  readonly count: number
  readonly segmentId: number
  readonly recordOffset: number
}

/** Bounds of an agent's entries, by ascending LSN. */
export function agentRange(agent: Uint8Array): RangeBounds {
  const lt = prefixEnd(agent)
  return lt === undefined ? { gte: agent } : { gte: agent, lt }
}

/** The key that an agent's entry has where it begins with this LSN. */
export const agentKey = (agent: Uint8Array, lsn: Lsn): Uint8Array => concatBytes(agent, u64(BigInt(lsn)))

/** @throws {DbError} `store_corrupt` */
export function decodeAgentEntry(key: Uint8Array, value: Uint8Array): AgentRange[] {
  const first = Number(sized(key, AGENT_KEY_BYTES, 'a key of column agent').getBigUint64(AGENT_KEY_LSN))
  if (value.length % AGENT_RANGE_BYTES !== 0) sized(value, AGENT_RANGE_BYTES, 'an entry of column agent')
  const view = viewOf(value)
  return Array.from({ length: value.length / AGENT_RANGE_BYTES }, (_, i) => {
    const at = i * AGENT_RANGE_BYTES
    return {
      lsnFirst: first + view.getUint32(at + AGENT_RANGE_LSN_DELTA, true),
      count: view.getUint32(at + AGENT_RANGE_COUNT, true),
      segmentId: view.getUint32(at + AGENT_RANGE_SEGMENT_ID, true),
      recordOffset: view.getUint32(at + AGENT_RANGE_RECORD_OFFSET, true),
    }
  })
}

/** Where to begin to walk the log: the first record of an ingest batch. */
export interface LogPoint {
  readonly lsnFirst: Lsn
  readonly hlcFirst: Hlc
  /** Assertions up to the next point. */
  readonly count: number
  readonly position: WalPosition
}

export const logLsnKey = (lsn: Lsn): Uint8Array => logKey(LOG_BY_LSN, BigInt(lsn))
export const logHlcKey = (hlc: Hlc): Uint8Array => logKey(LOG_BY_HLC, hlc)

/** Bounds for the last point at or before an LSN: take the first entry of this reverse range. */
export const logPointAtLsn = (lsn: Lsn): RangeBounds =>
  ({ gte: logLsnKey(0), lt: logLsnKey(lsn + 1), reverse: true, fillCache: true })

/** The same by HLC; its value is the LSN of a point. */
export const logPointAtHlc = (hlc: Hlc): RangeBounds =>
  ({ gte: logHlcKey(0n), lt: hlc === 2n ** 64n - 1n ? Uint8Array.of(LOG_BY_HLC + 1) : logHlcKey(hlc + 1n), reverse: true, fillCache: true })

export function encodeLogPoint(point: LogPoint): Uint8Array {
  const bytes = new Uint8Array(LOG_VALUE_BYTES)
  const view = viewOf(bytes)
  view.setUint32(LOG_SEGMENT_ID, point.position.segmentId, true)
  view.setUint32(LOG_RECORD_OFFSET, point.position.offset, true)
  view.setBigUint64(LOG_HLC, point.hlcFirst, true)
  view.setUint32(LOG_COUNT, point.count, true)
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeLogPoint(key: Uint8Array, value: Uint8Array): LogPoint {
  const keyView = sized(key, LOG_KEY_BYTES, 'a key of column log')
  const view = sized(value, LOG_VALUE_BYTES, 'an entry of column log')
  return {
    lsnFirst: Number(keyView.getBigUint64(LOG_KEY_NUMBER)),
    hlcFirst: view.getBigUint64(LOG_HLC, true),
    count: view.getUint32(LOG_COUNT, true),
    position: { segmentId: view.getUint32(LOG_SEGMENT_ID, true), offset: view.getUint32(LOG_RECORD_OFFSET, true) },
  }
}

export function encodeLogHlcValue(lsn: Lsn): Uint8Array {
  const bytes = new Uint8Array(LOG_HLC_VALUE_BYTES)
  writeLsn(viewOf(bytes), 0, lsn)
  return bytes
}

/** @throws {DbError} `store_corrupt` */
export function decodeLogHlcEntry(key: Uint8Array, value: Uint8Array): { hlc: Hlc, lsn: Lsn } {
  return {
    hlc: sized(key, LOG_KEY_BYTES, 'a key of column log').getBigUint64(LOG_KEY_NUMBER),
    lsn: readLsn(sized(value, LOG_HLC_VALUE_BYTES, 'an entry of column log'), 0),
  }
}

function logKey(kind: number, number: bigint): Uint8Array {
  const key = new Uint8Array(LOG_KEY_BYTES)
  key[0] = kind
  viewOf(key).setBigUint64(LOG_KEY_NUMBER, number)
  return key
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8)
  viewOf(bytes).setBigUint64(0, BigInt.asUintN(64, value))
  return bytes
}

function sized(bytes: Uint8Array, length: number, what: string): DataView {
  if (bytes.length !== length) {
    throw new DbError('store_corrupt', `${what} has ${bytes.length} bytes; run "stemedb store rebuild"`)
  }
  return viewOf(bytes)
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
