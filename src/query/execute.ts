import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Candidate, Lens } from '../lens/lens.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { AssertionReader, CandidateSource, EntryCursor, IndexEntry, StoredAssertion } from './candidate-source.ts'
import type { KindDependencies } from './kinds/registry.ts'
import { planOf, requestIdOf, type QueryPlan } from './plan.ts'
import { ReplyBuilder } from './reply.codec.ts'

/** Most candidates of one subject and predicate that a lens is given: the newest. */
export const CANDIDATES_MAX = 1000
/** Most index entries that one query steps over; then it answers with what it has, and says so. */
export const ENTRIES_READ_MAX = 100_000
/** Most assertions that one query reads for lenses that look at claims. */
export const CLAIMS_READ_MAX = 10_000
/** Every refusal fits into a reply of this size. */
export const REPLY_BYTES_MIN = 4096
/** What a reply takes beside its document. */
const DOCUMENT_ROOM_BYTES = 1024

export interface QueryDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  /** Votes, trust, epochs and aliases as of a moment. */
  readonly records: KindDependencies['records']
  /** Largest limit that a request may name. */
  readonly limitMax: number
  /** Longest QueryReply. */
  readonly replyBytesMax: number
  /** Stands in for the registry. */
  readonly lensOf?: (name: string) => Lens
}

type LensPlan = Extract<QueryPlan, { kind: 'lens' }>
type DocumentPlan = Extract<QueryPlan, { kind: 'document' }>

const utf8 = new TextEncoder()

/** The newest entries of one subject and predicate. */
interface Pair {
  readonly entries: readonly IndexEntry[]
  /** There were more than {@link CANDIDATES_MAX}. */
  readonly cut: boolean
}

interface PairCandidate extends Candidate {
  readonly entry: IndexEntry
  /** Where the lens made us read it. */
  readonly stored: StoredAssertion | undefined
}

/**
 * Answers queries, one after the other: request buffer in, reply buffer out. Work is bounded by the constants above and
 * the limits of the node, whatever is asked and stored.
 */
export class QueryExecutor {
  readonly #deps: QueryDependencies
  readonly #reply: ReplyBuilder

  constructor(deps: QueryDependencies) {
    assert(deps.replyBytesMax >= REPLY_BYTES_MIN, 'a reply has room for a refusal')
    this.#deps = deps
    this.#reply = new ReplyBuilder(deps.replyBytesMax)
  }

  /**
   * A QueryReply for a QueryRequest, in memory that is reused by the next call. Bad input and damaged data become
   * refusals; only a bug throws.
   */
  answer(request: Uint8Array): Uint8Array {
    try {
      const plan = planOf(request, this.#deps)
      this.#reply.begin()
      switch (plan.kind) {
        case 'id': return this.#byId(plan.requestId, plan.id)
        case 'document': return this.#document(plan)
        case 'lens': return this.#throughLens(plan)
      }
    } catch (error) {
      if (!isDbError(error)) throw error
      return this.#reply.refuse(requestIdOf(request), error.number, error.message)
    }
  }

  #byId(requestId: bigint, id: Uint8Array): Uint8Array {
    const { source, reader } = this.#deps
    const seenLsn = source.appliedLsn()
    const place = source.byId(id)
    // Not found is an answer, not a refusal.
    if (place !== undefined && !this.#reply.found(reader.read(place))) throw tooLong()
    return this.#reply.finish(requestId, seenLsn, false)
  }

  #document({ requestId, answer, request }: DocumentPlan): Uint8Array {
    const { source, reader, clock, limitMax, records, replyBytesMax } = this.#deps
    const deps = { source, reader, records, clock, limitMax, documentBytesMax: replyBytesMax - DOCUMENT_ROOM_BYTES }
    const seenLsn = source.appliedLsn()
    const document = utf8.encode(JSON.stringify(answer(request, deps)))
    if (!this.#reply.document(document)) throw tooLong()
    return this.#reply.finish(requestId, seenLsn, false)
  }

  #throughLens(plan: LensPlan): Uint8Array {
    const seenLsn = this.#deps.source.appliedLsn()
    const cursor = this.#deps.source.entries(plan)
    try {
      return this.#reply.finish(plan.requestId, seenLsn, this.#answers(plan, cursor))
    } finally {
      cursor.close()
    }
  }

