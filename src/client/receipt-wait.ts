import type { DbError } from '../base/errors.ts'
import type { BatchReceipt } from './acks.ts'

/** A batch's receipt that somebody waits for. */
export interface ReceiptWait {
  readonly promise: Promise<BatchReceipt>
  readonly resolve: (receipt: BatchReceipt) => void
  readonly reject: (error: DbError) => void
  stopTimer: (() => void) | undefined
}

export function receiptWait(): ReceiptWait {
  let resolve!: ReceiptWait['resolve']
  let reject!: ReceiptWait['reject']
  const promise = new Promise<BatchReceipt>((yes, no) => {
    resolve = yes
    reject = no
  })
  // Whoever does not look at the receipt shall not be ended by it.
  promise.catch(() => undefined)
  return { promise, resolve, reject, stopTimer: undefined }
}
