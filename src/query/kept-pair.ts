import type { Hlc } from '../base/hlc.ts'
import { readLsn, writeLsn } from '../base/lsn.ts'
import { columnsOf } from '../lens/columns.ts'
import type { LensContext } from '../lens/lens.ts'
import { toleranceOf } from '../lens/value.ts'
import type { EntryPlace, PairEntries } from '../store/pair-entries.ts'
import { countText } from './answer-parts.ts'
import type { AssertionReader, ClaimColumns, PlainPair, StoredAssertion } from './candidate-source.ts'
import { claimBytes } from './claim-cache.ts'
import { LIFECYCLES_STANDING } from './candidates.ts'
import { lifecyclePasses } from './filter.ts'

/** What a pair is counted with beside its names, candidates and claims; a sentence of some 80 characters is in it. */
const PAIR_OVERHEAD_BYTES = 1408

// A place: one object for each entry would take five times as much.
const PLACE_LSN = 0
const PLACE_HLC = 8
const PLACE_ID_PREFIX = 16
const PLACE_SEGMENT_ID = 24
const PLACE_RECORD_OFFSET = 28
const PLACE_INDEX = 32
const PLACE_ASSERTION_SUM = 36
const PLACE_BYTES = 40
/** What a candidate takes of all columns. */
const COLUMN_BYTES = 32
const ID_PREFIX_BYTES = PLACE_SEGMENT_ID - PLACE_ID_PREFIX

/** The candidates of a pair, and what has been read of their claims: right as long as nothing is written of the pair. */
export class KeptPair implements PlainPair {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly hasParents: boolean
  readonly count: number
  readonly latest: number
  /** What `PairLsns.value` was before it was read. */
  readonly value: number
  readonly #prefix: Uint8Array
  /** By rank, where each stands. */
  readonly #places: DataView
  /** By rank, those that somebody has read. */
  readonly #claims: (StoredAssertion | undefined)[]
  #columns: ClaimColumns | undefined
  /** Kept, because to say it takes longer than to find the latest. */
  #whyLatest: { readonly by: (hlc: Hlc) => string, readonly text: string } | undefined
  readonly #grew: (bytes: number) => void

  /**
   * @param prefix subject, zero, predicate, zero; memory of its own
   * @param grew told of claims that are kept here from now on, in bytes
   */
  constructor(prefix: Uint8Array, entries: PairEntries, value: number, grew: (bytes: number) => void) {
    const zero = prefix.indexOf(0)
    this.#prefix = prefix
    this.subject = prefix.subarray(0, zero)
    this.predicate = prefix.subarray(zero + 1, prefix.length - 1)
    this.value = value
    this.#grew = grew
    this.hasParents = hasParents(entries)
    const standing = this.hasParents ? [] : standingOf(entries)
    this.count = standing.length
    this.latest = latestOf(standing, entries)
    this.#claims = new Array<StoredAssertion | undefined>(this.count).fill(undefined)
    this.#places = new DataView(new ArrayBuffer(PLACE_BYTES * this.count))
    standing.forEach((entry, i) => { writePlace(this.#places, PLACE_BYTES * i, entries.place(entry)) })
  }

  /** What it takes, about. */
  get bytes(): number {
    let bytes = PAIR_OVERHEAD_BYTES + this.#prefix.length + (PLACE_BYTES + COLUMN_BYTES) * this.count
    for (const claim of this.#claims) if (claim !== undefined) bytes += claimBytes(claim)
    return bytes
  }

  /** Whether it is the one whose index keys begin with these bytes. */
  isOf(key: Uint8Array, length: number): boolean {
    const prefix = this.#prefix
    if (prefix.length !== length) return false
    for (let i = length - 1; i >= 0; i--) if (prefix[i] !== key[i]) return false
    return true
  }

  whyLatest(why: (hlc: Hlc) => string): string {
    if (this.#whyLatest?.by !== why) {
      const hlc = this.#places.getBigUint64(PLACE_BYTES * this.latest + PLACE_HLC, true)
      this.#whyLatest = { by: why, text: `${why(hlc)} ${countText(this.count, 0)}` }
    }
    return this.#whyLatest.text
  }

  claim(i: number, reader: AssertionReader): StoredAssertion {
    const claim = this.#claims[i]
    if (claim !== undefined) return claim
    const stored = reader.read(readPlace(this.#places, PLACE_BYTES * i))
    this.#claims[i] = stored
    this.#grew(claimBytes(stored))
    return stored
  }

  columns(reader: AssertionReader, context: LensContext): ClaimColumns {
    if (this.#columns !== undefined && this.#columns.tolerance === toleranceOf(context)) return this.#columns
    for (let i = 0; i < this.count; i++) this.claim(i, reader)
    return this.#columns = columnsOf(this.#claims as readonly StoredAssertion[], context)
  }
}

function hasParents(entries: PairEntries): boolean {
  for (let i = 0; i < entries.count; i++) if (entries.hasParent(i)) return true
  return false
}

function standingOf(entries: PairEntries): number[] {
  const standing: number[] = []
  for (let i = 0; i < entries.count; i++) if (lifecyclePasses(LIFECYCLES_STANDING, entries.lifecycle(i))) standing.push(i)
  return standing
}

/** Entries are in order, the newest first; of one HLC the ids ascend, so that the last of them is the latest. */
function latestOf(standing: readonly number[], entries: PairEntries): number {
  let latest = standing.length === 0 ? -1 : 0
  while (latest + 1 < standing.length && entries.isSameHlc(standing[latest]!, standing[latest + 1]!)) latest++
  return latest
}

function writePlace(view: DataView, at: number, place: EntryPlace): void {
  writeLsn(view, at + PLACE_LSN, place.lsn)
  view.setBigUint64(at + PLACE_HLC, place.hlc, true)
  for (let i = 0; i < ID_PREFIX_BYTES; i++) view.setUint8(at + PLACE_ID_PREFIX + i, place.idPrefix[i]!)
  view.setUint32(at + PLACE_SEGMENT_ID, place.segmentId, true)
  view.setUint32(at + PLACE_RECORD_OFFSET, place.recordOffset, true)
  view.setUint32(at + PLACE_INDEX, place.index, true)
  view.setUint32(at + PLACE_ASSERTION_SUM, place.assertionSum, true)
}

function readPlace(view: DataView, at: number): EntryPlace {
  return {
    lsn: readLsn(view, at + PLACE_LSN), hlc: view.getBigUint64(at + PLACE_HLC, true), segmentId: view.getUint32(at + PLACE_SEGMENT_ID, true),
    recordOffset: view.getUint32(at + PLACE_RECORD_OFFSET, true), index: view.getUint32(at + PLACE_INDEX, true),
    assertionSum: view.getUint32(at + PLACE_ASSERTION_SUM, true), idPrefix: new Uint8Array(view.buffer, at + PLACE_ID_PREFIX, ID_PREFIX_BYTES),
  }
}
