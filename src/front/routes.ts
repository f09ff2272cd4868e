import type { HTTP_ROUTES } from '../observe/metrics.ts'

/**
 * Every path of the API, as data: the router, openapi.json and docs/reference/http-api.md are held together by a test
 * over this table. Paths may have one `{name}` a segment.
 */
export interface Route {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly operationId: string
  /** Value of the metric label `route`. */
  readonly metric: (typeof HTTP_ROUTES)[number]
  /** Answered even when httpRequestsMax requests are under way: probes must not fail because others are busy. */
  readonly always?: boolean
}

export const ROUTES = Object.freeze([
  { method: 'POST', path: '/v1/assert', operationId: 'assert', metric: 'assert' },
  { method: 'POST', path: '/v1/assert/batch', operationId: 'assertBatch', metric: 'assert_batch' },
  { method: 'GET', path: '/v1/assertions/{id}', operationId: 'getAssertion', metric: 'assertion' },
  { method: 'GET', path: '/v1/query', operationId: 'query', metric: 'query' },
  { method: 'GET', path: '/v1/trace/{id}', operationId: 'trace', metric: 'trace' },
  { method: 'GET', path: '/v1/concepts', operationId: 'listConcepts', metric: 'concepts' },
  { method: 'GET', path: '/v1/equivocations', operationId: 'listEquivocations', metric: 'equivocations' },
  { method: 'GET', path: '/v1/audit', operationId: 'listAudit', metric: 'audit' },
  { method: 'GET', path: '/v1/audit/{query_id}', operationId: 'getAuditRecord', metric: 'audit' },
  { method: 'POST', path: '/v1/query', operationId: 'queryMany', metric: 'query_many' },
  { method: 'GET', path: '/v1/skeptic', operationId: 'skeptic', metric: 'skeptic' },
  { method: 'GET', path: '/v1/layered', operationId: 'layered', metric: 'layered' },
  { method: 'GET', path: '/v1/constraints', operationId: 'constraints', metric: 'constraints' },
  { method: 'GET', path: '/v1/stream', operationId: 'openStream', metric: 'websocket' },
  { method: 'GET', path: '/livez', operationId: 'livez', metric: 'livez', always: true },
  { method: 'GET', path: '/readyz', operationId: 'readyz', metric: 'readyz', always: true },
  { method: 'GET', path: '/v1/health', operationId: 'health', metric: 'health', always: true },
  { method: 'GET', path: '/metrics', operationId: 'metrics', metric: 'metrics', always: true },
  { method: 'GET', path: '/openapi.json', operationId: 'openapi', metric: 'openapi' },
  { method: 'GET', path: '/problems/{code}', operationId: 'describeProblem', metric: 'other' },
] as const satisfies readonly Route[])

export type OperationId = (typeof ROUTES)[number]['operationId']

export const STREAM_PATH = '/v1/stream'

export type Match =
  | { readonly kind: 'found', readonly route: Route, readonly parameters: Readonly<Record<string, string>> }
  | { readonly kind: 'method', readonly allow: string }
  | { readonly kind: 'none' }

const NONE: Match = Object.freeze({ kind: 'none' })

/** The parameters where `path` is of the shape of `pattern`. */
function parametersOf(pattern: readonly string[], path: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== path.length) return undefined
  const parameters: Record<string, string> = {}
  for (let i = 0; i < pattern.length; i++) {
    const want = pattern[i]!
    const have = path[i]!
    if (!want.startsWith('{')) {
      if (want !== have) return undefined
    } else if (have === '') return undefined
    else parameters[want.slice(1, -1)] = have
  }
  return parameters
}

const SEGMENTS = ROUTES.map((route) => ({ route: route as Route, segments: route.path.split('/') }))

/** @param method upper case; HEAD goes where GET goes. */
export function matchRoute(method: string, path: string): Match {
  const wanted = method === 'HEAD' ? 'GET' : method
  const segments = path.split('/', 8)
  const allowed = new Set<string>()
  for (const { route, segments: pattern } of SEGMENTS) {
    const parameters = parametersOf(pattern, segments)
    if (parameters === undefined) continue
    if (route.method === wanted) return { kind: 'found', route, parameters }
    allowed.add(route.method)
    if (route.method === 'GET') allowed.add('HEAD')
  }
  return allowed.size === 0 ? NONE : { kind: 'method', allow: [...allowed, 'OPTIONS'].join(', ') }
}
