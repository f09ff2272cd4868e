import { bytesEqual, fromHex, toHex } from '../base/bytes.ts'
import { DbError } from '../base/errors.ts'
import {
  isSignedBy, isTlogProof, nodeIdOfOrigin, originOf, parseCheckpoint, parseTlogProof, parseVerifierKey, fromBase64, type Checkpoint, type TreeHead,
} from '../merkle/checkpoint.ts'
import { REALM_LENGTH_MAX, realmHashOf } from '../merkle/signed-message.ts'
import { hexBytes, membersOf, signedMessageOf } from '../merkle/statement.ts'
import { verifyTlogConsistency, verifyTlogInclusion } from '../merkle/tlog.ts'
import type { Assertion } from '../record/assertion.ts'
import { assertionIdOf, initHash } from '../record/claim.ts'
import { HASH_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'
import { decodeAssertion } from '../wire/assertion.codec.ts'
import { verifyBuffer } from '../wire/verifier.ts'
import { verifyEd25519 } from './ed25519.ts'

/**
 * What a client checks by itself: signed tree heads, inclusion, consistency, and proof files (docs/formats/tlog.md). Nothing of a node is
 * believed here but its signature.
 */

/** Who is trusted to sign: a node's public key (32 bytes or 64 hex digits), or a verifier key `origin+id+key`. */
export type TrustedKey = Uint8Array | string

interface Trusted {
  readonly publicKey: Uint8Array
  /** Undefined: any log of this key. */
  readonly origin: string | undefined
}

/** @throws {DbError} `parameter_invalid` */
function trustedOf(key: TrustedKey): Trusted {
  const publicKey = typeof key === 'string' ? fromHex(key, HASH_BYTES) : key
  if (publicKey?.length === HASH_BYTES) return { publicKey, origin: undefined }
  const named = typeof key === 'string' ? parseVerifierKey(key) : undefined
  if (named === undefined) throw new DbError('parameter_invalid', 'a key is 64 hex digits, or a verifier key as name+id+key', { parameter: 'key' })
  return { publicKey: named.publicKey, origin: named.keyName }
}

const invalid = (why: string): never => {
  throw new DbError('proof_invalid', why)
}

/**
 * The tree head that a checkpoint states, if the node with this key signed it.
 * @param realm where given, the log must be of this realm
 * @throws {DbError} (as rejection) `proof_invalid`, `parameter_invalid` for a key that is none
 */
export async function verifyCheckpoint(text: string, key: TrustedKey, realm?: string): Promise<Checkpoint> {
  const { publicKey, origin } = trustedOf(key)
  const checkpoint = parseCheckpoint(text) ?? invalid('this is no checkpoint')
  const wanted = realm === undefined ? origin : originOf(realm, publicKey)
  if (wanted !== undefined && checkpoint.origin !== wanted) invalid(`the checkpoint is of the log ${checkpoint.origin}, not of ${wanted}`)
  if (!await isSignedBy(checkpoint, publicKey, verifyEd25519)) invalid('the checkpoint is not signed by this key')
  return checkpoint
}

/** What `GET /v1/proofs/signature/{id}` answers, and what a proof file says of the assertion's signature. */
export interface SignatureProof {
  readonly id: string
  readonly agent: string
  readonly realm: string
  readonly signed_by: 'nobody' | 'assertion' | 'batch'
  readonly signature?: string
  readonly index?: number
  readonly count?: number
  readonly root?: string
  readonly path?: readonly string[]
}

/** Whether the agent that is named signed the assertion with this id, alone or in a batch. Takes any JSON value, whatever the type says, and never throws. */
export async function verifySignatureProof(proof: SignatureProof): Promise<boolean> {
  const { id: idText, agent: agentText, signature: signatureText, realm, signed_by: signedBy } = membersOf(proof)
  const id = hexBytes(idText, HASH_BYTES)
  const agent = hexBytes(agentText, HASH_BYTES)
  const signature = hexBytes(signatureText, SIGNATURE_BYTES)
  if (id === undefined || agent === undefined || signature === undefined || typeof realm !== 'string' || realm.length > REALM_LENGTH_MAX) return false
  const message = signedMessageOf(signedBy, proof, id, realmHashOf(realm))
  return message !== undefined && verifyEd25519(agent, message, signature)
}

/** What a proof file proves. */
export interface VerifiedProof {
  readonly id: Uint8Array
  /** Its LSN less one. */
  readonly index: number
  readonly head: TreeHead
  /** Undefined where the file does not carry it. */
  readonly assertion: Assertion | undefined
  /** Whether the assertion's agent signed it: undefined where the file does not say. */
  readonly signed: 'nobody' | 'assertion' | 'batch' | undefined
}

export interface ProofFileOptions {
  readonly key: TrustedKey
  readonly realm?: string
  /** The assertion's id, where the file does not carry the assertion, or it must be this one. */
  readonly id?: Uint8Array
}

/**
 * Checks a proof file (C2SP tlog-proof): the head's signature, the path to it, and what the file carries of the assertion itself: that it has the
 * id, and its agent's signature.
 * @throws {DbError} (as rejection) `proof_invalid`, `parameter_invalid` for a key that is none
 */
export async function verifyProofFile(text: string, options: ProofFileOptions): Promise<VerifiedProof> {
  await initHash()
  const proof = parseTlogProof(text) ?? invalid('this is no proof file')
  const head = await verifyCheckpoint(proof.checkpoint, options.key, options.realm)
  const carried = proof.extra === undefined ? undefined : carriedOf(proof.extra)
  const id = options.id ?? carried?.id ?? invalid('the proof does not say of which assertion it is: name its id')
  if (carried !== undefined && !bytesEqual(carried.id, id)) invalid(`the proof is of ${toHex(carried.id)}, not of ${toHex(id)}`)
  if (!verifyTlogInclusion(id, proof.index, head.size, proof.path, head.root)) invalid('the path does not lead from the assertion to the tree head')
  const signature = carried?.signature
  if (signature !== undefined && signature.signed_by !== 'nobody' && !await verifySignatureProof(signature)) invalid('the assertion\'s signature is not its agent\'s')
  if (options.realm !== undefined && signature !== undefined && signature.realm !== options.realm) invalid('the assertion\'s signature is for another realm')
  return { id, index: proof.index, head, assertion: carried?.assertion, signed: signature?.signed_by }
}

interface Carried {
  readonly id: Uint8Array
  readonly assertion: Assertion
  readonly signature: SignatureProof
}

/** The extra data of our own proof files; undefined where it is another application's. @throws {DbError} `proof_invalid` */
function carriedOf(extra: Uint8Array): Carried | undefined {
  let members: Record<string, unknown>
  try {
    members = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(extra)) as Record<string, unknown>
  } catch {
    return undefined
  }
  const bytes = typeof members === 'object' && members !== null && typeof members['assertion'] === 'string' ? fromBase64(members['assertion']) : undefined
  if (bytes === undefined) return undefined
  if (verifyBuffer('Assertion', bytes) !== 0) invalid('the assertion in the file is damaged')
  const assertion = decodeAssertion(bytes)
  const id = assertionIdOf(assertion)
  const signature = members as unknown as SignatureProof
  if (signature.id !== toHex(id) || signature.agent !== toHex(assertion.agent)) invalid('the assertion in the file is another one than it says')
  return { id, assertion, signature }
}

