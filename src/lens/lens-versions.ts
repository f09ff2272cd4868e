import { distinct } from './id-table.ts'
import type { Candidate, Lens, Resolution } from './lens.ts'
import { isLater, momentOf } from './order.ts'

/**
 * All versions: every candidate is an answer of its own, the newest first by (HLC, id). It resolves nothing and hides nothing:
 * for a reader who decides alone, and for the history of a pair.
 */
export const versionsLens: Lens = {
  name: 'versions',
  description: 'Every assertion as an answer of its own, the newest first.',
  reads: 'stamps',
  newestOnly: true,
  sidesHold: true,
  resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
    const versions = [...distinct(candidates)].sort((a, b) => isLater(a, b) ? -1 : 1)
    return {
      answers: versions.map((winner, i) => {
        const label = `version ${versions.length - i}`
        return { label, winner, supporters: [winner], why: `${label} of ${versions.length}, accepted at ${momentOf(winner.hlc)}.` }
      }),
    }
  },
}
