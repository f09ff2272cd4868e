import { GiB, KiB, MiB } from '../base/units.ts'

/**
 * The one table of settings. Flags (`--wal-segment-bytes`), variables (`STEMEDB_WAL_SEGMENT_BYTES`), `--help`,
 * `.env.example` and docs/reference/config.md are made from it; nothing else reads the environment.
 */
interface OptionBase {
  readonly group: 'node' | 'network' | 'threads' | 'limits' | 'wal' | 'store' | 'lens' | 'audit' | 'log'
  readonly meaning: string
}
export interface NumberOption extends OptionBase {
  readonly type: 'number'
  readonly default: number
  readonly min: number
  readonly max: number
  readonly unit: string
}
export interface TextOption extends OptionBase {
  readonly type: 'text'
  readonly default: string
}
export interface ChoiceOption extends OptionBase {
  readonly type: 'choice'
  readonly default: string
  readonly choices: readonly string[]
}
export type Option = NumberOption | TextOption | ChoiceOption

const number = (
  group: Option['group'], defaultValue: number, min: number, max: number, unit: string, meaning: string,
): NumberOption => ({ type: 'number', group, default: defaultValue, min, max, unit, meaning })
const text = (group: Option['group'], defaultValue: string, meaning: string): TextOption =>
  ({ type: 'text', group, default: defaultValue, meaning })
const choice = <const C extends readonly string[]>(
  group: Option['group'], choices: C, defaultValue: C[number], meaning: string,
): ChoiceOption & { readonly choices: C } => ({ type: 'choice', group, default: defaultValue, choices, meaning })

