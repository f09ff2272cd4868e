import { wordSum } from '../base/word-sum.ts'
import { DbError } from '../base/errors.ts'
import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn } from '../base/lsn.ts'
import { PREDICATE_BYTES_MAX, SUBJECT_BYTES_MAX } from '../record/limits.ts'
import type { EntryPosition, LatestPosition, WalkPosition } from './candidate-source.ts'

/**
 * Where a page ended and what all pages of one walk share. It travels through the client as opaque bytes:
 *
 * | offset | size | |
 * | --- | --- | --- |
 * | 0 | 1 | version: 1 |
 * | 1 | 1 | what the position is: 0 where a subject and predicate begin, 1 behind an entry of them, 2 in the order of the log |
 * | 2 | 2 | bytes of the subject, u16 |
 * | 4 | 4 | checksum (`wordSum`) of everything else |
 * | 8 | 8 | fingerprint of the query that it belongs to |
 * | 16 | 8 | HLC that all pages are as of |
 * | 24 | 8 | moment of the first page, Unix milliseconds, f64 |
 * | 32 | | 0, 1: subject, predicate; 1: then the entry's HLC (u64) and the first 8 bytes of its id; 2: the LSN (u64) below which it goes on |
 *
 * Numbers are little-endian. The checksum is against accidents. A forged one is no danger: it can but say where to go
 * on within the range of the query that it comes with.
 */
export interface PageCursor {
  /** First 8 bytes of a hash over what the query asks for. */
  readonly fingerprint: bigint
  readonly asOf: Hlc
  readonly nowMs: number
  readonly position: WalkPosition
}

const VERSION = 1
const SHAPE = 1
const SUBJECT_BYTES = 2
const SUM = 4
const FINGERPRINT = 8
const AS_OF = 16
const NOW = 24
const TEXTS = 32
const ENTRY_BYTES = 16
const ID_PREFIX_BYTES = 8
const LSN_BYTES = 8

/** What a position is: values of the byte at SHAPE. */
const AT_PAIR = 0
const BEHIND_ENTRY = 1
const BELOW_LSN = 2

export const PAGE_CURSOR_BYTES_MAX = TEXTS + SUBJECT_BYTES_MAX + PREDICATE_BYTES_MAX + ENTRY_BYTES

export function encodePageCursor({ fingerprint, asOf, nowMs, position }: PageCursor): Uint8Array {
  const bytes = 'belowLsn' in position ? lsnBytes(position) : entryBytes(position)
  const view = new DataView(bytes.buffer)
  bytes[0] = VERSION
  view.setBigUint64(FINGERPRINT, fingerprint, true)
  view.setBigUint64(AS_OF, asOf, true)
  view.setFloat64(NOW, nowMs, true)
  view.setUint32(SUM, sumOf(view), true)
  return bytes
}

/** A cursor with nothing in it but its position. */
function entryBytes({ subject, predicate, behind }: EntryPosition): Uint8Array<ArrayBuffer> {
  const textsEnd = TEXTS + subject.length + predicate.length
  const bytes = new Uint8Array(textsEnd + (behind === undefined ? 0 : ENTRY_BYTES))
  const view = new DataView(bytes.buffer)
  bytes[SHAPE] = behind === undefined ? AT_PAIR : BEHIND_ENTRY
  view.setUint16(SUBJECT_BYTES, subject.length, true)
  bytes.set(subject, TEXTS)
  bytes.set(predicate, TEXTS + subject.length)
  if (behind !== undefined) {
    view.setBigUint64(textsEnd, behind.hlc, true)
    bytes.set(behind.idPrefix, textsEnd + 8)
  }
  return bytes
}

function lsnBytes({ belowLsn }: LatestPosition): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(TEXTS + LSN_BYTES)
  bytes[SHAPE] = BELOW_LSN
  writeLsn(new DataView(bytes.buffer), TEXTS, belowLsn)
  return bytes
}

/** @throws {DbError} `parameter_invalid` where it is none of ours, or of another query. */
export function decodePageCursor(bytes: Uint8Array, fingerprint: bigint): PageCursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < TEXTS || bytes.length > PAGE_CURSOR_BYTES_MAX || bytes[0] !== VERSION || bytes[SHAPE]! > BELOW_LSN) refuse('is none of this version')
  if (view.getUint32(SUM, true) !== sumOf(view)) refuse('is damaged')
  if (view.getBigUint64(FINGERPRINT, true) !== fingerprint) refuse('belongs to another query')
  const nowMs = view.getFloat64(NOW, true)
  if (!Number.isFinite(nowMs)) refuse('is damaged')
  const position = bytes[SHAPE] === BELOW_LSN ? lsnPosition(bytes, view) : entryPosition(bytes, view)
  return { fingerprint, asOf: view.getBigUint64(AS_OF, true), nowMs, position }
}

function lsnPosition(bytes: Uint8Array, view: DataView): LatestPosition {
  if (bytes.length !== TEXTS + LSN_BYTES || view.getBigUint64(TEXTS, true) > BigInt(Number.MAX_SAFE_INTEGER)) refuse('is damaged')
  return { belowLsn: readLsn(view, TEXTS) }
}

function entryPosition(bytes: Uint8Array, view: DataView): EntryPosition {
  const isBehindEntry = bytes[SHAPE] === BEHIND_ENTRY
  const subjectEnd = TEXTS + view.getUint16(SUBJECT_BYTES, true)
  const textsEnd = bytes.length - (isBehindEntry ? ENTRY_BYTES : 0)
  if (subjectEnd > textsEnd) refuse('is damaged')
  const subject = textOf(bytes, TEXTS, subjectEnd, SUBJECT_BYTES_MAX)
  const predicate = textOf(bytes, subjectEnd, textsEnd, PREDICATE_BYTES_MAX)
  if (!isBehindEntry) return { subject, predicate }
  return { subject, predicate, behind: { hlc: view.getBigUint64(textsEnd, true), idPrefix: bytes.slice(textsEnd + 8, textsEnd + 8 + ID_PREFIX_BYTES) } }
}

/** A zero would reach into the next part of an index key. */
function textOf(bytes: Uint8Array, from: number, to: number, bytesMax: number): Uint8Array {
  const text = bytes.slice(from, to)
  return text.length > bytesMax || text.includes(0) ? refuse('is damaged') : text
}

function sumOf(view: DataView): number {
  return (wordSum(view, 0, SUM) ^ wordSum(view, SUM + 4, view.byteLength - SUM - 4)) >>> 0
}

function refuse(why: string): never {
  throw new DbError('parameter_invalid', `cursor ${why}; pass that of the reply before, with the same query`, { parameter: 'cursor' })
}
