import type { Clock } from '../base/clock.ts'
import type { Secrets } from '../base/random.ts'
import type { Config } from '../config/options.ts'
import type { HealthKind, HealthReport } from '../observe/health.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Pipeline } from './pipeline.ts'

/** What the front is made of. */
export interface FrontOptions {
  readonly config: Config
  readonly pipeline: Pipeline
  readonly clock: Clock
  readonly secrets: Secrets
  readonly metrics: ThreadMetrics
  /** Body of /metrics. */
  readonly metricsText: () => Promise<string>
  readonly metricsContentType?: string
  readonly health: { report(kind: HealthKind): HealthReport }
  /** Of the package; shown in the welcome frame and in openapi.json. */
  readonly version: string
  /** 32 bytes: the node's public key. */
  readonly nodeId: Uint8Array
  /** Files and sockets that this process may have open; absent: without limit. */
  readonly filesMax?: number
  /** Told of faults of the front itself (a handler that threw): for the log. */
  readonly onFault?: (error: unknown) => void
}
