import type { LeaveOutName } from '../../src/wire/query-request.codec.ts'

/** What bench/query-child.ts does. */
export type ChildWork =
  | { readonly work: 'fill', readonly url: string, readonly pairs: number, readonly candidates: number }
  /** Versions of one pair, by number of the pair. */
  | { readonly work: 'versions', readonly url: string, readonly pair: number, readonly versions: number }
  | ReadWork

export interface ReadWork {
  readonly work: 'read'
  readonly url: string
  readonly lens: string
  /** As `QueryParameters.leaveOut`. Absent: nothing. */
  readonly leaveOut?: readonly LeaveOutName[]
  readonly connections: number
  /** Queries in a message, and messages under way on a connection. */
  readonly perFrame: number
  readonly window: number
  readonly seconds: number
  readonly pairs: number
  readonly range: number
  readonly seed: number
  /** Queries a second over all connections: an open loop. Absent: closed. */
  readonly rate?: number
  /** Decimal HLC. */
  readonly asOf?: string
  /** One pair only. */
  readonly pair?: number
}

export interface FillReport {
  readonly assertions: number
  /** HLC of the tenth version, decimal (`versions`). */
  readonly tenthHlc: string
}

export interface ReadReport {
  readonly queries: number
  readonly perSecond: number
  /** From when a query was due. Open loop only. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuSeconds: number
}
