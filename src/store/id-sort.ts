/**
 * Orders fingerprints by (hi, lo) as unsigned numbers: an LSD radix sort of the upper halves in three passes of 11
 * bits, then an insertion sort among the few that share one. Scratch memory is kept between calls.
 */
export class FingerprintSorter {
  readonly #histogram = new Uint32Array(2048)
  #from = new Uint32Array(0)
  #to = new Uint32Array(0)

  /** The first `count` indexes into `hi` and `lo` in order; valid until the next call. */
  order(hi: Uint32Array, lo: Uint32Array, count: number): Uint32Array {
    if (this.#from.length < count) {
      this.#from = new Uint32Array(count)
      this.#to = new Uint32Array(count)
    }
    for (let i = 0; i < count; i++) this.#from[i] = i
    this.#pass(hi, count, 0)
    this.#pass(hi, count, 11)
    this.#pass(hi, count, 22)
    this.#settleTies(hi, lo, count)
    return this.#from
  }

  #pass(hi: Uint32Array, count: number, shift: number): void {
    const histogram = this.#histogram
    const from = this.#from
    const to = this.#to
    histogram.fill(0)
    for (let i = 0; i < count; i++) histogram[(hi[i]! >>> shift) & 2047]!++
    let sum = 0
    for (let bucket = 0; bucket < 2048; bucket++) {
      const size = histogram[bucket]!
      histogram[bucket] = sum
      sum += size
    }
    for (let i = 0; i < count; i++) {
      const index = from[i]!
      to[histogram[(hi[index]! >>> shift) & 2047]!++] = index
    }
    this.#from = to
    this.#to = from
  }

  /** Quadratic in the length of a tie, which the keyed fingerprint keeps at one or two. */
  #settleTies(hi: Uint32Array, lo: Uint32Array, count: number): void {
    const order = this.#from
    for (let i = 1; i < count; i++) {
      const index = order[i]!
      let at = i
      while (at > 0 && hi[order[at - 1]!] === hi[index] && lo[order[at - 1]!]! > lo[index]!) {
        order[at] = order[at - 1]!
        at--
      }
      order[at] = index
    }
  }
}
