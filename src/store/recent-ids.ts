import { assert } from '../base/assert.ts'
import type { Lsn } from '../base/lsn.ts'
import type { IdHash } from './id-hash.ts'
import {
  COUNT_INDEX, ENTRY_BYTES, ENTRY_HLC, ENTRY_INDEX, ENTRY_LSN_HI, ENTRY_LSN_LO, ENTRY_RECORD_OFFSET,
  ENTRY_SEGMENT_ID, ENTRY_WORDS, GENERATION_INDEX, ID_WORDS, RECENT_HEADER_BYTES, VERSION_INDEX, WRITING_INDEX, entriesOf, entryLsn, recentIdsBytes,
  slotCountOf,
} from './recent-ids.layout.ts'

/** Where an id stands: in which record, as the how-manieth assertion of its batch, and under which stamp. */
export interface IdPlace {
  readonly lsn: Lsn
  readonly hlc: bigint
  readonly segmentId: number
  readonly recordOffset: number
  readonly index: number
}

/** A generation that is written no more, as ingest sees it; read it before it says that it has flushed it. */
export interface FinishedIds {
  readonly count: number
  readonly firstLsn: Lsn
  readonly lastLsn: Lsn
  /** 64-byte entries of `recent-ids.layout.ts`, by ascending LSN, as 32-bit words. */
  readonly words: Uint32Array
}

/**
 * The exact table of the newest ids, in two generations that take turns: while one is written, ingest turns the other
 * into a run; only then may it be cleared and written again. In shared memory, with one writer (the commit thread, or
 * at a start whoever replays) and any number of readers.
 *
 * Readers are never blocked: an entry is written before `Atomics.store` of its slot publishes it, and readers load both
 * by `Atomics`. A generation's version moves before and after it is cleared; a reader that saw it move looks again. One
 * that misses an id because its generation is being cleared finds it in the runs, where it was before the clearing: so
 * ask here **first**, then the runs.
 *
 * Entries are visible before their record is durable. Who answers from one compares its LSN to the durable LSN.
 */
export class RecentIds {
  readonly buffer: SharedArrayBuffer
  readonly entriesMax: number
  readonly #hash: IdHash
  readonly #header: Int32Array
  readonly #entries: readonly [Uint32Array, Uint32Array]
  /** The same memory as 64-bit words. */
  readonly #entries64: readonly [BigUint64Array, BigUint64Array]
  readonly #slots: readonly [Int32Array, Int32Array]
  readonly #slotShift: number
  readonly #slotMask: number
  readonly #flushedLsn: () => Lsn
  readonly #idWords = new Uint32Array(ID_WORDS)
  #viewed: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#viewed.buffer)

  /**
   * @param flushedLsn up to which ids stand in runs (the shared mark that ingest moves).
   * @param hash an IdHash of this thread's own, by the store's key.
   */
  constructor(buffer: SharedArrayBuffer, entriesMax: number, hash: IdHash, flushedLsn: () => Lsn) {
    assert(buffer.byteLength === recentIdsBytes(entriesMax), 'recent ids: the buffer has the size of entriesMax')
    const slotCount = slotCountOf(entriesMax)
    const slots = (entries: Uint32Array): Int32Array => new Int32Array(buffer, entries.byteOffset + entries.byteLength, slotCount)
    this.buffer = buffer
    this.entriesMax = entriesMax
    this.#hash = hash
    this.#flushedLsn = flushedLsn
    this.#header = new Int32Array(buffer, 0, RECENT_HEADER_BYTES / 4)
    this.#entries = entriesOf(buffer, entriesMax)
    this.#entries64 = [as64(this.#entries[0]), as64(this.#entries[1])]
    this.#slots = [slots(this.#entries[0]), slots(this.#entries[1])]
    this.#slotShift = 32 - Math.log2(slotCount)
    this.#slotMask = slotCount - 1
  }

  static create(entriesMax: number, hash: IdHash, flushedLsn: () => Lsn): RecentIds {
    return new RecentIds(new SharedArrayBuffer(recentIdsBytes(entriesMax)), entriesMax, hash, flushedLsn)
  }

  /** Entries in both generations, flushed or not: for metrics. */
  get count(): number {
    return this.#count(0) + this.#count(1)
  }

