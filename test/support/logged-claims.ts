import { join } from 'node:path'
import { toHex } from '../../src/base/bytes.ts'
import { nodeDisk } from '../../src/base/disk-node.ts'
import { assertionIdOf } from '../../src/record/claim.ts'
import { examineWal } from '../../src/wal/recovery.ts'
import { RECORD_KIND } from '../../src/wal/record.layout.ts'
import { SEGMENT_RECORDS_OFFSET } from '../../src/wal/segment.layout.ts'
import { readManifest } from '../../src/wal/wal-files.ts'
import { WalReader } from '../../src/wal/wal-reader.ts'
import { AssertionView } from '../../src/wire/assertion-view.ts'
import { assertionOfView } from '../../src/wire/assertion.codec.ts'
import { BatchView } from '../../src/wire/batch.codec.ts'
import { LogEntryView } from '../../src/wire/log-entry.codec.ts'
import { printOfAssertion } from './history.claims.ts'
import type { FoundClaim } from './history.ts'

/**
 * What a recovery would find in a log that nobody writes to, by id; nothing is changed. Ids are computed from the
 * content. An id that stands twice comes as its later LSN, and is missing from the count.
 * @throws {DbError} `wal_corrupt` where a start would refuse.
 */
export function loggedClaims(dataDir: string): Map<string, FoundClaim> {
  const dir = join(dataDir, 'wal')
  const found = new Map<string, FoundClaim>()
  const manifest = readManifest(nodeDisk, dir)
  if (manifest === undefined) return found
  const { nodeId, sealed, openSegmentId } = manifest
  const { tail } = examineWal(nodeDisk, dir, { nodeId, verifyFromLsn: 1 })
  const last = tail?.sealed ?? sealed.at(-1)
  if (last === undefined) return found
  const log = new WalReader(nodeDisk, dir, { nodeId })
  try {
    log.seek({ segmentId: sealed[0]?.segmentId ?? openSegmentId, offset: SEGMENT_RECORDS_OFFSET })
    const entry = new LogEntryView()
    while (log.next({ segmentId: last.segmentId, offset: last.bytesUsed })) {
      if (log.header.kind !== RECORD_KIND.batch) continue
      for (const claim of claimsOf(entry.reset(log.payload), log.header.lsnFirst)) found.set(claim.id, claim)
    }
  } finally {
    log.close()
  }
  return found
}

function* claimsOf(entry: LogEntryView, lsnFirst: number): Generator<FoundClaim, void> {
  const batch = new BatchView().reset(entry.batch)
  const view = new AssertionView()
  let lsn = lsnFirst
  for (let index = 0; index < entry.count; index++) {
    if (!entry.accepted(index)) continue
    const assertion = assertionOfView(view.reset(batch.bytes, batch.itemOffset(index), batch.itemLength(index)))
    yield { id: toHex(assertionIdOf(assertion)), lsn: lsn++, print: printOfAssertion(assertion) }
  }
}

/** In words where two readings of a log differ; undefined where they say the same. */
export function differenceOf(before: ReadonlyMap<string, FoundClaim>, after: ReadonlyMap<string, FoundClaim>): string | undefined {
  const gone = [...before.keys()].filter((id) => !after.has(id))
  const added = [...after.keys()].filter((id) => !before.has(id))
  const moved = [...before.values()].filter(({ id, lsn }) => after.has(id) && after.get(id)!.lsn !== lsn)
  if (gone.length + added.length + moved.length === 0) return undefined
  return `${gone.length} gone, ${added.length} added, ${moved.length} with another LSN`
}
