import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { EntryNode } from './entry-node.codec.ts'
import { SP_TAIL_BYTES, SP_TAIL_HLC, SP_TAIL_ID } from './keyspace.layout.ts'
import {
  ENTRY_ASSERTION_SUM, ENTRY_HAS_PARENT, ENTRY_INDEX, ENTRY_LIFECYCLE_KIND, ENTRY_LIFECYCLE_MASK, ENTRY_LSN,
  ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID,
} from './entry-runs.layout.ts'

/** What an entry says of where its assertion stands in the log, and of which one must be there. */
export interface EntryPlace {
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly segmentId: number
  readonly recordOffset: number
  readonly index: number
  /** `wordSum` of the Assertion buffer. */
  readonly assertionSum: number
  /** First 8 bytes of the id. */
  readonly idPrefix: Uint8Array
}

/** Tails of keys that are being looked at. */
const TAIL_A = new Uint8Array(SP_TAIL_BYTES)
const TAIL_B = new Uint8Array(SP_TAIL_BYTES)
const TAIL_VIEW = new DataView(TAIL_A.buffer)

/**
 * The entries of one pair, as they lie in their pages: reused by its owner from pair to pair, so that looking at a pair makes no object
 * for each of its entries. Entry `i`, from 0, is the i-th newest.
 */
export class PairEntries {
  readonly #nodes: EntryNode[] = []
  /** Number of an entry in its node. */
  readonly #places: Uint16Array
  /** By rank. */
  readonly #order: Uint16Array
  readonly #entriesMax: number
  #prefixBytes = 0
  #added = 0
  #count = 0
  #isSorted = true

  /** @param entriesMax below 2^16 */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
    this.#places = new Uint16Array(entriesMax)
    this.#order = new Uint16Array(entriesMax)
  }

  get count(): number {
    return this.#count
  }

  begin(prefix: Uint8Array): void {
    this.#prefixBytes = prefix.length
    this.#added = 0
    this.#count = 0
    this.#isSorted = true
  }

  /** Entries of a node from its `i`-th on that are of the pair; those of one run come in order. Returns the first that is not, -1 where there is no room. */
  addFrom(node: EntryNode, i: number, prefix: Uint8Array, isSameRun: boolean): number {
    const first = this.#added
    let n = first
    for (; i < node.count && node.isOfPair(i, prefix); i++, n++) {
      if (n === this.#entriesMax) return -1
      this.#nodes[n] = node
      this.#places[n] = i
      this.#order[n] = n
    }
    this.#added = n
    if (first > 0 && n > first && !isSameRun && this.#isSorted) this.#isSorted = this.#compare(first - 1, first) < 0
    return i
  }

  /** Sorts what was added, and leaves out what was there twice. */
  finish(): true {
    this.#count = this.#added
    if (!this.#isSorted) {
      this.#sort()
      this.#leaveOutRepeated()
    }
    return true
  }

  hlc(i: number): Hlc {
    const n = this.#order[i]!
    this.#nodes[n]!.copyKey(this.#places[n]!, this.#prefixBytes, TAIL_A, 0)
    return ~TAIL_VIEW.getBigUint64(SP_TAIL_HLC) & 0xffff_ffff_ffff_ffffn
  }

  /** Whether entries `i` and `j` have one HLC. */
  isSameHlc(i: number, j: number): boolean {
    this.#tailsOf(this.#order[i]!, this.#order[j]!)
    for (let at = SP_TAIL_HLC; at < SP_TAIL_ID; at++) if (TAIL_A[at] !== TAIL_B[at]) return false
    return true
  }

  /** First 8 bytes of the id, a copy. */
  idPrefix(i: number): Uint8Array {
    const n = this.#order[i]!
    const prefix = new Uint8Array(SP_TAIL_BYTES - SP_TAIL_ID)
    this.#nodes[n]!.copyKey(this.#places[n]!, this.#prefixBytes + SP_TAIL_ID, prefix, 0)
    return prefix
  }

  /** Where its assertion stands, and its checksum. */
  place(i: number): EntryPlace {
    return {
      lsn: this.lsn(i), hlc: this.hlc(i), segmentId: this.segmentId(i), recordOffset: this.recordOffset(i), index: this.index(i),
      assertionSum: this.assertionSum(i), idPrefix: this.idPrefix(i),
    }
  }

  lsn(i: number): Lsn {
    return this.#u32(i, ENTRY_LSN) + this.#u16(i, ENTRY_LSN + 4) * 0x1_0000_0000
  }

  segmentId(i: number): number {
    return this.#u32(i, ENTRY_SEGMENT_ID)
  }

  recordOffset(i: number): number {
    return this.#u32(i, ENTRY_RECORD_OFFSET)
  }

  index(i: number): number {
    return this.#u16(i, ENTRY_INDEX)
  }

  assertionSum(i: number): number {
    return this.#u32(i, ENTRY_ASSERTION_SUM)
  }

  lifecycle(i: number): number {
    return this.#flags(i) & ENTRY_LIFECYCLE_MASK
  }

  hasParent(i: number): boolean {
    return (this.#flags(i) & ENTRY_HAS_PARENT) !== 0
  }

  #flags(i: number): number {
    // The half word of the source class and it.
    return this.#u16(i, ENTRY_LIFECYCLE_KIND - 1) >> 8
  }

  #u32(i: number, field: number): number {
    const n = this.#order[i]!
    const node = this.#nodes[n]!
    return node.u32(node.offset(this.#places[n]!) + field)
  }

  #u16(i: number, field: number): number {
    const n = this.#order[i]!
    const node = this.#nodes[n]!
    return node.u16(node.offset(this.#places[n]!) + field)
  }

  /** Of entries as they were added. */
  #tailsOf(a: number, b: number): void {
    this.#nodes[a]!.copyKey(this.#places[a]!, this.#prefixBytes, TAIL_A, 0)
    this.#nodes[b]!.copyKey(this.#places[b]!, this.#prefixBytes, TAIL_B, 0)
  }

  #compare(a: number, b: number): number {
    this.#tailsOf(a, b)
    for (let i = 0; i < SP_TAIL_BYTES; i++) {
      const difference = TAIL_A[i]! - TAIL_B[i]!
      if (difference !== 0) return difference
    }
    return 0
  }

  /** By insertion: runs come one behind the other, each in order, and mostly the newest first. */
  #sort(): void {
    const order = this.#order
    for (let i = 1; i < this.#added; i++) {
      const entry = order[i]!
      let at = i
      for (; at > 0 && this.#compare(order[at - 1]!, entry) > 0; at--) order[at] = order[at - 1]!
      order[at] = entry
    }
  }

  #leaveOutRepeated(): void {
    const order = this.#order
    let kept = 1
    for (let i = 1; i < this.#added; i++) if (this.#compare(order[kept - 1]!, order[i]!) !== 0) order[kept++] = order[i]!
    this.#count = kept
  }
}
