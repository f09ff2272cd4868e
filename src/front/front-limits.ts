import { KiB, MiB } from '../base/units.ts'
import type { Config } from '../config/options.ts'

/** Bounds of the front that are no settings, and those that follow from settings. */

/** Acks in one SACK frame; a drain with more for one session sends several. */
export const ACKS_PER_FRAME_MAX = 256
/** Sessions with acks that wait for the end of a drain; beyond it they are sent at once. */
export const DIRTY_SESSIONS_MAX = 256
/** An encoder whose buffer grew beyond this for an ack with many outcomes is not kept. */
export const ENCODER_KEEP_BYTES_MAX = 64 * KiB

/** WebSocket messages up to this get an error frame and a close code; the socket of a longer one is cut by uWebSockets. */
export const messageBytesMax = (config: Config): number => config.frameBytesMax + 1 * MiB
/** Unacked bytes that a connection may have: no less than its largest frame, so that a client needs one rule only. */
export const creditBytesOf = (config: Config): number => Math.max(config.sessionCreditBytes, config.frameBytesMax)
/** HTTP connections without a request under way, over all: they keep alive for 10 s. */
const IDLE_CONNECTIONS_MAX = 4096
/** Of the process's file descriptors, what stays for the log and the store: a part, and no less than so many. */
const FILES_RESERVED_RATIO = 1 / 4
const FILES_RESERVED_MIN = 128
/** Sockets of both kinds: as many as the settings ask for, where the process may have so many. */
export function connectionsMax(config: Config, filesMax: number): number {
  const wanted = config.sessionsMax + config.httpRequestsMax + IDLE_CONNECTIONS_MAX
  const reserved = Math.max(FILES_RESERVED_MIN, filesMax * FILES_RESERVED_RATIO)
  return filesMax === Infinity ? wanted : Math.max(1, Math.min(wanted, Math.floor(filesMax - reserved)))
}
/** HTTP bodies in memory, of all requests together. */
export const bodyBytesMax = (config: Config): number => Math.max(16 * config.frameBytesMax, 64 * MiB)

/** A request that is answered before its body came keeps its connection where no more than this may still come. */
export const BODY_SKIP_BYTES_MAX = 64 * KiB

/** Remote addresses whose rate is remembered; the least recently seen is forgotten first. */
export const RATE_ADDRESSES_MAX = 65_536

/** NDJSON is cut into batches of at most so many assertions ... */
export const NDJSON_BATCH_ASSERTIONS_MAX = 512
/** ... and so many bytes of their buffers, but at least one assertion. */
export const NDJSON_BATCH_BYTES_MAX = 256 * KiB
/** Batches of one NDJSON request under way; beyond it the request's body is not read. */
export const NDJSON_BATCHES_MAX = 4
/** Lines of NDJSON that are blank or refused keep a slow body alive by their bytes alone. */
export const NDJSON_PROGRESS_BYTES = 16 * KiB
/** Time after which a batch that found the rings full, or its address out of rate, is offered again. */
export const RETRY_DELAY_MS = 10

/** Interval at which a request that waits for `min_lsn` looks at the applied LSN. */
export const APPLIED_POLL_MS = 5
/** Interval at which a slow body's deadline is checked; below the 10 s after which uWebSockets itself would cut it. */
export const BODY_TICK_MS = 4_000
/** A body that made progress within this time is not ended for another one. */
export const BODY_EVICT_AFTER_MS = 1_000
/** Requests that may submit batches: those under way, and as many whose bodies are on their way. */
export const submittersMax = (config: Config): number => 2 * config.httpRequestsMax

/** Items decoded from JSON before other connections get their turn. */
export const DECODE_SLICE_ITEMS = 64

export const QUERY_PARAMETERS_MAX = 32
export const QUERY_LIMIT_DEFAULT = 100
/** Queries in one request; and those of them that are under way at a time. */
export const QUERIES_MAX = 64
export const QUERIES_UNDER_WAY_MAX = 8
/** An answer to many queries has at most so many bytes; what does not fit is refused. */
export const repliesBytesMax = (config: Config): number => 4 * config.frameBytesMax

/** What a client is told to wait where the node does not know better. */
export const RETRY_AFTER_DEFAULT_MS = 1_000
/** For a full ring: it drains within a group or two. */
export const RETRY_AFTER_OVERLOADED_MS = 50
