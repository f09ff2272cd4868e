import type { Hlc } from '../base/hlc.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { writeLsn, type Lsn } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import {
  ACK_ACCEPTED_OFFSET, ACK_BATCH_COUNT_OFFSET, ACK_FIRST_HLC_OFFSET, ACK_FIRST_LSN_OFFSET, ACK_FRAME_BYTES_OFFSET,
  ACK_GENERATION_OFFSET, ACK_OUTCOMES_OFFSET, ACK_OUTCOME_COUNT_OFFSET, ACK_RECEIVED_MONO_MS_OFFSET,
  ACK_REFUSED_OFFSET, ACK_REQUEST_ID_OFFSET, ACK_RETRY_AFTER_MS_OFFSET, ACK_SLOT_OFFSET, OUTCOME_BYTES,
  OUTCOME_CODE_OFFSET, OUTCOME_HLC_OFFSET, OUTCOME_INDEX_OFFSET, OUTCOME_LSN_OFFSET, ackBytes,
} from './ack.layout.ts'
import type { Duplicates } from './entry-appender.ts'
import {
  VERIFIED_COUNT_OFFSET, VERIFIED_ENTRY_BYTES_OFFSET, VERIFIED_FRAME_BYTES_OFFSET, VERIFIED_GENERATION_OFFSET,
  VERIFIED_OUTCOME_COUNT_OFFSET, VERIFIED_RECEIVED_MONO_MS_OFFSET, VERIFIED_REQUEST_ID_OFFSET, VERIFIED_SLOT_OFFSET,
  verifiedOutcomesOffset,
} from './verified.layout.ts'

/** Bytes of acks that may wait for one sync. The largest ack (65,535 outcomes) takes 1.5 MiB. */
export const PENDING_ACK_BYTES_MAX = 4 * MiB
/** Longest sleep for room in the ring to the front before looking again, in milliseconds. */
const SPACE_WAIT_MS = 100

/**
 * Acks that wait for the group's sync, in the order of their batches. Nothing of them reaches the front before
 * {@link flush}, which the commit stage calls after the durable mark has moved.
 */
export class AckQueue {
  readonly #ring: RingWriter
  /** What to do where the ring is full; the front is always draining. Inline mode drains it right here. */
  readonly #waitForSpace: (bytes: number) => void
  readonly #staged = new Uint8Array(PENDING_ACK_BYTES_MAX)
  readonly #view = new DataView(this.#staged.buffer)
  /** Start of each pending ack in the staging buffer, and the end of the last. */
  readonly #starts: number[] = [0]

  constructor(ring: RingWriter, waitForSpace?: (bytes: number) => void) {
    this.#ring = ring
    this.#waitForSpace = waitForSpace ?? ((bytes) => ring.waitForSpace(bytes, SPACE_WAIT_MS))
  }

  get pendingCount(): number {
    return this.#starts.length - 1
  }

  /** When the batch of a pending ack had come, on the monotonic clock. */
  receivedMonoMs(index: number): number {
    return this.#view.getFloat64(this.#starts[index]! + ACK_RECEIVED_MONO_MS_OFFSET, true)
  }

  /** Whether the ack of the ring's next frame fits, whatever becomes of it. */
  hasRoom(verified: RingReader): boolean {
    const count = verified.view.getUint32(verified.payloadOffset + VERIFIED_COUNT_OFFSET, true)
    return this.#end + ackBytes(count) <= PENDING_ACK_BYTES_MAX
  }

  /** The whole batch of the ring's next frame is refused. */
  pushRefused(verified: RingReader, code: number, retryAfterMs: number): void {
    const at = this.#header(verified)
    this.#view.setUint16(at + ACK_REFUSED_OFFSET, code, true)
    this.#view.setUint32(at + ACK_RETRY_AFTER_MS_OFFSET, retryAfterMs, true)
    this.#starts.push(at + ackBytes(0))
  }

