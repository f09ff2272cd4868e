import { RECORD_SCHEME } from '../record/records.ts'
import { prefixEnd } from '../store/keyspace.codec.ts'
import type { CandidateSource, EntryCursor, EntryRange, IndexEntry } from './candidate-source.ts'

const RESERVED = new TextEncoder().encode(RECORD_SCHEME)
const BEHIND_RESERVED = prefixEnd(RESERVED)!

/** Whether a subject, or what subjects begin with, is of records beside assertions: votes, epochs, pieces of sources ... */
export function isReserved(subject: Uint8Array): boolean {
  if (subject.length < RESERVED.length) return false
  for (let i = 0; i < RESERVED.length; i++) if (subject[i] !== RESERVED[i]) return false
  return true
}

/** Entries of a range, those of records only where the range names them: nobody looks for them who does not. */
export function claimEntries(source: CandidateSource, range: EntryRange): EntryCursor {
  const cursor = source.entries(range)
  return range.subjectIsPrefix && !isReserved(range.subject) ? new ClaimCursor(cursor) : cursor
}

/** Steps over all records with one look-up. */
class ClaimCursor implements EntryCursor {
  readonly #cursor: EntryCursor

  constructor(cursor: EntryCursor) {
    this.#cursor = cursor
  }

  next(): IndexEntry | undefined {
    const entry = this.#cursor.next()
    if (entry === undefined || !isReserved(entry.subject)) return entry
    this.#cursor.seek(BEHIND_RESERVED)
    return this.#cursor.next()
  }

  skipPair(): void {
    this.#cursor.skipPair()
  }

  seek(key: Uint8Array): void {
    this.#cursor.seek(key)
  }

  close(): void {
    this.#cursor.close()
  }
}
