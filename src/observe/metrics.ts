import { ERROR_CODES, type ErrorName } from '../base/error-codes.ts'
import { THREAD_KINDS } from '../base/thread-kinds.ts'

/**
 * The one table of metrics. Names carry `stemedb_` before the key given here; units are Prometheus base units and
 * stand in the name; label values are closed sets, so that no client can add a series. docs/reference/metrics.md,
 * the alert rules and the code that writes them are tested against this table.
 *
 * Every thread writes all of these into a block of its own (thread-metrics.layout.ts); at a scrape the blocks are
 * added up, so a gauge that several threads write reads as their sum, and one that is no sum is written by one thread.
 */
interface MetricBase {
  readonly help: string
  /** Label → its values, in the order of their slots. A value that is not listed counts as `other`, where that is one. */
  readonly labels?: Readonly<Record<string, readonly string[]>> | undefined
}
export interface CounterMetric extends MetricBase {
  readonly type: 'counter'
  /** Series that are zero are left out: for tables of which most cells never happen. */
  readonly sparse?: boolean
}
export interface GaugeMetric extends MetricBase {
  readonly type: 'gauge'
}
export interface HistogramMetric extends MetricBase {
  readonly type: 'histogram'
  readonly buckets: Buckets
}
export type Metric = CounterMetric | GaugeMetric | HistogramMetric

/** Inclusive upper bounds `2^i / perUnit`, i = 0 .. count-1, and one more bucket for all above. */
export interface Buckets {
  readonly perUnit: number
  readonly count: number
}

/** 1 us .. 33.6 s. */
const LATENCY: Buckets = Object.freeze({ perUnit: 1e6, count: 26 })
/** 1 .. 65,536 of something. */
const COUNT: Buckets = Object.freeze({ perUnit: 1, count: 17 })
/** 64 B .. 64 MiB. */
const BYTES: Buckets = Object.freeze({ perUnit: 1 / 64, count: 21 })

const ERROR_NAMES = Object.keys(ERROR_CODES) as ErrorName[]

/** Kinds of ring, by the boundary that they cross; one kind has a ring a thread. */
export const RING_KINDS = ['verify', 'commit', 'ack', 'merkle', 'receipt', 'lens', 'answer', 'feed'] as const
/** How far a batch had come: all of them count from the client's last byte, so that their differences are the stages. */
export const ACK_STAGES = ['verified', 'durable', 'total'] as const
/** What ingest was too far behind by when the commit stage waited for it. */
export const STALL_REASONS = ['bytes', 'ids'] as const
export const HTTP_ROUTES = [
  'assert', 'assert_batch', 'assertion', 'query', 'query_many', 'skeptic', 'layered', 'constraints', 'trace', 'concepts', 'equivocations', 'audit',
  'livez', 'readyz', 'health', 'metrics', 'openapi', 'websocket', 'feed', 'vote', 'votes', 'epoch', 'epochs', 'alias', 'aliases', 'outcome', 'trust',
  'register_source', 'source', 'sources', 'proofs', 'other',
] as const
export const HTTP_STATUSES = [
  '101', '200', '201', '204', '207', '304', '400', '401', '403', '404', '405', '406', '408', '410', '413', '415', '422', '426', '429',
  '431', '500', '503', '504', '507', 'other',
] as const
/** Why a WebSocket connection ended. */
export const CLOSE_REASONS = ['client', 'idle', 'slow_reader', 'protocol', 'drain', 'other'] as const
/** Failed system calls by errno. */
export const DISK_ERRORS = ['EIO', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'other'] as const
export const QUERY_ENDPOINTS = [
  'assertion', 'query', 'skeptic', 'layered', 'constraints', 'trace', 'concepts', 'equivocations', 'votes', 'epochs', 'aliases', 'trust', 'source',
  'sources', 'stream', 'proofs',
] as const
export const STORE_OPERATIONS = ['write'] as const
export const RUN_PLACES = ['rocksdb', 'file'] as const

