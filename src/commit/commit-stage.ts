import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { hlcNext, type Hlc } from '../base/hlc.ts'
import type { Lsn, WalPosition } from '../base/lsn.ts'
import type { STALL_REASONS } from '../observe/metrics.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import type { Bell } from '../ring/bell.ts'
import type { Marks } from '../ring/marks.ts'
import type { RingReader } from '../ring/ring.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import { gatherMsOf } from '../wal/group-commit.ts'
import type { WalWriter } from '../wal/wal-writer.ts'
import type { AckQueue } from './ack-queue.ts'
import { EntryAppender, NO_DUPLICATES, type Duplicates } from './entry-appender.ts'
import type { IdDirectory } from './id-directory.ts'
import type { ReceiptQueue } from './receipt-queue.ts'
import {
  VERIFIED_COUNT_OFFSET, VERIFIED_ENTRY_BYTES_OFFSET, VERIFIED_FLAGS_OFFSET, VERIFIED_FLAG_RECEIPT,
  VERIFIED_REFUSED_OFFSET, VERIFIED_RETRY_AFTER_MS_OFFSET,
} from './verified.layout.ts'

/** Most batches that share one fdatasync: bounds the acks that wait for it. */
export const GROUP_BATCHES_MAX = 4096
/** How often free space is looked at, in milliseconds. */
const SPACE_CHECK_MS = 250
/** What a client is told to wait before it tries a full disk again, in milliseconds. */
const DISK_FULL_RETRY_MS = 1000

type StallReason = (typeof STALL_REASONS)[number]

export interface CommitDependencies {
  /** One ring for each verify thread. */
  readonly verified: readonly RingReader[]
  readonly acks: AckQueue
  readonly receipts: ReceiptQueue
  readonly writer: WalWriter
  readonly ids: IdDirectory
  readonly marks: Marks
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  /** WAL bytes that may wait for ingest. */
  readonly ingestLagBytesMax: number
  readonly walSegmentBytes: number
  readonly walMarkIdleMs: number
  /** Longest time that a group gathers on; 0: it never does. */
  readonly groupGatherMsMax: number
  /** Holds this thread up. */
  readonly sleep: (ms: number) => void
  /** Whether the data directory has the space that writes need. */
  readonly hasSpace: () => boolean
  /** Where the log ended at start. */
  readonly lastLsn: Lsn
  readonly lastHlc: Hlc
}

/**
 * Gives order and durability: takes verified batches from its rings, appends as many as there are as one group, syncs
 * once, moves the durable mark, and acks. While it syncs, the next group gathers in the rings. Only what has waited long
 * already waits a little more, for others to share its sync (`gatherMsOf`).
 *
 * A failed append or sync is final: what waited gets `durability_failed`, nothing is acked any more, and `step` throws.
 */
export class CommitStage implements Stage {
  readonly blockedOn: Bell
  readonly #deps: CommitDependencies
  readonly #appender: EntryAppender
  #nextRing = 0
  #lastLsn: Lsn
  #lastHlc: Hlc
  #unmarked = false
  #lastCommitMs: number
  #spaceCheckedMs: number
  #groupAssertions = 0
  /** What ingest is too far behind by, and since when that was last counted. */
  #stall: { readonly reason: StallReason, readonly sinceMs: number } | undefined

  constructor(deps: CommitDependencies) {
    this.#deps = deps
    this.#appender = new EntryAppender(deps.writer, deps.ids)
    this.blockedOn = deps.marks.appliedBell
    this.#lastLsn = deps.lastLsn
    this.#lastHlc = deps.lastHlc
    this.#lastCommitMs = deps.clock.monoMs()
    this.#spaceCheckedMs = deps.clock.monoMs()
    assert(deps.verified.length > 0, 'no ring to commit from')
  }