  /** Adds an answer for each pair, up to the limits. True where there would have been more. */
  #answers(plan: LensPlan, cursor: EntryCursor): boolean {
    const pairs = new PairReader(cursor, plan.predicate)
    let claimsLeft = CLAIMS_READ_MAX
    for (let answers = 0; ; answers++) {
      const pair = pairs.next()
      if (pair === undefined) return pairs.isExhausted
      if (answers === plan.limit) return true
      if (plan.lens.reads === 'claims' && (claimsLeft -= pair.entries.length) < 0 && answers > 0) return true
      if (!this.#answerPair(plan.lens, pair)) {
        if (answers === 0) throw tooLong()
        return true
      }
    }
  }

  /** False where the answer does not fit into the reply. */
  #answerPair(lens: Lens, { entries, cut }: Pair): boolean {
    const { reader, clock } = this.#deps
    const candidates = entries.map((entry) => this.#candidate(lens, entry))
    const { answers } = lens.resolve<PairCandidate>(candidates, { nowMs: clock.wallMs() })
    const answer = answers[0]
    assert(answer !== undefined, 'a lens is total: of candidates one wins')
    const { winner: { entry, stored }, why } = answer
    return this.#reply.add({
      subject: entry.subject, predicate: entry.predicate, candidates: entries.length,
      winner: stored ?? reader.read(entry), why: `${why} ${countOf(entries.length, cut)}`,
    })
  }

  #candidate(lens: Lens, entry: IndexEntry): PairCandidate {
    if (lens.reads === 'stamps') return { id: entry.idPrefix, hlc: entry.hlc, entry, stored: undefined }
    const stored = this.#deps.reader.read(entry)
    return { id: stored.id, hlc: entry.hlc, assertion: decodeAssertion(stored.bytes), entry, stored }
  }
}

function countOf(count: number, cut: boolean): string {
  if (cut) return `Only the newest ${count} candidates were looked at.`
  return count === 1 ? 'It is the only candidate.' : `There are ${count} candidates.`
}

function tooLong(): DbError {
  return new DbError('frame_too_large', ERROR_CODES.frame_too_large.title, { what: 'reply' })
}

/** Groups a cursor's entries by subject and predicate. */
class PairReader {
  readonly #cursor: EntryCursor
  readonly #predicate: Uint8Array | undefined
  #pending: IndexEntry | undefined
  #readCount = 0

  constructor(cursor: EntryCursor, predicate: Uint8Array | undefined) {
    this.#cursor = cursor
    this.#predicate = predicate
    this.#pending = this.#step()
  }

  /** Whether reading stopped at ENTRIES_READ_MAX, and not at the end. */
  get isExhausted(): boolean {
    return this.#readCount >= ENTRIES_READ_MAX
  }

  next(): Pair | undefined {
    const first = this.#firstWanted()
    if (first === undefined) return undefined
    const entries = [first]
    let cut = false
    for (;;) {
      const entry = this.#step()
      if (entry === undefined || !isSamePair(first, entry)) {
        this.#pending = entry
        return { entries, cut }
      }
      if (entries.length === CANDIDATES_MAX) {
        cut = true
        this.#cursor.skipPair()
      } else {
        entries.push(entry)
      }
    }
  }

  #firstWanted(): IndexEntry | undefined {
    for (;;) {
      const entry = this.#pending
      if (entry === undefined || this.#predicate === undefined || sameBytes(entry.predicate, this.#predicate)) return entry
      this.#cursor.skipPair()
      this.#pending = this.#step()
    }
  }

  #step(): IndexEntry | undefined {
    if (this.#readCount >= ENTRIES_READ_MAX) return undefined
    const entry = this.#cursor.next()
    if (entry !== undefined) this.#readCount++
    return entry
  }
}

const isSamePair = (a: IndexEntry, b: IndexEntry): boolean =>
  sameBytes(a.predicate, b.predicate) && sameBytes(a.subject, b.subject)

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}
