import type { FileHandle } from 'node:fs/promises'
import { AUDIT_BLOCK_BYTES, AUDIT_LINE_BYTES_MAX } from './audit-limits.ts'

export interface BackwardLine {
  /** Bytes from the start of the file. */
  readonly start: number
  readonly text: string
}

const NEWLINE = 10

/**
 * Lines of a file from `end` to its start, the last one first, a block at a time. What is behind the last line's end (a torn line)
 * comes as a line too; empty ones are left out, and what is longer than any line of ours.
 */
export async function* linesBackwards(file: FileHandle, end: number): AsyncGenerator<BackwardLine> {
  let rest: Uint8Array = new Uint8Array(0)
  for (let at = end; at > 0;) {
    const size = Math.min(AUDIT_BLOCK_BYTES, at)
    at -= size
    const block = Buffer.alloc(size)
    const { bytesRead } = await file.read(block, 0, size, at)
    // A file that has become shorter is not ours to read on.
    if (bytesRead < size) return
    const bytes = Buffer.concat([block, rest])
    let to = bytes.length
    for (let newline = lastNewline(bytes, to); newline >= 0; newline = lastNewline(bytes, to)) {
      if (newline + 1 < to) yield { start: at + newline + 1, text: bytes.toString('utf8', newline + 1, to) }
      to = newline
    }
    // Too long for a line: what began it is not worth keeping, and what remains of it parses as none.
    rest = to > AUDIT_LINE_BYTES_MAX ? bytes.subarray(0, AUDIT_BLOCK_BYTES) : bytes.subarray(0, to)
  }
  if (rest.length > 0) yield { start: 0, text: Buffer.from(rest).toString('utf8') }
}

const lastNewline = (bytes: Buffer, before: number): number => (before === 0 ? -1 : bytes.lastIndexOf(NEWLINE, before - 1))
