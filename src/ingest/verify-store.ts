import { isDbError } from '../base/errors.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import { initHash } from '../record/claim.ts'
import { IdHash } from '../store/id-hash.ts'
import { EntryReader } from '../store/entry-reader.ts'
import { ENTRY_LIST_KEY } from '../store/entry-node.codec.ts'
import { decodeEntryRunList } from '../store/entry-run-list.ts'
import { idRunListOf } from '../store/id-runs.ts'
import { IdPage, pageKey, pageOf, type IdRunList } from '../store/id-runs.codec.ts'
import { LOG_BY_HLC, LOG_BY_LSN } from '../store/keyspace.layout.ts'
import { decodeLogHlcEntry, decodeLogPoint, type LogPoint } from '../store/keyspace.codec.ts'
import type { StoreMeta } from '../store/store-meta.ts'
import type { Store } from '../store/store.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import { AssertionView } from '../wire/assertion-view.ts'
import { BatchView } from '../wire/batch.codec.ts'
import { claimIdInto } from '../wire/claim-id.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import { verifyBuffer } from '../wire/verifier.ts'
import { EntrySums, SUMMED_COLUMNS, SummingBatch, isAgentEntry, type SummedColumn } from './entry-sums.ts'
import { IndexEntries, type LogRecord } from './index-entries.ts'
import type { LogReader } from './ingest-loop.ts'
import { StoreRows } from './store-rows.ts'

/** Problems that a report names; the rest are only counted. */
export const STORE_PROBLEMS_MAX = 100

export interface StoreProblem {
  /** `record`, `id`: the log is wrong. `mark`, or a column: the store is, and `stemedb store rebuild` mends it. */
  readonly kind: 'record' | 'id' | 'mark' | 'sp' | 'agent' | 'log' | 'ids'
  readonly message: string
  readonly lsn?: Lsn
  readonly segmentId?: number
  readonly offset?: number
}

export interface StoreVerifyReport {
  readonly ok: boolean
  /** Of the log, up to the store's applied mark. */
  readonly assertions: number
  readonly records: number
  readonly bytes: number
  readonly appliedLsn: Lsn
  /** The log's last LSN; what is above the applied mark is replayed at the next start, and is no problem. */
  readonly lastLsn: Lsn
  readonly idsFlushedLsn: Lsn
  readonly problems: readonly StoreProblem[]
  /** Also those that are not named. */
  readonly problemCount: number
}

export interface VerifyStoreOptions {
  readonly store: Store
  readonly meta: StoreMeta
  readonly log: LogReader
  readonly logStart: WalPosition
  readonly lastLsn: Lsn
  readonly durablePosition: WalPosition
  readonly onProgress?: ((progress: VerifyStoreProgress) => void) | undefined
}

export interface VerifyStoreProgress {
  readonly phase: 'log' | 'sp' | 'agent' | 'ids'
  /** LSNs in phase `log`, entries in the others. */
  readonly done: number
  /** Undefined where nobody knows before the end. */
  readonly total: number | undefined
}

const PROGRESS_EVERY = 4096

/**
 * Checks a store that nobody writes to against its log: recomputes the id of every accepted assertion, and that the
 * columns hold exactly what the log says, no more and no less. One pass over the log, one over each column.
 * @returns a report; damage is reported in it and not thrown. @throws {DbError} `io_error`
 */
export async function verifyStore(options: VerifyStoreOptions): Promise<StoreVerifyReport> {
  await initHash()
  return new Verification(options).run()
}

class Verification {
  readonly #options: VerifyStoreOptions
  readonly #hash: IdHash
  readonly #entries: IndexEntries
  readonly #expected = new EntrySums()
  readonly #found = new EntrySums()
  readonly #batch = new SummingBatch(this.#expected)
  readonly #points: StoreRows
  readonly #times: StoreRows
  readonly #problems: StoreProblem[] = []
  #problemCount = 0
  #assertions = 0
  #records = 0
  #bytes = 0
  /** Segments from here on were not read to their end. */
  #faultySegment = Infinity
  #point: LogPoint | undefined
  /** LSN behind the last point, where the next must begin. */
  #pointEnd: Lsn | undefined

