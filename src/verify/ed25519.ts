import { sodium } from './sodium.ts'
import { assert } from '../base/assert.ts'
import { ERROR_CODES } from '../base/error-codes.ts'
import { AGENT_BYTES, SIGNATURE_BYTES } from '../record/limits.ts'

/**
 * Ed25519 (RFC 8032, pure, cofactorless), strict: our own checks come first and are the same everywhere, because
 * libraries and their versions differ about exactly the inputs that only an attacker sends ("Taming the many EdDSAs",
 * eprint 2020/1244). Refused before the library is asked:
 *
 * - a public key or an R that is a low-order point, in any of its 8 canonical and 6 other encodings;
 * - a public key or an R whose y is not reduced (y >= 2^255 - 19), low-order or not;
 * - an S that is not below the group order L;
 * - wrong lengths.
 *
 * What remains is checked by libsodium, whose copy comes with the package and not with Node.
 */

const KEY_WEAK = ERROR_CODES.key_weak.number
const SIGNATURE_MALFORMED = ERROR_CODES.signature_malformed.number
const SIGNATURE_INVALID = ERROR_CODES.signature_invalid.number

/** Longest message that is signed here: every one of ours is a tag and a few hashes. */
export const SIGNED_MESSAGE_BYTES_MAX = 256

const POINT_BYTES = 32

const littleEndian = (hex: string): Uint8Array =>
  Uint8Array.from({ length: POINT_BYTES }, (_, i) => Number.parseInt(hex.slice(i * 2, i * 2 + 2), 16))

/** The y of the four points of order 8; x and -x share it. The other low-order y are 0, 1 and p - 1. */
const ORDER_8_Y: readonly Uint8Array[] = [
  littleEndian('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'),
  littleEndian('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
]

/** L = 2^252 + 27742317777372353535851937790883648493. */
const GROUP_ORDER = littleEndian('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010')

/** Whether the 32 bytes at `at` encode a low-order point, or any point with an unreduced y. The bit of x does not matter. */
function isWeakPoint(bytes: Uint8Array, at: number): boolean {
  const top = bytes[at + 31]! & 0x7f
  const low = bytes[at]!
  if (top === 0x7f) return low >= 0xec && isFilled(bytes, at, 0xff)
  if (top === 0) return low <= 1 && isFilled(bytes, at, 0)
  return isY(bytes, at, top, ORDER_8_Y[0]!) || isY(bytes, at, top, ORDER_8_Y[1]!)
}

/** Whether all bytes between the lowest and the highest have this value. */
function isFilled(bytes: Uint8Array, at: number, value: number): boolean {
  for (let i = 1; i < 31; i++) if (bytes[at + i] !== value) return false
  return true
}

function isY(bytes: Uint8Array, at: number, top: number, y: Uint8Array): boolean {
  if (top !== y[31]) return false
  for (let i = 0; i < 31; i++) if (bytes[at + i] !== y[i]) return false
  return true
}

/** Whether the little-endian number at `at` is below the group order. */
function isReducedScalar(bytes: Uint8Array, at: number): boolean {
  for (let i = 31; i >= 0; i--) {
    const difference = bytes[at + i]! - GROUP_ORDER[i]!
    if (difference !== 0) return difference < 0
  }
  return false
}

/** `key_weak`'s number where the 32 bytes at `at` can be nobody's key, 0 otherwise. It says nothing of points off the curve. */
export function checkKeyAt(bytes: Uint8Array, at: number): number {
  return isWeakPoint(bytes, at) ? KEY_WEAK : 0
}

/** {@link checkKeyAt} of a key by itself, with its length. */
export function checkKey(publicKey: Uint8Array): number {
  return publicKey.length === AGENT_BYTES ? checkKeyAt(publicKey, 0) : KEY_WEAK
}

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
  if (isWeakPoint(ownKey, 0)) return KEY_WEAK
  if (isWeakPoint(ownSignature, 0) || !isReducedScalar(ownSignature, POINT_BYTES)) return SIGNATURE_MALFORMED
  return sodium.crypto_sign_verify_detached(ownSignature, ownMessageOf(message), ownKey) === true ? 0 : SIGNATURE_INVALID
}

/**
 * Whether `signature` is by `publicKey` over `message` (at most 256 bytes).
 * @returns 0, or the number of `key_weak`, `signature_malformed` or `signature_invalid`. Never throws for a wrong key or signature.
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): number {
  if (publicKey.length !== AGENT_BYTES) return KEY_WEAK
  if (signature.length !== SIGNATURE_BYTES) return checkKeyAt(publicKey, 0) || SIGNATURE_MALFORMED
  return verifySignatureAt(publicKey, 0, signature, 0, message)
}

/** The signature of a message by a {@link KeyPair}'s secret key (64 bytes: seed, then public key). */
export function signMessage(secretKey: Uint8Array, message: Uint8Array): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES)
  sodium.crypto_sign_detached(signature, new Uint8Array(message), secretKey)
  return signature
}
