import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import {
  agentKey, decodeAgentEntry, decodeLogHlcEntry, decodeLogPoint, logHlcKey, logLsnKey, logPointAtHlc, type AgentRange,
} from '../store/keyspace.codec.ts'
import { LOG_BY_HLC } from '../store/keyspace.layout.ts'
import { readApplied } from '../store/store-meta.ts'
import type { Store, StoreRange } from '../store/store.ts'
import type { LatestCursor, LatestRange, Place } from './candidate-source.ts'
import { LogRecords, type LogRecordHead } from './log-records.ts'
import type { ReadRange } from './log-walker.ts'

/** Rows of the store that are fetched together: mostly one has all that a page needs. */
const ROWS_AT_A_TIME = 4

/**
 * Assertions in the order in which the log took them, the newest first: all, or those of one agent. The columns `log` and `agent` say
 * where, so the cost follows what is given, not what is stored: beside it, at most the distance of two points of the log is looked at
 * at either end of a time range.
 */
export class LatestReader {
  readonly #store: Store
  readonly #records: LogRecords

  constructor(store: Store, readRange: ReadRange) {
    this.#store = store
    this.#records = new LogRecords(readRange)
  }

  open(range: LatestRange): LatestCursor {
    const { agent, lastHlc, fromHlc = 0n, belowLsn } = range
    const lsnEnd = Math.min(this.#endOf(lastHlc), belowLsn ?? Infinity)
    const bounds = { lsnEnd, lsnFloor: this.#floorOf(fromHlc), fromHlc, lastHlc }
    const stretches = agent === undefined ? new LogStretches(this.#store, this.#records, bounds)
      : new AgentStretches(this.#store, this.#records, bounds, agent)
    return new Descent(stretches, this.#records, bounds)
  }

  /** The first LSN of which a point of the log says that it is newer; otherwise the first that is not applied. */
  #endOf(lastHlc: Hlc | undefined): Lsn {
    // Before the points are looked at: what is applied later is not missed, but not asked for.
    const appliedLsn = readApplied(this.#store)?.lsn ?? 0
    const point = lastHlc === undefined || lastHlc === HLC_MAX ? undefined
      : first(this.#store.range('log', { gte: logHlcKey(lastHlc + 1n), lt: Uint8Array.of(LOG_BY_HLC + 1) }))
    return Math.min(appliedLsn + 1, point === undefined ? Infinity : decodeLogHlcEntry(...point).lsn)
  }

  /** No LSN below it can be of that time. */
  #floorOf(fromHlc: Hlc): Lsn {
    const point = fromHlc === 0n ? undefined : first(this.#store.range('log', logPointAtHlc(fromHlc)))
    return point === undefined ? 0 : decodeLogHlcEntry(...point).lsn
  }
}

const HLC_MAX = 2n ** 64n - 1n

interface Bounds {
  /** Above the newest. */
  readonly lsnEnd: Lsn
  /** Not above the oldest. */
  readonly lsnFloor: Lsn
  readonly fromHlc: Hlc
  readonly lastHlc: Hlc | undefined
}

function first(range: StoreRange): [Uint8Array, Uint8Array] | undefined {
  try {
    const [key, value] = range.next(1)
    return key === undefined || value === undefined ? undefined : [key, value]
  } finally {
    range.close()
  }
}

/** Consecutive LSNs of one record. */
interface Stretch {
  readonly record: LogRecordHead
  readonly lsnFirst: Lsn
  readonly count: number
}

/** Stretches from the newest to the oldest. */
interface Stretches {
  /** The next that has something below `lsnEnd`, which never ascends. */
  next(lsnEnd: Lsn): Stretch | undefined
  close(): void
}

/** Single assertions of stretches, as far as they are of the time that is asked for. */
class Descent implements LatestCursor {
  readonly #stretches: Stretches
  readonly #records: LogRecords
  readonly #bounds: Bounds
  #stretch: Stretch | undefined
  /** Everything at or above it is done with. */
  #lsnEnd: Lsn

  constructor(stretches: Stretches, records: LogRecords, bounds: Bounds) {
    this.#stretches = stretches
    this.#records = records
    this.#bounds = bounds
    this.#lsnEnd = bounds.lsnEnd
  }

  next(): Place | undefined {
    const { fromHlc, lastHlc } = this.#bounds
    for (;;) {
      if (this.#stretch === undefined || this.#lsnEnd <= this.#stretch.lsnFirst) this.#stretch = this.#stretches.next(this.#lsnEnd)
      if (this.#stretch === undefined) return undefined
      const { record, lsnFirst, count } = this.#stretch
      const lsn = Math.min(this.#lsnEnd, lsnFirst + count) - 1
      this.#lsnEnd = lsn
      const k = lsn - record.lsnFirst
      const hlc = record.hlcFirst + BigInt(k)
      if (hlc < fromHlc) return undefined
      if (lastHlc !== undefined && hlc > lastHlc) continue
      return { lsn, hlc, segmentId: record.segmentId, recordOffset: record.offset, index: this.#records.indexOf(record, k) }
    }
  }

  close(): void {
    this.#stretches.close()
  }
}

/** Rows of the store, a few at a time. */
class Rows {
  readonly #range: StoreRange
  #fetched: Uint8Array[] = []
  #next = 0

  constructor(range: StoreRange) {
    this.#range = range
  }

  next(): [Uint8Array, Uint8Array] | undefined {
    if (this.#next === this.#fetched.length) {
      this.#fetched = this.#range.next(ROWS_AT_A_TIME)
      this.#next = 0
    }
    const [key, value] = [this.#fetched[this.#next], this.#fetched[this.#next + 1]]
    if (key === undefined || value === undefined) return undefined
    this.#next += 2
    return [key, value]
  }

  close(): void {
    this.#range.close()
  }
}

class AgentStretches implements Stretches {
  readonly #records: LogRecords
  readonly #lsnFloor: Lsn
  readonly #rows: Rows
  /** By ascending LSN; the last comes next. */
  #ranges: AgentRange[] = []
  /** A row that begins at or below the floor is the last that can have anything. */
  #isLastRow = false
  #record: LogRecordHead | undefined

  constructor(store: Store, records: LogRecords, { lsnEnd, lsnFloor }: Bounds, agent: Uint8Array) {
    this.#records = records
    this.#lsnFloor = lsnFloor
    this.#rows = new Rows(store.range('agent', { gte: agent, lt: agentKey(agent, lsnEnd), reverse: true, fillCache: true }))
  }

  next(lsnEnd: Lsn): Stretch | undefined {
    for (;;) {
      const range = this.#ranges.pop()
      if (range !== undefined) {
        if (range.lsnFirst < lsnEnd) return { record: this.#recordOf(range), lsnFirst: range.lsnFirst, count: range.count }
        continue
      }
      const row = this.#isLastRow ? undefined : this.#rows.next()
      if (row === undefined) return undefined
      this.#ranges = decodeAgentEntry(...row)
      this.#isLastRow = (this.#ranges[0]?.lsnFirst ?? 0) <= this.#lsnFloor
    }
  }

  close(): void {
    this.#rows.close()
  }

  /** Several ranges may be of one record. */
  #recordOf({ segmentId, recordOffset }: AgentRange): LogRecordHead {
    const known = this.#record
    if (known?.offset === recordOffset && known.segmentId === segmentId) return known
    return this.#record = this.#records.at({ segmentId, offset: recordOffset })
  }
}

class LogStretches implements Stretches {
  readonly #records: LogRecords
  readonly #lsnFloor: Lsn
  readonly #rows: Rows
  /** By ascending LSN; the last comes next. */
  #heads: LogRecordHead[] = []
  /** A point at or below the floor is the last that can have anything. */
  #isLastRow = false

  constructor(store: Store, records: LogRecords, { lsnEnd, lsnFloor }: Bounds) {
    this.#records = records
    this.#lsnFloor = lsnFloor
    this.#rows = new Rows(store.range('log', { gte: logLsnKey(0), lt: logLsnKey(lsnEnd), reverse: true, fillCache: true }))
  }

  next(lsnEnd: Lsn): Stretch | undefined {
    for (;;) {
      const record = this.#heads.pop()
      if (record !== undefined) return { record, lsnFirst: record.lsnFirst, count: record.count }
      const row = this.#isLastRow ? undefined : this.#rows.next()
      if (row === undefined) return undefined
      const { lsnFirst, position } = decodeLogPoint(...row)
      this.#isLastRow = lsnFirst <= this.#lsnFloor
      // From one point to the next, or to the end: the log is read forwards only.
      if (lsnFirst < lsnEnd) this.#heads = this.#records.upTo(position, lsnEnd)
    }
  }

  close(): void {
    this.#rows.close()
  }
}
