import type { Hlc } from '../base/hlc.ts'
import type { Assertion } from '../record/assertion.ts'
import { recordOf, type RecordKind, type StemeRecord } from '../record/records.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { AssertionReader, CandidateSource, IndexEntry, StoredAssertion } from './candidate-source.ts'
import type { Parsed } from './record-cache.ts'
import { keyOfWord, type Said } from './record-standing.ts'

type RecordOf<K extends RecordKind> = Extract<StemeRecord, { kind: K }>

/** For each record that may count so many index entries are looked at: those of an agent that others of it have followed do not push out other agents'. */
export const STEPS_PER_RECORD = 10

/** What one range of records says, the newest first. */
export interface RecordsFound<S> {
  readonly said: readonly S[]
  /** There are older ones, which were not read. */
  readonly isCut: boolean
  /** Entries that were looked at. */
  readonly steps: number
}

/** Which records, and how many of them at most. */
export interface RecordRange<K extends RecordKind> {
  readonly kind: K
  readonly subject: string
  readonly predicate: string
  readonly asOfHlc: Hlc | undefined
  readonly max: number
  /** Entries that are looked at. Left out: {@link STEPS_PER_RECORD} for each of `max`. */
  readonly stepsMax?: number
  /** What does not count is left out before it takes the place of others. */
  readonly counts?: (said: Said<RecordOf<K>>) => boolean
}

/** A record with all that its assertion says, for those who show it. */
export interface ShownRecord<R extends StemeRecord> extends Said<R> {
  readonly assertion: Assertion
  readonly stored: StoredAssertion
}

const utf8 = new TextEncoder()

/**
 * The newest records of a kind, at most `max` that none of the same agent about the same has followed. What `read` has nothing of, or of another
 * kind, is left out: it was taken by an older node.
 * @throws {DbError} as `AssertionReader.read`
 */
export function newestRecords<K extends RecordKind, S extends Said<RecordOf<K>>>(
  source: CandidateSource, range: RecordRange<K>, read: (entry: IndexEntry) => Said<StemeRecord> | null,
): RecordsFound<S> {
  const { kind, subject, predicate, asOfHlc, max, stepsMax = STEPS_PER_RECORD * max, counts } = range
  const cursor = source.entries({ subject: utf8.encode(subject), subjectIsPrefix: false, predicate: utf8.encode(predicate), asOfHlc })
  try {
    const said: S[] = []
    const lastOf = new Map<string, Hlc>()
    let steps = 0
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (steps++ === stepsMax) return { said, isCut: true, steps }
      const one = read(entry) as S | null
      if (one === null || one.record.kind !== kind || counts?.(one) === false || isFollowed(one, lastOf)) continue
      if (said.length === max) return { said, isCut: true, steps }
      said.push(one)
    }
    return { said, isCut: false, steps }
  } finally {
    cursor.close()
  }
}

/** Whether a later one has taken its place; of one HLC the greater id does, which comes behind. @param lastOf HLC of the last by agent and what it is about */
function isFollowed(one: Said<StemeRecord>, lastOf: Map<string, Hlc>): boolean {
  const key = keyOfWord(one)
  if (key === undefined) return false
  const last = lastOf.get(key)
  if (last === undefined) lastOf.set(key, one.hlc)
  return last !== undefined && last !== one.hlc
}

/** Reads one record. @throws {DbError} as `AssertionReader.read` */
export function parseEntry(reader: AssertionReader, entry: IndexEntry): Parsed {
  const { id, bytes } = reader.read(entry)
  const assertion = decodeAssertion(bytes)
  const record = recordOf(assertion)
  return record === undefined ? null : { record, agent: assertion.agent, id, hlc: entry.hlc }
}

/** Records of a kind with their assertions, the newest first. @throws {DbError} as `AssertionReader.read` */
export function readShown<K extends RecordKind>(
  { source, reader }: { readonly source: CandidateSource, readonly reader: AssertionReader }, range: RecordRange<K>,
): RecordsFound<ShownRecord<RecordOf<K>>> {
  return newestRecords<K, ShownRecord<RecordOf<K>>>(source, range, (entry) => showEntry(reader, entry) ?? null)
}

/** One record with its assertion; undefined where the assertion is none. @throws {DbError} as `AssertionReader.read` */
export function showEntry(reader: AssertionReader, entry: IndexEntry): ShownRecord<StemeRecord> | undefined {
  const stored = reader.read(entry)
  const assertion = stored.assertion
  const record = recordOf(assertion)
  return record === undefined ? undefined : { record, agent: assertion.agent, id: stored.id, hlc: stored.hlc, assertion, stored }
}