/** What the monitor asks a node for. `LogMonitor` makes one over `fetch`. */
export interface ProofSource {
  checkpoint(): Promise<string>
  consistency(from: number, to: number): Promise<readonly Uint8Array[]>
  inclusion(id: string, size: number): Promise<{ readonly index: number, readonly path: readonly Uint8Array[] }>
}

/**
 * Keeps one signed tree head of a node, and holds every later one against it: a node that takes back, changes or reorders anything that it
 * has signed is caught, whatever it shows to others. Store {@link head} where the node can not reach it.
 */
export class LogMonitor {
  readonly #source: ProofSource
  readonly #key: TrustedKey
  readonly #realm: string | undefined
  #head: { readonly text: string, readonly checkpoint: Checkpoint } | undefined

  /** @param realm where given, the log must be of this realm */
  constructor(source: ProofSource, key: TrustedKey, realm?: string) {
    this.#source = source
    this.#key = key
    this.#realm = realm
  }

  /** The checkpoint that is kept, as text; undefined before the first one. */
  get head(): string | undefined {
    return this.#head?.text
  }

  /** Goes on from a head that was kept before. @throws {DbError} (as rejection) `proof_invalid` */
  async resume(head: string): Promise<void> {
    this.#head = { text: head, checkpoint: await verifyCheckpoint(head, this.#key, this.#realm) }
  }

  /**
   * Takes the node's last head, if the log up to the kept one is still what it was.
   * @throws {DbError} (as rejection) `history_rewritten` with both heads as evidence (`kept`, `given`); `proof_invalid` where the head itself
   *   is not signed; what the source throws. The kept head stays.
   */
  async advance(): Promise<TreeHead> {
    const text = await this.#source.checkpoint()
    const checkpoint = await verifyCheckpoint(text, this.#key, this.#realm)
    const kept = this.#head
    if (kept !== undefined) await this.#compare(kept, { text, checkpoint })
    this.#head = { text, checkpoint }
    return checkpoint
  }

  async #compare(kept: { text: string, checkpoint: Checkpoint }, given: { text: string, checkpoint: Checkpoint }): Promise<void> {
    const [old, now] = [kept.checkpoint, given.checkpoint]
    const rewritten = (why: string): never => {
      throw new DbError('history_rewritten', `the node signed a head of ${old.size} assertions, and now one of ${now.size}: ${why}`, { kept: kept.text, given: given.text })
    }
    if (old.origin !== now.origin) rewritten(`of another log, ${now.origin}`)
    if (now.size < old.size) rewritten('it has lost some')
    if (now.size === old.size) {
      if (!bytesEqual(now.root, old.root)) rewritten('they are others')
      return
    }
    const proof = await this.#source.consistency(old.size, now.size)
    if (!verifyTlogConsistency(old.size, old.root, now.size, now.root, proof)) rewritten('the first ones are others')
  }

  /**
   * Checks that an assertion is in the log under the kept head.
   * @returns its index: its LSN less one
   * @throws {DbError} (as rejection) `proof_invalid`; what the source throws
   */
  async includes(id: Uint8Array | string): Promise<number> {
    const bytes = typeof id === 'string' ? fromHex(id, HASH_BYTES) : id
    if (bytes?.length !== HASH_BYTES) throw new DbError('parameter_invalid', `an id has ${HASH_BYTES} bytes, or ${2 * HASH_BYTES} hex digits`, { parameter: 'id' })
    if (this.#head === undefined) await this.advance()
    const { size, root } = this.#head!.checkpoint
    const { index, path } = await this.#source.inclusion(toHex(bytes), size)
    if (!verifyTlogInclusion(bytes, index, size, path, root)) invalid(`the node's proof that it holds ${toHex(bytes)} does not hold`)
    return index
  }
}

/** The key that a checkpoint names in its origin: who it says it is, for those who have no key yet. */
export function claimedKeyOf(text: string): Uint8Array | undefined {
  const checkpoint = parseCheckpoint(isTlogProof(text) ? parseTlogProof(text)?.checkpoint ?? '' : text)
  return checkpoint === undefined ? undefined : nodeIdOfOrigin(checkpoint.origin)
}