  constructor(options: VerifyStoreOptions) {
    this.#options = options
    this.#hash = new IdHash(options.meta.idHashKey)
    this.#entries = new IndexEntries(this.#hash)
    this.#points = new StoreRows(options.store, 'log', { gte: Uint8Array.of(LOG_BY_LSN), lt: Uint8Array.of(LOG_BY_LSN + 1) })
    this.#times = new StoreRows(options.store, 'log', { gte: Uint8Array.of(LOG_BY_HLC), lt: Uint8Array.of(LOG_BY_HLC + 1) })
  }

  run(): StoreVerifyReport {
    const { meta, lastLsn } = this.#options
    if (meta.applied.lsn > lastLsn) {
      this.#problem({ kind: 'mark', message: `the store has LSN ${meta.applied.lsn}, the log ends at ${lastLsn}`, lsn: meta.applied.lsn })
    }
    this.#guard('record', () => this.#readLog())
    this.#guard('log', () => this.#checkPointsEnd())
    this.#points.close()
    this.#times.close()
    this.#guard('sp', () => this.#readEntries())
    this.#guard('agent', () => this.#readAgents())
    this.#guard('ids', () => this.#readRuns())
    for (const column of SUMMED_COLUMNS) this.#compare(column)
    this.#checkTotals()
    return {
      ok: this.#problemCount === 0, assertions: this.#assertions, records: this.#records, bytes: this.#bytes,
      appliedLsn: meta.applied.lsn, lastLsn, idsFlushedLsn: meta.idsFlushed.lsn, problems: this.#problems,
      problemCount: this.#problemCount,
    }
  }

