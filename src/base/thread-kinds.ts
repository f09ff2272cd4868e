/** The kinds of threads besides main, in the order in which they start; they stop as `STOP_ORDER` in node/node.ts says. */
export const THREAD_KINDS = ['ingest', 'wal', 'verify', 'merkle', 'lens', 'feed', 'scrub', 'tlog'] as const
export type ThreadKind = (typeof THREAD_KINDS)[number]
