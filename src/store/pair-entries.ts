import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import type { EntryNode } from './entry-node.codec.ts'
import { SP_TAIL_BYTES, SP_TAIL_ID } from './keyspace.layout.ts'
import {
  ENTRY_ASSERTION_SUM, ENTRY_HAS_PARENT, ENTRY_INDEX, ENTRY_LIFECYCLE_KIND, ENTRY_LIFECYCLE_MASK, ENTRY_LSN,
  ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID,
} from './entry-runs.layout.ts'

/** What an entry says of where its assertion stands in the log. */
export interface EntryPlace {
  readonly lsn: Lsn
  readonly hlc: Hlc
  readonly segmentId: number
  readonly recordOffset: number
  readonly index: number
  readonly assertionSum: number
  readonly idPrefix: Uint8Array
}

/**
 * The entries of one pair, as they lie in their pages: reused by its owner from pair to pair, so that looking at a pair makes no object
 * for each of its entries. Entry `i`, from 0, is the i-th newest.
 */
export class PairEntries {
  readonly #nodes: EntryNode[] = []
  /** Where in its node an entry begins. */
  readonly #offsets: Uint32Array
  /** Inverted HLC and id prefix of each, as in the key. */
  readonly #tails: Uint8Array
  readonly #tailView: DataView
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
    this.#offsets = new Uint32Array(entriesMax)
    this.#tails = new Uint8Array(entriesMax * SP_TAIL_BYTES)
    this.#tailView = new DataView(this.#tails.buffer)
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

  /** Entry `i` of a node, which is of the pair. False: there is no room for it. */
  add(node: EntryNode, i: number): boolean {
    const n = this.#added
    if (n === this.#entriesMax) return false
    this.#nodes[n] = node
    this.#offsets[n] = node.offset(i)
    node.copyKey(i, this.#prefixBytes, this.#tails, n * SP_TAIL_BYTES)
    this.#order[n] = n
    if (n > 0 && this.#isSorted && this.#compare(n - 1, n) >= 0) this.#isSorted = false
    this.#added++
    return true
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
    return ~this.#tailView.getBigUint64(this.#order[i]! * SP_TAIL_BYTES) & 0xffff_ffff_ffff_ffffn
  }

  /** Whether entries `i` and `j` have one HLC. */
  isSameHlc(i: number, j: number): boolean {
    const a = this.#order[i]! * SP_TAIL_BYTES
    const b = this.#order[j]! * SP_TAIL_BYTES
    const view = this.#tailView
    return view.getInt32(a + 4) === view.getInt32(b + 4) && view.getInt32(a) === view.getInt32(b)
  }

  /** First 8 bytes of the id, a copy. */
  idPrefix(i: number): Uint8Array {
    const at = this.#order[i]! * SP_TAIL_BYTES
    return this.#tails.slice(at + SP_TAIL_ID, at + SP_TAIL_BYTES)
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
    return this.#nodes[n]!.u32(this.#offsets[n]! + field)
  }

  #u16(i: number, field: number): number {
    const n = this.#order[i]!
    return this.#nodes[n]!.u16(this.#offsets[n]! + field)
  }

  #compare(a: number, b: number): number {
    const tails = this.#tails
    for (let i = a * SP_TAIL_BYTES, j = b * SP_TAIL_BYTES, end = i + SP_TAIL_BYTES; i < end; i++, j++) {
      const difference = tails[i]! - tails[j]!
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
