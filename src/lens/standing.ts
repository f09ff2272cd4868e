import { bytesEqual, toHex } from '../base/bytes.ts'
import { lifecycleNumber } from '../record/assertion.ts'
import type { Candidate } from './lens.ts'

export interface Standing<C extends Candidate> {
  readonly standing: readonly C[]
  readonly leftOut: readonly { readonly candidate: C, readonly why: string }[]
}

const APPROVED = 3

/** Which of the assertions about one subject and predicate count, once those that change others have been looked at. */
export function standing<C extends Candidate>(candidates: readonly C[]): Standing<C> {
  const byId = new Map(candidates.map((candidate) => [toHex(candidate.id), candidate]))
  const out = new Map<C, string>()
  for (const child of candidates) {
    const claim = child.assertion!
    const lifecycle = lifecycleNumber(claim.lifecycle)
    if (lifecycle > APPROVED) out.set(child, `It is ${claim.lifecycle}.`)
    const parent = claim.parent && byId.get(toHex(claim.parent))
    if (parent === undefined || !bytesEqual(parent.assertion!.agent, claim.agent)) continue
    const { object } = parent.assertion!
    if (lifecycle > APPROVED) out.set(parent, `Its agent has made it ${claim.lifecycle}.`)
    else if (object.kind !== claim.object.kind || object.value !== claim.object.value) out.set(parent, 'Its agent has a newer version.')
  }
  return {
    standing: candidates.filter((candidate) => !out.has(candidate)),
    leftOut: [...out].map(([candidate, why]) => ({ candidate, why })),
  }
}
