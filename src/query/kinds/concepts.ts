import { concatBytes } from '../../base/bytes.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { SUBJECT_BYTES_MAX } from '../../record/limits.ts'
import { prefixEnd } from '../../store/keyspace.codec.ts'
import type { EntryCursor, IndexEntry } from '../candidate-source.ts'
import { asOfField, limitField, refuseParameter, subjectField } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'
import { sameBytes } from '../pairs.ts'
import { claimEntries } from '../reserved.ts'

/** Predicates that are listed of one subject. */
export const CONCEPT_PREDICATES_MAX = 64
/** Entries of one subject and predicate are counted as far as this: they mostly stand in a page that is at hand. */
export const CONCEPT_ENTRIES_COUNTED_MAX = 16
/** Look-ups in the index that one page costs; then it ends early, with a cursor. */
export const CONCEPT_SEEKS_MAX = 10_000
/** A page ends early where its JSON would be longer. */
export const CONCEPT_PAGE_BYTES_MAX = 1024 * 1024

/** Of the document, what is no concept: the prefix as JSON, the cursor. */
const HEAD_BYTES = 8 * 1024

const SLASH = 0x2f
const COLON = 0x3a
/** Above all keys of a subject and below those of any other that it begins: its own go on with a zero, and no text has a one. */
const BEHIND_SUBJECT = Uint8Array.of(1)

export interface ConceptPredicate {
  readonly predicate: string
  /** Assertions, retractions and other changes among them. */
  readonly entries: number
  /** There are more entries than were counted. */
  readonly more: boolean
  /** Of the one accepted last; decimal. */
  readonly newest_hlc: string
}

export type Concept =
  | { readonly path: string, readonly kind: 'subject', readonly predicates: readonly ConceptPredicate[], readonly more_predicates: boolean }
  /** Subjects begin with the path, which ends in a slash: list it as a prefix to see them. */
  | { readonly path: string, readonly kind: 'prefix' }

export interface ConceptsDocument {
  readonly prefix: string
  readonly concepts: readonly Concept[]
  /** Names the next page. Absent on the last one. */
  readonly cursor?: string
}

/**
 * The concept paths one level below a prefix, as a directory is listed: subjects up to the next slash, and for all that go on behind
 * it the path up to there, once. In the order of their bytes. The cost grows with what is listed, not with the assertions under it.
 * A page begins behind the last path of the one before, so that what is there during all pages is listed once, whatever is written
 * meanwhile.
 * @throws {DbError} `parameter_invalid`, and as reads do
 */
export function conceptsDocument(request: QueryRequest, { source, limitMax, documentBytesMax }: KindDependencies): ConceptsDocument {
  const prefix = subjectField(request) ?? new Uint8Array(0)
  const limit = limitField(request, limitMax)
  const from = cursorField(request, prefix)
  const cursor = claimEntries(source, { subject: prefix, subjectIsPrefix: true, predicate: undefined, asOfHlc: asOfField(request) })
  try {
    const walk = new Walk(cursor)
    if (from !== undefined) walk.seek(from)
    return { prefix: text(prefix), ...pageOf(walk, prefix, limit, Math.min(CONCEPT_PAGE_BYTES_MAX, documentBytesMax - HEAD_BYTES)) }
  } finally {
    cursor.close()
  }
}

/** Where a page begins: the key behind the last path before. */
function cursorField(request: QueryRequest, prefix: Uint8Array): Uint8Array | undefined {
  const given = request.cursorArray()
  if (given === null) return undefined
  const end = prefixEnd(prefix)
  const isInside = given.length > 0 && given.length <= SUBJECT_BYTES_MAX + 1 && Buffer.compare(given, prefix) > 0
    && (end === undefined || Buffer.compare(given, end) <= 0) && !given.includes(0)
  return isInside ? given.slice() : refuseParameter('cursor', 'is none of this prefix')
}

