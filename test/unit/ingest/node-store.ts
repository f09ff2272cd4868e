import type { WalPosition } from '../../../src/base/lsn.ts'
import { startIngest } from '../../../src/ingest/ingest-start.ts'
import type { IngestLoop } from '../../../src/ingest/ingest-loop.ts'
import { WalConfirm } from '../../../src/ingest/wal-confirm.ts'
import { EntryReader } from '../../../src/store/entry-reader.ts'
import { IdFilter } from '../../../src/store/id-filter.ts'
import { IdHash } from '../../../src/store/id-hash.ts'
import { IdLookup } from '../../../src/store/id-lookup.ts'
import { RecentIds } from '../../../src/store/recent-ids.ts'
import { openStoreMeta } from '../../../src/store/store-meta.ts'
import { COLUMNS, type ColumnName, type Store } from '../../../src/store/store.ts'
import { toHex } from '../../../src/base/bytes.ts'
import { seededSecrets, type LogBuilder } from './log-builder.ts'

/** What one start of a node has around its store. */
export class NodeStore {
  readonly store: Store
  readonly log: LogBuilder
  readonly filter = IdFilter.create(16_384)
  readonly recents: RecentIds
  readonly lookup: IdLookup
  readonly loop: IngestLoop
  idsFlushedLsn = 0
  appliedLsn = 0
  appliedPosition: WalPosition = { segmentId: 0, offset: 0 }

  /** @param replayPosition up to where the log is durable, as the replay sees it: asked before each record and at the end of each step */
  constructor(store: Store, log: LogBuilder, recentIdsMax = 64, replayPosition = (): WalPosition => log.durablePosition) {
    this.store = store
    this.log = log
    const meta = openStoreMeta(store, seededSecrets(3))
    const hash = new IdHash(meta.idHashKey)
    this.recents = RecentIds.create(recentIdsMax, hash, () => this.idsFlushedLsn)
    const confirm = new WalConfirm(log.reader(), () => log.durablePosition)
    this.lookup = new IdLookup({ store, hash, filter: this.filter, recents: this.recents, confirm: confirm.confirm })
    let isReplay = true
    this.loop = startIngest({
      store, meta, log: log.reader(), hash: new IdHash(meta.idHashKey), filter: this.filter, recents: this.recents,
      logStart: log.recovered.first, lastLsn: log.lastLsn, durablePosition: () => isReplay ? replayPosition() : log.durablePosition,
      onApplied: (position, lsn) => { this.appliedPosition = position; this.appliedLsn = lsn },
      onIdsFlushed: (lsn) => { this.idsFlushedLsn = lsn },
    })
    isReplay = false
  }

  /** As the commit thread does it: makes what was appended since known, then durable. */
  commit(): void {
    const last = this.log.lastLsn
    for (const { id, lsn, hlc, segmentId, recordOffset, index } of this.log.written) {
      if (lsn <= last) continue
      while (!this.lookup.hasRoom(1)) this.loop.step()
      this.lookup.prepare(id, 0, 1)
      this.lookup.insert(0, lsn, hlc, { segmentId, offset: recordOffset }, index)
    }
    this.log.commit()
  }

  settle(): void {
    while (this.loop.step() > 0) { /* until idle */ }
  }

  /** Every assertion is found by its id, at its place. */
  checkIds(): void {
    for (const want of this.log.written) {
      if (want.lsn > this.log.lastLsn) continue
      const found = this.lookup.find(want.id, 0)
      if (found?.lsn !== want.lsn || found.hlc !== want.hlc || found.segmentId !== want.segmentId ||
        found.recordOffset !== want.recordOffset || found.index !== want.index) {
        throw new Error(`LSN ${want.lsn}: found ${found?.lsn} at ${found?.segmentId}:${found?.recordOffset}:${found?.index}`)
      }
    }
    const other = new Uint8Array(32).fill(9)
    if (this.lookup.find(other, 0) !== undefined) throw new Error('an unknown id was found')
  }
}

/** All of a column, as text. */
export function dump(store: Store, column: ColumnName): string[] {
  const range = store.range(column)
  const lines: string[] = []
  for (let rows = range.next(1000); rows.length > 0; rows = range.next(1000)) {
    for (let i = 0; i < rows.length; i += 2) lines.push(`${toHex(rows[i]!)} ${toHex(rows[i + 1]!)}`)
  }
  range.close()
  return lines
}

/** What a store says, however its entries are spread over runs. */
export function contentOf(store: Store): string[] {
  const lines = COLUMNS.filter((column) => column !== 'sp').flatMap((column) => dump(store, column).map((line) => `${column} ${line}`))
  const cursor = new EntryReader(store).entries({})
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) lines.push(`sp ${toHex(entry.key)} ${toHex(entry.value)}`)
  return lines
}
