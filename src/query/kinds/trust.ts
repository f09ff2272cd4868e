import { toHex } from '../../base/bytes.ts'
import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { agentToDidKey } from '../../record/agent-key.ts'
import { OUTCOME_PREDICATE, outcomeSubject, type OutcomeRecord } from '../../record/records.ts'
import { listOf, recordJson, type RecordJson } from '../record-json.ts'
import { OUTCOMES_READ_MAX, TRUST_POLICY_DEFAULT } from '../record-reader.ts'
import { readShown, type ShownRecord } from '../record-range.ts'
import { isHeard, standingOutcomes } from '../record-standing.ts'
import { asOfField, idField, limitField } from '../request-fields.ts'
import type { KindDependencies } from './kind.ts'

export interface TrustDocument {
  /** `did:key:z6Mk...` */
  readonly agent: string
  /** 0..1 at the moment of the question. */
  readonly trust: number
  /** Days until it is half the way back to 0.5 without new outcomes; 0: it does not decay. */
  readonly half_life_days: number
  /** Outcomes that count. */
  readonly accurate: number
  readonly inaccurate: number
  /** Those that count, the latest first; `agent` is who reports. */
  readonly outcomes: readonly (RecordJson & { readonly accurate: boolean, readonly assertion?: string })[]
  readonly truncated: boolean
}

/** How far an agent is trusted, and by what. @throws {DbError} `parameter_invalid`, and as reads do */
export function trustDocument(request: QueryRequest, deps: KindDependencies): TrustDocument {
  const agent = idField(request)
  const records = deps.records(asOfField(request))
  const policy = records.trustPolicy ?? TRUST_POLICY_DEFAULT
  const { said, isCut } = readShown(deps, {
    kind: 'outcome', subject: outcomeSubject(agent), predicate: OUTCOME_PREDICATE, asOfHlc: records.asOfHlc, max: OUTCOMES_READ_MAX, counts: (one) => isHeard(one, policy),
  })
  const outcomes = standingOutcomes<ShownRecord<OutcomeRecord>>(said, policy).reverse()
  const accurate = outcomes.filter(({ record }) => record.accurate).length
  const { shown, truncated } = listOf(outcomes.map(outcomeJson), limitField(request, deps.limitMax), deps.documentBytesMax)
  return {
    agent: agentToDidKey(agent), trust: records.trustOf(agent), half_life_days: policy.halfLifeDays,
    accurate, inaccurate: outcomes.length - accurate, outcomes: shown, truncated: truncated || isCut,
  }
}

function outcomeJson(outcome: ShownRecord<OutcomeRecord>): TrustDocument['outcomes'][number] {
  const { accurate, judged } = outcome.record
  return { ...recordJson(outcome), accurate, ...judged !== undefined && { assertion: toHex(judged) } }
}
