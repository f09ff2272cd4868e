import { GROUP_ALIGN_BYTES, alignUp } from './record.layout.ts'
import { SEAL_BYTES } from './segment.layout.ts'

/** Where one more record goes: the only decision of group commit, there being no timer in it. */
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
