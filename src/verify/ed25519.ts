import { sodium } from './sodium.ts'
import { assert } from '../base/assert.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { checkKeyAndSignature, checkKeyAt, checkSignatureAt } from '../record/ed25519-rules.ts'
import { AGENT_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'

/**
 * Ed25519 (RFC 8032, pure, cofactorless), strict: our own rules come first (record/ed25519-rules.ts). What remains is checked by
 * libsodium, whose copy comes with the package and not with Node.
 */

const SIGNATURE_INVALID = ERROR_CODES.signature_invalid.number

/** Longest message that is signed here: every one of ours is a tag and a few hashes. */
export const SIGNED_MESSAGE_BYTES_MAX = 256

// libsodium's binding takes no shared memory: on Node 20 it then returns undefined. Everything is copied here first.
const ownKey = new Uint8Array(AGENT_BYTES)
const ownSignature = new Uint8Array(SIGNATURE_BYTES)
const ownMessage = new Uint8Array(SIGNED_MESSAGE_BYTES_MAX)
const messageViews: (Uint8Array | undefined)[] = []

/** A view of the first `length` bytes of `ownMessage`: messages come in three lengths, so nothing is made twice. */
function ownMessageOf(message: Uint8Array): Uint8Array {
  const { length } = message
  assert(length <= SIGNED_MESSAGE_BYTES_MAX, 'messages are short')
  ownMessage.set(message)
  return (messageViews[length] ??= ownMessage.subarray(0, length))
}

/**
 * {@link verifySignature} of a key and a signature somewhere in a bigger buffer, which may be shared and may change
 * meanwhile: what is checked is copied first, once. Allocates nothing.
 */
export function verifySignatureAt(
  keyBytes: Uint8Array, keyAt: number, signatureBytes: Uint8Array, signatureAt: number, message: Uint8Array,
): number {
  for (let i = 0; i < AGENT_BYTES; i++) ownKey[i] = keyBytes[keyAt + i]!
  for (let i = 0; i < SIGNATURE_BYTES; i++) ownSignature[i] = signatureBytes[signatureAt + i]!
  const refused = checkKeyAt(ownKey, 0) || checkSignatureAt(ownSignature, 0)
  if (refused !== 0) return refused
  return sodium.crypto_sign_verify_detached(ownSignature, ownMessageOf(message), ownKey) === true ? 0 : SIGNATURE_INVALID
}

/**
 * Whether `signature` is by `publicKey` over `message` (at most 256 bytes).
 * @returns 0, or the number of `key_weak`, `signature_malformed` or `signature_invalid`. Never throws for a wrong key or signature.
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): number {
  return checkKeyAndSignature(publicKey, signature) || verifySignatureAt(publicKey, 0, signature, 0, message)
}

/** The signature of a message by a {@link KeyPair}'s secret key (64 bytes: seed, then public key). */
export function signMessage(secretKey: Uint8Array, message: Uint8Array): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES)
  sodium.crypto_sign_detached(signature, new Uint8Array(message), secretKey)
  return signature
}
