import { compareBytes } from '../base/bytes.ts'
import { IdTable } from './id-table.ts'
import type { Candidate } from './lens.ts'
import type { Cluster } from './value.ts'
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
 * A candidate whose parent is among the candidates and gives the same value says it because the parent did: it goes back to what the
 * parent goes back to. Any other goes back to the content that it cites, by its source hash. All that cite nothing go
 * back to one and the same source, number 0: naming no source must not be worth more than naming one. Keys play no part.
 *
 * Sources are followed, and not merged. Were two sources one as soon as some claim cites the one and follows the other, then anybody
 * could make rivals' sources one by such a claim. A ring of parents, which content-addressed ids can not form, goes back
 * to what its least id cites.
 *
 * @param clusters of these candidates, by value
 */
export function originsOf(candidates: readonly Candidate[], clusters: readonly Cluster<Candidate>[]): Int32Array {
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
  const parents = parentsOf(candidates, clusters)
  for (let i = 0; i < candidates.length; i++) if (origins[i] === UNKNOWN) follow(i, candidates, parents, origins)
  return origins
}

/** The places of parents that give the same value, or UNKNOWN. */
function parentsOf(candidates: readonly Candidate[], clusters: readonly Cluster<Candidate>[]): Int32Array {
  ids.begin(candidates.length)
  for (const { id } of candidates) ids.add(id)
  const values = new Int32Array(candidates.length)
  clusters.forEach(({ places }, value) => {
    for (const place of places) values[place] = value
  })
  return Int32Array.from(candidates, (candidate, place) => {
    const { parent } = claimOf(candidate)
    const at = parent === undefined ? UNKNOWN : ids.find(parent)
    return at !== UNKNOWN && values[at] === values[place] ? at : UNKNOWN
  })
}

const NO_SOURCE = new Uint8Array(32)

const citedBy = (sourceHash: Uint8Array): number => isZero(sourceHash) ? 0 : sources.add(sourceHash)

/** Gives every candidate of the chain of parents from `start` the origin of its end. */
function follow(start: number, candidates: readonly Candidate[], parents: Int32Array, origins: Int32Array): void {
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
    const next = parents[at]!
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
