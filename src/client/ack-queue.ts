/** Hands acks from whoever receives them to the one who iterates. Its bound is kept by the producer: `whenBelow`. */
export class AckQueue<T> implements AsyncIterableIterator<T> {
  #items: T[] = []
  #taker: { resolve: (result: IteratorResult<T>) => void, reject: (error: unknown) => void } | undefined
  #end: 'no' | 'closed' | { readonly error: unknown } = 'no'
  #waiters: { below: number, resolve: () => void }[] = []

  get size(): number {
    return this.#items.length
  }

  push(item: T): void {
    if (this.#end !== 'no') return
    const taker = this.#taker
    if (taker === undefined) {
      this.#items.push(item)
    } else {
      this.#taker = undefined
      taker.resolve({ value: item, done: false })
    }
  }

  /** No more will come. */
  close(): void {
    this.#finish('closed')
  }

  /** No more will come, because of `error`, which the iteration throws after what is queued. */
  fail(error: unknown): void {
    this.#finish({ error })
  }

  #finish(end: 'closed' | { readonly error: unknown }): void {
    if (this.#end !== 'no') return
    this.#end = end
    const taker = this.#taker
    this.#taker = undefined
    if (taker !== undefined) this.next().then(taker.resolve, taker.reject)
    this.#wake()
  }

  /** Resolves when fewer than `below` are queued, or the queue has ended. */
  async whenBelow(below: number): Promise<void> {
    if (this.#items.length < below || this.#end !== 'no') return
    await new Promise<void>((resolve) => this.#waiters.push({ below, resolve }))
  }

  #wake(): void {
    const ready = this.#waiters.filter((w) => this.#items.length < w.below || this.#end !== 'no')
    if (ready.length === 0) return
    this.#waiters = this.#waiters.filter((w) => !ready.includes(w))
    for (const waiter of ready) waiter.resolve()
  }

  next(): Promise<IteratorResult<T>> {
    const item = this.#items.shift()
    if (item !== undefined) {
      this.#wake()
      return Promise.resolve({ value: item, done: false })
    }
    if (this.#end === 'closed') return Promise.resolve({ value: undefined, done: true })
    if (this.#end !== 'no') {
      const { error } = this.#end
      this.#end = 'closed'
      return Promise.reject(error as Error)
    }
    return new Promise((resolve, reject) => { this.#taker = { resolve, reject } })
  }

  return(): Promise<IteratorResult<T>> {
    this.#items = []
    this.close()
    this.#end = 'closed'
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
