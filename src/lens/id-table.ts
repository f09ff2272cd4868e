import { bytesEqual } from '../base/bytes.ts'
import type { Candidate, LensContext } from './lens.ts'

const SLOTS_MIN = 32

/**
 * Digests and the places at which they stand: open addressing over their first bytes, which are as good as random. One
 * table serves query after query without allocating: a slot counts only if it bears the stamp of the present filling.
 * An agent who makes digests collide on purpose costs a scan of the candidates, whose number is bounded.
 */
export class IdTable {
  #stamps = new Uint32Array(SLOTS_MIN)
  #places = new Int32Array(SLOTS_MIN)
  #digests: Uint8Array[] = []
  #mask = SLOTS_MIN - 1
  #stamp = 0

  /** Forgets all, and makes room for so many. */
  begin(count: number): void {
    this.#digests.length = 0
    if (count * 2 > this.#stamps.length) {
      let slots = this.#stamps.length
      while (slots < count * 2) slots *= 2
      this.#stamps = new Uint32Array(slots)
      this.#places = new Int32Array(slots)
      this.#mask = slots - 1
      this.#stamp = 0
    }
    if (this.#stamp === 0xffff_ffff) {
      this.#stamps.fill(0)
      this.#stamp = 0
    }
    this.#stamp++
  }

  /** The place of an equal digest; or adds this one and gives its place: the count of those before it. */
  add(digest: Uint8Array): number {
    const slot = this.#slotOf(digest)
    if (this.#stamps[slot] === this.#stamp) return this.#places[slot]!
    this.#stamps[slot] = this.#stamp
    this.#places[slot] = this.#digests.length
    return this.#digests.push(digest) - 1
  }

  /** The place of an equal digest, or -1. */
  find(digest: Uint8Array): number {
    const slot = this.#slotOf(digest)
    return this.#stamps[slot] === this.#stamp ? this.#places[slot]! : -1
  }

  /** How many different ones have been added. */
  get size(): number {
    return this.#digests.length
  }

  /** That of an equal digest, or the free one where it belongs. */
  #slotOf(digest: Uint8Array): number {
    let slot = (digest[0]! | digest[1]! << 8 | digest[2]! << 16) & this.#mask
    while (this.#stamps[slot] === this.#stamp && !bytesEqual(this.#digests[this.#places[slot]!]!, digest)) slot = (slot + 1) & this.#mask
    return slot
  }
}

const table = new IdTable()

/**
 * Each assertion once, however often it is among the candidates: the array itself where nothing repeats. Of two stamps
 * of one id, the greater HLC stays.
 */
export function distinct<C extends Candidate>(candidates: readonly C[], context?: LensContext): readonly C[] {
  if (candidates.length < 2 || context?.columns?.of === candidates) return candidates
  table.begin(candidates.length)
  let kept: C[] | undefined
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i]!
    const known = table.size
    const place = table.add(candidate.id)
    if (place === known) kept?.push(candidate)
    else {
      kept ??= candidates.slice(0, i)
      if (candidate.hlc > kept[place]!.hlc) kept[place] = candidate
    }
  }
  return kept ?? candidates
}
