import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { ERROR_CODES, errorNameOf } from '../base/error-codes.ts'
import { isDbError } from '../base/errors.ts'
import type { Stamp } from '../base/hlc.ts'
import { writeLsn, type Lsn } from '../base/lsn.ts'
import type { Bell } from '../ring/bell.ts'
import type { ThreadMetrics } from '../observe/thread-metrics.ts'
import { HASH_BYTES } from '../record/limits.ts'
import type { RingReader, RingWriter } from '../ring/ring.ts'
import { PREPARED_IDS_MAX } from '../store/prepared-ids.ts'
import type { Stage, StepOutcome } from '../thread/stage.ts'
import type { BatchVerifier } from '../verify/verify-batch.ts'
import { logEntryBytes, writeLogEntry } from '../wire/log-entry.codec.ts'
import {
  OUTCOME_BYTES, OUTCOME_CODE_OFFSET, OUTCOME_HLC_OFFSET, OUTCOME_INDEX_OFFSET, OUTCOME_LSN_OFFSET,
} from './ack.layout.ts'
import type { IdDirectory } from './id-directory.ts'
import {
  SUBMIT_BATCH_OFFSET, SUBMIT_GENERATION_OFFSET, SUBMIT_RECEIVED_MONO_MS_OFFSET, SUBMIT_SLOT_OFFSET,
} from './submit.layout.ts'
import {
  VERIFIED_COUNT_OFFSET, VERIFIED_ENTRY_BYTES_OFFSET, VERIFIED_ENTRY_OFFSET, VERIFIED_FLAGS_OFFSET,
  VERIFIED_FLAG_RECEIPT, VERIFIED_FRAME_BYTES_OFFSET, VERIFIED_GENERATION_OFFSET, VERIFIED_KNOWN_LSN_OFFSET, VERIFIED_OUTCOME_COUNT_OFFSET,
  VERIFIED_RECEIVED_MONO_MS_OFFSET, VERIFIED_REFUSED_OFFSET, VERIFIED_REQUEST_ID_OFFSET, VERIFIED_RETRY_AFTER_MS_OFFSET,
  VERIFIED_ROOT_OFFSET, VERIFIED_SLOT_OFFSET, verifiedBytes, verifiedOutcomesOffset,
} from './verified.layout.ts'

export interface VerifyDependencies {
  readonly submitted: RingReader
  readonly verified: RingWriter
  readonly batchAssertionsMax: number
  readonly verifier: BatchVerifier
  readonly ids: Pick<IdDirectory, 'prepare' | 'mayKnow' | 'find'>
  /** Ids up to it can be found: they were made known before the mark moved. */
  readonly durableLsn: () => Lsn
  readonly clock: Clock
  readonly metrics: ThreadMetrics
}

/**
 * Checks what the front took: structure, ids, signatures, and which ids are known already. Its verdict and the log
 * entry go to the commit stage as one frame; a refused batch goes the same way without an entry.
 */
export class VerifyStage implements Stage {
  readonly blockedOn: Bell
  readonly #deps: VerifyDependencies

  constructor(deps: VerifyDependencies) {
    this.#deps = deps
    this.blockedOn = deps.verified.space
  }

