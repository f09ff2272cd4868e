import { bytesEqual, compareBytes, toHex } from '../base/bytes.ts'
import { EQUIVOCATIONS_MAX, equivocationsOf, type Equivocation } from '../lens/equivocation.ts'
import { TAKEN_BACK } from '../record/assertion.ts'
import type { PairClaim } from './pair-claims.ts'

/**
 * In what one claim contradicts others of its key, as lens/equivocation.ts sees it: that lists the pairs with the smallest ids, among which
 * those of the claim that is asked about need not be. Of others with the same object and source the one with the smallest id stands for
 * all; at most {@link EQUIVOCATIONS_MAX}.
 * @param claims of its subject and predicate; it may be among them
 */
export function twinsOf(claim: PairClaim, claims: readonly PairClaim[]): Equivocation<PairClaim>[] {
  const { agent, assertedAtMs } = claim.assertion
  const others = claims.filter(({ id, assertion }) => assertion.assertedAtMs === assertedAtMs && bytesEqual(assertion.agent, agent) && !bytesEqual(id, claim.id)
    && !TAKEN_BACK.has(assertion.lifecycle))
  if (others.length === 0) return []
  const replaced = new Set(others.flatMap(({ assertion: { parent } }) => (parent === undefined ? [] : [toHex(parent)])))
  if (replaced.has(toHex(claim.id))) return []
  const twins: Equivocation<PairClaim>[] = []
  const said = new Set<string>()
  for (const other of others.sort((a, b) => compareBytes(a.id, b.id))) {
    const { object, sourceHash } = other.assertion
    const what = `${toHex(sourceHash)} ${object.kind} ${String(object.value)}`
    if (said.has(what) || replaced.has(toHex(other.id))) continue
    said.add(what)
    twins.push(...equivocationsOf([claim, other]).pairs)
    if (twins.length === EQUIVOCATIONS_MAX) break
  }
  return twins
}
