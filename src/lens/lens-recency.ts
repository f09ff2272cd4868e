import type { Hlc } from '../base/hlc.ts'
import type { Candidate, Lens, Resolution } from './lens.ts'
import { latestOf, momentOf } from './order.ts'

const whyLatest = (hlc: Hlc): string => `Accepted last, at ${momentOf(hlc)}.`

/**
 * Recency: the candidate with the greatest HLC wins; of equal HLCs, the one with the greatest id as unsigned bytes.
 *
 * The HLC (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014) is when a node first accepted the assertion, not when the agent
 * says it was made: an agent can not win by dating ahead. (HLC, id) is a total order, and a maximum over it is
 * independent of order and duplication.
 */
export const recencyLens: Lens = {
  name: 'recency',
  description: 'The most recently accepted assertion wins (HLC, then id).',
  reads: 'stamps',
  newestOnly: true,
  resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
    if (candidates.length === 0) return { answers: [] }
    const winner = latestOf(candidates)
    return { answers: [{ label: '', winner, supporters: [winner], why: whyLatest(winner.hlc) }] }
  },
  whyLatest,
  whyLost: ({ hlc }) => `Accepted earlier, at ${momentOf(hlc)}.`,
}
