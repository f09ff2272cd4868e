import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import { DbError, isDbError } from '../base/errors.ts'
import type { Lens } from '../lens/lens.ts'
import type { LensSettings } from '../lens/settings.ts'
import type { AssertionReader, CandidateSource, StoredAssertion, WalkPosition } from './candidate-source.ts'
import type { KindDependencies } from './kinds/registry.ts'
import { listLatest } from './latest-list.ts'
import { resolvePairs } from './lens-query.ts'
import { listMatches } from './list-query.ts'
import { PlainAnswers } from './plain-answers.ts'
import { planOf, requestIdOf, type DocumentPlan, type IdPlan, type LensPlan, type ListPlan, type QueryPlan, type ScanPlan } from './plan.ts'
import type { RecordReader } from './record-reader.ts'
import { ReplyBuilder } from './reply.codec.ts'
import { momentOf, pageCursorAt, tooLong, type Moment } from './scan.ts'

export { CLAIMS_READ_MAX } from './candidates.ts'
export { CANDIDATES_MAX } from './pair-bounds.ts'
export { ENTRIES_READ_MAX } from './pairs.ts'

/** Every refusal fits into a reply of this size. */
export const REPLY_BYTES_MIN = 4096
/** What a reply takes beside its document. */
const DOCUMENT_ROOM_BYTES = 2048

export interface QueryDependencies {
  readonly source: CandidateSource
  readonly reader: AssertionReader
  readonly clock: Clock
  /** Votes, trust, epochs and aliases as of a moment. */
  readonly records: KindDependencies['records']
  readonly proofs?: KindDependencies['proofs']
  /** Largest limit that a request may name. */
  readonly limitMax: number
  /** Longest QueryReply. */
  readonly replyBytesMax: number
  /** What lenses are told that is a setting. */
  readonly lensSettings?: LensSettings
  /** Last HLC that this node has given out. */
  readonly durableHlc?: () => Hlc
  /** Stands in for the registry. */
  readonly lensOf?: (name: string) => Lens
}

const utf8 = new TextEncoder()

/**
 * Answers queries, one after the other: request buffer in, reply buffer out. Work is bounded by CANDIDATES_MAX and ENTRIES_READ_MAX
 * (pairs.ts), CLAIMS_READ_MAX (candidates.ts) and the limits of the node, whatever is asked and stored.
 */
export class QueryExecutor {
  readonly #deps: QueryDependencies
  readonly #reply: ReplyBuilder
  readonly #plain: PlainAnswers

  constructor(deps: QueryDependencies) {
    assert(deps.replyBytesMax >= REPLY_BYTES_MIN, 'a reply has room for a refusal')
    this.#deps = deps
    this.#reply = new ReplyBuilder(deps.replyBytesMax)
    this.#plain = new PlainAnswers({ ...deps, reply: this.#reply })
  }

  /**
   * A QueryReply for a QueryRequest, in memory that is reused by the next call. Bad input and damaged data become
   * refusals; only a bug throws.
   */
  answer(request: Uint8Array): Uint8Array {
    try {
      return this.#plain.answer(request) ?? this.#answer(planOf(request, this.#deps))
    } catch (error) {
      if (!isDbError(error)) throw error
      return this.#reply.refuse(requestIdOf(request), error)
    }
  }

  #answer(plan: QueryPlan): Uint8Array {
    // Asked for before anything is read: the answer saw at least this much.
    const seenLsn = this.#deps.source.appliedLsn()
    if (plan.minLsn > seenLsn) throw new DbError('lsn_not_reached', `LSN ${plan.minLsn} is not indexed yet, the last one is ${seenLsn}`)
    this.#reply.begin()
    switch (plan.kind) {
      case 'id': return this.#byId(plan, seenLsn)
      case 'document': return this.#document(plan, seenLsn)
      case 'lens': return this.#throughLens(plan, seenLsn)
      case 'list': return this.#list(plan, seenLsn)
    }
  }

  #byId({ requestId, id }: IdPlan, seenLsn: Lsn): Uint8Array {
    const { source, reader } = this.#deps
    const place = source.byId(id)
    // Not found is an answer, not a refusal.
    if (place !== undefined && !this.#reply.found(reader.read(place))) tooLong()
    return this.#reply.finish(requestId, seenLsn)
  }

  #document({ requestId, answer, request }: DocumentPlan, seenLsn: Lsn): Uint8Array {
    const { source, reader, clock, limitMax, records, replyBytesMax, proofs } = this.#deps
    const deps = { source, reader, records, clock, limitMax, documentBytesMax: replyBytesMax - DOCUMENT_ROOM_BYTES, proofs }
    const answered = answer(request, deps)
    const document = answered instanceof Uint8Array ? answered : utf8.encode(JSON.stringify(answered))
    if (!this.#reply.document(document)) tooLong()
    return this.#reply.finish(requestId, seenLsn)
  }

  #throughLens(plan: LensPlan, seenLsn: Lsn): Uint8Array {
    const { source, reader, clock, lensSettings: settings = {} } = this.#deps
    const moment = momentOf(plan, source, clock)
    const give = this.#reply.add.bind(this.#reply)
    const records = this.#recordsOf(moment.asOfHlc)
    return this.#finish(plan, moment, seenLsn, resolvePairs(plan, moment, { source, reader, clock, records, settings, give, noteCut: this.#noteCut }))
  }

  #list(plan: ListPlan, seenLsn: Lsn): Uint8Array {
    const { source, reader, clock } = this.#deps
    const moment = momentOf(plan, source, clock)
    let listed = 0
    const give = (assertion: StoredAssertion): boolean => {
      if (!this.#reply.list(assertion)) return listed === 0 ? tooLong() : false
      listed++
      return true
    }
    const next = plan.order === 'log' ? listLatest(plan, moment, { source, reader, give })
      : listMatches(plan, moment, { source, reader, records: this.#recordsOf(moment.asOfHlc), give, noteCut: this.#noteCut })
    return this.#finish(plan, moment, seenLsn, next)
  }

  #finish(plan: ScanPlan, moment: Moment, seenLsn: Lsn, next: WalkPosition | undefined): Uint8Array {
    return this.#reply.finish(plan.requestId, seenLsn, next === undefined ? undefined : pageCursorAt(plan, moment, next))
  }

  readonly #noteCut = (bits: number): void => this.#reply.noteCut(bits)

  /** Made when the first one asks, and once a query. */
  #recordsOf(asOfHlc: Hlc | undefined): () => RecordReader {
    let reader: RecordReader | undefined
    return () => reader ??= this.#deps.records(asOfHlc)
  }
}
