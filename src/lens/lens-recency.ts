import { compareBytes } from '../base/bytes.ts'
import { hlcWallMs } from '../base/hlc.ts'
import type { Candidate, Lens, Resolution } from './lens.ts'

/** Later in the order that recency ranks by: HLC, then id. */
function isLater(a: Candidate, b: Candidate): boolean {
  return a.hlc === b.hlc ? compareBytes(a.id, b.id) > 0 : a.hlc > b.hlc
}

/**
 * Recency: the candidate with the greatest HLC wins; of equal HLCs, the one with the greatest id as unsigned bytes.
 *
 * The HLC is when a node first accepted the assertion, not when the agent says it was made: an agent can not win by
 * dating ahead. (HLC, id) is a total order, and a maximum over it is independent of order and duplication.
 */
export const recencyLens: Lens = {
  name: 'recency',
  description: 'The most recently accepted assertion wins (HLC, then id).',
  reads: 'stamps',
  resolve<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
    const [first] = candidates
    if (first === undefined) return { answers: [] }
    let winner = first
    for (const candidate of candidates) if (isLater(candidate, winner)) winner = candidate
    const when = new Date(hlcWallMs(winner.hlc)).toISOString()
    return { answers: [{ label: '', winner, supporters: [winner], why: `Accepted last, at ${when}.` }] }
  },
}
