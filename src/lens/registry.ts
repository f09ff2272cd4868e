import { DbError } from '../base/errors.ts'
import type { Lens } from './lens.ts'
import { recencyLens } from './lens-recency.ts'

/** Every lens that a query may name, the default first. */
export const LENSES: readonly Lens[] = Object.freeze([recencyLens])

const BY_NAME: ReadonlyMap<string, Lens> = new Map(LENSES.map((lens) => [lens.name, lens]))

/** What a query that names none gets. */
export const LENS_DEFAULT = recencyLens.name

/** @throws {DbError} `parameter_invalid` naming those there are. */
export function lensOf(name: string): Lens {
  const lens = BY_NAME.get(name)
  if (lens !== undefined) return lens
  // The name is the client's: its length is bounded before it goes into a message.
  throw new DbError('parameter_invalid', `no lens is called ${JSON.stringify(name.slice(0, 64))}; there are: ${[...BY_NAME.keys()].join(', ')}`,
    { parameter: 'lens' })
}
