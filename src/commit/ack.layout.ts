import { assert } from '../base/assert.ts'

/**
 * What the commit stage tells the front about one batch (docs/formats/ring.md), little-endian. The outcomes are laid
 * out as `struct Outcome` of fbs/frames.fbs, so that the front copies them into its frame as they are.
 */
export const ACK_SLOT_OFFSET = 0
export const ACK_GENERATION_OFFSET = 4
export const ACK_REQUEST_ID_OFFSET = 8
export const ACK_FIRST_LSN_OFFSET = 16
export const ACK_FIRST_HLC_OFFSET = 24
export const ACK_ACCEPTED_OFFSET = 32
export const ACK_REFUSED_OFFSET = 36
export const ACK_FLAGS_OFFSET = 38
export const ACK_FRAME_BYTES_OFFSET = 40
export const ACK_OUTCOME_COUNT_OFFSET = 44
export const ACK_RECEIVED_MONO_MS_OFFSET = 48
export const ACK_BATCH_COUNT_OFFSET = 56
export const ACK_RETRY_AFTER_MS_OFFSET = 60
export const ACK_OUTCOMES_OFFSET = 64

/** One outcome: lsn u64, hlc u64, index u32, code u16, two bytes unused. */
export const OUTCOME_BYTES = 24
export const OUTCOME_LSN_OFFSET = 0
export const OUTCOME_HLC_OFFSET = 8
export const OUTCOME_INDEX_OFFSET = 16
export const OUTCOME_CODE_OFFSET = 20

assert(ACK_RECEIVED_MONO_MS_OFFSET % 8 === 0 && ACK_OUTCOMES_OFFSET % 8 === 0, 'u64 fields of an ack are not aligned')

export const ackBytes = (outcomeCount: number): number => ACK_OUTCOMES_OFFSET + outcomeCount * OUTCOME_BYTES

/** Flyweight over one ack: valid until the frame that holds it is released. */
export class AckView {
  #view: DataView = new DataView(new ArrayBuffer(ACK_OUTCOMES_OFFSET))
  #bytes: Uint8Array = new Uint8Array(this.#view.buffer)
  #at = 0

  reset(bytes: Uint8Array, view: DataView, offset: number): this {
    this.#bytes = bytes
    this.#view = view
    this.#at = offset
    return this
  }

  get slot(): number { return this.#view.getUint32(this.#at + ACK_SLOT_OFFSET, true) }
  get generation(): number { return this.#view.getUint32(this.#at + ACK_GENERATION_OFFSET, true) }
  get requestIdLo(): number { return this.#view.getUint32(this.#at + ACK_REQUEST_ID_OFFSET, true) }
  get requestIdHi(): number { return this.#view.getUint32(this.#at + ACK_REQUEST_ID_OFFSET + 4, true) }
  get requestId(): bigint { return this.#view.getBigUint64(this.#at + ACK_REQUEST_ID_OFFSET, true) }
  get firstLsn(): bigint { return this.#view.getBigUint64(this.#at + ACK_FIRST_LSN_OFFSET, true) }
  get firstLsnLo(): number { return this.#view.getUint32(this.#at + ACK_FIRST_LSN_OFFSET, true) }
  get firstLsnHi(): number { return this.#view.getUint32(this.#at + ACK_FIRST_LSN_OFFSET + 4, true) }
  get firstHlc(): bigint { return this.#view.getBigUint64(this.#at + ACK_FIRST_HLC_OFFSET, true) }
  get firstHlcLo(): number { return this.#view.getUint32(this.#at + ACK_FIRST_HLC_OFFSET, true) }
  get firstHlcHi(): number { return this.#view.getUint32(this.#at + ACK_FIRST_HLC_OFFSET + 4, true) }
  get accepted(): number { return this.#view.getUint32(this.#at + ACK_ACCEPTED_OFFSET, true) }
  /** Error code of the whole batch; 0 where it was taken. */
  get refused(): number { return this.#view.getUint16(this.#at + ACK_REFUSED_OFFSET, true) }
  get frameBytes(): number { return this.#view.getUint32(this.#at + ACK_FRAME_BYTES_OFFSET, true) }
  get outcomeCount(): number { return this.#view.getUint32(this.#at + ACK_OUTCOME_COUNT_OFFSET, true) }
  get receivedMonoMs(): number { return this.#view.getFloat64(this.#at + ACK_RECEIVED_MONO_MS_OFFSET, true) }
  get batchCount(): number { return this.#view.getUint32(this.#at + ACK_BATCH_COUNT_OFFSET, true) }
  get retryAfterMs(): number { return this.#view.getUint32(this.#at + ACK_RETRY_AFTER_MS_OFFSET, true) }

  /** All outcomes as they lie: `outcomeCount` times {@link OUTCOME_BYTES}. */
  outcomesBytes(): Uint8Array {
    const start = this.#at + ACK_OUTCOMES_OFFSET
    return this.#bytes.subarray(start, start + this.outcomeCount * OUTCOME_BYTES)
  }

  outcomeIndex(i: number): number { return this.#view.getUint32(this.#outcome(i) + OUTCOME_INDEX_OFFSET, true) }
  outcomeCode(i: number): number { return this.#view.getUint16(this.#outcome(i) + OUTCOME_CODE_OFFSET, true) }
  outcomeLsn(i: number): bigint { return this.#view.getBigUint64(this.#outcome(i) + OUTCOME_LSN_OFFSET, true) }
  outcomeHlc(i: number): bigint { return this.#view.getBigUint64(this.#outcome(i) + OUTCOME_HLC_OFFSET, true) }

  #outcome(i: number): number {
    return this.#at + ACK_OUTCOMES_OFFSET + i * OUTCOME_BYTES
  }
}
