/** A group of so few keys is sorted by comparing them. */
const COMPARED_MAX = 12
/** From so many keys on, three passes of 11 bits are cheaper than four of 8. */
const WIDE_MIN = 2048

/**
 * Orders keys as unsigned bytes, the shorter first where one begins the other: most significant bytes first, four at a
 * time by a radix sort, after what all keys of a group begin with, which is most of a key where many share a path. A
 * group that shares those four bytes is sorted by what follows. Scratch memory is kept between calls.
 */
export class KeySorter {
  readonly #histogram = new Uint32Array(2048)
  #order = new Uint32Array(0)
  #other = new Uint32Array(0)
  #codes = new Uint32Array(0)
  #bytes: Uint8Array = new Uint8Array(0)
  #starts: Uint32Array = new Uint32Array(0)
  #ends: Uint32Array = new Uint32Array(0)

  /**
   * The numbers 0..count of the keys `bytes[starts[i]..ends[i])`, in order; valid until the next call.
   * @param shared bytes that the caller knows all keys to begin with
   */
  order(bytes: Uint8Array, starts: Uint32Array, ends: Uint32Array, count: number, shared = 0): Uint32Array {
    if (this.#order.length < count) {
      this.#order = new Uint32Array(count * 2)
      this.#other = new Uint32Array(count * 2)
      this.#codes = new Uint32Array(count * 2)
    }
    this.#bytes = bytes
    this.#starts = starts
    this.#ends = ends
    const order = this.#order
    for (let i = 0; i < count; i++) order[i] = i
    this.#sort(0, count, shared)
    return this.#order
  }

  /** Sorts the keys that stand at `from..to` of the order and share their first `depth` bytes. */
  #sort(from: number, to: number, depth: number): void {
    if (to - from <= COMPARED_MAX) return this.#compareSort(from, to, depth)
    const common = this.#commonDepth(from, to, depth)
    if (common < 0) return this.#compareSort(from, to, depth)
    this.#code(from, to, common)
    if (to - from >= WIDE_MIN) this.#radix(from, to, 11, 3)
    else this.#radix(from, to, 8, 4)
    const order = this.#order
    const codes = this.#codes
    for (let start = from; start < to;) {
      const code = codes[order[start]!]
      let end = start + 1
      while (end < to && codes[order[end]!] === code) end++
      if (end - start > 1) this.#sort(start, end, common + 4)
      start = end
    }
  }

  /** How many bytes all keys of a group share; -1 where that is all of one of them. */
  #commonDepth(from: number, to: number, depth: number): number {
    const bytes = this.#bytes
    const starts = this.#starts
    const ends = this.#ends
    const order = this.#order
    const first = starts[order[from]!]!
    let common = ends[order[from]!]! - first
    for (let n = from + 1; n < to; n++) {
      const key = order[n]!
      const start = starts[key]!
      const length = Math.min(common, ends[key]! - start)
      let at = depth
      while (at < length && bytes[start + at] === bytes[first + at]) at++
      // A key that ends within the common part: four bytes could not tell it from one with zeros there.
      if (at >= ends[key]! - start) return -1
      common = at
      if (common === depth) break
    }
    return common >= ends[order[from]!]! - first ? -1 : common
  }

  /** Four bytes of each key from `depth` on; bytes behind a key's end count as zero. */
  #code(from: number, to: number, depth: number): void {
    const bytes = this.#bytes
    const starts = this.#starts
    const ends = this.#ends
    const codes = this.#codes
    for (let n = from; n < to; n++) {
      const key = this.#order[n]!
      const at = starts[key]! + depth
      const left = ends[key]! - at
      codes[key] = left >= 4
        ? (bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!)
        : ((left > 0 ? bytes[at]! << 24 : 0) | (left > 1 ? bytes[at + 1]! << 16 : 0) | (left > 2 ? bytes[at + 2]! << 8 : 0))
    }
  }

  /** Least significant bits first, over the codes. */
  #radix(from: number, to: number, bits: number, passes: number): void {
    const histogram = this.#histogram
    const codes = this.#codes
    const mask = (1 << bits) - 1
    for (let pass = 0; pass < passes; pass++) {
      const shift = pass * bits
      const source = this.#order
      const target = this.#other
      histogram.fill(0, 0, mask + 1)
      for (let n = from; n < to; n++) histogram[(codes[source[n]!]! >>> shift) & mask]!++
      let sum = from
      for (let bucket = 0; bucket <= mask; bucket++) {
        const size = histogram[bucket]!
        histogram[bucket] = sum
        sum += size
      }
      for (let n = from; n < to; n++) {
        const key = source[n]!
        target[histogram[(codes[key]! >>> shift) & mask]!++] = key
      }
      // Only this group has moved: the rest of the order stays where it is.
      source.set(target.subarray(from, to), from)
    }
  }

  #compareSort(from: number, to: number, depth: number): void {
    const order = this.#order
    if (to - from > 64) {
      order.subarray(from, to).sort((a, b) => this.#compare(a, b, depth))
      return
    }
    for (let n = from + 1; n < to; n++) {
      const key = order[n]!
      let at = n
      while (at > from && this.#compare(order[at - 1]!, key, depth) > 0) {
        order[at] = order[at - 1]!
        at--
      }
      order[at] = key
    }
  }

  #compare(a: number, b: number, depth: number): number {
    const bytes = this.#bytes
    const starts = this.#starts
    const ends = this.#ends
    const endA = ends[a]!
    const endB = ends[b]!
    let atA = starts[a]! + depth
    let atB = starts[b]! + depth
    while (atA < endA && atB < endB) {
      const difference = bytes[atA++]! - bytes[atB++]!
      if (difference !== 0) return difference
    }
    return (endA - atA) - (endB - atB)
  }
}
