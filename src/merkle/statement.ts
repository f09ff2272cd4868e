import { concatBytes, fromHex, toHex } from '../base/bytes.ts'
import { isDbError } from '../base/errors.ts'
import type { Assertion } from '../record/assertion.ts'
import { assertionFromJson, type AssertionJson } from '../record/assertion.json.ts'
import { assertionIdOf } from '../record/claim.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { verifyInclusion } from './proof.ts'
import type { VerifySignature } from './receipt.ts'
import { batchMessage, singleMessage } from './signed-message.ts'

/**
 * Signed statements that prove themselves: the claim, and all that a signature over it needs to be checked by anybody who knows the
 * realm, without a node (docs/formats/signatures.md).
 */

/** Where an assertion stands in the batch whose root its agent has signed. */
export interface BatchPathJson {
  readonly index: number
  readonly count: number
  /** 64 hex digits: the Merkle root of the batch's ids. */
  readonly root: string
  /** Siblings from the leaf up, 64 hex digits each. */
  readonly path: readonly string[]
}

export interface StatementJson {
  /** 64 hex digits. */
  readonly id: string
  readonly signed_by: 'nobody' | 'assertion' | 'batch'
  /** 128 hex digits; absent where nobody has signed. */
  readonly signature?: string
  /** With `signed_by: "batch"`. */
  readonly batch?: BatchPathJson
  readonly assertion: AssertionJson
}

/** Two statements of one key about the same subject, predicate and time, with different objects. */
export interface EquivocationJson {
  readonly agent: string
  /** Unix milliseconds, as the agent says. */
  readonly asserted_at: number
  /** Both cite one source, or none. Where not, the key may have reported two sources that contradict each other. */
  readonly same_source: boolean
  readonly statements: readonly [StatementJson, StatementJson]
}

/**
 * The assertion that a statement proves to have been signed by its agent in this realm, or undefined. Takes anything. `initHash()`
 * (record/claim.ts) once before.
 */
export function verifyStatement(statement: StatementJson, realmHash: Uint8Array, verifySignature: VerifySignature): Assertion | undefined {
  const assertion = assertionOf(statement)
  const signature = fromHex(statement.signature ?? '', SIGNATURE_BYTES)
  if (assertion === undefined || signature === undefined) return undefined
  const id = assertionIdOf(assertion)
  if (toHex(id) !== statement.id.toLowerCase()) return undefined
  const message = statement.signed_by === 'assertion' ? singleMessage(realmHash, id)
    : statement.signed_by === 'batch' ? batchMessageOf(statement.batch, id, realmHash) : undefined
  return message !== undefined && verifySignature(assertion.agent, message, signature) ? assertion : undefined
}

function assertionOf({ assertion }: StatementJson): Assertion | undefined {
  try {
    return assertionFromJson(assertion)
  } catch (error) {
    if (isDbError(error)) return undefined
    throw error
  }
}

/** What the batch's agent has signed, where the path leads from the id to the root. */
function batchMessageOf(batch: BatchPathJson | undefined, id: Uint8Array, realmHash: Uint8Array): Uint8Array | undefined {
  if (batch === undefined) return undefined
  const root = fromHex(batch.root, HASH_BYTES)
  const path = batch.path.map((hash) => fromHex(hash, HASH_BYTES))
  if (root === undefined || path.includes(undefined)) return undefined
  return verifyInclusion(id, batch.index, batch.count, concatBytes(...path as Uint8Array[]), root) ? batchMessage(realmHash, batch.count, root) : undefined
}

/**
 * Whether this proves that one key has said two different things of one subject and predicate, dated alike. Takes anything; needs no
 * node and no trust in who hands it on.
 */
export function verifyEquivocation({ statements }: EquivocationJson, realmHash: Uint8Array, verifySignature: VerifySignature): boolean {
  const [a, b] = statements.map((statement) => verifyStatement(statement, realmHash, verifySignature))
  return a !== undefined && b !== undefined && a.subject === b.subject && a.predicate === b.predicate
    && toHex(a.agent) === toHex(b.agent) && a.assertedAtMs === b.assertedAtMs
    && (a.object.kind !== b.object.kind || a.object.value !== b.object.value)
}
