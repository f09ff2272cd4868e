import { assert } from '../base/assert.ts'
import type { Lsn } from '../base/lsn.ts'

/**
 * Recent ids in one SharedArrayBuffer: a header, then two generations, each of entries and slots.
 *
 * Header, 64 bytes, 32-bit words:
 *
 * | word | field | writer |
 * | --- | --- | --- |
 * | 0 | index of the generation that is written, 0 or 1 | commit |
 * | 1, 2 | entries of generation 0, 1 | commit |
 * | 3, 4 | version of generation 0, 1; moves when it is cleared | commit |
 * | 5 | number of the written generation since start | commit |
 *
 * Entry, 64 bytes: one cache line.
 */
export const RECENT_HEADER_BYTES = 64
export const WRITING_INDEX = 0
export const COUNT_INDEX = 1
export const VERSION_INDEX = 3
export const GENERATION_INDEX = 5

export const ENTRY_ID = 0
export const ENTRY_LSN_LO = ENTRY_ID + 32
export const ENTRY_LSN_HI = ENTRY_LSN_LO + 4
/** One 64-bit word. */
export const ENTRY_HLC = ENTRY_LSN_HI + 4
export const ENTRY_SEGMENT_ID = ENTRY_HLC + 8
export const ENTRY_RECORD_OFFSET = ENTRY_SEGMENT_ID + 4
export const ENTRY_INDEX = ENTRY_RECORD_OFFSET + 4
export const ENTRY_RESERVED = ENTRY_INDEX + 4
export const ENTRY_BYTES = ENTRY_RESERVED + 4

export const ENTRY_WORDS = ENTRY_BYTES / 4
export const ID_WORDS = (ENTRY_LSN_LO - ENTRY_ID) / 4

/** Slots for each entry's place: a power of two, at least twice the entries, so that probing stays short. */
export const slotCountOf = (entriesMax: number): number => 2 ** Math.ceil(Math.log2(entriesMax * 2))

export const recentIdsBytes = (entriesMax: number): number =>
  RECENT_HEADER_BYTES + 2 * (entriesMax * ENTRY_BYTES + slotCountOf(entriesMax) * 4)

/** The entries of both generations, as 32-bit words; the slots of each stand behind them. */
export function entriesOf(buffer: SharedArrayBuffer, entriesMax: number): readonly [Uint32Array, Uint32Array] {
  const generationBytes = (recentIdsBytes(entriesMax) - RECENT_HEADER_BYTES) / 2
  const of = (g: number): Uint32Array => new Uint32Array(buffer, RECENT_HEADER_BYTES + g * generationBytes, entriesMax * ENTRY_WORDS)
  return [of(0), of(1)]
}

export const entryLsn = (entries: Uint32Array, entry: number): Lsn =>
  entries[entry * ENTRY_WORDS + ENTRY_LSN_LO / 4]! + entries[entry * ENTRY_WORDS + ENTRY_LSN_HI / 4]! * 0x1_0000_0000

assert(ENTRY_BYTES === 64, 'an entry is one cache line')
assert(ENTRY_HLC % 8 === 0, 'the HLC is aligned')
