import type { Hlc } from '../base/hlc.ts'
import { writeLsn, type Lsn } from '../base/lsn.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import {
  RECEIPT_REQUEST_ACCEPTED_OFFSET, RECEIPT_REQUEST_BYTES, RECEIPT_REQUEST_COUNT_BYTES, RECEIPT_REQUEST_FIRST_HLC_OFFSET,
  RECEIPT_REQUEST_FIRST_LSN_OFFSET, RECEIPT_REQUEST_GENERATION_OFFSET, RECEIPT_REQUEST_REQUEST_ID_OFFSET,
  RECEIPT_REQUEST_ROOT_OFFSET, RECEIPT_REQUEST_SLOT_OFFSET,
} from './receipt-request.layout.ts'
import {
  VERIFIED_GENERATION_OFFSET, VERIFIED_REQUEST_ID_OFFSET, VERIFIED_ROOT_OFFSET, VERIFIED_SLOT_OFFSET,
} from './verified.layout.ts'

/** Most receipts of one commit group; those beyond it are signed in a group of their own. */
export const RECEIPT_GROUP_MAX = 512
/** Longest sleep for room in a merkle thread's ring before looking again, in milliseconds. */
const SPACE_WAIT_MS = 100

/**
 * Batches of the group that asked for a receipt. After the sync they go to a merkle thread as one frame, which is the
 * whole of what receipts cost the commit stage.
 */
export class ReceiptQueue {
  readonly #rings: readonly RingWriter[]
  readonly #waitForSpace: (ring: RingWriter, bytes: number) => void
  readonly #staged = new Uint8Array(RECEIPT_REQUEST_COUNT_BYTES + RECEIPT_GROUP_MAX * RECEIPT_REQUEST_BYTES)
  readonly #view = new DataView(this.#staged.buffer)
  #pendingCount = 0
  #nextRing = 0

  /** @param rings one for each merkle thread. */
  constructor(rings: readonly RingWriter[], waitForSpace?: (ring: RingWriter, bytes: number) => void) {
    this.#rings = rings
    this.#waitForSpace = waitForSpace ?? ((ring, bytes) => ring.waitForSpace(bytes, SPACE_WAIT_MS))
  }

  get isFull(): boolean {
    return this.#pendingCount >= RECEIPT_GROUP_MAX
  }

  push(verified: RingReader, accepted: number, firstLsn: Lsn, firstHlc: Hlc): void {
    const at = RECEIPT_REQUEST_COUNT_BYTES + this.#pendingCount * RECEIPT_REQUEST_BYTES
    const from = verified.payloadOffset
    const { view } = verified
    this.#view.setUint32(at + RECEIPT_REQUEST_SLOT_OFFSET, view.getUint32(from + VERIFIED_SLOT_OFFSET, true), true)
    this.#view.setUint32(at + RECEIPT_REQUEST_GENERATION_OFFSET, view.getUint32(from + VERIFIED_GENERATION_OFFSET, true), true)
    this.#view.setBigUint64(at + RECEIPT_REQUEST_REQUEST_ID_OFFSET, view.getBigUint64(from + VERIFIED_REQUEST_ID_OFFSET, true), true)
    writeLsn(this.#view, at + RECEIPT_REQUEST_FIRST_LSN_OFFSET, firstLsn)
    this.#view.setBigUint64(at + RECEIPT_REQUEST_FIRST_HLC_OFFSET, firstHlc, true)
    this.#view.setUint32(at + RECEIPT_REQUEST_ACCEPTED_OFFSET, accepted, true)
    const root = from + VERIFIED_ROOT_OFFSET
    this.#staged.set(verified.bytes.subarray(root, root + 32), at + RECEIPT_REQUEST_ROOT_OFFSET)
    this.#pendingCount++
  }

  /** Hands the group's requests to a merkle thread. */
  flush(): void {
    if (this.#pendingCount === 0) return
    const ring = this.#rings[this.#nextRing]!
    this.#nextRing = (this.#nextRing + 1) % this.#rings.length
    this.#view.setUint32(0, this.#pendingCount, true)
    const bytes = RECEIPT_REQUEST_COUNT_BYTES + this.#pendingCount * RECEIPT_REQUEST_BYTES
    const frame = this.#staged.subarray(0, bytes)
    while (!ring.write(frame)) this.#waitForSpace(ring, bytes)
    this.#pendingCount = 0
  }

  /** The group failed: no receipt for what may not be there. */
  drop(): void {
    this.#pendingCount = 0
  }
}
