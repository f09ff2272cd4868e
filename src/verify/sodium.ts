import { createRequire } from 'node:module'

/** The part of sodium-native that is used here; the package has no types. All buffers must be memory of their own. */
export interface Sodium {
  crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
  crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
  /** `true` where it is valid. Anything else means it is not, or that it was not checked. */
  crypto_sign_verify_detached(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): unknown
}

// By `require`: an import makes Node look through the package's 108 KB for what they export, in each thread, and that takes longer than
// loading them.
export const sodium = createRequire(import.meta.url)('sodium-native') as Sodium
