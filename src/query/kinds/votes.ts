import { toHex } from '../../base/bytes.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { VOTE_PREDICATE, voteSubject, type VoteRecord } from '../../record/records.ts'
import { listOf, recordJson, type RecordJson } from '../record-json.ts'
import { VOTES_READ_MAX } from '../record-reader.ts'
import { readShown, type ShownRecord } from '../record-range.ts'
import { standingVotes, tallyOf } from '../record-standing.ts'
import { asOfField, idField, limitField } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'

export interface VotesDocument {
  readonly assertion: string
  readonly agree_weight: number
  readonly disagree_weight: number
  readonly agree_count: number
  readonly disagree_count: number
  /** Those that count, the latest first. */
  readonly votes: readonly (RecordJson & { readonly weight: number })[]
  /** There are more than are listed, or than were looked at. */
  readonly truncated: boolean
}

/**
 * The votes on an assertion, whether it is here or not: votes may come before it.
 * @throws {DbError} `parameter_invalid`, and as reads do
 */
export function votesDocument(request: QueryRequest, deps: KindDependencies): VotesDocument {
  const id = idField(request)
  const { said, isCut } = readShown(deps, { kind: 'vote', subject: voteSubject(id), predicate: VOTE_PREDICATE, asOfHlc: asOfField(request), max: VOTES_READ_MAX })
  const votes = standingVotes<ShownRecord<VoteRecord>>(said).reverse()
  const { agreeWeight, disagreeWeight, agreeCount, disagreeCount } = tallyOf(votes)
  const { shown, truncated } = listOf(votes.map((vote) => ({ ...recordJson(vote), weight: vote.record.weight })), limitField(request, deps.limitMax), deps.documentBytesMax)
  return {
    assertion: toHex(id), agree_weight: agreeWeight, disagree_weight: disagreeWeight, agree_count: agreeCount, disagree_count: disagreeCount,
    votes: shown, truncated: truncated || isCut,
  }
}
