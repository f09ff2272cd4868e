import type { Hlc } from '../base/hlc.ts'
import { MiB } from '../base/units.ts'
import type { AssertionReader, CandidateSource } from './candidate-source.ts'
import type { ReadAssertion } from './statement.ts'

/** Claims of one subject and predicate that are looked at: the newest. */
export const PAIR_CLAIMS_MAX = 1000
/** And bytes of theirs that are kept in memory. */
export const PAIR_BYTES_MAX = 16 * MiB

/** A claim of a pair, in the shape in which lenses and equivocation.ts take it. */
export interface PairClaim extends ReadAssertion {
  readonly id: Uint8Array
  readonly hlc: Hlc
}

export interface PairClaims {
  /** The newest first. */
  readonly claims: readonly PairClaim[]
  /** There are more than were read. */
  readonly cut: boolean
  readonly bytes: number
}

export interface PairRange {
  readonly subject: Uint8Array
  readonly predicate: Uint8Array
  readonly asOfHlc: Hlc | undefined
}

/** Every claim of a subject and predicate, or the newest of them up to a bound. @throws {DbError} as reads do */
export function readPair(
  { source, reader }: { readonly source: CandidateSource, readonly reader: AssertionReader }, range: PairRange, { claimsMax, bytesMax } = { claimsMax: PAIR_CLAIMS_MAX, bytesMax: PAIR_BYTES_MAX },
): PairClaims {
  const cursor = source.entries({ ...range, subjectIsPrefix: false })
  try {
    const claims: PairClaim[] = []
    let bytes = 0
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      if (claims.length >= claimsMax || bytes >= bytesMax) return { claims, cut: true, bytes }
      const stored = reader.read(entry)
      bytes += stored.bytes.length
      claims.push({ id: stored.id, hlc: stored.hlc, place: entry, stored, assertion: stored.assertion })
    }
    return { claims, cut: false, bytes }
  } finally {
    cursor.close()
  }
}
