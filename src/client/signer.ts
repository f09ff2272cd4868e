import { getPublicKeyAsync, signAsync } from '@noble/ed25519'
import { DbError } from '../base/errors.ts'

/**
 * Who signs: an agent's Ed25519 key, wherever it lives (memory, a hardware token, a signing service).
 * `sign` may answer at once or later; the client never signs two batches at a time.
 */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** 64 bytes: Ed25519 (RFC 8032) over `message`. */
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>
}

export const SECRET_KEY_BYTES = 32

/** A new secret key from the platform's secure generator. */
export function newSecretKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SECRET_KEY_BYTES))
}

/**
 * A signer in plain JavaScript (@noble/ed25519) that works in browsers and in Node.
 * @param secretKey 32 bytes, the seed of RFC 8032
 * @throws {DbError} `parameter_invalid` where it has another length.
 */
export async function createSigner(secretKey: Uint8Array): Promise<Signer> {
  if (secretKey.length !== SECRET_KEY_BYTES) {
    throw new DbError('parameter_invalid', `a secret key has ${SECRET_KEY_BYTES} bytes, not ${secretKey.length}`)
  }
  const secret = secretKey.slice()
  const publicKey = await getPublicKeyAsync(secret)
  return { publicKey, sign: (message) => signAsync(message, secret) }
}
