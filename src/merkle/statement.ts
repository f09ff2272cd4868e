import { bytesEqual, concatBytes, fromHex } from '../base/bytes.ts'
import { isDbError } from '../base/errors.ts'
import { TAKEN_BACK, type Assertion } from '../record/assertion.ts'
import { assertionFromJson, type AssertionJson } from '../record/assertion.json.ts'
import { assertionIdOf } from '../record/claim.ts'
import { checkKeyAndSignature } from '../record/ed25519-rules.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { TREE_LEAVES_MAX } from './blake3.layout.ts'
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

/** The members of a JSON value, of which anybody may have made it; none where it is no object. */
export const membersOf = (value: unknown): Readonly<Record<string, unknown>> => (typeof value === 'object' && value !== null ? value as Record<string, unknown> : {})

/** The bytes of a JSON value that is hex text of this length, undefined where it is none. */
export const hexBytes = (value: unknown, bytes: number): Uint8Array | undefined => (typeof value === 'string' ? fromHex(value, bytes) : undefined)

/**
 * The assertion that a statement proves to have been signed by its agent in this realm, or undefined. Takes any JSON value, whatever
 * the type says. `await initHash()` once before. Weak keys and malformed signatures are refused here, before `verifySignature` is asked.
 */
export function verifyStatement(statement: StatementJson, realmHash: Uint8Array, verifySignature: VerifySignature): Assertion | undefined {
  const { id: idText, signed_by: signedBy, signature: signatureText, batch, assertion: json } = membersOf(statement)
  const assertion = assertionOf(json)
  const id = hexBytes(idText, HASH_BYTES)
  const signature = hexBytes(signatureText, SIGNATURE_BYTES)
  if (assertion === undefined || id === undefined || signature === undefined || !bytesEqual(assertionIdOf(assertion), id)) return undefined
  const message = signedMessageOf(signedBy, batch, id, realmHash)
  if (message === undefined || checkKeyAndSignature(assertion.agent, signature) !== 0) return undefined
  return verifySignature(assertion.agent, message, signature) ? assertion : undefined
}

function assertionOf(json: unknown): Assertion | undefined {
  try {
    return assertionFromJson(json)
  } catch (error) {
    if (isDbError(error)) return undefined
    throw error
  }
}

/**
 * What the agent of the assertion with this id signs, alone or in a batch; undefined where it is neither, or the path does not lead from the
 * id to the root. Takes any JSON value.
 * @param batch members of {@link BatchPathJson}, among others
 */
export function signedMessageOf(signedBy: unknown, batch: unknown, id: Uint8Array, realmHash: Uint8Array): Uint8Array | undefined {
  if (signedBy === 'assertion') return singleMessage(realmHash, id)
  if (signedBy !== 'batch') return undefined
  const { index, count, root: rootText, path } = membersOf(batch)
  const root = hexBytes(rootText, HASH_BYTES)
  const hashes = Array.isArray(path) ? path.map((hash) => hexBytes(hash, HASH_BYTES)) : [undefined]
  if (root === undefined || typeof index !== 'number' || typeof count !== 'number' || count > TREE_LEAVES_MAX || hashes.includes(undefined)) return undefined
  return verifyInclusion(id, index, count, concatBytes(...hashes as Uint8Array[]), root) ? batchMessage(realmHash, count, root) : undefined
}

/**
 * Whether this proves that one key has said two different things of one subject and predicate, dated alike, and neither openly as the later
 * word on the other: by naming it as its parent, or by taking back. Takes any JSON value, whatever the type says; needs no node and no
 * trust in who hands it on. `await initHash()` once before.
 */
export function verifyEquivocation(equivocation: EquivocationJson, realmHash: Uint8Array, verifySignature: VerifySignature): boolean {
  const { statements } = membersOf(equivocation)
  if (!Array.isArray(statements) || statements.length !== 2) return false
  const [a, b] = statements.map((statement: StatementJson) => verifyStatement(statement, realmHash, verifySignature))
  return a !== undefined && b !== undefined && a.subject === b.subject && a.predicate === b.predicate
    && bytesEqual(a.agent, b.agent) && a.assertedAtMs === b.assertedAtMs
    && (a.object.kind !== b.object.kind || a.object.value !== b.object.value)
    && !TAKEN_BACK.has(a.lifecycle) && !TAKEN_BACK.has(b.lifecycle) && !isParent(a, b) && !isParent(b, a)
}

const isParent = (of: Assertion, { parent }: Assertion): boolean => parent !== undefined && bytesEqual(parent, assertionIdOf(of))
