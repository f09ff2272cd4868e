import { compareBytes } from '../base/bytes.ts'
import { IdTable } from './id-table.ts'
import type { Candidate } from './lens.ts'
import { claimOf } from './weight.ts'

const ids = new IdTable()
const sources = new IdTable()

const ON_PATH = -2
const UNKNOWN = -1

const isZero = (hash: Uint8Array): boolean => {
  for (const byte of hash) if (byte !== 0) return false
  return true
}

/**
 * For each candidate (each id once) the independent source that it goes back to, as a number from 0.
 *
 * A candidate whose parent is among the candidates says it because the parent did: it goes back to what the parent goes back to.
 * One without goes back to the content that it cites, by its source hash. All that cite nothing go back to one and
 * the same source, number 0: naming no source must not be worth more than naming one. Keys play no part.
 *
 * Sources are followed, and not merged. Were two sources one as soon as some claim cites the one and follows the other, then anybody
 * could make rivals' sources one by such a claim. A ring of parents, which content-addressed ids can not form, goes back
 * to what its least id cites.
 */
export function originsOf(candidates: readonly Candidate[]): Int32Array {
  const origins = new Int32Array(candidates.length).fill(UNKNOWN)
  sources.begin(candidates.length + 1)
  sources.add(NO_SOURCE)
  let hasParents = false
  for (let i = 0; i < candidates.length; i++) {
    const claim = claimOf(candidates[i]!)
    if (claim.parent === undefined) origins[i] = citedBy(claim.sourceHash)
    else hasParents = true
  }
  if (!hasParents) return origins
  ids.begin(candidates.length)
  for (const candidate of candidates) ids.add(candidate.id)
  for (let i = 0; i < candidates.length; i++) if (origins[i] === UNKNOWN) follow(i, candidates, origins)
  return origins
}

const NO_SOURCE = new Uint8Array(32)

const citedBy = (sourceHash: Uint8Array): number => isZero(sourceHash) ? 0 : sources.add(sourceHash)

/** Gives every candidate of the chain of parents from `start` the origin of its end. */
function follow(start: number, candidates: readonly Candidate[], origins: Int32Array): void {
  const path: number[] = []
  let at = start
  for (;;) {
    if (origins[at] === ON_PATH) {
      at = leastOf(path.slice(path.indexOf(at)), candidates)
      break
    }
    if (origins[at] !== UNKNOWN) break
    origins[at] = ON_PATH
    path.push(at)
    const next = ids.find(claimOf(candidates[at]!).parent!)
    if (next === UNKNOWN) break
    at = next
  }
  const known = origins[at]!
  const origin = known >= 0 ? known : citedBy(claimOf(candidates[at]!).sourceHash)
  for (const place of path) origins[place] = origin
}

function leastOf(places: readonly number[], candidates: readonly Candidate[]): number {
  return places.reduce((least, place) => compareBytes(candidates[place]!.id, candidates[least]!.id) < 0 ? place : least)
}

/** How many different origins the candidates at `places` have. */
export function countSources(places: readonly number[], origins: Int32Array): number {
  if (places.length === 1) return 1
  const seen = new Set<number>()
  for (const place of places) seen.add(origins[place]!)
  return seen.size
}
