import { Point, etc, hashes } from '@noble/ed25519'
import { bytesEqual, concatBytes } from '../base/bytes.ts'
import { checkKeyAndSignature } from '../record/ed25519-rules.ts'

const POINT_BYTES = 32
/** L = 2^252 + 27742317777372353535851937790883648493. */
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n

const numberOf = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n)

/**
 * Whether `signature` is by `publicKey` over `message`, with the verdict of a node (docs/formats/signatures.md, "Strict Ed25519"), in plain
 * JavaScript and for browsers, too. A wrong key or signature is false, not an error.
 *
 * Not by the library's own `verify`: that multiplies by the cofactor, under `zip215: false`, too, and takes what a node refuses.
 */
export async function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  if (checkKeyAndSignature(publicKey, signature) !== 0) return false
  const r = signature.subarray(0, POINT_BYTES)
  const key = pointOf(publicKey)
  if (key === undefined) return false
  const k = etc.mod(numberOf(await hashes.sha512Async(concatBytes(r, publicKey, message))), GROUP_ORDER)
  const s = numberOf(signature.subarray(POINT_BYTES))
  // R = [S]B - [k]A, byte for byte.
  return bytesEqual(Point.BASE.multiply(s, false).subtract(key.multiply(k, false)).toBytes(), r)
}

/** Undefined where the bytes are no point of the curve. */
function pointOf(bytes: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(bytes, false)
  } catch {
    return undefined
  }
}