  /** The batch of the ring's next frame is done: `accepted` are new, the rest has outcomes. */
  pushDone(verified: RingReader, accepted: number, firstLsn: Lsn, firstHlc: Hlc, duplicates: Duplicates): void {
    const at = this.#header(verified)
    writeLsn(this.#view, at + ACK_FIRST_LSN_OFFSET, firstLsn)
    this.#view.setBigUint64(at + ACK_FIRST_HLC_OFFSET, firstHlc, true)
    this.#view.setUint32(at + ACK_ACCEPTED_OFFSET, accepted, true)
    const count = this.#mergeOutcomes(verified, duplicates, at + ACK_OUTCOMES_OFFSET)
    this.#view.setUint32(at + ACK_OUTCOME_COUNT_OFFSET, count, true)
    this.#starts.push(at + ackBytes(count))
  }

  /** After a failed sync: whatever was not refused before has an unknown outcome now. */
  failPending(code: number): void {
    for (let i = 0; i < this.pendingCount; i++) {
      const at = this.#starts[i]!
      if (this.#view.getUint16(at + ACK_REFUSED_OFFSET, true) !== 0) continue
      this.#view.setUint16(at + ACK_REFUSED_OFFSET, code, true)
      this.#view.setUint32(at + ACK_ACCEPTED_OFFSET, 0, true)
      this.#view.setUint32(at + ACK_OUTCOME_COUNT_OFFSET, 0, true)
      writeLsn(this.#view, at + ACK_FIRST_LSN_OFFSET, 0)
      this.#view.setBigUint64(at + ACK_FIRST_HLC_OFFSET, 0n, true)
    }
  }

  /** Hands all pending acks to the front. */
  flush(): void {
    if (this.pendingCount === 0) return
    for (let i = 0; i < this.pendingCount; i++) {
      const at = this.#starts[i]!
      const bytes = ackBytes(this.#view.getUint32(at + ACK_OUTCOME_COUNT_OFFSET, true))
      let to = this.#ring.reserve(bytes)
      while (to < 0) {
        this.#ring.wake()
        this.#waitForSpace(bytes)
        to = this.#ring.reserve(bytes)
      }
      this.#ring.bytes.set(this.#staged.subarray(at, at + bytes), to)
      this.#ring.publishQuietly()
    }
    this.#starts.length = 1
    this.#ring.wake()
  }

  get #end(): number {
    return this.#starts[this.#starts.length - 1]!
  }

  #header(verified: RingReader): number {
    const at = this.#end
    const from = verified.payloadOffset
    const { view } = verified
    this.#staged.fill(0, at, at + ACK_OUTCOMES_OFFSET)
    this.#view.setUint32(at + ACK_SLOT_OFFSET, view.getUint32(from + VERIFIED_SLOT_OFFSET, true), true)
    this.#view.setUint32(at + ACK_GENERATION_OFFSET, view.getUint32(from + VERIFIED_GENERATION_OFFSET, true), true)
    this.#view.setUint32(at + ACK_REQUEST_ID_OFFSET, view.getUint32(from + VERIFIED_REQUEST_ID_OFFSET, true), true)
    this.#view.setUint32(at + ACK_REQUEST_ID_OFFSET + 4, view.getUint32(from + VERIFIED_REQUEST_ID_OFFSET + 4, true), true)
    this.#view.setUint32(at + ACK_FRAME_BYTES_OFFSET, view.getUint32(from + VERIFIED_FRAME_BYTES_OFFSET, true), true)
    this.#view.setFloat64(at + ACK_RECEIVED_MONO_MS_OFFSET, view.getFloat64(from + VERIFIED_RECEIVED_MONO_MS_OFFSET, true), true)
    this.#view.setUint32(at + ACK_BATCH_COUNT_OFFSET, view.getUint32(from + VERIFIED_COUNT_OFFSET, true), true)
    return at
  }

  /** Those that the verify stage found, and the duplicates found since, both ascending, into one ascending list. */
  #mergeOutcomes(verified: RingReader, duplicates: Duplicates, to: number): number {
    const { view, bytes, payloadOffset } = verified
    const found = view.getUint32(payloadOffset + VERIFIED_OUTCOME_COUNT_OFFSET, true)
    let from = payloadOffset + verifiedOutcomesOffset(view.getUint32(payloadOffset + VERIFIED_ENTRY_BYTES_OFFSET, true))
    let at = to
    let next = 0
    for (let i = 0; i < found; i++, from += OUTCOME_BYTES, at += OUTCOME_BYTES) {
      const index = view.getUint32(from + OUTCOME_INDEX_OFFSET, true)
      while (next < duplicates.indexes.length && duplicates.indexes[next]! < index) at = this.#duplicate(duplicates, next++, at)
      this.#staged.set(bytes.subarray(from, from + OUTCOME_BYTES), at)
    }
    while (next < duplicates.indexes.length) at = this.#duplicate(duplicates, next++, at)
    return (at - to) / OUTCOME_BYTES
  }

  #duplicate(duplicates: Duplicates, i: number, at: number): number {
    const stamp = duplicates.stamps[i]!
    writeLsn(this.#view, at + OUTCOME_LSN_OFFSET, stamp.lsn)
    this.#view.setBigUint64(at + OUTCOME_HLC_OFFSET, stamp.hlc, true)
    this.#view.setUint32(at + OUTCOME_INDEX_OFFSET, duplicates.indexes[i]!, true)
    this.#view.setUint32(at + OUTCOME_CODE_OFFSET, ERROR_CODES.duplicate.number, true)
    return at + OUTCOME_BYTES
  }
}
