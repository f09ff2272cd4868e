import type { Hlc } from '../base/hlc.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import type { AssertionReader, CandidateSource } from './candidate-source.ts'
import type { ReadAssertion } from './statement.ts'

/** Claims of one subject and predicate that are looked at: the newest. */
export const PAIR_CLAIMS_MAX = 1000

/** A claim of a pair, in the shape in which lenses and equivocation.ts take it. */
export interface PairClaim extends ReadAssertion {
  readonly id: Uint8Array
}

export interface PairClaims {
  /** The newest first. */
  readonly claims: readonly PairClaim[]
  /** There are more than were read. */
  readonly cut: boolean
}

export interface PairRange {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly asOfHlc: Hlc | undefined
}

/** Every claim of a subject and predicate, up to `claimsMax` of the newest. @throws {DbError} as reads do */
export function readPair(
  { source, reader }: { readonly source: CandidateSource, readonly reader: AssertionReader }, range: PairRange, claimsMax = PAIR_CLAIMS_MAX,
): PairClaims {
  const cursor = source.entries({ ...range, subjectIsPrefix: false })
  try {
    const claims: PairClaim[] = []
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (claims.length >= claimsMax) return { claims, cut: true }
      const stored = reader.read(entry)
      claims.push({ id: stored.id, place: entry, stored, assertion: decodeAssertion(stored.bytes) })
    }
    return { claims, cut: false }
  } finally {
    cursor.close()
  }
}
