import { compareBytes } from '../base/bytes.ts'
import { hlcWallMs, type Hlc } from '../base/hlc.ts'
import type { Candidate } from './lens.ts'

/** Later in the order that recency ranks by: HLC, then id. Total, so that it settles whatever else is a tie. */
export function isLater(a: Candidate, b: Candidate): boolean {
  return a.hlc === b.hlc ? compareBytes(a.id, b.id) > 0 : a.hlc > b.hlc
}

/** The latest of at least one. */
export function latestOf<C extends Candidate>(candidates: readonly C[]): C {
  let latest = candidates[0]!
  for (let i = 1; i < candidates.length; i++) if (isLater(candidates[i]!, latest)) latest = candidates[i]!
  return latest
}

/** The moment of an HLC, for a person. */
export const momentOf = (hlc: Hlc): string => new Date(hlcWallMs(hlc)).toISOString()
