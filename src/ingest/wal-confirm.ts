import type { Stamp } from '../base/hlc.ts'
import type { WalPosition } from '../base/lsn.ts'
import type { ConfirmId } from '../store/id-lookup.ts'
import type { IdCandidate } from '../store/id-runs.ts'
import { RECORD_KIND } from '../wal/record.layout.ts'
import { LogEntryView } from '../wire/log-entry.codec.ts'
import type { LogReader } from './ingest-loop.ts'

/**
 * Confirms candidates against the log: reads the record, its checksums verified, and compares the whole id. The last
 * record is kept, because a batch that is sent again asks for one record over and over.
 */
export class WalConfirm {
  readonly #log: LogReader
  readonly #durablePosition: () => WalPosition
  readonly #entry = new LogEntryView()
  #segmentId = 0
  #recordOffset = -1

  /** @param log a reader of this object's own, its chunks small: one record is read at a time. */
  constructor(log: LogReader, durablePosition: () => WalPosition) {
    this.#log = log
    this.#durablePosition = durablePosition
  }

  /** @throws {DbError} `wal_corrupt`, `io_error` */
  readonly confirm: ConfirmId = (place, ids, offset) => {
    if (!this.#read(place)) return undefined
    const entry = this.#entry
    if (place.index >= entry.count || !entry.accepted(place.index) || !this.#isId(place.index, ids, offset)) return undefined
    return this.#stamp(place.index)
  }

  #read(place: IdCandidate): boolean {
    if (place.segmentId === this.#segmentId && place.recordOffset === this.#recordOffset) return true
    this.#recordOffset = -1
    this.#log.seek({ segmentId: place.segmentId, offset: place.recordOffset })
    if (!this.#log.next(this.#durablePosition()) || this.#log.header.kind !== RECORD_KIND.batch) return false
    if (this.#log.offset !== place.recordOffset) return false
    this.#entry.reset(this.#log.payload)
    this.#segmentId = place.segmentId
    this.#recordOffset = place.recordOffset
    return true
  }

  #isId(index: number, ids: Uint8Array, offset: number): boolean {
    const { bytes, idsOffset } = this.#entry
    const at = idsOffset + index * 32
    for (let i = 0; i < 32; i++) if (bytes[at + i] !== ids[offset + i]) return false
    return true
  }

  /** The k-th accepted assertion of a record has its first LSN and HLC, plus k. */
  #stamp(index: number): Stamp {
    const { header } = this.#log
    let rank = 0
    for (let i = 0; i < index; i++) if (this.#entry.accepted(i)) rank++
    return { lsn: header.lsnFirst + rank, hlc: header.hlcFirst + BigInt(rank) }
  }
}