type Labels = MetricBase['labels']
const counter = <const L extends Labels = undefined>(help: string, labels?: L) => ({ type: 'counter' as const, help, labels: labels as L })
const gauge = <const L extends Labels = undefined>(help: string, labels?: L) => ({ type: 'gauge' as const, help, labels: labels as L })
const histogram = <const L extends Labels = undefined>(buckets: Buckets, help: string, labels?: L) =>
  ({ type: 'histogram' as const, buckets, help, labels: labels as L })

export const METRICS = {
  // Front.
  http_requests_total: {
    type: 'counter', sparse: true, help: 'HTTP requests answered.', labels: { route: HTTP_ROUTES, status: HTTP_STATUSES },
  },
  http_requests_in_flight: gauge('HTTP requests that have come and are not answered yet.'),
  connections: gauge('Open WebSocket connections.'),
  connections_total: counter('WebSocket connections accepted.'),
  connections_closed_total: counter('WebSocket connections that ended, by reason.', { reason: CLOSE_REASONS }),
  credit_used_bytes: gauge('Bytes of batches that all connections and requests together have unacked.'),
  received_bytes_total: counter('Bytes of WebSocket messages and HTTP bodies received.'),
  batches_total: counter('Batches that went to a verify ring.'),
  acks_total: counter('Batches answered, refused ones included.'),
  refusals_total: counter('Batches and requests refused as a whole, by error code.', { code: ERROR_NAMES }),
  ack_latency_seconds: histogram(LATENCY, 'Time from a batch\'s last byte to its verdict, to its sync, and to its ack.', { stage: ACK_STAGES }),

  // Verify.
  verify_batches_total: counter('Batches checked.'),
  verify_busy_seconds_total: counter('Time that verify threads worked; against their number, the pool\'s use.'),
  assertion_refusals_total: counter('Assertions refused within batches that were not, by error code.', { code: ERROR_NAMES }),

  // Commit and WAL.
  assertions_total: gauge('Assertions that this node holds durably: its durable LSN.'),
  assertions_accepted_total: counter('New assertions made durable since the start.'),
  assertions_duplicate_total: counter('Assertions that were there already; acked with the original\'s LSN.'),
  durable_lsn: gauge('Last LSN on stable storage.'),
  durable_hlc_seconds: gauge('Wall-clock part of the last durable HLC, as Unix time.'),
  writes_refused: gauge('Number of the error code with which this node refuses writes; 0 while it takes them.'),
  commit_stall_seconds_total: counter('Time that the commit stage waited because ingest was ingestLagBytesMax behind, or about recentIdsMax.', { reason: STALL_REASONS }),
  wal_fsync_total: counter('fdatasync calls on segments.'),
  wal_fsync_errors_total: counter('Failed fdatasync calls. One is final: the process exits.'),
  wal_fsync_latency_seconds: histogram(LATENCY, 'Time of one fdatasync.'),
  wal_gather_seconds_total: counter('Time that groups waited for more to share their fdatasync, as groupGatherMsMax allows.'),
  wal_flush_latency_seconds: histogram(LATENCY, 'Time of one group: append and fdatasync.'),
  wal_writes_total: counter('Groups appended.'),
  wal_bytes_written_total: counter('Bytes appended, headers included.'),
  wal_write_errors_total: counter('Failed appends, by errno.', { error: DISK_ERRORS }),
  wal_batch_size: histogram(COUNT, 'Batches that shared one fdatasync.'),
  wal_group_assertions: histogram(COUNT, 'New assertions that shared one fdatasync.'),
  wal_group_bytes: histogram(BYTES, 'Bytes that shared one fdatasync.'),
  wal_marks_total: counter('Marks written on an idle log.'),
  wal_rotations_total: counter('Changes to a next segment.'),
  wal_segments_count: gauge('Segment files, the ones prepared ahead included.'),
  wal_disk_usage_bytes: gauge('Bytes of all segment files.'),
  wal_disk_free_bytes: gauge('Bytes that the data directory\'s file system has left.'),
  wal_recovery_duration_seconds: gauge('Time that the last start took to find the end of the log.'),
  wal_recovery_truncated_bytes: gauge('Bytes of a torn tail that the last start cut.'),

  // Scrub.
  scrub_bytes_total: counter('Bytes of sealed segments that were read again and checked.'),
  scrub_segments_total: counter('Sealed segments that were read again in full, or up to a damage.'),
  scrub_cycles_total: counter('Times that all sealed segments were read again.'),
  scrub_damaged_segments: gauge('Sealed segments that read differently than they were written; the manifest counts as one.'),
  scrub_unread_total: counter('Reads that the system refused for a passing reason; the segment\'s turn comes again in the next cycle.'),

  // Rings.
  ring_fill_ratio: gauge('Part of the fullest ring of its kind in use, 0..1.', { ring: RING_KINDS }),
  ring_full_total: counter('Batches and queries refused because every ring of the kind was full.', { ring: ['verify', 'lens'] }),

  // Ingest and store.
  assertions_ingested_total: counter('Assertions indexed since the start, replayed ones included.'),
  applied_lsn: gauge('Last LSN in the indexes.'),
  ids_flushed_lsn: gauge('Last LSN whose id stands in a run on disk.'),
  ingest_lag_bytes: gauge('WAL bytes that are durable and not yet in the indexes.'),
  ingest_lag_seconds: gauge('Age of the oldest durable assertion that is not yet in the indexes; 0 where there is none.'),
  ingest_batch_latency_seconds: histogram(LATENCY, 'Time of one batch of index writes.'),
  index_runs: gauge('Runs of the index by subject and predicate; a question whose pair is not at hand reads a page of each. In RocksDB, and in files of db/runs/.', { place: RUN_PLACES }),
  id_runs: gauge('Runs of ids; an id that the filter takes for known is looked for in a page of each. In RocksDB, and in files of db/id-runs/.', { place: RUN_PLACES }),
  recent_ids: gauge('Ids in memory that are not yet in a run.'),
  recent_ids_fill_ratio: gauge('Part of recentIdsMax in use, 0..1.'),
  id_filter_fill_ratio: gauge('Part of the bits that are set in the youngest stage of the id filter, 0..1; above 0.3 the filter has no more room to grow, and false alarms do.'),
  storage_operation_errors_total: counter('Failed store operations; the writer tries again.', { operation: STORE_OPERATIONS }),
  rocksdb_estimated_keys: gauge('RocksDB, column sp, the largest: estimated number of keys.'),
  rocksdb_sst_bytes: gauge('RocksDB, column sp: bytes of its SST files.'),
  rocksdb_memtable_bytes: gauge('RocksDB, column sp: bytes of its memtables.'),
  rocksdb_block_cache_bytes: gauge('RocksDB, column sp: bytes in its block cache.'),
  rocksdb_pending_compaction_bytes: gauge('RocksDB, column sp: estimated bytes that compaction still has to rewrite.'),
  rocksdb_running_compactions: gauge('RocksDB: compactions under way, of all columns.'),
  rocksdb_write_stopped: gauge('RocksDB: 1 while it refuses writes to let compaction catch up.'),

  // Query.
  queries_total: counter('Queries answered.', { endpoint: QUERY_ENDPOINTS }),
  query_latency_seconds: histogram(LATENCY, 'Time from a query\'s arrival to its answer; over the stream, one observation a message of replies.', { endpoint: QUERY_ENDPOINTS }),
  query_timeout_total: counter('Queries that were not answered within processingTimeoutMs.'),
  record_lookups_total: counter('Votes, epochs, outcomes and aliases that lenses looked at: read from the log, or kept from before.', { result: ['read', 'kept'] }),

  pair_lookups_total: counter('Subjects and predicates that plain questions asked for: looked up in the index, or kept from before.', { result: ['read', 'kept'] }),
  claim_lookups_total: counter('Assertions that questions looked at: read from the log and checked, or kept from before.', { result: ['read', 'kept'] }),
  index_page_lookups_total: counter('Pages of the index by subject and predicate that plain questions looked at: read from RocksDB, or kept from before.', { result: ['read', 'kept'] }),

  answer_cache_hits_total: counter('Queries that were answered with an answer given before.'),
  answer_cache_misses_total: counter('Queries that were worked out although answers are kept; those that can not be kept count too.'),
  answer_cache_stale_total: counter('Kept answers that were found outdated when they were asked for: something was written, or time had passed.'),
  answer_cache_evictions_total: counter('Kept answers that were dropped to make room.'),
  answer_cache_bytes: gauge('Memory of kept answers, of all lens threads.'),

  // Audit.
  audit_records_total: counter('Queries recorded in the audit.'),
  audit_dropped_total: counter('Records of queries that were dropped: the buffer was full, a write failed, or the disk is full.'),
  audit_disk_usage_bytes: gauge('Bytes of all audit files.'),
  // Live subscriptions.
  subscriptions: gauge('Live subscriptions, over WebSocket and SSE.'),
  subscriptions_total: counter('Subscriptions begun.'),
  subscriptions_ended_total: {
    type: 'counter', sparse: true, help: 'Subscriptions that the node ended, by error code.', labels: { code: ERROR_NAMES },
  },
  subscriptions_behind: gauge('Subscriptions that read history, or wait for room, and do not follow the end of the log.'),
  feed_deliveries_total: counter('Matches sent to subscribers; one that goes to ten counts ten times.'),
  feed_delivered_bytes_total: counter('Bytes of delivery frames, each as often as it was sent.'),
  feed_records_total: counter('Records of the log that were read for subscribers.'),
  feed_latency_seconds: histogram(LATENCY, 'Time from an assertion\'s HLC to its hand-over to the front, of subscribers who are live.'),
  feed_lag_lsn: gauge('Assertions that are applied and not yet announced to subscribers who are live; 0 where there are none.'),
  feed_lens_queries_total: counter('Queries run because a match may have changed the answer of a lens subscription.'),

  // Merkle.
  receipts_total: counter('Receipts sent.'),
  merkle_groups_total: counter('Commit groups hashed and signed because somebody asked for a receipt.'),

  // Log of proofs.
  tlog_size: gauge('Assertions in the Merkle log.'),
  tlog_lag_assertions: gauge('Durable assertions that no signed tree head covers yet.'),
  tlog_checkpoints_total: counter('Tree heads signed.'),
  tlog_busy_seconds_total: counter('Time that the thread of the Merkle log worked.'),
  tlog_errors_total: counter('Times that the Merkle log could not go on; it tries again, unless it has diverged.'),
  tlog_rebuilds_total: counter('Times that tiles of the Merkle log were found damaged when a proof was asked for, and made again from the WAL.'),
  tlog_diverged: gauge('1 where the WAL is not what this node has signed: no proofs are given any more.'),

  // Process. Those of prom-client (process_*, nodejs_*) come on top.
  ready: gauge('1 while /readyz answers 200.'),
  threads: gauge('Threads that run.'),
  thread_heap_bytes: gauge('V8 heap of the threads of a kind, with what is free in it. Of the main thread: nodejs_heap_size_total_bytes.', { thread: THREAD_KINDS }),
  thread_external_bytes: gauge('Memory outside of the V8 heap that buffers of the threads of a kind hold. Of the main thread: nodejs_external_memory_bytes.', { thread: THREAD_KINDS }),
} as const satisfies Record<string, Metric>

export type MetricName = keyof typeof METRICS
export type NamesOf<T extends Metric['type']> = { [N in MetricName]: (typeof METRICS)[N]['type'] extends T ? N : never }[MetricName]
/** The label values that a metric takes; `undefined` where it has no labels. */
export type LabelsOf<N extends MetricName> = (typeof METRICS)[N] extends { labels: infer L extends Readonly<Record<string, readonly string[]>> }
  ? { readonly [K in keyof L]: L[K][number] } : undefined

export const METRIC_NAMES = Object.keys(METRICS) as MetricName[]
export const METRIC_PREFIX = 'stemedb_'
