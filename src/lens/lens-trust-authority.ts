import { distinct } from './id-table.ts'
import { heaviestOf } from './lens-confidence.ts'
import type { Candidate, Lens, LensContext, Resolution } from './lens.ts'
import { latestOf } from './order.ts'
import { claimOf, decayedConfidence, WEIGHT_ONE, weightText } from './weight.ts'

/** What is known of nobody. */
const TRUST_NEUTRAL = 0.5

function trustOf(candidate: Candidate, context: LensContext): number {
  const trust = context.trustOf?.(claimOf(candidate).agent) ?? TRUST_NEUTRAL
  return trust >= 0 ? Math.min(trust, 1) : TRUST_NEUTRAL
}

const weigh = (candidate: Candidate, context: LensContext): number => decayedConfidence(candidate, context) * trustOf(candidate, context)

/**
 * Trust-aware authority (TrustAwareAuthority, "the Hive", of the reference): the greatest product of decayed confidence and the
 * trust in the agent who signed; of equals, the latest. Confidence is what an agent says of itself, trust what outcomes have
 * said of the agent: an agent that was often wrong can not win by being sure.
 */
export const trustAuthorityLens: Lens = {
  name: 'trust-authority',
  description: 'The highest product of decayed confidence and trust in the agent wins.',
  reads: 'claims',
  needs: ['trust'],
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    const { list, score } = heaviestOf(distinct(candidates), (candidate) => Math.round(weigh(candidate, context) * WEIGHT_ONE))
    if (list.length === 0) return { answers: [] }
    const winner = latestOf(list)
    const confidence = decayedConfidence(winner, context)
    const trust = trustOf(winner, context)
    return {
      answers: [{
        label: '', winner, supporters: list, weight: score / WEIGHT_ONE,
        why: `Confidence ${weightText(confidence)} after decay, times trust ${weightText(trust)} in its agent, is the most: ${weightText(confidence * trust)}.`,
      }],
    }
  },
  weigh,
  whyLost: (candidate, winner, context) =>
    `Confidence times trust is ${weightText(weigh(candidate, context))}; the winner has ${weightText(weigh(winner, context))}.`,
}
