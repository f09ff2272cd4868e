/**
 * The hash of everything that happened, in order: two runs of one seed have the same, or something else than the seed
 * has a say.
 */
export class Trace {
  #high = 0x811c9dc5
  #low = 0x01000193
  eventCount = 0
  readonly #listener: ((event: string) => void) | undefined

  /** @param listener gets every event as a line, for people. */
  constructor(listener?: (event: string) => void) {
    this.#listener = listener
  }

  note(event: string): void {
    this.eventCount++
    for (let i = 0; i < event.length; i++) {
      const unit = event.charCodeAt(i)
      this.#high = Math.imul(this.#high ^ unit, 0x01000193) >>> 0
      this.#low = Math.imul(this.#low ^ unit, 0x85ebca6b) >>> 0
    }
    this.#high = (this.#high ^ this.#low >>> 13) >>> 0
    this.#listener?.(event)
  }

  get hash(): string {
    return this.#high.toString(16).padStart(8, '0') + this.#low.toString(16).padStart(8, '0')
  }
}
