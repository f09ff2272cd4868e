import type { QueryReply } from '../../fbs/stemedb/query-reply.ts'
import type { Exchange } from '../exchange.ts'
import type { Queries } from '../queries.ts'
import type { AuditedQuery, Auditor } from './auditor.ts'

/** Names the audit's record of a query, where it is recorded. */
const QUERY_ID_HEADER = 'stemedb-query-id'

/**
 * Asks as `queries.ask` does. Where the query is recorded, its record is made before `onReply` is called, and the response carries
 * its id; a query that ends without a reply is recorded as unanswered.
 */
export function askAudited(
  exchange: Exchange, { queries, auditor }: { readonly queries: Queries, readonly auditor: Auditor }, endpoint: string,
  encode: (requestId: bigint) => Uint8Array, onReply: (reply: QueryReply) => void,
): boolean {
  const { who } = exchange
  if (who === undefined) return queries.ask(exchange, encode, onReply)
  let audited: AuditedQuery | undefined
  const sent = queries.ask(exchange, (requestId) => {
    const request = encode(requestId)
    audited = auditor.begin(who, endpoint, request)
    return request
  }, (reply) => {
    const queryId = audited?.end(reply)
    if (queryId !== undefined) exchange.addHeader(QUERY_ID_HEADER, queryId)
    onReply(reply)
  })
  if (sent) exchange.onClose(() => audited?.end(undefined))
  return sent
}
