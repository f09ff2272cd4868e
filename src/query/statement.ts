import { toHex } from '../base/bytes.ts'
import type { BatchPathJson, StatementJson } from '../merkle/statement.ts'
import { pathOfId, rootOfIds } from '../merkle/tree.ts'
import { assertionToJson } from '../record/assertion.json.ts'
import type { Assertion } from '../record/assertion.ts'
import { HASH_BYTES } from '../record/limits.ts'
import { SIGNED_BY } from '../wire/query-reply.codec.ts'
import { SIGNED_BY_BATCH, type AssertionReader, type Place, type StoredAssertion } from './candidate-source.ts'

export const signedByText = (stored: StoredAssertion): StatementJson['signed_by'] => SIGNED_BY[stored.signedBy]

/** An assertion that has been read, with where it was read. */
export interface ReadAssertion {
  readonly place: Place
  readonly stored: StoredAssertion
  readonly assertion: Assertion
}

/**
 * All that anybody needs to check an assertion's signature (merkle/statement.ts). That of a batch costs a read of all its ids.
 * @throws {DbError} as reads do
 */
export function statementOf({ place, stored, assertion }: ReadAssertion, reader: AssertionReader): StatementJson {
  const batch = stored.signedBy === SIGNED_BY_BATCH ? batchPathOf(place, reader) : undefined
  return {
    id: toHex(stored.id),
    signed_by: signedByText(stored),
    ...(stored.signature === undefined ? {} : { signature: toHex(stored.signature) }),
    ...(batch === undefined ? {} : { batch }),
    assertion: assertionToJson(assertion),
  }
}

function batchPathOf(place: Place, reader: AssertionReader): BatchPathJson | undefined {
  const ids = reader.batchIds?.(place)
  return ids && batchPath(ids, place.index)
}

/** How the assertion at `index` of a batch goes up to the root of the batch's ids. */
export function batchPath(ids: Uint8Array, index: number): BatchPathJson {
  const path = pathOfId(ids, index)
  return {
    index,
    count: ids.length / HASH_BYTES,
    root: toHex(rootOfIds(ids)),
    path: Array.from({ length: path.length / HASH_BYTES }, (_, i) => toHex(path.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))),
  }
}