  /** How many generations have begun since the start; a look-up from before two more began is out of date. */
  get generation(): number {
    return Atomics.load(this.#header, GENERATION_INDEX)
  }

  /** Writer only: whether `count` inserts will succeed now. `count` at most `entriesMax`, or they never will. */
  hasRoom(count: number): boolean {
    const writing = this.#writing
    const free = this.entriesMax - this.#count(writing)
    if (count <= free) return true
    return this.#isFlushed(1 - writing as 0 | 1) && count <= free + this.entriesMax
  }

  /**
   * Writer only: whether every id with an LSN above `lsn` is here, and will be until `count` more have come. False says nothing.
   */
  holdsAllAfter(lsn: Lsn, count: number): boolean {
    const writing = this.#writing
    const older = 1 - writing as 0 | 1
    // The older generation goes when the younger one is full.
    const oldest = this.#count(older) > 0 && this.#count(writing) + count <= this.entriesMax ? older : writing
    return this.#count(oldest) > 0 && this.#lsnAt(oldest, 0) <= lsn + 1
  }

  /** As `IdFilter.touch`, for the slots that `insert` will look at. */
  touch(his: Int32Array, count: number): number {
    const slots = this.#slots[this.#writing]
    const shift = this.#slotShift
    let sum = 0
    for (let i = 0; i < count; i++) sum ^= slots[his[i]! >>> shift]!
    return sum
  }

  /**
   * Writer only: adds an id that is not there. False, with nothing done, where the older generation must be flushed
   * first. LSNs ascend.
   * @param hi upper half of the id's fingerprint by IdHash, which every caller has at hand
   */
  insert(
    ids: Uint8Array, offset: number, hi: number, lsn: Lsn, hlc: bigint, segmentId: number, recordOffset: number, index: number,
  ): boolean {
    // The writer's own words, which nobody else changes: an atomic operation is a call, and these would be most of the cost.
    const header = this.#header
    let g = header[WRITING_INDEX] as 0 | 1
    let count = header[COUNT_INDEX + g]!
    if (count === this.entriesMax) {
      if (!this.#turn()) return false
      g = header[WRITING_INDEX] as 0 | 1
      count = 0
    }
    const words = this.#entries[g]
    const at = count * ENTRY_WORDS
    const view = this.#viewOf(ids)
    for (let i = 0; i < ID_WORDS; i++) words[at + i] = view.getInt32(offset + 4 * i, true)
    words[at + ENTRY_LSN_LO / 4] = lsn
    words[at + ENTRY_LSN_HI / 4] = lsn / 0x1_0000_0000
    this.#entries64[g][(at + ENTRY_HLC / 4) / 2] = hlc
    words[at + ENTRY_SEGMENT_ID / 4] = segmentId
    words[at + ENTRY_RECORD_OFFSET / 4] = recordOffset
    words[at + ENTRY_INDEX / 4] = index
    const slots = this.#slots[g]
    let slot = hi >>> this.#slotShift
    while (slots[slot] !== 0) slot = (slot + 1) & this.#slotMask
    Atomics.store(slots, slot, count + 1)
    Atomics.store(header, COUNT_INDEX + g, count + 1)
    return true
  }

  /**
   * Writer only: takes back the inserts above `lsn`, none of which was durable: the log dropped their group.
   * Removing the last entry of a table with linear probing restores it exactly, so this goes backwards one by one.
   */
  forgetAfter(lsn: Lsn): void {
    for (;;) {
      const g = this.#writing
      const count = this.#count(g)
      if (count === 0) {
        const other = 1 - g as 0 | 1
        if (this.#lsnAt(other, this.#count(other) - 1) <= lsn) return
        // The group began in the generation before: go on in that one, this one is as empty as when it began.
        Atomics.store(this.#header, WRITING_INDEX, other)
        continue
      }
      if (this.#lsnAt(g, count - 1) <= lsn) return
      this.#removeLast(g, count)
    }
  }

  #removeLast(g: 0 | 1, count: number): void {
    const entries = this.#entries[g]
    this.#hash.compute(new Uint8Array(entries.buffer, entries.byteOffset + (count - 1) * ENTRY_BYTES, 32), 0)
    const slots = this.#slots[g]
    let slot = this.#hash.hi >>> this.#slotShift
    while (slots[slot] !== count) slot = (slot + 1) & this.#slotMask
    Atomics.add(this.#header, VERSION_INDEX + g, 1)
    Atomics.store(slots, slot, 0)
    Atomics.store(this.#header, COUNT_INDEX + g, count - 1)
    Atomics.add(this.#header, VERSION_INDEX + g, 1)
  }

  /** Any thread: where the id stands, if it is among the recent ones. */
  find(ids: Uint8Array, offset: number): IdPlace | undefined {
    this.#hash.compute(ids, offset)
    const view = this.#viewOf(ids)
    for (let i = 0; i < ID_WORDS; i++) this.#idWords[i] = view.getInt32(offset + 4 * i, true)
    // Should the generations turn meanwhile, what was cleared is in the runs, where the caller looks next.
    const writing = this.#writing
    return this.#findIn(writing, this.#hash.hi) ?? this.#findIn(1 - writing as 0 | 1, this.#hash.hi)
  }

  /** Ingest: the generation that waits to be flushed, if there is one whose ids are all at or below `appliedLsn`. */
  finished(appliedLsn: Lsn): FinishedIds | undefined {
    const g = 1 - this.#writing as 0 | 1
    const count = this.#count(g)
    if (count === 0) return undefined
    const lastLsn = this.#lsnAt(g, count - 1)
    if (lastLsn > appliedLsn || lastLsn <= this.#flushedLsn()) return undefined
    return { count, firstLsn: this.#lsnAt(g, 0), lastLsn, words: this.#entries[g] }
  }

  /** Whether the written generation is full and the next insert waits for `finished` to be flushed. */
  get isFull(): boolean {
    return !this.hasRoom(1)
  }

  #findIn(g: 0 | 1, hi: number): IdPlace | undefined {
    for (;;) {
      const version = Atomics.load(this.#header, VERSION_INDEX + g)
      const place = this.#probe(g, hi)
      if (Atomics.load(this.#header, VERSION_INDEX + g) === version) return place
    }
  }

  #probe(g: 0 | 1, hi: number): IdPlace | undefined {
    const slots = this.#slots[g]
    let slot = hi >>> this.#slotShift
    // While a generation is cleared a probe may see a mixture, but never more than all slots.
    for (let n = 0; n <= this.#slotMask; n++) {
      const entry = Atomics.load(slots, slot)
      if (entry === 0) return undefined
      if (this.#matches(g, (entry - 1) * ENTRY_WORDS)) return this.#placeAt(g, (entry - 1) * ENTRY_WORDS)
      slot = (slot + 1) & this.#slotMask
    }
    return undefined
  }

  #matches(g: 0 | 1, at: number): boolean {
    const words = this.#entries[g]
    for (let i = 0; i < ID_WORDS; i++) if (Atomics.load(words, at + i) !== this.#idWords[i]) return false
    return true
  }

  #placeAt(g: 0 | 1, at: number): IdPlace {
    const words = this.#entries[g]
    const word = (byteOffset: number): number => Atomics.load(words, at + byteOffset / 4)
    return {
      lsn: word(ENTRY_LSN_LO) + word(ENTRY_LSN_HI) * 0x1_0000_0000,
      hlc: Atomics.load(this.#entries64[g], (at + ENTRY_HLC / 4) / 2),
      segmentId: word(ENTRY_SEGMENT_ID),
      recordOffset: word(ENTRY_RECORD_OFFSET),
      index: word(ENTRY_INDEX),
    }
  }

  #lsnAt(g: 0 | 1, entry: number): Lsn {
    return entry < 0 ? 0 : entryLsn(this.#entries[g], entry)
  }

  /** Clears the flushed generation and goes on in it; false where it is not flushed. */
  #turn(): boolean {
    const next = 1 - this.#writing as 0 | 1
    if (!this.#isFlushed(next)) return false
    Atomics.add(this.#header, VERSION_INDEX + next, 1)
    this.#slots[next].fill(0)
    Atomics.store(this.#header, COUNT_INDEX + next, 0)
    Atomics.add(this.#header, VERSION_INDEX + next, 1)
    Atomics.store(this.#header, WRITING_INDEX, next)
    Atomics.add(this.#header, GENERATION_INDEX, 1)
    return true
  }

  #isFlushed(g: 0 | 1): boolean {
    return this.#lsnAt(g, this.#count(g) - 1) <= this.#flushedLsn()
  }

  /** Callers ask for many ids of one array. */
  #viewOf(ids: Uint8Array): DataView {
    if (ids !== this.#viewed) {
      this.#viewed = ids
      this.#view = new DataView(ids.buffer, ids.byteOffset, ids.length)
    }
    return this.#view
  }

  get #writing(): 0 | 1 {
    return Atomics.load(this.#header, WRITING_INDEX) as 0 | 1
  }

  #count(g: 0 | 1): number {
    return Atomics.load(this.#header, COUNT_INDEX + g)
  }
}

const as64 = (words: Uint32Array): BigUint64Array =>
  new BigUint64Array(words.buffer, words.byteOffset, words.length / 2)
