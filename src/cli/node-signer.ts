import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { DbError } from '../base/errors.ts'
import { SECRET_KEY_BYTES } from '../client/signer.ts'

/** DER of a PKCS#8 Ed25519 key up to its 32 secret bytes (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX_BYTES = 12

/** A signer over node:crypto: some 25 us a signature where the client's own takes a millisecond. It answers at once. */
export interface NodeSigner {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** @throws {DbError} `parameter_invalid` where it is no Ed25519 key. */
export function signerOfKey(key: KeyObject): NodeSigner {
  if (key.type !== 'private' || key.asymmetricKeyType !== 'ed25519') {
    throw new DbError('parameter_invalid', 'the key is no private Ed25519 key')
  }
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX_BYTES))
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) }
}

/** @param secretKey 32 bytes, the seed of RFC 8032. @throws {DbError} `parameter_invalid` */
export function nodeSigner(secretKey: Uint8Array): NodeSigner {
  return signerOfKey(privateKeyOf(secretKey))
}

export function privateKeyOf(secretKey: Uint8Array): KeyObject {
  if (secretKey.length !== SECRET_KEY_BYTES) {
    throw new DbError('parameter_invalid', `a secret key has ${SECRET_KEY_BYTES} bytes, not ${secretKey.length}`)
  }
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, secretKey]), format: 'der', type: 'pkcs8' })
}
