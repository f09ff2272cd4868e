import { ERROR_CODES } from '../base/error-codes.ts'
import { AGENT_BYTES, SIGNATURE_BYTES } from './limits.ts'

/**
 * What a key and a signature must be before any library is asked (docs/formats/signatures.md, "Strict Ed25519"): nodes and clients,
 * browsers too, hold to the same rules, because libraries and their versions differ about exactly the inputs that only an
 * attacker sends ("Taming the many EdDSAs", eprint 2020/1244). Refused are:
 *
 * - a public key or an R that is a low-order point, in any of its 8 canonical and 6 other encodings;
 * - a public key or an R whose y is not reduced (y >= 2^255 - 19), low-order or not;
 * - an S that is not below the group order L;
 * - wrong lengths.
 */

const KEY_WEAK = ERROR_CODES.key_weak.number
const SIGNATURE_MALFORMED = ERROR_CODES.signature_malformed.number

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

/** `signature_malformed`'s number where the 64 bytes at `at` can be nobody's signature, 0 otherwise. */
export function checkSignatureAt(bytes: Uint8Array, at: number): number {
  return isWeakPoint(bytes, at) || !isReducedScalar(bytes, at + POINT_BYTES) ? SIGNATURE_MALFORMED : 0
}

/** `key_weak`'s number where the 32 bytes at `at` can be nobody's key, 0 otherwise. It says nothing of points off the curve. */
export function checkKeyAt(bytes: Uint8Array, at: number): number {
  return isWeakPoint(bytes, at) ? KEY_WEAK : 0
}

/** {@link checkKeyAt} of a key by itself, with its length. */
export function checkKey(publicKey: Uint8Array): number {
  return publicKey.length === AGENT_BYTES ? checkKeyAt(publicKey, 0) : KEY_WEAK
}

/**
 * Both by themselves, with their lengths: whether the library may be asked about them at all.
 * @returns 0, or the number of `key_weak` or `signature_malformed`
 */
export function checkKeyAndSignature(publicKey: Uint8Array, signature: Uint8Array): number {
  return checkKey(publicKey) || (signature.length === SIGNATURE_BYTES ? checkSignatureAt(signature, 0) : SIGNATURE_MALFORMED)
}
