import { assert } from '../base/assert.ts'
import { distinct } from './id-table.ts'
import type { Candidate, LeftOut, Lens, LensContext, LensNeed, Resolution } from './lens.ts'

/** Most lenses of a chain. */
export const LENS_CHAIN_MAX = 4

/** Those whom the best answer of a lens does not pass on. What the lens left out is no loser. */
function losersOf<C extends Candidate>(lens: Lens, candidates: readonly C[], { answers, leftOut, outranked }: Resolution<C>, context: LensContext): LeftOut<C>[] {
  const best = answers[0]!
  const told = new Set<C>(best.supporters)
  for (const { candidate } of leftOut ?? []) told.add(candidate)
  const losers: LeftOut<C>[] = []
  const tell = (candidate: C, why: string): void => {
    if (told.has(candidate)) return
    told.add(candidate)
    losers.push({ candidate, why: `${lens.name}: ${why}` })
  }
  for (const { candidate, why } of outranked ?? []) tell(candidate, why)
  for (const candidate of candidates) tell(candidate, lens.whyLost?.(candidate, best.winner, context) ?? 'Not on the side that won.')
  return losers
}

/**
 * Several lenses as one: each chooses from the supporters of the best answer of the one before, and the resolution is the last one's.
 * Pure, order-independent and total, as every part is. What was left out or lost on the way is told with the name of the lens.
 */
export function chain(lenses: readonly Lens[]): Lens {
  const last = lenses[lenses.length - 1]
  assert(last !== undefined && lenses.length <= LENS_CHAIN_MAX, 'a chain has a lens, and not too many')
  const needs = [...new Set(lenses.flatMap((lens): readonly LensNeed[] => lens.needs ?? []))]
  return {
    name: lenses.map(({ name }) => name).join(','),
    description: lenses.map(({ description }) => description).join(' Then: '),
    reads: lenses.some(({ reads }) => reads === 'claims') ? 'claims' : 'stamps',
    needs,
    ...(lenses[0]!.newestOnly && { newestOnly: true as const }),
    ...(lenses.some(({ countsSources }) => countsSources) && { countsSources: true as const }),
    ...(last.sidesHold && { sidesHold: last.sidesHold }),
    ...(last.byValue && { byValue: last.byValue }),
    ...(last.weigh && { weigh: last.weigh }),
    ...(last.whyLost && { whyLost: last.whyLost }),
    resolve<C extends Candidate>(candidates: readonly C[], context: LensContext): Resolution<C> {
      return resolveChain(lenses, candidates, context)
    },
  }
}

function resolveChain<C extends Candidate>(lenses: readonly Lens[], candidates: readonly C[], context: LensContext): Resolution<C> {
  const leftOut: LeftOut<C>[] = []
  const outranked: LeftOut<C>[] = []
  const whys: string[] = []
  let left = distinct(candidates)
  for (let i = 0; ; i++) {
    const lens = lenses[i]!
    const resolution = lens.resolve(left, context)
    for (const { candidate, why } of resolution.leftOut ?? []) leftOut.push({ candidate, why: `${lens.name}: ${why}` })
    const best = resolution.answers[0]
    if (best === undefined || i === lenses.length - 1) {
      for (const { candidate, why } of resolution.outranked ?? []) outranked.push({ candidate, why: `${lens.name}: ${why}` })
      const before = whys.join('')
      return { ...resolution, answers: resolution.answers.map((answer) => ({ ...answer, why: `${before}${lens.name}: ${answer.why}` })), leftOut, outranked }
    }
    for (const loser of losersOf(lens, left, resolution, context)) outranked.push(loser)
    whys.push(`${lens.name}: ${best.why} `)
    left = best.supporters
  }
}