  step(): StepOutcome {
    this.#checkSpace()
    if (this.#isTooFarAhead()) return this.#stallBy('bytes')
    const gathered = this.#gather()
    const more = this.#waitsForMore() ? this.#gather() : 'idle'
    if (this.#deps.acks.pendingCount > 0) this.#commitGroup()
    if (gathered === 'blocked' || more === 'blocked') return this.#stallBy('ids')
    this.#countStall()
    this.#stall = undefined
    if (gathered === 'progress') return 'progress'
    return this.#markIfIdle() ? 'progress' : 'idle'
  }

  idleMs(): number {
    if (this.#deps.marks.refusal !== 0) return SPACE_CHECK_MS
    return this.#unmarked ? this.#deps.walMarkIdleMs : 1000
  }

  finish(): void {
    this.#deps.writer.seal()
  }

  /** Takes frames from all rings in turn until they are empty, the group is full, or the ids have no room. */
  #gather(): StepOutcome {
    const { verified, acks, receipts } = this.#deps
    let outcome: StepOutcome = 'idle'
    for (let n = 0; n < verified.length; n++) {
      const ring = verified[(this.#nextRing + n) % verified.length]!
      while (ring.peek()) {
        if (acks.pendingCount >= GROUP_BATCHES_MAX || receipts.isFull || !acks.hasRoom(ring)) return 'progress'
        const taken = this.#take(ring)
        if (taken === 'blocked') return acks.pendingCount > 0 ? 'progress' : 'blocked'
        if (taken === 'group_full') return 'progress'
        ring.release()
        outcome = 'progress'
      }
    }
    this.#nextRing = (this.#nextRing + 1) % verified.length
    return outcome
  }

  /** Sleeps where that lets more share the sync; whether it did. */
  #waitsForMore(): boolean {
    const { acks, clock, groupGatherMsMax, metrics, sleep, writer } = this.#deps
    if (groupGatherMsMax === 0 || acks.pendingCount === 0) return false
    const waitedMs = clock.monoMs() - acks.receivedMonoMs(acks.pendingCount - 1)
    const gatherMs = gatherMsOf(waitedMs, writer.stagedBytes, writer.groupBytesMax, groupGatherMsMax)
    if (gatherMs === 0) return false
    metrics.inc('wal_gather_seconds_total', gatherMs / 1000)
    sleep(gatherMs)
    return true
  }

  #take(ring: RingReader): 'taken' | 'group_full' | 'blocked' {
    const { view, payloadOffset: at } = ring
    const { acks } = this.#deps
    const refused = view.getUint16(at + VERIFIED_REFUSED_OFFSET, true)
    if (refused !== 0) {
      acks.pushRefused(ring, refused, view.getUint32(at + VERIFIED_RETRY_AFTER_MS_OFFSET, true))
      return 'taken'
    }
    if (view.getUint32(at + VERIFIED_ENTRY_BYTES_OFFSET, true) === 0) {
      this.#done(ring, 0, NO_DUPLICATES)
      return 'taken'
    }
    return this.#append(ring, view.getUint32(at + VERIFIED_COUNT_OFFSET, true))
  }

  #append(ring: RingReader, count: number): 'taken' | 'group_full' | 'blocked' {
    const { acks, clock, ids, marks } = this.#deps
    if (marks.refusal !== 0) {
      acks.pushRefused(ring, marks.refusal, DISK_FULL_RETRY_MS)
      return 'taken'
    }
    if (!ids.hasRoom(count)) return 'blocked'
    const firstHlc = hlcNext(this.#lastHlc, clock.wallMs())
    let appended = this.#appender.append(ring, count, this.#lastLsn + 1, firstHlc)
    if (appended === 'segment_full') {
      this.#rotate()
      appended = this.#appender.append(ring, count, this.#lastLsn + 1, firstHlc)
    }
    if (appended === 'group_full') return 'group_full'
    if (appended === 'disk_full' || appended === 'segment_full') {
      marks.setRefusal(ERROR_CODES.disk_full.number)
      acks.pushRefused(ring, ERROR_CODES.disk_full.number, DISK_FULL_RETRY_MS)
      return 'taken'
    }
    this.#done(ring, appended, this.#appender.duplicates, firstHlc)
    return 'taken'
  }

  /** Takes the next segment. Nothing is staged, so a failure here leaves no batch in doubt but those that wait for their ack. */
  #rotate(): void {
    const { writer, metrics } = this.#deps
    try {
      if (writer.rotate() === 'ok') metrics.inc('wal_rotations_total')
    } catch (error) {
      this.#fail()
      throw error
    }
  }

  /** The frame's batch has its place: `accepted` new assertions behind the last LSN. */
  #done(ring: RingReader, accepted: number, duplicates: Duplicates, firstHlc: Hlc = 0n): void {
    const { acks, receipts, metrics } = this.#deps
    const firstLsn = accepted > 0 ? this.#lastLsn + 1 : 0
    if (accepted > 0) {
      this.#lastLsn += accepted
      this.#lastHlc = firstHlc + BigInt(accepted - 1)
      this.#groupAssertions += accepted
    }
    if (duplicates.indexes.length > 0) metrics.inc('assertions_duplicate_total', duplicates.indexes.length)
    acks.pushDone(ring, accepted, firstLsn, accepted > 0 ? firstHlc : 0n, duplicates)
    if ((ring.view.getUint16(ring.payloadOffset + VERIFIED_FLAGS_OFFSET, true) & VERIFIED_FLAG_RECEIPT) !== 0) {
      receipts.push(ring, accepted, firstLsn, accepted > 0 ? firstHlc : 0n)
    }
  }

