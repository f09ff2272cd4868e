/** Front → verify (docs/formats/ring.md): who gets the ack, when the frame came, then the Batch buffer as it came. */
export const SUBMIT_SLOT_OFFSET = 0
export const SUBMIT_GENERATION_OFFSET = 4
export const SUBMIT_RECEIVED_MONO_MS_OFFSET = 8
export const SUBMIT_BATCH_OFFSET = 16

export const submitBytes = (batchBytes: number): number => SUBMIT_BATCH_OFFSET + batchBytes