  /** Damage met on the way is a problem and not the end of the report. */
  #guard(kind: StoreProblem['kind'], work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!isDbError(error) || error.code === 'io_error' && kind === 'record') throw error
      const { segmentId, offset } = error.details
      if (kind === 'record') this.#faultySegment = typeof segmentId === 'number' ? segmentId : 0
      this.#problem({
        kind, message: error.message,
        ...(typeof segmentId === 'number' ? { segmentId } : {}), ...(typeof offset === 'number' ? { offset } : {}),
      })
    }
  }

  #readLog(): void {
    const { log, logStart, durablePosition, meta, lastLsn } = this.#options
    log.seek(logStart)
    let expected: Lsn | undefined
    while (log.next(durablePosition)) {
      const { header, payload, segmentId, offset } = log
      if (header.kind !== RECORD_KIND.batch || header.lsnFirst > meta.applied.lsn) continue
      expected ??= header.lsnFirst
      this.#record({ segmentId, offset, lsnFirst: header.lsnFirst, hlcFirst: header.hlcFirst, count: header.count, payload })
      if (this.#records % 64 === 0) {
        this.#options.onProgress?.({ phase: 'log', done: header.lsnFirst, total: Math.min(lastLsn, meta.applied.lsn) })
      }
    }
    if (expected !== undefined && expected !== 1) {
      this.#problem({ kind: 'record', message: `the log begins at LSN ${expected}`, lsn: expected })
    }
  }

  #record(record: LogRecord): void {
    this.#records++
    this.#assertions += record.count
    this.#bytes += record.payload.length
    const code = verifyBuffer('LogEntry', record.payload)
    if (code !== 0) {
      this.#faultySegment = Math.min(this.#faultySegment, record.segmentId)
      this.#recordProblem('record', record, record.lsnFirst, `the payload is no log entry (code ${code})`)
      return
    }
    this.#checkIds(record)
    this.#entries.clear()
    this.#entries.add(record)
    this.#entries.finish(this.#batch)
    const { arena } = this.#entries
    for (let i = 0; i < arena.count; i++) this.#expected.addSp(arena.key(i), arena.value(i))
    const { idsFlushed } = this.#options.meta
    this.#entries.forEachId(record, (ids, at, lsn, _hlc, position, index) => {
      if (lsn > idsFlushed.lsn) return
      this.#hash.compute(ids, at)
      this.#expected.addId(this.#hash.hi, this.#hash.lo, position.segmentId, position.offset, index)
    })
    this.#checkPoint(record)
  }

  readonly #entry = new LogEntryView()
  readonly #batchView = new BatchView()
  readonly #assertion = new AssertionView()
  readonly #id = new Uint8Array(32)

  #checkIds(record: LogRecord): void {
    const entry = this.#entry.reset(record.payload)
    const batch = this.#batchView.reset(entry.batch)
    if (batch.count !== entry.count) {
      this.#recordProblem('record', record, record.lsnFirst, `${entry.count} ids for ${batch.count} assertions`)
      return
    }
    let lsn = record.lsnFirst
    for (let index = 0; index < entry.count; index++) {
      if (!entry.accepted(index)) continue
      this.#assertion.reset(batch.bytes, batch.itemOffset(index), batch.itemLength(index))
      const code = claimIdInto(this.#assertion, this.#id, 0)
      const at = entry.idsOffset + index * 32
      if (code !== 0) this.#recordProblem('id', record, lsn, `the assertion is not valid (code ${code})`)
      else if (this.#id.some((byte, i) => byte !== entry.bytes[at + i])) {
        this.#recordProblem('id', record, lsn, 'the id in the log is not that of the assertion')
      }
      lsn++
    }
  }

  /** Points of the log come in the order of its records; each must be the first of a record, and follow on the last. */
  #checkPoint(record: LogRecord): void {
    if (this.#point === undefined) {
      const row = this.#points.next()
      if (row === undefined) return
      this.#point = decodeLogPoint(...row)
      this.#checkPointTime(this.#point)
    }
    const point = this.#point
    if (point.lsnFirst > record.lsnFirst + record.count - 1) return
    if (point.lsnFirst !== record.lsnFirst || point.hlcFirst !== record.hlcFirst ||
      point.position.segmentId !== record.segmentId || point.position.offset !== record.offset) {
      this.#problem({ kind: 'log', message: `the point of LSN ${point.lsnFirst} does not name its record`, lsn: point.lsnFirst })
    }
    if (point.lsnFirst !== (this.#pointEnd ?? 1)) {
      this.#problem({ kind: 'log', message: `no point covers LSN ${this.#pointEnd ?? 1}`, lsn: this.#pointEnd ?? 1 })
    }
    this.#pointEnd = point.lsnFirst + point.count
    this.#point = undefined
  }

  #checkPointTime(point: LogPoint): void {
    const row = this.#times.next()
    const time = row === undefined ? undefined : decodeLogHlcEntry(...row)
    if (time?.hlc !== point.hlcFirst || time.lsn !== point.lsnFirst) {
      this.#problem({ kind: 'log', message: `the point of LSN ${point.lsnFirst} is not found by its time`, lsn: point.lsnFirst })
    }
  }

  #checkPointsEnd(): void {
    if (this.#faultySegment !== Infinity) return
    const end = this.#pointEnd ?? 1
    const { applied } = this.#options.meta
    if (end !== applied.lsn + 1) this.#problem({ kind: 'log', message: `no point covers LSN ${end}`, lsn: end })
    if (this.#point !== undefined || this.#points.next() !== undefined || this.#times.next() !== undefined) {
      this.#problem({ kind: 'log', message: 'there are points that no record of the log has' })
    }
  }

  /** All runs in one order, in which no key stands twice. */
  #readEntries(): void {
    const { store, onProgress } = this.#options
    const cursor = new EntryReader(store).entries({})
    let before: Uint8Array | undefined
    let done = 0
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (before !== undefined && Buffer.compare(before, entry.key) >= 0) this.#problem({ kind: 'sp', message: 'entries are out of order' })
      before = entry.key
      this.#found.addSp(entry.key, entry.value)
      if (++done % PROGRESS_EVERY === 0) onProgress?.({ phase: 'sp', done, total: this.#assertions })
    }
    const listed = decodeEntryRunList(store.get('sp', ENTRY_LIST_KEY)).runs.reduce((sum, run) => sum + run.entries, 0)
    const held = done + cursor.repeatedCount
    if (held !== listed) this.#problem({ kind: 'sp', message: `the runs say that they have ${listed} entries, and have ${held}` })
  }

  #readAgents(): void {
    const rows = new StoreRows(this.#options.store, 'agent')
    try {
      let done = 0
      for (let row = rows.next(); row !== undefined; row = rows.next()) {
        this.#addAgent(...row)
        if (++done % PROGRESS_EVERY === 0) this.#options.onProgress?.({ phase: 'agent', done, total: undefined })
      }
    } finally {
      rows.close()
    }
  }

  #addAgent(key: Uint8Array, value: Uint8Array): void {
    if (isAgentEntry(key, value)) this.#found.addAgent(key, value)
    else this.#problem({ kind: 'agent', message: 'an entry has a wrong size' })
  }

  /** Pages by leading bits over all runs at once, so that an id that stands twice shows. */
  #readRuns(): void {
    const { store, onProgress } = this.#options
    const list = idRunListOf(store)
    const chunkBits = Math.max(0, ...list.runs.map((run) => run.pageBits))
    const total = list.runs.reduce((sum, run) => sum + run.entries, 0)
    let done = 0
    for (let chunk = 0; chunk < 2 ** chunkBits; chunk++) {
      done += this.#readChunk(list, chunk, chunkBits)
      if (chunk % 64 === 0) onProgress?.({ phase: 'ids', done, total })
    }
    if (done !== total) this.#problem({ kind: 'ids', message: `the runs say that they have ${total} ids, and have ${done}` })
  }

  #readChunk(list: IdRunList, chunk: number, chunkBits: number): number {
    const keys = list.runs.map((run) => pageKey(run.id, Math.floor(chunk / 2 ** (chunkBits - run.pageBits))))
    const seen = new Set<number>()
    let count = 0
    for (const bytes of this.#options.store.multiGet('ids', keys)) {
      if (bytes === undefined) continue
      const page = new IdPage(bytes)
      let before = -1
      for (let i = 0; i < page.count; i++) {
        const hi = page.hi(i)
        if (hi < before) this.#problem({ kind: 'ids', message: 'a page is out of order' })
        before = hi
        if (pageOf(hi, chunkBits) !== chunk) continue
        this.#found.addId(hi, page.lo(i), page.segmentId(i), page.recordOffset(i), page.index(i))
        // 53 bits of the fingerprint: two ids of one store share them about once in 2^53 pairs.
        const fingerprint = hi * 2 ** 21 + (page.lo(i) >>> 11)
        if (seen.has(fingerprint)) {
          this.#problem({ kind: 'ids', message: `an id stands twice, once at offset ${page.recordOffset(i)}`,
            segmentId: page.segmentId(i), offset: page.recordOffset(i) })
        }
        seen.add(fingerprint)
        count++
      }
    }
    return count
  }

  #compare(column: SummedColumn): void {
    const expected = this.#expected.segments(column)
    const found = this.#found.segments(column)
    for (const segmentId of new Set([...expected.keys(), ...found.keys()])) {
      // The log's own fault has been reported; what the store has of it can not be judged.
      if (segmentId >= this.#faultySegment) continue
      const want = expected.get(segmentId)
      const have = found.get(segmentId)
      if (want?.count === have?.count && want?.a === have?.a && want?.b === have?.b) continue
      const difference = want?.count === have?.count ? `as many (${have?.count}) as the log, but not the same`
        : `${have?.count ?? 0} where the log has ${want?.count ?? 0}`
      this.#problem({ kind: column, message: `column ${column}, entries of WAL segment ${segmentId}: ${difference}`, segmentId })
    }
  }

  #checkTotals(): void {
    const { applied } = this.#options.meta
    if (this.#faultySegment !== Infinity) return
    if (applied.assertions !== this.#assertions || applied.records !== this.#records) {
      this.#problem({ kind: 'mark', message:
        `the store counts ${applied.assertions} assertions in ${applied.records} records, the log has ${this.#assertions} in ${this.#records}` })
    }
  }

  #recordProblem(kind: 'record' | 'id', record: LogRecord, lsn: Lsn, why: string): void {
    this.#problem({ kind, message: `LSN ${lsn} in WAL segment ${record.segmentId} at offset ${record.offset}: ${why}`,
      lsn, segmentId: record.segmentId, offset: record.offset })
  }

  #problem(problem: StoreProblem): void {
    this.#problemCount++
    if (this.#problems.length < STORE_PROBLEMS_MAX) this.#problems.push(problem)
  }
}
