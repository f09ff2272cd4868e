/** What a load run does. Every member but `url` has a default (docs/operations/load-testing.md). */
export interface LoadOptions {
  /** `ws://host:port`, `wss://...`, or the `http` form of the same. */
  readonly url: string
  /**
   * Assertions a second over all connections: the run is an open loop and latency counts from when a request was
   * due. Absent or 0: a closed loop, latency counts from the send.
   */
  readonly ratePerSecond?: number
  readonly connections?: number
  /** Assertions a frame. */
  readonly batch?: number
  /** Closed loop: frames that one connection keeps unacked. The connection's credit still bounds them. */
  readonly window?: number
  readonly durationMs?: number
  /** Time before the measured part: acked, counted in `warmup`, in no histogram and no rate. */
  readonly warmupMs?: number
  /** `batch`: one signature a frame over the Merkle root. `single`: one an assertion. */
  readonly sign?: 'single' | 'batch' | 'none'
  /** Size that an encoded assertion is padded to, about. */
  readonly recordBytes?: number
  /** Stop after so many assertions, where that comes before `durationMs`. A frame has no more than these. */
  readonly assertionsMax?: number
  /** Assertions that are signed before the run. 0: as many as rate and duration ask for, or `prepareBytesMax` hold. */
  readonly prepareAssertions?: number
  /** Memory for frames that are encoded and signed before the run; the run ends when they are used up. */
  readonly prepareBytesMax?: number
  /** Read every acked id back after the run. */
  readonly check?: boolean
  readonly checkConnections?: number
  /** Time to wait for acks after the last send. */
  readonly drainTimeoutMs?: number
  /** Ed25519 secret key (32 bytes); absent: one that follows from the run's id. */
  readonly secretKey?: Uint8Array
  /**
   * 16 hex digits that make this run's ids differ from those of every other run; absent: random. Given without a key, the
   * same digits make the same assertions again.
   */
  readonly runId?: string
  /** Called about once a second, and once at the end of each phase. */
  readonly onProgress?: (progress: LoadProgress) => void
}

export interface LoadProgress {
  readonly phase: 'prepare' | 'warmup' | 'run' | 'drain' | 'check'
  /** 0..1 of the phase. */
  readonly fraction: number
  readonly elapsedMs: number
  /** Assertions acked so far (prepared or checked ones in those phases). */
  readonly done: number
  /** In the last second. */
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly refused: number
}

export interface LatencySummary {
  /** Requests (frames) measured. */
  readonly count: number
  readonly meanMs: number
  readonly minMs: number
  readonly p50Ms: number
  readonly p90Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

export interface LoadReport {
  readonly url: string
  readonly loop: 'open' | 'closed'
  readonly ratePerSecond: number
  readonly connections: number
  readonly batch: number
  readonly window: number
  readonly sign: 'single' | 'batch' | 'none'
  /** Of one encoded assertion, and of one frame. */
  readonly recordBytes: number
  readonly frameBytes: number
  readonly runId: string
  /** Measured part, from its begin to its last ack. */
  readonly seconds: number
  /** Assertions of the measured part. */
  readonly sent: number
  readonly accepted: number
  readonly duplicates: number
  readonly refused: number
  /** Refusals by the name of their code. */
  readonly refusedBy: Readonly<Record<string, number>>
  /** Sent and never answered: their outcome is unknown. */
  readonly unacked: number
  /** Accepted in the warm-up. */
  readonly warmup: number
  /** `accepted / seconds`. */
  readonly acceptedPerSecond: number
  readonly framesPerSecond: number
  /** From due (open) or send (closed) to ack, of requests of which nothing was refused. */
  readonly latency: LatencySummary
  /** The same of requests that were refused as a whole. */
  readonly refusalLatency: LatencySummary
  /** Shortest wait that a refusal asked for; null where nothing was refused as a whole. */
  readonly retryAfterMsMin: number | null
  /** The histogram in HdrHistogram's compressed V2 form (base64), microseconds, to merge or plot elsewhere. */
  readonly histogram: string
  /** Open loop: requests that were due but could not be sent at once for lack of credit; they count from their due time. */
  readonly delayed: number
  /** How many assertions were asked for; null where only the time was. Frames are whole: those of the last one that is not full are not sent. */
  readonly assertionsMax: number | null
  /** True where there was no frame left before the time was up. */
  readonly exhausted: boolean
  readonly prepare: { readonly assertions: number, readonly bytes: number, readonly ms: number }
  /** The generator's own CPU time in the measured part, in seconds: what the server could not use. */
  readonly cpuSeconds: number
  readonly highestLsn: number
  readonly check?: CheckReport
  /** Connections that closed before the end, with what they said. */
  readonly connectionErrors: readonly string[]
}

export interface CheckReport {
  readonly read: number
  readonly found: number
  readonly missing: number
  /** Of which nobody said whether it is there. */
  readonly failed: number
  readonly seconds: number
  /** The first few missing ids, hex. */
  readonly missingIds: readonly string[]
}
