import { assert } from '../base/assert.ts'

/** Sentences that are kept at most. */
const SENTENCES_MAX = 4096
/** Numbers that a sentence is of are below it, all but the last. */
const COUNT_END = 16_384
const SHARE_END = 128

/**
 * Sentences that say a few small numbers: making one takes longer than all the rest of what a lens does for a side, and few
 * different ones are ever made. A lens stays the pure function that it is.
 */
export class SentenceMemo {
  readonly #make: (members: number, count: number, sources: number, percent: number) => string
  readonly #kept = new Map<number, string>()

  constructor(make: (members: number, count: number, sources: number, percent: number) => string) {
    this.#make = make
  }

  /** @param members @param count @param sources whole, below 16,384 @param percent whole, below 128 */
  of(members: number, count: number, sources: number, percent: number): string {
    assert(members < COUNT_END && count < COUNT_END && sources < COUNT_END && percent < SHARE_END, 'the numbers of a sentence fit into its key')
    const key = ((members * COUNT_END + count) * COUNT_END + sources) * SHARE_END + percent
    let sentence = this.#kept.get(key)
    if (sentence === undefined) {
      if (this.#kept.size >= SENTENCES_MAX) this.#kept.clear()
      this.#kept.set(key, sentence = this.#make(members, count, sources, percent))
    }
    return sentence
  }
}

/** By lenses that count independent sources. */
export const backedBy = new SentenceMemo((members, count, sources, percent) =>
  `${members} of ${count} say so, from ${sources} independent ${sources === 1 ? 'source' : 'sources'}, with ${percent}% of the weight.`)
