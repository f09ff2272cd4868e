import { encodeError } from '../base/errors.ts'

/**
 * Named checks behind `/livez` and `/readyz`. Liveness asks "would a restart help?" and must not depend on disk, load
 * or peers; readiness asks "should traffic come here now?". A check is a cheap, synchronous look at state that its
 * part keeps anyway: it does no I/O, so that a probe can not hang.
 */
export interface CheckResult {
  readonly ok: boolean
  /** It works, and somebody should look: shown as `[!]`, and fails no probe. */
  readonly degraded?: boolean
  /** What an operator should know, where it is not fine. No secrets: probes are answered to anybody. */
  readonly detail?: string
}
export interface NamedResult extends CheckResult {
  readonly name: string
}
export interface HealthReport {
  readonly ok: boolean
  readonly checks: readonly NamedResult[]
}
export type HealthKind = 'live' | 'ready'

/** Most checks of one kind. */
export const HEALTH_CHECKS_MAX = 64

const PROBE = { live: 'livez', ready: 'readyz' } as const

export class Health {
  readonly #checks: Record<HealthKind, Map<string, () => CheckResult>> = { live: new Map(), ready: new Map() }

  /** Registers a check; a second one of the same name replaces the first. A check that throws has failed. */
  register(kind: HealthKind, name: string, check: () => CheckResult): void {
    const checks = this.#checks[kind]
    if (!checks.has(name) && checks.size >= HEALTH_CHECKS_MAX) throw new RangeError(`more than ${HEALTH_CHECKS_MAX} ${kind} checks`)
    checks.set(name, check)
  }

  /** Runs all checks of a kind, in the order of their registration. No check at all is not ready, but alive. */
  report(kind: HealthKind): HealthReport {
    const checks = [...this.#checks[kind]].map(([name, check]) => ({ name, ...run(check) }))
    const ok = checks.every((check) => check.ok) && (kind === 'live' || checks.length > 0)
    return { ok, checks }
  }
}

function run(check: () => CheckResult): CheckResult {
  try {
    return check()
  } catch (error) {
    return { ok: false, detail: encodeError(error).message }
  }
}

/**
 * The body of a probe: `ok`, or with `verbose`, or when it failed, a line a check as Kubernetes' own probes have it
 * (`[+]writes ok`, `[-]ingest failed: ...`).
 */
export function renderHealth(kind: HealthKind, report: HealthReport, verbose: boolean): string {
  if (report.ok && !verbose) return 'ok\n'
  const lines = report.checks.map(({ name, ok, degraded = false, detail }) => {
    const verdict = !ok ? 'failed' : degraded ? 'degraded' : 'ok'
    return `[${!ok ? '-' : degraded ? '!' : '+'}]${name} ${verdict}${detail === undefined ? '' : `: ${detail}`}`
  })
  return `${[...lines, `${PROBE[kind]} check ${report.ok ? 'passed' : 'failed'}`].join('\n')}\n`
}
