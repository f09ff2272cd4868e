import { readLsn, writeLsn } from '../base/lsn.ts'
import type { ScrubDamage } from './scrubber.ts'

/** What crosses from the scrubber to the thread that speaks to people: a segment is damaged, or is whole again. */
export interface ScrubReport {
  readonly segmentId: number
  readonly damage: ScrubDamage | undefined
}

const OFFSET_OFFSET = 4
const LSN_OFFSET = 8
/** UTF-8 up to the end; nothing where the segment is whole. */
const REASON_OFFSET = 16
/** Longer reasons are cut. */
const REASON_BYTES_MAX = 512

export function encodeScrubReport({ segmentId, damage }: ScrubReport): Uint8Array {
  const reason = new TextEncoder().encode(damage?.reason ?? '').subarray(0, REASON_BYTES_MAX)
  const bytes = new Uint8Array(REASON_OFFSET + reason.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, segmentId, true)
  view.setUint32(OFFSET_OFFSET, damage?.offset ?? 0, true)
  writeLsn(view, LSN_OFFSET, damage?.lsn ?? 0)
  bytes.set(reason, REASON_OFFSET)
  return bytes
}

export function decodeScrubReport(bytes: Uint8Array): ScrubReport {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const segmentId = view.getUint32(0, true)
  // A copy, because a decoder of text takes no shared memory.
  const reason = new TextDecoder().decode(bytes.slice(REASON_OFFSET))
  if (reason === '') return { segmentId, damage: undefined }
  return { segmentId, damage: { segmentId, offset: view.getUint32(OFFSET_OFFSET, true), lsn: readLsn(view, LSN_OFFSET), reason } }
}
