import { toHex } from '../base/bytes.ts'
import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { DbError } from '../base/errors.ts'
import { renderHealth, type HealthKind, type HealthReport } from '../observe/health.ts'
import type { Exchange, Headers } from './exchange.ts'
import { SUBPROTOCOL } from './frames.codec.ts'
import type { HandlerParts, RequestInfo } from './handler.ts'
import { JSON_TYPE } from './media.ts'
import { parametersReader } from './parameters.ts'
import { PROBE_PARAMETERS } from './schemas.ts'

const TEXT: Headers = [['content-type', 'text/plain; charset=utf-8'], ['cache-control', 'no-store']]

const readProbeParameters = parametersReader<{ readonly verbose?: string }>(PROBE_PARAMETERS)

function reportOf(kind: HealthKind, { options: { health }, admission }: HandlerParts): HealthReport {
  const report = health.report(kind)
  if (kind === 'live' || !admission.draining) return report
  return { ok: false, checks: [...report.checks, { name: 'front', ok: false, detail: 'the node is shutting down' }] }
}

function probe(kind: HealthKind, exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  const { verbose } = readProbeParameters(request.query)
  const report = reportOf(kind, parts)
  exchange.respond(report.ok ? 200 : 503, TEXT, renderHealth(kind, report, verbose !== undefined))
}

/** `GET /livez`: would a restart help? */
export function handleLivez(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  probe('live', exchange, request, parts)
}

/** `GET /readyz`: should traffic come here? */
export function handleReadyz(exchange: Exchange, request: RequestInfo, parts: HandlerParts): void {
  probe('ready', exchange, request, parts)
}

/** `GET /v1/health`: readiness with figures, as JSON. */
export function handleHealth(exchange: Exchange, _request: RequestInfo, parts: HandlerParts): void {
  const { pipeline, nodeId, version } = parts.options
  const ready = reportOf('ready', parts)
  const status = pipeline.status()
  exchange.json(ready.ok ? 200 : 503, {
    status: ready.ok ? 'ok' : 'unavailable',
    live: reportOf('live', parts).ok,
    ready: ready.ok,
    writable: status.writable,
    node_id: toHex(nodeId),
    version,
    durable_lsn: status.durableLsn,
    durable_hlc: String(status.durableHlc),
    applied_lsn: status.appliedLsn,
    checks: ready.checks,
  })
}

/** `GET /metrics` */
export function handleMetrics(exchange: Exchange, _request: RequestInfo, { options, guard }: HandlerParts): void {
  const { metricsText, metricsContentType = 'text/plain; version=0.0.4; charset=utf-8' } = options
  metricsText().then(
    (text) => exchange.respond(200, [['content-type', metricsContentType], ['cache-control', 'no-store']], text),
    (error: unknown) => guard(exchange, () => { throw error }),
  )
}

/** `GET /openapi.json` */
export function handleOpenapi(exchange: Exchange, _request: RequestInfo, { openapi }: HandlerParts): void {
  exchange.respond(200, [['content-type', JSON_TYPE], ['cache-control', 'public, max-age=60']], openapi())
}

/** `GET /problems/{code}`: what a problem's `type` points at. */
export function handleProblem(exchange: Exchange, request: RequestInfo): void {
  const code = request.parameters['code'] ?? ''
  if (!Object.hasOwn(ERROR_CODES, code)) throw new DbError('not_found', 'no problem has this code')
  const { number, httpStatus, retryable, outcome, title, action } = ERROR_CODES[code as ErrorName]
  exchange.respond(200, [['content-type', JSON_TYPE], ['cache-control', 'public, max-age=60']],
    JSON.stringify({ code, number, title, status: httpStatus, retryable, outcome, action }))
}

/** `GET /v1/stream` without an upgrade. */
export function handleStream(exchange: Exchange): void {
  exchange.problem(new DbError('protocol_unsupported', `this path is a WebSocket with the subprotocol ${SUBPROTOCOL}`),
    { headers: [['upgrade', 'websocket']] })
}
