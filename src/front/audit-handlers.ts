import { toHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import { agentFromText } from '../record/agent-key.ts'
import { AUDIT_LIMIT_DEFAULT } from './audit/audit-limits.ts'
import { QUERY_ID } from './audit/audit-reader.ts'
import type { Exchange } from './exchange.ts'
import { processingDeadline, type HandlerParts, type RequestInfo } from './handler.ts'
import { JSON_TYPE, negotiate } from './media.ts'
import { wallMsParameter } from './moments.ts'
import { parametersReader } from './parameters.ts'
import { AUDIT_PARAMETERS } from './schemas-trace.ts'

interface AuditQuery {
  readonly limit: number
  readonly agent?: string
  readonly from?: string
  readonly until?: string
  readonly cursor?: string
}

const readAuditQuery = parametersReader<AuditQuery>(AUDIT_PARAMETERS)

/** Answers with what a read of files comes to; a rejection is the answer too. */
function answerLater<T>(exchange: Exchange, parts: HandlerParts, read: Promise<T>, answer: (value: T) => void): void {
  processingDeadline(exchange, parts)
  read.then(
    (value) => parts.guard(exchange, () => answer(value)),
    (error: unknown) => parts.guard(exchange, () => { throw error }),
  )
}

function refuseOtherTypes({ accept }: RequestInfo): void {
  if (negotiate(accept, [JSON_TYPE]) === undefined) throw new DbError('not_acceptable', `an answer is ${JSON_TYPE}`)
}

function agentOf(text: string): string {
  const agent = agentFromText(text)
  if (agent === undefined) throw new DbError('parameter_invalid', 'agent must be 64 hex digits or did:key:z6Mk...', { parameter: 'agent' })
  return toHex(agent)
}

/** `GET /v1/audit` */
export function handleAudit(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { auditor } = parts
  const { limit = AUDIT_LIMIT_DEFAULT, agent, from, until, cursor } = readAuditQuery(request.query)
  refuseOtherTypes(request)
  const filter = {
    limit, cursor, agent: agent === undefined ? undefined : agentOf(agent),
    fromMs: from === undefined ? undefined : wallMsParameter(from, 'from'), untilMs: until === undefined ? undefined : wallMsParameter(until, 'until'),
  }
  answerLater(exchange, parts, auditor.list(filter), (page) => exchange.json(200, { mode: auditor.mode, ...page }))
}

/** `GET /v1/audit/{query_id}` */
export function handleAuditRecord(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const queryId = request.parameters['query_id'] ?? ''
  if (!QUERY_ID.test(queryId)) throw new DbError('parameter_invalid', 'query_id must be 24 lower-case hex digits', { parameter: 'query_id' })
  refuseOtherTypes(request)
  answerLater(exchange, parts, parts.auditor.get(queryId), (record) => {
    if (record === undefined) throw new DbError('not_found', 'no query of this id is recorded, or no longer')
    exchange.json(200, record)
  })
}
