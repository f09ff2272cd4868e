import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { must } from '../../src/base/assert.ts'
import { readLsn } from '../../src/base/lsn.ts'
import {
  RECORD_ALIGN_BYTES, RECORD_COUNT_OFFSET, RECORD_HEADER_BYTES, RECORD_KIND, RECORD_KIND_OFFSET, RECORD_LSN_FIRST_OFFSET, RECORD_MAGIC,
  RECORD_PAD_BYTES_OFFSET, RECORD_PAYLOAD_BYTES_OFFSET, alignUp,
} from '../../src/wal/record.layout.ts'
import { SEGMENT_RECORDS_OFFSET } from '../../src/wal/segment.layout.ts'
import type { RecordPlace } from './strace.lint.ts'

/** Where each batch of a closed log stands, by ascending LSN: by the layout alone, without the server's own reader. */
export function recordPlaces(dataDir: string): RecordPlace[] {
  const dir = join(dataDir, 'wal')
  return readdirSync(dir).filter((name) => /^\d{10}\.wal$/.test(name)).sort().flatMap((name) => placesIn(join(dir, name)))
}

/** A closed log that has lost its last batches, and a store that does not know better: what a test of acks must notice. */
export function eraseLastRecords(dataDir: string, count: number): void {
  const first = must(recordPlaces(dataDir).at(-count))
  const bytes = readFileSync(first.path)
  bytes.fill(0, first.offset)
  writeFileSync(first.path, bytes)
  rmSync(join(dataDir, 'db'), { recursive: true, force: true })
}

function placesIn(path: string): RecordPlace[] {
  const bytes = readFileSync(path)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const places: RecordPlace[] = []
  let offset = SEGMENT_RECORDS_OFFSET
  while (offset + RECORD_HEADER_BYTES <= bytes.length && view.getUint32(offset, true) === RECORD_MAGIC) {
    if (view.getUint8(offset + RECORD_KIND_OFFSET) === RECORD_KIND.batch) {
      places.push({ firstLsn: readLsn(view, offset + RECORD_LSN_FIRST_OFFSET), count: view.getUint32(offset + RECORD_COUNT_OFFSET, true), path, offset })
    }
    offset += RECORD_HEADER_BYTES + alignUp(view.getUint32(offset + RECORD_PAYLOAD_BYTES_OFFSET, true), RECORD_ALIGN_BYTES)
      + view.getUint16(offset + RECORD_PAD_BYTES_OFFSET, true)
  }
  return places
}
