/** What bench/feed-child.ts does: writes claims at a rate until its standard input ends, and subscribes to them. */
export interface FeedWork {
  readonly url: string
  /** Subscribers, each on a connection of its own; every so-manieth of `benchSubscriptions`. 0: it writes only. */
  readonly subscribers: number
  /** Whether they have asked for what is written, or for something else. */
  readonly isMatched: boolean
  /** Assertions a second, as an open loop. */
  readonly rate: number
  /** Latencies of what is written before then do not count. */
  readonly warmupMs: number
}

/** Its first line: all are subscribed, and writing begins. */
export interface FeedReady {
  readonly ready: true
}

/** Its second line, when everything has come to everybody. */
export interface FeedReport {
  readonly assertions: number
  readonly perSecond: number
  /** Over all subscribers. That each has exactly its own is checked before this is said. */
  readonly deliveries: number
  /** From when an assertion's batch was due to its arrival at a subscriber. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly cpuSeconds: number
}
