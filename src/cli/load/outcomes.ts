import { grownBytes } from '../../base/bytes.ts'
import { errorNameOf, ERROR_CODES } from '../../base/error-codes.ts'
import { outcomeCode, outcomeIndex, type FastAck } from './acks-reader.ts'

const NONE = 0
/** All of the frame's assertions are stored. */
const STORED = 1
const PARTLY = 2
const REFUSED = 3

const DUPLICATE = ERROR_CODES.duplicate.number

/** What became of each frame of a run: one byte a frame, and more only where something was refused. */
export class Outcomes {
  readonly #batch: number
  #states = new Uint8Array(1 << 16)
  /** By frame: which of its assertions were refused. */
  readonly #refusedItems = new Map<number, Set<number>>()
  #frames = 0
  accepted = 0
  duplicates = 0
  refused = 0
  highestLsn = 0
  readonly refusedBy: Record<string, number> = {}

  constructor(batch: number) {
    this.#batch = batch
  }

  /** Records an ack; true where all of its frame is stored. `counted` is false in the warm-up: only the ids count then. */
  add(view: DataView, ack: FastAck, counted: boolean): boolean {
    const frame = ack.requestId
    if (frame >= this.#states.length) this.#grow(frame + 1)
    this.#frames = Math.max(this.#frames, frame + 1)
    if (ack.refused !== 0) {
      this.#states[frame] = REFUSED
      if (counted) this.#refuse(ack.refused, this.#batch)
      return false
    }
    let duplicates = 0
    let refused = 0
    for (let k = 0; k < ack.outcomeCount; k++) {
      const code = outcomeCode(view, ack, k)
      if (code === DUPLICATE) {
        duplicates++
        continue
      }
      refused++
      if (counted) this.#refuse(code, 1)
      this.#refusedItemsOf(frame).add(outcomeIndex(view, ack, k))
    }
    this.#states[frame] = refused === 0 ? STORED : PARTLY
    if (ack.accepted > 0) this.highestLsn = Math.max(this.highestLsn, ack.firstLsn + ack.accepted - 1)
    if (counted) {
      this.accepted += ack.accepted
      this.duplicates += duplicates
    }
    return refused === 0
  }

  #refuse(code: number, count: number): void {
    const name = errorNameOf(code)
    this.refused += count
    this.refusedBy[name] = (this.refusedBy[name] ?? 0) + count
  }

  #refusedItemsOf(frame: number): Set<number> {
    let items = this.#refusedItems.get(frame)
    if (items === undefined) {
      items = new Set()
      this.#refusedItems.set(frame, items)
    }
    return items
  }

  #grow(least: number): void {
    this.#states = grownBytes(this.#states, Math.max(least, 2 * this.#states.length))
  }

  /** Frames of which something is stored, by number, with those of their assertions that are not. */
  *stored(): Generator<{ frame: number, except: ReadonlySet<number> | undefined }> {
    for (let frame = 0; frame < this.#frames; frame++) {
      const state = this.#states[frame]!
      if (state === STORED) yield { frame, except: undefined }
      else if (state === PARTLY) yield { frame, except: this.#refusedItems.get(frame) }
      else if (state !== NONE && state !== REFUSED) throw new RangeError('no such state')
    }
  }
}
