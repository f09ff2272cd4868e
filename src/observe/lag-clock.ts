import type { Lsn } from '../base/lsn.ts'

/** Samples that are kept. When they are full, every second one goes: the past gets coarser, never longer than this. */
export const LAG_SAMPLES_MAX = 512

/**
 * How old the oldest entry is that one mark has passed and another has not, from samples of the first: no stamp has to be
 * read from the log for it. Exact to the distance of two samples.
 */
export class LagClock {
  #samples: { readonly atMs: number, readonly lsn: Lsn }[] = []

  /** Notes how far the leading mark has come. Times and LSNs never go back. */
  note(nowMs: number, leadingLsn: Lsn): void {
    if (this.#samples.at(-1)?.lsn === leadingLsn) return
    if (this.#samples.length === LAG_SAMPLES_MAX) this.#samples = this.#samples.filter((_, index) => index % 2 === 0)
    this.#samples.push({ atMs: nowMs, lsn: leadingLsn })
  }

  /** Age in milliseconds of the oldest noted entry above `followingLsn`; 0 where there is none. Forgets what is below. */
  lagMs(nowMs: number, followingLsn: Lsn): number {
    const first = this.#samples.findIndex(({ lsn }) => lsn > followingLsn)
    this.#samples = first < 0 ? this.#samples.slice(-1) : this.#samples.slice(first)
    return first < 0 ? 0 : nowMs - this.#samples[0]!.atMs
  }
}
