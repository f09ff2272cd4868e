/**
 * What was used lately, by number, in bounded memory. Two generations take turns, each of half of the bytes: what is asked for moves to the
 * young one; when that is full it becomes the old one, and what was left in the old one is forgotten.
 */
export class Generations<V> {
  readonly #bytesEach: number
  readonly #bytesOf: (value: V) => number
  #young = new Map<number, V>()
  #old = new Map<number, V>()
  #youngBytes = 0

  /** @param bytesMax 0: nothing is kept */
  constructor(bytesMax: number, bytesOf: (value: V) => number) {
    this.#bytesEach = bytesMax / 2
    this.#bytesOf = bytesOf
  }

  get(number: number): V | undefined {
    const young = this.#young.get(number)
    if (young !== undefined) return young
    const old = this.#old.get(number)
    if (old !== undefined) this.keep(number, old)
    return old
  }

  /** In place of what had the number. */
  keep(number: number, value: V): void {
    const bytes = this.#bytesOf(value)
    if (bytes > this.#bytesEach) return
    const before = this.#young.get(number)
    if (before !== undefined) this.#youngBytes -= this.#bytesOf(before)
    this.#young.set(number, value)
    this.grew(bytes)
  }

  /** Something that is kept takes so much more now. */
  grew(bytes: number): void {
    this.#youngBytes += bytes
    if (this.#youngBytes <= this.#bytesEach) return
    this.#old = this.#young
    this.#young = new Map()
    this.#youngBytes = 0
  }
}
