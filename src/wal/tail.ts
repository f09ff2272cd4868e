import type { DiskFile } from '../base/disk.ts'
import { MiB } from '../base/units.ts'
import { emptyRecordHeader, parseRecordHeader } from './record.codec.ts'
import { RECORD_ALIGN_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC } from './record.layout.ts'
import type { SegmentHeader } from './segment.codec.ts'

/** What stands behind the last valid record of the open segment. */
export interface Tail {
  /** From the end up to the last byte that is not zero: what a cut takes away. With a proof, up to that. */
  readonly strayBytes: number
  /** A header behind the end which shows that the bytes at the end were synced once: corruption (see record.codec.ts). */
  readonly proof: { readonly offset: number, readonly durableOffset: number } | undefined
}

const CHUNK_BYTES = MiB
/** A header that starts at the end of one chunk is whole in the next. */
const OVERLAP_BYTES = RECORD_HEADER_BYTES - RECORD_ALIGN_BYTES
const ZEROS = Buffer.alloc(CHUNK_BYTES)
const MAGIC_BYTES = Buffer.alloc(4)
MAGIC_BYTES.writeUInt32LE(RECORD_MAGIC)

/**
 * Looks at everything from `end` to the end of the file. One pass, 1 MiB at a time; zeros, which are nearly all of it,
 * cost a comparison.
 */
export function examineTail(file: DiskFile, segment: SegmentHeader, end: number): Tail {
  const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, Math.max(RECORD_HEADER_BYTES, file.size() - end + 1)))
  let last = end
  for (let at = end; ; at += chunk.length - OVERLAP_BYTES) {
    const count = file.pread(chunk, 0, chunk.length, at)
    const bytes = chunk.subarray(0, count)
    if (!bytes.equals(ZEROS.subarray(0, count))) {
      const proof = findProof(bytes, at, end, segment)
      if (proof !== undefined) return { strayBytes: proof.offset - end, proof }
      last = at + lastNonZero(bytes) + 1
    }
    if (count < chunk.length) return { strayBytes: last - end, proof: undefined }
  }
}

function lastNonZero(bytes: Uint8Array): number {
  let i = bytes.length - 1
  while (i >= 0 && bytes[i] === 0) i--
  return i
}

function findProof(bytes: Buffer, start: number, end: number, segment: SegmentHeader): Tail['proof'] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = emptyRecordHeader()
  for (let i = bytes.indexOf(MAGIC_BYTES); i !== -1; i = bytes.indexOf(MAGIC_BYTES, i + 1)) {
    if ((start + i) % RECORD_ALIGN_BYTES !== 0 || i + RECORD_HEADER_BYTES > bytes.length) continue
    if (parseRecordHeader(bytes, view, i, segment.tagLo, segment.tagHi, header) !== undefined) continue
    if (header.durableOffset > end) return { offset: start + i, durableOffset: header.durableOffset }
  }
  return undefined
}
