import { toHex } from '../base/bytes.ts'
import { equivocatorsOf } from './equivocation.ts'
import { distinct } from './id-table.ts'
import { heaviestOf } from './lens-confidence.ts'
import type { Candidate, LeftOut, Lens, LensContext, Resolution } from './lens.ts'
import { latestOf } from './order.ts'
import { claimOf, decayedConfidence, WEIGHT_ONE, weightOf, weightText } from './weight.ts'

/** What is known of nobody. */
const TRUST_NEUTRAL = 0.5

function trustOf(candidate: Candidate, context: LensContext): number {
  const trust = context.trustOf?.(claimOf(candidate).agent) ?? TRUST_NEUTRAL
  return trust >= 0 ? Math.min(trust, 1) : TRUST_NEUTRAL
}

const weigh = (candidate: Candidate, context: LensContext): number => decayedConfidence(candidate, context) * trustOf(candidate, context)

/** Those of agents that do not contradict themselves, and the others. */
function withoutEquivocators<C extends Candidate>(candidates: readonly C[], { equivocators = equivocatorsOf(candidates) }: LensContext): { trusted: C[], leftOut: LeftOut<C>[] } {
  const trusted: C[] = []
  const leftOut: LeftOut<C>[] = []
  for (const candidate of candidates) {
    if (equivocators.size === 0 || !equivocators.has(toHex(claimOf(candidate).agent))) trusted.push(candidate)
    else leftOut.push({ candidate, why: 'Its agent says two things of one time, and is trusted with nothing here.' })
  }
  return { trusted, leftOut }
}

/** Nobody but agents that contradict themselves has spoken, or nobody at all. */
function resolveUntrusted<C extends Candidate>(candidates: readonly C[]): Resolution<C> {
  if (candidates.length === 0) return { answers: [] }
  return {
    answers: [{
      label: '', winner: latestOf(candidates), supporters: candidates, weight: 0,
      why: 'Every agent here says two things of one time and is trusted with nothing; the last claim is shown.',
    }],
  }
}

/**
 * Trust-aware authority (TrustAwareAuthority, "the Hive", of the reference): the greatest product of decayed confidence and the
 * trust in the agent who signed; of equals, the latest. Confidence is what an agent says of itself, trust what outcomes have
 * said of the agent: an agent that was often wrong can not win by being sure.
 *
 * An agent that contradicts itself on the subject and predicate in question (`equivocatorsOf`) is trusted with nothing there: what it says
 * is left out while anybody else has spoken, and weighs nothing where nobody has. That holds, too, where only one of the two claims is a
 * candidate: a filter, or an earlier lens of a chain, must not make a liar honest.
 */
export const trustAuthorityLens: Lens = {
  name: 'trust-authority',
  description: 'The highest product of decayed confidence and trust in the agent wins.',
  reads: 'claims',
  needs: ['trust', 'equivocators'],
  resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
    const { trusted, leftOut } = withoutEquivocators(distinct(candidates), context)
    if (trusted.length === 0) return resolveUntrusted(leftOut.map(({ candidate }) => candidate))
    const { list, score } = heaviestOf(trusted, (candidate) => Math.round(weightOf(candidate, context) * trustOf(candidate, context)))
    const winner = latestOf(list)
    const confidence = decayedConfidence(winner, context)
    const trust = trustOf(winner, context)
    return {
      answers: [{
        label: '', winner, supporters: list, weight: score / WEIGHT_ONE,
        why: `Confidence ${weightText(confidence)} after decay, times trust ${weightText(trust)} in its agent, is the most: ${weightText(confidence * trust)}.`,
      }],
      leftOut,
    }
  },
  weigh,
  whyLost: (candidate, winner, context) =>
    `Confidence times trust is ${weightText(weigh(candidate, context))}; the winner has ${weightText(weigh(winner, context))}.`,
}
