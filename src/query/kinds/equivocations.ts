import type { QueryRequest } from '../../fbs/stemedb/query-request.ts'
import { equivocationsOf, equivocatorsOf, type Equivocation } from '../../lens/equivocation.ts'
import type { EquivocationJson } from '../../merkle/statement.ts'
import { agentToDidKey } from '../../record/agent-key.ts'
import type { AssertionReader } from '../candidate-source.ts'
import { readPair, type PairClaim } from '../pair-claims.ts'
import { asOfField, limitField, pairFields } from '../request-fields.ts'
import { statementOf } from '../statement.ts'
import type { KindDependencies } from './kind.ts'

export interface EquivocationsDocument {
  readonly subject: string
  readonly predicate: string
  /** Claims that were looked at. */
  readonly claims: number
  readonly equivocations: readonly EquivocationJson[]
  /** 64 hex digits each: keys that contradict themselves on one source. A lens that weighs by trust gives them no weight here, unless they have taken one of the two back. */
  readonly agents: readonly string[]
  /** There are more claims, or more pairs, than are looked at or given. */
  readonly truncated: boolean
}

/** A pair as a proof for anybody. @throws {DbError} as reads do */
export function equivocationJson({ agent, assertedAtMs, first, second, sameSource }: Equivocation<PairClaim>, reader: AssertionReader): EquivocationJson {
  return {
    agent: agentToDidKey(agent), asserted_at: assertedAtMs, same_source: sameSource,
    statements: [statementOf(first, reader), statementOf(second, reader)],
  }
}

/** Of the document, what is no pair: subject and predicate as JSON. */
const HEAD_BYTES = 8 * 1024

/**
 * Keys that contradict themselves on a subject and predicate, each as a pair of signed statements that proves it.
 * @throws {DbError} `parameter_invalid`, and as reads do
 */
export function equivocationsDocument(request: QueryRequest, deps: KindDependencies): EquivocationsDocument {
  const { reader, limitMax, documentBytesMax } = deps
  const limit = limitField(request, limitMax)
  const range = { ...pairFields(request), asOfHlc: asOfField(request) }
  const { claims, cut } = readPair(deps, range)
  const found = equivocationsOf(claims)
  const equivocations: EquivocationJson[] = []
  const agents = [...equivocatorsOf(claims)].sort()
  let bytesLeft = documentBytesMax - HEAD_BYTES - JSON.stringify(agents).length
  for (const pair of found.pairs.slice(0, limit)) {
    const json = equivocationJson(pair, reader)
    bytesLeft -= Buffer.byteLength(JSON.stringify(json)) + 1
    if (bytesLeft < 0) break
    equivocations.push(json)
  }
  return {
    subject: Buffer.from(range.subject).toString(), predicate: Buffer.from(range.predicate).toString(), claims: claims.length,
    equivocations, agents, truncated: cut || found.truncated || equivocations.length < found.pairs.length,
  }
}
