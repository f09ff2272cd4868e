import { GROUP_ALIGN_BYTES, alignUp } from './record.layout.ts'
import { SEAL_BYTES } from './segment.layout.ts'

/** Where one more record goes. */
export type Fit = 'ok' | 'group_full' | 'segment_full'

/**
 * @param groupStart where the group begins in its segment.
 * @param stagedBytes what the group holds so far.
 * @param recordBytes header and aligned payload of the record that wants in.
 * @param roomBytes what must stay free at the segment's end: the seal's place, or 0 for the seal itself.
 * @returns 'group_full': commit what is staged, then ask again. 'segment_full': nothing is staged; rotate. A record that is
 *   larger than a group goes alone.
 */
export function fitOf(
  groupStart: number, stagedBytes: number, recordBytes: number, groupBytesMax: number, segmentBytes: number,
  roomBytes = SEAL_BYTES,
): Fit {
  const end = groupStart + alignUp(stagedBytes + recordBytes, GROUP_ALIGN_BYTES)
  const fitsSegment = end + roomBytes <= segmentBytes
  if (stagedBytes === 0) return fitsSegment ? 'ok' : 'segment_full'
  return fitsSegment && stagedBytes + recordBytes <= groupBytesMax ? 'ok' : 'group_full'
}

/** A group gathers on for a sixteenth of the time that its youngest batch has been under way. */
const GATHER_SHARE = 1 / 16
/** Below it a sleep costs about as much as what it spares. */
const GATHER_MS_MIN = 0.25

/**
 * How long to gather on before a group is synced, so that more batches share what a group costs: a write, an fdatasync, and waking all
 * who follow the log. As `commit_delay` of PostgreSQL, which waits where other transactions are open; here what has waited says
 * whether others wait behind it, and how little the rest is to them: a node that is not busy syncs at once.
 * @param waitedMs since the group's youngest batch came in; negative or 0 where nothing is in the group
 * @param stagedBytes what the group holds; from half of `groupBytesMax` on it waits for nothing more
 * @param gatherMsMax the longest wait; 0: never
 * @returns milliseconds; 0: sync now
 */
export function gatherMsOf(waitedMs: number, stagedBytes: number, groupBytesMax: number, gatherMsMax: number): number {
  if (stagedBytes === 0 || 2 * stagedBytes >= groupBytesMax) return 0
  const gatherMs = Math.min(gatherMsMax, waitedMs * GATHER_SHARE)
  return gatherMs < GATHER_MS_MIN ? 0 : gatherMs
}
