import { toHex } from '../base/bytes.ts'
import { distinct } from './id-table.ts'
import type { Candidate, LeftOut, Lens, LensContext, Resolution } from './lens.ts'
import { latestOf, momentOf } from './order.ts'
import { claimOf } from './weight.ts'

/**
 * Epoch-aware: candidates of an epoch that another has taken the place of, by whatever chain, are left out; the latest of the rest wins.
 * First in a chain (`epoch,consensus`) it hands all the rest on. Candidates of no epoch belong to no paradigm and stay.
 * Which epochs are superseded is the context's to say; it follows chains and is not led astray by cycles.
 */
export const epochLens: Lens = {
  name: 'epoch',
  description: 'Assertions of superseded epochs are left out; of the rest, the most recently accepted one wins.',
  reads: 'claims',
  needs: ['epochs'],
  resolve<C extends Candidate>(candidates: readonly C[], { isSuperseded }: LensContext): Resolution<C> {
    const supporters: C[] = []
    const leftOut: LeftOut<C>[] = []
    for (const candidate of distinct(candidates)) {
      const { epoch } = claimOf(candidate)
      if (epoch === undefined || isSuperseded?.(epoch) !== true) supporters.push(candidate)
      else leftOut.push({ candidate, why: `Its epoch ${toHex(epoch.subarray(0, 8))}... has been superseded.` })
    }
    if (supporters.length === 0) return { answers: [], leftOut }
    const winner = latestOf(supporters)
    const why = `Accepted last of those whose epoch stands, at ${momentOf(winner.hlc)}.`
    return { answers: [{ label: '', winner, supporters, why }], leftOut }
  },
  whyLost: ({ hlc }) => `Its epoch stands, but it was accepted earlier, at ${momentOf(hlc)}.`,
}
