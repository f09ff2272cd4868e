const NEWLINE = 0x0a

/**
 * Cuts a stream of bytes into lines. Every byte is looked at once, however small the pieces in which it comes, and
 * copied a bounded number of times.
 */
export class LineSplitter {
  #bytes = new Uint8Array(4096)
  #start = 0
  #end = 0
  /** No newline stands before this. */
  #scanned = 0
  #ended = false

  /** Bytes that {@link next} has not returned. */
  get bufferedBytes(): number {
    return this.#end - this.#start
  }

  /** Takes a copy. */
  push(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#bytes.length) this.#makeRoom(chunk.length)
    this.#bytes.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** The last line needs no newline. */
  end(): void {
    this.#ended = true
  }

  /** The next whole line without its newline, valid until the next {@link push}; undefined where there is none yet. */
  next(): Uint8Array | undefined {
    const at = this.#bytes.subarray(0, this.#end).indexOf(NEWLINE, this.#scanned)
    if (at < 0) {
      this.#scanned = this.#end
      return this.#ended && this.bufferedBytes > 0 ? this.#take(this.#end, this.#end) : undefined
    }
    return this.#take(at, at + 1)
  }

  #take(lineEnd: number, nextStart: number): Uint8Array {
    const line = this.#bytes.subarray(this.#start, lineEnd)
    this.#start = nextStart
    this.#scanned = nextStart
    return line
  }

  /** Moves what is left to the front of a buffer that is at least half free then, so that moves are paid for by bytes. */
  #makeRoom(bytes: number): void {
    const left = this.bufferedBytes
    const needed = left + bytes
    const target = needed * 2 > this.#bytes.length ? new Uint8Array(needed * 2) : this.#bytes
    target.set(this.#bytes.subarray(this.#start, this.#end))
    this.#bytes = target
    this.#scanned -= this.#start
    this.#start = 0
    this.#end = left
  }
}