function pageOf(walk: Walk, prefix: Uint8Array, limit: number, bytesMax: number): Pick<ConceptsDocument, 'concepts' | 'cursor'> {
  const concepts: Concept[] = []
  let bytes = 0
  let behind = prefix
  const endsHere = (): Pick<ConceptsDocument, 'concepts' | 'cursor'> => ({ concepts, cursor: Buffer.from(behind).toString('base64url') })
  for (;;) {
    const entry = walk.head()
    if (entry === undefined) return { concepts }
    if (concepts.length === limit || (concepts.length > 0 && walk.seeks >= CONCEPT_SEEKS_MAX)) return endsHere()
    const path = entry.subject.slice(0, childEnd(entry.subject, prefix.length))
    const next = path.length < entry.subject.length ? prefixEnd(path)! : concatBytes(path, BEHIND_SUBJECT)
    const concept: Concept = path.length < entry.subject.length ? { path: text(path), kind: 'prefix' } : subjectOf(walk, path, next)
    bytes += Buffer.byteLength(JSON.stringify(concept)) + 1
    if (concepts.length > 0 && bytes > bytesMax) return endsHere()
    concepts.push(concept)
    behind = next
    walk.seek(behind)
  }
}

/**
 * Where the next level of a subject ends: behind the first slash at or behind `from`, or with the subject. The two slashes of a scheme
 * count as one.
 */
function childEnd(subject: Uint8Array, from: number): number {
  const slash = subject.indexOf(SLASH, from)
  if (slash < 0) return subject.length
  const isScheme = subject[slash - 1] === COLON && subject[slash + 1] === SLASH && subject.indexOf(SLASH) === slash
  return slash + (isScheme ? 2 : 1)
}

function subjectOf(walk: Walk, path: Uint8Array, behind: Uint8Array): Concept {
  const predicates: ConceptPredicate[] = []
  for (let entry = walk.head(); entry !== undefined && sameBytes(entry.subject, path); entry = walk.head()) {
    if (predicates.length === CONCEPT_PREDICATES_MAX) {
      walk.seek(behind)
      return { path: text(path), kind: 'subject', predicates, more_predicates: true }
    }
    predicates.push(predicateOf(walk, entry))
  }
  return { path: text(path), kind: 'subject', predicates, more_predicates: false }
}

function predicateOf(walk: Walk, newest: IndexEntry): ConceptPredicate {
  const isSame = (entry: IndexEntry | undefined): boolean =>
    entry !== undefined && sameBytes(entry.predicate, newest.predicate) && sameBytes(entry.subject, newest.subject)
  let entries = 0
  while (entries < CONCEPT_ENTRIES_COUNTED_MAX && isSame(walk.head())) {
    walk.step()
    entries++
  }
  const more = isSame(walk.head())
  if (more) walk.skipPair()
  return { predicate: text(newest.predicate), entries, more, newest_hlc: String(newest.hlc) }
}

/** A cursor with the entry that comes next in view. */
class Walk {
  readonly #cursor: EntryCursor
  #head: IndexEntry | undefined
  #isRead = false
  seeks = 0

  constructor(cursor: EntryCursor) {
    this.#cursor = cursor
  }

  head(): IndexEntry | undefined {
    if (!this.#isRead) this.#head = this.#cursor.next()
    this.#isRead = true
    return this.#head
  }

  step(): void {
    this.#isRead = false
  }

  /** Leaves out the rest of the pair of the entry in view. */
  skipPair(): void {
    this.#cursor.skipPair()
    this.seeks++
    this.step()
  }

  seek(key: Uint8Array): void {
    // The entry in view may be the one that is looked for, and the cursor is already behind it.
    const head = this.head()
    if (head === undefined || Buffer.compare(concatBytes(head.subject, Uint8Array.of(0)), key) >= 0) return
    this.#cursor.seek(key)
    this.seeks++
    this.step()
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
