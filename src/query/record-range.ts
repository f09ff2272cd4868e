import type { Hlc } from '../base/hlc.ts'
import type { Assertion } from '../record/assertion.ts'
import { recordOf, type RecordKind, type StemeRecord } from '../record/records.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { AssertionReader, CandidateSource, IndexEntry, StoredAssertion } from './candidate-source.ts'
import type { Parsed } from './record-cache.ts'
import type { Said } from './record-standing.ts'

type RecordOf<K extends RecordKind> = Extract<StemeRecord, { kind: K }>

/** What one range of records says, the newest first. */
export interface RecordsFound<S> {
  readonly said: readonly S[]
  /** There are older ones, which were not read. */
  readonly isCut: boolean
}

/** A record with all that its assertion says, for those who show it. */
export interface ShownRecord<R extends StemeRecord> extends Said<R> {
  readonly assertion: Assertion
  readonly stored: StoredAssertion
}

const utf8 = new TextEncoder()

/** The newest `max` entries of a subject and predicate as of a moment. */
export function newestEntries(
  source: CandidateSource, subject: string, predicate: string, asOfHlc: Hlc | undefined, max: number,
): { readonly entries: readonly IndexEntry[], readonly isCut: boolean } {
  const cursor = source.entries({ subject: utf8.encode(subject), subjectIsPrefix: false, predicate: utf8.encode(predicate), asOfHlc })
  try {
    const entries: IndexEntry[] = []
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (entries.length === max) return { entries, isCut: true }
      entries.push(entry)
    }
    return { entries, isCut: false }
  } finally {
    cursor.close()
  }
}

/** Those of the entries that are records of the kind. What is none is left out: it was taken by an older node. */
export function parseEntries<K extends RecordKind>(
  kind: K, entries: readonly IndexEntry[], parse: (entry: IndexEntry) => Parsed,
): Said<RecordOf<K>>[] {
  const said: Said<RecordOf<K>>[] = []
  for (const entry of entries) {
    const parsed = parse(entry)
    if (parsed !== null && parsed.record.kind === kind) said.push(parsed as Said<RecordOf<K>>)
  }
  return said
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
  { source, reader }: { readonly source: CandidateSource, readonly reader: AssertionReader },
  kind: K, subject: string, predicate: string, asOfHlc: Hlc | undefined, max: number,
): RecordsFound<ShownRecord<RecordOf<K>>> {
  const { entries, isCut } = newestEntries(source, subject, predicate, asOfHlc, max)
  const said: ShownRecord<RecordOf<K>>[] = []
  for (const entry of entries) {
    const shown = showEntry(reader, entry)
    if (shown !== undefined && shown.record.kind === kind) said.push(shown as ShownRecord<RecordOf<K>>)
  }
  return { said, isCut }
}

/** One record with its assertion; undefined where the assertion is none. @throws {DbError} as `AssertionReader.read` */
export function showEntry(reader: AssertionReader, entry: IndexEntry): ShownRecord<StemeRecord> | undefined {
  const stored = reader.read(entry)
  const assertion = stored.assertion
  const record = recordOf(assertion)
  return record === undefined ? undefined : { record, agent: assertion.agent, id: stored.id, hlc: stored.hlc, assertion, stored }
}
