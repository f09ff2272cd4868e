/**
 * BLAKE3-256 (github.com/BLAKE3-team/BLAKE3-specs), by WebAssembly, which loads asynchronously: `await initHash()` (or
 * `hashReady`) once a thread before anything here is called.
 */
// One algorithm's file alone: Node looks through a CommonJS file for what it exports, in each thread, and for the file of
// all algorithms that took half of a start's processor time.
import hashWasm from 'hash-wasm/dist/blake3.umd.min.js'
import type { IHasher } from 'hash-wasm'
import { must } from '../base/assert.ts'
import { HASH_BYTES } from './limits.ts'

let hasher: IHasher | undefined

/** Resolves when hashes can be computed on this thread; starts with the import. */
export const hashReady: Promise<void> = hashWasm.createBLAKE3().then((loaded) => {
  hasher = loaded
})

/** {@link hashReady}, as a call. */
export function initHash(): Promise<void> {
  return hashReady
}

/** A new 32-byte digest. @throws {AssertionFailure} before {@link hashReady}. */
export function blake3(bytes: Uint8Array): Uint8Array {
  return must(hasher, 'the BLAKE3 module (await initHash() first)').init().update(bytes).digest('binary')
}

/** Writes the digest of `bytes` to `out` at `outOffset`; there must be 32 bytes. @throws {AssertionFailure} as above. */
export function blake3Into(bytes: Uint8Array, out: Uint8Array, outOffset: number): void {
  const digest = blake3(bytes)
  for (let i = 0; i < HASH_BYTES; i++) out[outOffset + i] = digest[i]!
}