  step(): StepOutcome {
    const { submitted } = this.#deps
    if (!submitted.peek()) return 'idle'
    if (!this.#hasRoom(submitted.payloadBytes)) return 'blocked'
    this.#pass()
    submitted.release()
    return 'progress'
  }

  idleMs(): number {
    return 1000
  }

  finish(): void {
    // Nothing is kept between frames.
  }

  /** Whether the verdict on a frame fits, whatever it will be: checked first, so that no work is done twice. */
  #hasRoom(frameBytes: number): boolean {
    // A batch's vector takes four bytes an assertion at the very least.
    const count = Math.min(this.#deps.batchAssertionsMax, frameBytes >> 2)
    return this.#deps.verified.hasRoom(verifiedBytes(logEntryBytes(count, frameBytes), count))
  }

  #pass(): void {
    const { submitted, verified, verifier, clock, metrics, durableLsn } = this.#deps
    const batchStart = submitted.payloadOffset + SUBMIT_BATCH_OFFSET
    const batchBytes = submitted.payloadBytes - SUBMIT_BATCH_OFFSET
    const startedMs = clock.monoMs()
    const result = verifier.verify(submitted.bytes, batchStart, batchBytes, clock.wallMs())
    const appends = result.refused === 0 && result.acceptedCount > 0
    const entryBytes = appends ? logEntryBytes(result.count, batchBytes) : 0
    const outcomesMax = result.refused === 0 ? result.count : 0
    const at = verified.reserve(verifiedBytes(entryBytes, outcomesMax))
    assert(at >= 0, 'a verdict is larger than its bound')

    const { view } = verified
    this.#header(at, result.refused)
    view.setUint32(at + VERIFIED_COUNT_OFFSET, result.count, true)
    view.setUint16(at + VERIFIED_FLAGS_OFFSET, result.wantsReceipt ? VERIFIED_FLAG_RECEIPT : 0, true)
    view.setBigUint64(at + VERIFIED_REQUEST_ID_OFFSET, result.requestId, true)
    verified.bytes.set(result.root, at + VERIFIED_ROOT_OFFSET)
    // Before the first of the ids is looked for.
    writeLsn(view, at + VERIFIED_KNOWN_LSN_OFFSET, durableLsn())
    const outcomeCount = result.refused === 0 ? this.#outcomes(at + verifiedOutcomesOffset(entryBytes)) : 0
    view.setUint32(at + VERIFIED_OUTCOME_COUNT_OFFSET, outcomeCount, true)
    view.setUint32(at + VERIFIED_ENTRY_BYTES_OFFSET, entryBytes, true)
    if (appends) {
      writeLogEntry(verified.bytes, at + VERIFIED_ENTRY_OFFSET, result,
        submitted.bytes.subarray(batchStart, batchStart + batchBytes))
    }
    verified.publish()
    const endedMs = clock.monoMs()
    const receivedMs = submitted.view.getFloat64(submitted.payloadOffset + SUBMIT_RECEIVED_MONO_MS_OFFSET, true)
    metrics.inc('verify_batches_total')
    metrics.inc('verify_busy_seconds_total', (endedMs - startedMs) / 1000)
    metrics.observe('ack_latency_seconds', { stage: 'verified' }, (endedMs - receivedMs) / 1000)
  }

  #header(at: number, refused: number): void {
    const { submitted, verified: { view } } = this.#deps
    const from = submitted.payloadOffset
    view.setUint32(at + VERIFIED_SLOT_OFFSET, submitted.view.getUint32(from + SUBMIT_SLOT_OFFSET, true), true)
    view.setUint32(at + VERIFIED_GENERATION_OFFSET, submitted.view.getUint32(from + SUBMIT_GENERATION_OFFSET, true), true)
    view.setFloat64(at + VERIFIED_RECEIVED_MONO_MS_OFFSET, submitted.view.getFloat64(from + SUBMIT_RECEIVED_MONO_MS_OFFSET, true), true)
    view.setUint32(at + VERIFIED_FRAME_BYTES_OFFSET, submitted.payloadBytes - SUBMIT_BATCH_OFFSET, true)
    view.setUint16(at + VERIFIED_REFUSED_OFFSET, refused, true)
    view.setUint32(at + VERIFIED_RETRY_AFTER_MS_OFFSET, 0, true)
  }

  /**
   * The stamp of a known assertion. One whose record can not be read is refused: nobody can say then whether it is known, and
   * the damage of one place must not end the node.
   */
  #find(index: number): Stamp | undefined {
    const { ids, verifier: { result } } = this.#deps
    try {
      return ids.mayKnow(index % PREPARED_IDS_MAX) ? ids.find(result.ids, index * HASH_BYTES) : undefined
    } catch (error) {
      if (!isDbError(error)) throw error
      result.codes[index] = error.number
      result.acceptedCount--
      return undefined
    }
  }

  /** Writes an outcome for each assertion that is refused or known; a known one loses its accepted bit. Their count. */
  #outcomes(start: number): number {
    const { ids, metrics, verifier: { result }, verified: { view } } = this.#deps
    let at = start
    for (let i = 0; i < result.count; i++) {
      if (i % PREPARED_IDS_MAX === 0) ids.prepare(result.ids, i * HASH_BYTES, Math.min(PREPARED_IDS_MAX, result.count - i))
      const known = result.codes[i] === 0 ? this.#find(i) : undefined
      const code = result.codes[i]!
      if (code === 0 && known === undefined) continue
      writeLsn(view, at + OUTCOME_LSN_OFFSET, known?.lsn ?? 0)
      view.setBigUint64(at + OUTCOME_HLC_OFFSET, known?.hlc ?? 0n, true)
      view.setUint32(at + OUTCOME_INDEX_OFFSET, i, true)
      view.setUint32(at + OUTCOME_CODE_OFFSET, code === 0 ? ERROR_CODES.duplicate.number : code, true)
      if (known === undefined) {
        metrics.inc('assertion_refusals_total', { code: errorNameOf(code) })
      } else {
        metrics.inc('assertions_duplicate_total')
        result.codes[i] = ERROR_CODES.duplicate.number
        result.acceptedCount--
      }
      at += OUTCOME_BYTES
    }
    return (at - start) / OUTCOME_BYTES
  }
}
