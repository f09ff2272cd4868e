import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { CandidateColumns, LensContext } from '../lens/lens.ts'
import type { Assertion } from '../record/assertion.ts'
import type { EntryPlace } from '../store/pair-entries.ts'

/** Where an assertion stands in the log, and under which stamp. */
export interface Place {
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly segmentId: number
  /** Of its record, from the start of the segment's file. */
  readonly recordOffset: number
  /** In its batch. */
  readonly index: number
}

/** What the index by subject and predicate says of one assertion, its bytes unread. */
export interface IndexEntry extends EntryPlace {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  /** Tier 0..5. */
  readonly sourceClass: number
  /** Number of the lifecycle that it was asserted with. */
  readonly lifecycle: number
  readonly objectKind: number
  /** It names a parent, so that it may change what becomes of another assertion. */
  readonly hasParent: boolean
}

/** A place in the order of entries: the begin of a subject and predicate, or one entry of them. */
export interface EntryPosition {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  /** Behind this entry. */
  readonly behind?: { readonly hlc: Hlc, readonly idPrefix: Uint8Array }
}

/** Which entries: one subject, all subjects that begin so, or one subject and predicate. */
export interface EntryRange {
  readonly subject: Uint8Array
  readonly subjectIsPrefix: boolean
  /** With a prefix, the cursor gives all predicates and the caller leaves out what it does not want. */
  readonly predicate: Uint8Array | undefined
  /** Only what was accepted at or before it. What is newer is stepped over by a seek for each pair, not read. */
  readonly asOfHlc?: Hlc | undefined
  /** Leaves out what stands before this position. */
  readonly from?: EntryPosition | undefined
}

/**
 * Entries by ascending subject and predicate, as bytes with a zero behind each; the newest first within a pair. What a
 * cursor sees is the index as it was when the range was asked for, or later. Close it.
 */
export interface EntryCursor {
  next(): IndexEntry | undefined
  /** Leaves out the rest of the pair that the last entry was of. */
  skipPair(): void
  /**
   * Goes on at the first entry whose subject, zero, predicate, zero are at or above these bytes, wherever that is: the cost does not
   * grow with what stands between. Never back.
   */
  seek(key: Uint8Array): void
  close(): void
}

export interface ClaimColumns extends CandidateColumns {
  readonly of: readonly StoredAssertion[]
}

/** A pair whose entries are its candidates, as nothing of it changes another assertion. */
export interface PlainPair {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  /** It is not plain: something of it names a parent, and may change what becomes of the others. It has no candidates here then. */
  readonly hasParents: boolean
  /** Candidates: entries of a standing lifecycle, the newest first. */
  readonly count: number
  /** Which of them is the latest: the greatest HLC, of equal ones the greatest id. -1 where there is none. */
  readonly latest: number
  /** Why the latest wins, by a lens for which it always does (`Lens.whyLatest`). There is one. */
  whyLatest(why: (hlc: Hlc) => string): string
  /** One of them. @throws {DbError} as the reader does */
  claim(i: number, reader: AssertionReader): StoredAssertion
  /** All of them, as lenses take them. @throws {DbError} as the reader does */
  columns(reader: AssertionReader, context: LensContext): ClaimColumns
}

/** Which assertions, in the order in which they were accepted. */
export interface LatestRange {
  /** Of this agent; undefined: of all. */
  readonly agent: Uint8Array | undefined
  /** Accepted at or after this. */
  readonly fromHlc?: Hlc | undefined
  /** Accepted at or before this. */
  readonly lastHlc: Hlc | undefined
  /** Only what has a smaller LSN. */
  readonly belowLsn?: Lsn | undefined
}

/** Places by descending LSN, each once. Close it. */
export interface LatestCursor {
  next(): Place | undefined
  close(): void
}

/** A place in the order of the log: everything below this LSN is still to come. */
export interface LatestPosition {
  readonly belowLsn: Lsn
}

/** Where a walk goes on, in the order that it has. */
export type WalkPosition = EntryPosition | LatestPosition

/** What can be read, and where it stands. All calls throw `DbError` only: `store_corrupt`, `wal_corrupt`, `io_error`. */
export interface CandidateSource {
  /** Up to which LSN the index is complete. Asked before anything is read. */
  appliedLsn(): Lsn
  /** HLC of the last assertion that the index is sure to have, where that is known. */
  appliedHlc?(): Hlc | undefined
  /** A durable assertion by its id, or undefined. */
  byId(id: Uint8Array): Place | undefined
  entries(range: EntryRange): EntryCursor
  /** What `range` is about as it is now or later; the newest comes first. */
  latest(range: LatestRange): LatestCursor
  /**
   * One pair with all that is applied of it, or undefined where it has more entries than `CANDIDATES_MAX`.
   * @param key its first `length` bytes are subject, zero, predicate, zero; not kept
   */
  pair?(key: Uint8Array, length: number): PlainPair | undefined
}

export const SIGNED_BY_NOBODY = 0
export const SIGNED_BY_AGENT = 1
export const SIGNED_BY_BATCH = 2

/** One assertion as it is served, in memory of its own. Nobody changes it: it may be kept and given again. */
export interface StoredAssertion extends Place {
  readonly id: Uint8Array
  /** The Assertion buffer: its structure, its claim and the id that follows from it have been checked. */
  readonly bytes: Uint8Array
  /** `wordSum` of `bytes`. */
  readonly assertionSum: number
  /** `bytes` decoded, when somebody asks first. */
  readonly assertion: Assertion
  /** The assertion's own, or else that of its batch. */
  readonly signature: Uint8Array | undefined
  readonly signedBy: typeof SIGNED_BY_NOBODY | typeof SIGNED_BY_AGENT | typeof SIGNED_BY_BATCH
  /** All of this as it goes into a reply (wire/found.codec.ts). */
  readonly found: Uint8Array
}

export interface AssertionReader {
  /** @throws {DbError} `store_corrupt` where bytes and index disagree, `wal_corrupt`, `io_error`. */
  read(place: Place | EntryPlace): StoredAssertion
  /**
   * Ids of the whole batch that an assertion came in, 32 bytes each, refused ones too: what the batch's signature covers. The bytes
   * are as they lie in the log, unchecked: it is the signature that says whether they are right.
   * @throws {DbError} `wal_corrupt`, `io_error`
   */
  batchIds?(place: Place | EntryPlace): Uint8Array
}
