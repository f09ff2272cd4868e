import { assert } from '../base/assert.ts'
import type { Lsn } from '../base/lsn.ts'
import {
  COUNT_INDEX, ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID, ENTRY_WORDS, ID_WORDS, RECENT_HEADER_BYTES, VERSION_INDEX, entriesOf, entryLsn, recentIdsBytes,
} from './recent-ids.layout.ts'

/** Ids by ascending LSN, without a gap. */
export interface IdSequence {
  readonly count: number
  /** The record of the last of them. */
  readonly segmentId: number
  readonly recordOffset: number
}

/** The table of recent ids (`RecentIds`) as a list by LSN, for readers who have no key to look an id up. Any thread. */
export class RecentIdSequence {
  readonly #header: Int32Array
  readonly #entries: readonly [Uint32Array, Uint32Array]

  constructor(buffer: SharedArrayBuffer, entriesMax: number) {
    assert(buffer.byteLength === recentIdsBytes(entriesMax), 'recent ids: the buffer has the size of entriesMax')
    this.#header = new Int32Array(buffer, 0, RECENT_HEADER_BYTES / 4)
    this.#entries = entriesOf(buffer, entriesMax)
  }

  /**
   * Copies the ids of the LSNs from `fromLsn` up to `untilLsn` to `out`, one behind the other, as far as they are here and `out` has room.
   * @param untilLsn that a mark has said to be written
   * @param out {@link ID_WORDS} words an id
   * @returns undefined where `fromLsn` is not here, or not any more: it stands in the log
   */
  read(fromLsn: Lsn, untilLsn: Lsn, out: Uint32Array): IdSequence | undefined {
    return this.#readFrom(0, fromLsn, untilLsn, out) ?? this.#readFrom(1, fromLsn, untilLsn, out)
  }

  #readFrom(g: 0 | 1, fromLsn: Lsn, untilLsn: Lsn, out: Uint32Array): IdSequence | undefined {
    const version = Atomics.load(this.#header, VERSION_INDEX + g)
    const count = Atomics.load(this.#header, COUNT_INDEX + g)
    const words = this.#entries[g]
    const first = fromLsn - entryLsn(words, 0)
    if (first < 0 || first >= count) return undefined
    const end = Math.min(count, first + Math.floor(out.length / ID_WORDS), first + untilLsn - fromLsn + 1)
    if (end <= first) return undefined
    for (let entry = first, to = 0; entry < end; entry++) {
      const at = entry * ENTRY_WORDS
      for (let i = 0; i < ID_WORDS; i++) out[to++] = words[at + i]!
    }
    const last = (end - 1) * ENTRY_WORDS
    const found: IdSequence = {
      count: end - first, segmentId: words[last + ENTRY_SEGMENT_ID / 4]!, recordOffset: words[last + ENTRY_RECORD_OFFSET / 4]!,
    }
    const hasNoGap = entryLsn(words, first) === fromLsn && entryLsn(words, end - 1) === fromLsn + end - first - 1
    // A write that changes nothing in place of a read: no read of an entry may come behind it. A generation that was cleared meanwhile has another version.
    if (Atomics.or(this.#header, VERSION_INDEX + g, 0) !== version) return undefined
    assert(hasNoGap, 'recent ids have no gaps')
    return found
  }
}
