/** Hash values that are told apart; a power of two. At ten thousand filters half of what matches nothing is still dismissed. */
const SLOTS = 1 << 14

/** FNV-1a (Fowler, Noll, Vo 1991), 32 bits: begins of the hashes of each kind of key, so that kinds share one table. */
const FNV_PRIME = 0x0100_0193
export const SUBJECT_BASIS = 0x811c_9dc5 | 0
export const PREDICATE_BASIS = 0x2f0b_4c47 | 0
export const AGENT_BASIS = 0x5bd1_e995 | 0
/** Over a hash of all of a subject: a whole one is no prefix of the same bytes. */
export const WHOLE = 0x6b43_a9b5 | 0

/** Goes on from `hash` over `bytes[from..until)`. */
export function hashOn(hash: number, bytes: Uint8Array, from: number, until: number): number {
  let h = hash
  for (let i = from; i < until; i++) h = Math.imul(h ^ bytes[i]!, FNV_PRIME)
  return h
}

/** The same of Latin-1 text. */
export function hashText(hash: number, text: string): number {
  let h = hash
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), FNV_PRIME)
  return h
}

/**
 * Says of most keys that no filter has them, without making a text of their bytes: a count for each hash value, as of a counting Bloom filter (Fan
 * et al. 2000) with one hash. What it does not dismiss has to be looked up.
 */
export class MatchSketch {
  readonly #counts = new Uint32Array(SLOTS)

  add(hash: number): void {
    this.#counts[slotOf(hash)]!++
  }

  /** Of a hash that was added. */
  remove(hash: number): void {
    this.#counts[slotOf(hash)]!--
  }

  has(hash: number): boolean {
    return this.#counts[slotOf(hash)] !== 0
  }
}

/** FNV's low bits alone are those of the last bytes mostly. */
const slotOf = (hash: number): number => (hash ^ (hash >>> 15)) & (SLOTS - 1)
