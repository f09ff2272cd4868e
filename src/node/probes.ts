import { ERROR_CODES, errorNameOf } from '../base/error-codes.ts'
import { systemClock } from '../base/clock.ts'
import { nodeDisk } from '../base/disk-node.ts'
import { hlcWallMs } from '../base/hlc.ts'
import type { Config } from '../config/options.ts'
import type { Health } from '../observe/health.ts'
import type { LagClock } from '../observe/lag-clock.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Marks } from '../ring/marks.ts'
import { IdFilter } from '../store/id-filter.ts'
import type { Store } from '../store/store.ts'
import type { RingPipeline } from './ring-pipeline.ts'
import type { ScrubWatch } from './scrub.ts'
import type { TlogWatch } from './tlog.ts'
import { walDirOf } from './wal-place.ts'

/** What gauges and health checks look at. */
export interface Gauged {
  readonly config: Config
  readonly store: Store
  readonly marks: Marks
  readonly lag: LagClock
  readonly pipeline: RingPipeline
  readonly idFilter: SharedArrayBuffer
  readonly truncatedBytes: number
  readonly recoverySeconds: number
  readonly threadCount: number
  readonly scrub: ScrubWatch
  readonly tlog: TlogWatch
}

/**
 * Ready: started, taking writes, and ingest within its bound. Alive: the event loop answers at all; a dead thread ends the
 * process, so there is nothing else that a restart would mend.
 */
export function registerChecks(health: Health, gauged: Gauged): void {
  const { marks, pipeline, config } = gauged
  health.register('live', 'process', () => ({ ok: true }))
  health.register('ready', 'started', () => {
    const { unavailable } = pipeline
    return unavailable === undefined ? { ok: true } : { ok: false, detail: ERROR_CODES[unavailable].title }
  })
  health.register('ready', 'writes', () => {
    const { refusal } = marks
    return refusal === 0 ? { ok: true } : { ok: false, detail: `${errorNameOf(refusal)}: ${ERROR_CODES[errorNameOf(refusal)].action}` }
  })
  health.register('ready', 'ingest', () => {
    const lagBytes = marks.lagBytes(config.walSegmentBytes)
    return { ok: lagBytes <= config.ingestLagBytesMax, detail: `${lagBytes} bytes behind the log` }
  })
  health.register('ready', 'log', () => gauged.scrub.check())
  health.register('ready', 'proofs', () => gauged.tlog.check())
}

/** RocksDB's own figures, by our names. Those of a column are of `sp`: its binding tells of the default column family only. */
const ROCKSDB_GAUGES = {
  rocksdb_estimated_keys: 'rocksdb.estimate-num-keys',
  rocksdb_sst_bytes: 'rocksdb.total-sst-files-size',
  rocksdb_memtable_bytes: 'rocksdb.cur-size-all-mem-tables',
  rocksdb_block_cache_bytes: 'rocksdb.block-cache-usage',
  rocksdb_pending_compaction_bytes: 'rocksdb.estimate-pending-compaction-bytes',
  rocksdb_running_compactions: 'rocksdb.num-running-compactions',
  rocksdb_write_stopped: 'rocksdb.is-write-stopped',
} as const

/** Gauges that are read at a scrape, not kept. */
export function sampleGauges(main: ThreadMetrics, gauged: Gauged): void {
  const { config, marks, pipeline, store } = gauged
  const lagBytes = marks.lagBytes(config.walSegmentBytes)
  main.set('assertions_total', marks.durableLsn)
  main.set('durable_lsn', marks.durableLsn)
  main.set('durable_hlc_seconds', hlcWallMs(marks.durableHlc) / 1000)
  main.set('writes_refused', marks.refusal)
  main.set('ready', pipeline.status().writable === 'yes' ? 1 : 0)
  main.set('threads', gauged.threadCount)
  main.set('ingest_lag_bytes', lagBytes)
  main.set('ingest_lag_seconds', gauged.lag.lagMs(systemClock.monoMs(), marks.appliedLsn) / 1000)
  main.set('tlog_lag_assertions', gauged.tlog.lagAssertions)
  main.set('tlog_diverged', gauged.tlog.hasDiverged ? 1 : 0)
  main.set('wal_recovery_truncated_bytes', gauged.truncatedBytes)
  main.set('wal_recovery_duration_seconds', gauged.recoverySeconds)
  main.set('id_filter_fill_ratio', new IdFilter(gauged.idFilter).fillRatio())
  for (const [ring, fill] of Object.entries(pipeline.fills())) main.set('ring_fill_ratio', { ring: ring as 'verify' }, fill)

  const walDir = walDirOf(config)
  const segments = nodeDisk.list(walDir).filter((name) => name.endsWith('.wal') || name === 'NEXT').length
  main.set('wal_segments_count', segments)
  main.set('wal_disk_usage_bytes', segments * config.walSegmentBytes)
  main.set('wal_disk_free_bytes', nodeDisk.freeBytes(walDir))
  for (const [gauge, property] of Object.entries(ROCKSDB_GAUGES)) {
    main.set(gauge as keyof typeof ROCKSDB_GAUGES, Number(store.property(property) ?? 0))
  }
}