  /** One write, one sync, the mark, then the acks: in that order and nowhere else. */
  #commitGroup(): void {
    const { acks, writer, metrics, receipts } = this.#deps
    if (writer.stagedBytes > 0) {
      metrics.observe('wal_batch_size', acks.pendingCount)
      metrics.observe('wal_group_assertions', this.#groupAssertions)
      metrics.inc('assertions_accepted_total', this.#groupAssertions)
      this.#groupAssertions = 0
      this.#sync()
      this.#unmarked = true
    }
    acks.flush()
    receipts.flush()
  }

  /** Makes what is staged durable and moves the durable mark. @throws what the write or the sync threw; that is final. */
  #sync(): void {
    const { acks, clock, marks, metrics, writer } = this.#deps
    const startedMs = clock.monoMs()
    const bytes = writer.stagedBytes
    let position: WalPosition
    try {
      position = writer.commit()
    } catch (error) {
      this.#fail()
      throw error
    }
    marks.setDurable(position, this.#lastLsn, this.#lastHlc)
    this.#lastCommitMs = clock.monoMs()
    metrics.inc('wal_writes_total')
    metrics.inc('wal_bytes_written_total', bytes)
    metrics.observe('wal_group_bytes', bytes)
    metrics.observe('wal_flush_latency_seconds', (this.#lastCommitMs - startedMs) / 1000)
    for (let i = 0; i < acks.pendingCount; i++) {
      metrics.observe('ack_latency_seconds', { stage: 'durable' }, (this.#lastCommitMs - acks.receivedMonoMs(i)) / 1000)
    }
  }

  /** After a failed sync nobody knows what is on the disk: say so to all that wait, and never sync again. */
  #fail(): void {
    const { acks, marks, receipts } = this.#deps
    marks.setRefusal(ERROR_CODES.read_only.number)
    receipts.drop()
    acks.failPending(ERROR_CODES.durability_failed.number)
    acks.flush()
  }

  /** Behind the last group of a busy time, a mark says that it was durable; later damage to it is then no torn tail. */
  #markIfIdle(): boolean {
    const { clock, marks, metrics, writer, walMarkIdleMs } = this.#deps
    if (!this.#unmarked || clock.monoMs() - this.#lastCommitMs < walMarkIdleMs) return false
    this.#unmarked = false
    if (marks.refusal !== 0) return false
    let position: WalPosition
    try {
      if (!writer.mark()) return false
      position = writer.durablePosition
    } catch (error) {
      this.#fail()
      throw error
    }
    marks.setDurable(position, this.#lastLsn, this.#lastHlc)
    metrics.inc('wal_marks_total')
    return true
  }

  #isTooFarAhead(): boolean {
    const { ingestLagBytesMax, marks, walSegmentBytes } = this.#deps
    return marks.lagBytes(walSegmentBytes) > ingestLagBytesMax
  }

  /** Waits for ingest, and counts the time for which it does. */
  #stallBy(reason: StallReason): 'blocked' {
    this.#countStall()
    this.#stall = { reason, sinceMs: this.#deps.clock.monoMs() }
    return 'blocked'
  }

  #countStall(): void {
    if (this.#stall === undefined) return
    const { clock, metrics } = this.#deps
    metrics.inc('commit_stall_seconds_total', { reason: this.#stall.reason }, (clock.monoMs() - this.#stall.sinceMs) / 1000)
  }

  /** A full disk refuses writes before the log itself runs out, and heals by itself. */
  #checkSpace(): void {
    const { clock, marks, hasSpace, writer } = this.#deps
    const nowMs = clock.monoMs()
    if (nowMs - this.#spaceCheckedMs < SPACE_CHECK_MS) return
    this.#spaceCheckedMs = nowMs
    const full = ERROR_CODES.disk_full.number
    if (marks.refusal !== 0 && marks.refusal !== full) return
    if (hasSpace() && writer.diskFull && writer.stagedBytes === 0) this.#rotate()
    marks.setRefusal(hasSpace() && !writer.diskFull ? 0 : full)
  }
}
