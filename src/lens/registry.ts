import { DbError } from '../base/errors.ts'
import { chain, LENS_CHAIN_MAX } from './chain.ts'
import { authorityLens } from './lens-authority.ts'
import { ballotLens } from './lens-ballot.ts'
import { confidenceLens } from './lens-confidence.ts'
import { consensusLens } from './lens-consensus.ts'
import { constraintsLens } from './lens-constraints.ts'
import { epochLens } from './lens-epoch.ts'
import { independentLens } from './lens-independent.ts'
import { layeredLens } from './lens-layered.ts'
import { recencyLens } from './lens-recency.ts'
import { skepticLens } from './lens-skeptic.ts'
import { trustAuthorityLens } from './lens-trust-authority.ts'
import { versionsLens } from './lens-versions.ts'
import type { Lens } from './lens.ts'

/** Every lens that a query may name, the default first (docs/reference/lenses.md). */
export const LENSES: readonly Lens[] = Object.freeze([
  recencyLens, confidenceLens, consensusLens, independentLens, ballotLens, authorityLens, trustAuthorityLens, epochLens,
  layeredLens, skepticLens, constraintsLens, versionsLens,
])

const BY_NAME: ReadonlyMap<string, Lens> = new Map(LENSES.map((lens) => [lens.name, lens]))

/** What a query that names none gets. */
export const LENS_DEFAULT = recencyLens.name

const SHOWN_CHARACTERS_MAX = 64

function refuse(why: string): never {
  throw new DbError('parameter_invalid', why, { parameter: 'lens' })
}

// The name is the client's: its length is bounded before it goes into a message.
const shown = (name: string): string => JSON.stringify(name.slice(0, SHOWN_CHARACTERS_MAX))

/**
 * The lens of a name, or of a chain of names: `authority,recency`.
 * @throws {DbError} `parameter_invalid` naming those there are.
 */
export function lensOf(name: string): Lens {
  return BY_NAME.get(name) ?? (name.includes(',') ? chainOf(name) : unknownLens(name))
}

/**
 * One lens of the names between commas: each chooses from what the one before can not tell from its winner.
 * @throws {DbError} `parameter_invalid` for an unknown name or more than {@link LENS_CHAIN_MAX}.
 */
export function chainOf(names: string): Lens {
  const parts = names.split(',', LENS_CHAIN_MAX + 1).map((name) => name.trim())
  if (parts.length > LENS_CHAIN_MAX) refuse(`a chain has at most ${LENS_CHAIN_MAX} lenses; ${shown(names)} has more`)
  const lenses = parts.map((part) => BY_NAME.get(part) ?? unknownLens(part))
  return lenses.length === 1 ? lenses[0]! : chain(lenses)
}

function unknownLens(name: string): never {
  return refuse(`no lens is called ${shown(name)}; there are: ${[...BY_NAME.keys()].join(', ')}`)
}
