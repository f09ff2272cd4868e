import type { Hlc } from '../base/hlc.ts'
import type { Lsn } from '../base/lsn.ts'
import { MiB } from '../base/units.ts'
import { itemBlockBytes, writeItemBlock, type DeliveryItem, type ItemBlocks } from './delivery.codec.ts'
import type { MatchGroup } from './match-index.ts'
import type { LogPlace, Subscription } from './subscription.ts'

/** An arena that one large record has made longer is not kept. As long as it grows for what a piece ends at: less would take and give back memory with each piece. */
const KEEP_BYTES_MAX = 8 * MiB

/** What a cursor found in a piece of the log: matches, and for which groups of subscriptions. */
export class Piece implements ItemBlocks {
  bytes: Uint8Array = new Uint8Array(64 * 1024)
  #view = new DataView(this.bytes.buffer)
  #end = 0
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  readonly #lsns: Lsn[] = []
  readonly #places: LogPlace[] = []
  readonly groups: MatchGroup<Subscription>[] = []
  /** Pairs of a match and a group that gets it. */
  matchCount = 0
  /** Of the first item. */
  hlcFirst: Hlc = 0n

  clear(): void {
    for (const group of this.groups) group.matched = []
    this.groups.length = 0
    this.#starts.length = 0
    this.#lengths.length = 0
    this.#lsns.length = 0
    this.#places.length = 0
    this.#end = 0
    this.matchCount = 0
    if (this.bytes.length > KEEP_BYTES_MAX) this.#grow(KEEP_BYTES_MAX, 0)
  }

  /** Bytes of all matches. */
  get byteCount(): number {
    return this.#end
  }

  /** Copies a match. Returns what it is called here. */
  add(item: DeliveryItem, place: LogPlace): number {
    const length = itemBlockBytes(item.assertionLength)
    if (this.#end + length > this.bytes.length) this.#grow(Math.max(2 * this.bytes.length, this.#end + length), this.#end)
    writeItemBlock(this.bytes, this.#view, this.#end, item)
    if (this.#starts.length === 0) this.hlcFirst = item.hlc
    this.#starts.push(this.#end)
    this.#lengths.push(length)
    this.#lsns.push(item.lsn)
    this.#places.push(place)
    this.#end += length
    return this.#starts.length - 1
  }

  /** Says that a group gets the item. */
  give(item: number, group: MatchGroup<Subscription>): void {
    if (group.matched.length === 0) this.groups.push(group)
    group.matched.push(item)
    this.matchCount++
  }

  startOf(item: number): number {
    return this.#starts[item]!
  }

  lengthOf(item: number): number {
    return this.#lengths[item]!
  }

  lsnOf(item: number): Lsn {
    return this.#lsns[item]!
  }

  placeOf(item: number): LogPlace {
    return this.#places[item]!
  }

  #grow(bytes: number, keep: number): void {
    const grown = new Uint8Array(bytes)
    grown.set(this.bytes.subarray(0, keep))
    this.bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}