export const OPTIONS = {
  dataDir: text('node', './data', 'Folder that holds wal/, db/ and the node\'s key. Created with access for its owner only; one process at a time.'),
  realm: text('node', 'default', 'Name that every signature is bound to. Nodes of one cluster share it; a signature for another realm is refused.'),
  signatures: choice('node', ['required', 'optional'], 'required', 'Whether unsigned assertions are taken. A wrong signature is refused in both cases.'),
  mode: choice('node', ['threaded', 'inline'], 'threaded', 'Whether the stages run on threads of their own or, for tests and tiny machines, all on one.'),
  trustHalfLifeDays: number('node', 30, 0, 36_500, 'days', 'Days until an agent\'s trust has come half the way back to neutral (0.5) without new outcomes. 0: never.'),
  trustReporters: text('node', '', 'Keys of those whose outcomes make trust, separated by commas: 64 hex digits or did:key each. Empty: everybody\'s outcomes count, so name them where strangers can write.'),

  bindAddress: text('network', '127.0.0.1', 'Address that the API listens on. 0.0.0.0 for all interfaces.'),
  apiPort: number('network', 18180, 0, 65535, 'port', 'Port of HTTP and WebSocket. 0 takes a free one and prints it.'),
  tlsCertFile: text('network', '', 'PEM certificate chain. With tlsKeyFile: the API speaks TLS.'),
  tlsKeyFile: text('network', '', 'PEM private key of tlsCertFile.'),
  corsOrigins: text('network', '', 'Origins whose pages may use the API in browsers (CORS), as https://app.example, separated by commas; * for all. Empty: none. No protection: whoever is no browser does not ask.'),
  idleTimeoutSeconds: number('network', 120, 8, 960, 's', 'A WebSocket on which nothing came for so long is closed; pings go out before.'),
  ingressTimeoutMs: number('network', 10_000, 100, 600_000, 'ms', 'Time in which a request\'s body must have come.'),
  processingTimeoutMs: number('network', 10_000, 100, 600_000, 'ms', 'Time in which a request that has come must be answered.'),
  drainTimeoutMs: number('network', 8_000, 100, 600_000, 'ms', 'On SIGTERM: time for requests under way before connections are closed.'),

  verifyThreads: number('threads', 0, 0, 256, 'threads', 'Threads that check, hash and verify signatures. 0: cores minus one, at least one.'),
  lensThreads: number('threads', 0, 0, 256, 'threads', 'Threads that answer queries. 0: half of the cores, at least two.'),
  merkleThreads: number('threads', 1, 1, 64, 'threads', 'Threads that hash commit groups and sign receipts.'),
  backgroundNice: number('threads', 5, 0, 19, 'nice', 'Nice value of the threads that no client waits for: ingest, the scrubber, RocksDB\'s flushes and compactions. The higher, the more they give way to verifying, committing and answering. Linux only; 0 leaves them as they are.'),
  ringBytes: number('threads', 16 * MiB, 256 * KiB, 1 * GiB, 'bytes', 'Size of each ring between two threads; a power of two. A full ring is back-pressure.'),

  frameBytesMax: number('limits', 4 * MiB, 64 * KiB, 64 * MiB, 'bytes', 'Largest WebSocket message or HTTP body taken in one piece. At most a quarter of ringBytes.'),
  batchAssertionsMax: number('limits', 4096, 1, 65_535, 'assertions', 'Most assertions in one batch.'),
  sessionsMax: number('limits', 10_000, 1, 1_000_000, 'connections', 'Most WebSocket connections at a time.'),
  sessionCreditBytes: number('limits', 1 * MiB, 64 * KiB, 256 * MiB, 'bytes', 'Bytes of batches that one connection may have unacked. At least frameBytesMax is granted to a single frame.'),
  sessionQueriesMax: number('limits', 1024, 1, 65_535, 'queries', 'Queries that one WebSocket connection may have unanswered; more are refused with overloaded.'),
  sendBufferBytesMax: number('limits', 1 * MiB, 16 * KiB, 256 * MiB, 'bytes', 'Bytes that may wait for a slow reader before its connection is closed.'),
  httpRequestsMax: number('limits', 1024, 1, 65_535, 'requests', 'Most HTTP requests under way at a time; more are refused with 503. As many more may have their bodies on the way; beyond that the slowest is ended with 408.'),
  ratePerSecond: number('limits', 0, 0, 10_000_000, 'assertions/s', 'Most assertions a second from one remote address, over HTTP and WebSocket. 0: no limit.'),
  queryLimitMax: number('limits', 1000, 1, 100_000, 'assertions', 'Largest limit that a query may name.'),
  subscriptionsMax: number('limits', 10_000, 0, 1_000_000, 'subscriptions', 'Most live subscriptions at a time, over WebSocket and SSE. 0: none.'),
  subscriptionsPerSessionMax: number('limits', 64, 1, 65_535, 'subscriptions', 'Most live subscriptions of one WebSocket connection.'),
  subscriptionBufferBytesMax: number('limits', 256 * KiB, 16 * KiB, 64 * MiB, 'bytes', 'Bytes of deliveries that may be under way to one connection. What is beyond is not queued: it is read from the log again when there is room. Never more than half of sendBufferBytesMax.'),
  subscriptionLagBytesMax: number('limits', 1 * GiB, 1 * MiB, 1024 * GiB, 'bytes', 'WAL bytes that a subscriber who has been live may fall behind before its subscription is ended with subscriber_too_slow.'),
  subscriptionStallMsMax: number('limits', 30_000, 1000, 3_600_000, 'ms', 'Longest time in which a subscriber may take nothing of what waits for it before its subscription is ended with subscriber_too_slow.'),
  feedGatherMsMax: number('limits', 64, 0, 1000, 'ms', 'Longest time that live deliveries gather, so that more of them share a frame. Up to 10,000 assertions/s they gather for 4 ms, beyond that for 0.4 ms for each 1,000/s. 0: never.'),
  subscriptionHeartbeatMs: number('limits', 5000, 100, 600_000, 'ms', 'Interval at which subscribers are told up to which LSN they have everything.'),
  subscriptionRefreshMs: number('limits', 30_000, 1000, 86_400_000, 'ms', 'Interval at which the answer of a lens subscription is worked out again though nothing was written, where its lens looks at decay or trust: such an answer changes with time alone.'),
  vectorLengthMax: number('limits', 4096, 1, 65_536, 'floats', 'Longest vector of an assertion.'),

  walSegmentBytes: number('wal', 64 * MiB, 64 * KiB, 1 * GiB, 'bytes', 'Size of a WAL segment, written in full ahead of its use so that a group costs one fdatasync and no allocation. Must hold four frames.'),
  walReserveBytes: number('wal', 64 * MiB, 0, 64 * GiB, 'bytes', 'Free space below which writes are refused with disk_full, so that the store can still compact. As much is laid aside as the file RESERVE and given back where the node starts on a full disk.'),
  groupBytesMax: number('wal', 4 * MiB, 64 * KiB, 64 * MiB, 'bytes', 'Most bytes that share one fdatasync.'),
  groupGatherMsMax: number('wal', 1, 0, 50, 'ms', 'Longest time that a group of the WAL waits for more to share its fdatasync. It waits for a sixteenth of what its youngest batch has waited already, so only on a busy node. 0: never.'),
  walMarkIdleMs: number('wal', 100, 1, 60_000, 'ms', 'Idle time after which a mark is written behind the last group, so that later damage to it is told from a torn write.'),
  scrubCycleSeconds: number('wal', 86_400, 0, 31_536_000, 's', 'Time in which every sealed WAL segment is read again and checked, to find what the disk has damaged. 0: never.'),
  scrubBytesPerSecondMax: number('wal', 16 * MiB, 64 * KiB, 16 * GiB, 'bytes/s', 'Fastest that segments are read again; where scrubCycleSeconds would need more, a cycle takes longer.'),
  hlcDriftMaxMs: number('wal', 60_000, 500, 86_400_000, 'ms', 'Farthest that the node\'s HLC may run ahead of its wall clock, and an agent\'s asserted-at time ahead of it.'),

  ingestLagBytesMax: number('store', 256 * MiB, 1 * MiB, 64 * GiB, 'bytes', 'WAL bytes that may wait for the indexes; beyond it the commit stage waits and clients feel back-pressure.'),
  ingestGatherMsMax: number('store', 10, 0, 1000, 'ms', 'Longest time that the indexes let a stream gather before they take the next part of it: so much later do questions see what was acked. Alone, or at a slow pace, assertions are indexed within 2 ms; of more than 4,096 none waits. 0: never.'),
  indexFileEntriesMin: number('store', 32_768, 1, 2 ** 31, 'assertions', 'From so many assertions on, a run of the index by subject and predicate that merges have made, or a run of ids, is put into a file of its own under db/runs/ or db/id-runs/. A smaller one is in RocksDB, which writes it again a few times.'),
  idFilterBytes: number('store', 32 * MiB, 64 * KiB, 4 * GiB, 'bytes', 'Memory of the filter that tells new ids from known ones, at first; a power of two. 32 MiB serve 8 million ids at about 0.002% false alarms, each of which costs a read in every run of ids; behind them a filter of twice that is added, and so on.'),
  idFilterBytesMax: number('store', 512 * MiB, 64 * KiB, 4 * GiB, 'bytes', 'Memory up to which the filter of ids grows, taken as it does. Beyond it false alarms rise: 512 MiB serve 125 million ids.'),
  recentIdsMax: number('store', 524_288, 1024, 16_777_216, 'ids', 'Ids held in memory before they are written to the store as one sorted run. Commits wait where ingest is more than so many behind.'),
  answerCacheBytes: number('store', 32 * MiB, 0, 16 * GiB, 'bytes', 'Memory of each lens thread for answers that it has given; an answer is used again until something is written that it depends on. What depends on the time, by decay, is kept for a second at most. 0: none.'),
  memtableBytes: number('store', 64 * MiB, 1 * MiB, 4 * GiB, 'bytes', 'RocksDB memtable budget. The larger, the fewer times RocksDB writes an entry again; its own log grows to several times as much.'),
  blockCacheBytes: number('store', 64 * MiB, 1 * MiB, 64 * GiB, 'bytes', 'RocksDB block cache.'),

  lensPageCacheBytes: number('lens', 64 * MiB, 1 * MiB, 64 * GiB, 'bytes', 'Memory of each lens thread for pages of the index by subject and predicate, a quarter of it for the nodes above them. A page at hand is found without asking RocksDB.'),
  lensPairCacheBytes: number('lens', 64 * MiB, 0, 64 * GiB, 'bytes', 'Memory of each lens thread for subjects and predicates that were asked for lately, with their assertions, about. One at hand is answered without a look at the index. 0: none is kept.'),
  lensClaimCacheBytes: number('lens', 32 * MiB, 0, 64 * GiB, 'bytes', 'Memory of each lens thread for assertions that it has read, checked and decoded lately, about. 0: none is kept.'),
  lensLogCacheBytes: number('lens', 16 * MiB, 0, 4 * GiB, 'bytes', 'Memory of each lens thread for pieces of the log that it has read lately. 0: none is kept, and every read asks the operating system.'),
  decayHalfLifeDays: text('lens', 'inf,730,365,180,90,30', 'Days in which the confidence of a claim has halved, for tiers 0 to 5 (regulatory, clinical, observational, expert, community, anecdotal): six numbers above 0, or inf for never, between commas.'),
  consensusTolerance: text('lens', '0', 'Numbers no farther apart than this part of the greater one are one value to lenses, where a query says nothing else. 0 to 1; 0: equal numbers only.'),
  escalationCount: number('lens', 500, 0, 1000, 'assertions', 'Anecdotal assertions from which skeptic says escalate, where none of tiers 0 to 2 has spoken. 0: never.'),

  auditMode: choice('audit', ['off', 'sampled', 'full'], 'off', 'Which queries are recorded in audit/ of the data directory: who asked what, through which lens, and which assertions won. Records that can not be written in time are dropped and counted.'),
  auditSamplePerMille: number('audit', 10, 0, 1000, 'per mille', 'With auditMode=sampled: how many of a thousand queries are recorded, by chance.'),
  auditBytesMax: number('audit', 256 * MiB, 1 * MiB, 64 * GiB, 'bytes', 'Most bytes of all audit files; the oldest go first.'),
  tlogEnabled: choice('store', ['on', 'off'], 'on', 'Whether this node keeps a Merkle log over its assertions, signs its head and gives proofs. The log is derived from the WAL: it may be turned on later.'),
  tlogCheckpointMs: number('store', 1000, 10, 3_600_000, 'ms', 'How often a new tree head is signed, where there are new assertions; each costs one small fdatasync beside the WAL.'),

  logLevel: choice('log', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info', 'Least severity that is logged.'),
  logFormat: choice('log', ['auto', 'json', 'pretty'], 'auto', 'JSON lines, or lines for people. auto: people on a terminal, JSON elsewhere.'),
} as const satisfies Record<string, Option>

export type OptionName = keyof typeof OPTIONS

type ValueOf<O> = O extends { type: 'number' } ? number : O extends { choices: readonly (infer C)[] } ? C : string

/** Validated settings, frozen; plain data, so that threads get a copy. */
export type Config = { readonly [N in OptionName]: ValueOf<(typeof OPTIONS)[N]> }

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((w) => w.toLowerCase())

/** `walSegmentBytes` → `--wal-segment-bytes` */
export const flagOf = (name: OptionName): string => `--${words(name).join('-')}`

/** `walSegmentBytes` → `STEMEDB_WAL_SEGMENT_BYTES` */
export const variableOf = (name: OptionName): string => `STEMEDB_${words(name).join('_').toUpperCase()}`

export const OPTION_NAMES = Object.keys(OPTIONS) as OptionName[]
