import { ScalarKernel, type Blake3Kernel } from './blake3-kernel.ts'
import { CHUNK_BYTES, HASH_BYTES, BLOCK_BYTES, LANE_INPUT, LANE_OUTPUT } from './blake3.layout.ts'
import { simdKernel } from './blake3-simd.ts'
import { assert } from '../base/assert.ts'

let kernel: Blake3Kernel | undefined

/** This thread's kernel, made at the first call. Whoever uses it must be done with its memory when it returns. */
export function blake3Kernel(): Blake3Kernel {
  kernel ??= simdKernel() ?? new ScalarKernel()
  return kernel
}

/**
 * BLAKE3-256 of one short input (at most 1024 bytes), without an initialisation that has to be awaited.
 * Writes 32 bytes to `out` at `outOffset`; allocates nothing.
 */
export function blake3Into(input: Uint8Array, out: Uint8Array, outOffset = 0): void {
  const { length } = input
  assert(length <= CHUNK_BYTES, 'a kernel takes one chunk')
  const current = blake3Kernel()
  const { memory } = current
  memory.set(input, LANE_INPUT)
  memory.fill(0, LANE_INPUT + length, LANE_INPUT + Math.ceil(length / BLOCK_BYTES || 1) * BLOCK_BYTES)
  current.hashLanes(length, 0, 0, 0)
  for (let i = 0; i < HASH_BYTES; i++) out[outOffset + i] = memory[LANE_OUTPUT + i]!
}

/** BLAKE3-256 of one short input (at most 1024 bytes). */
export function blake3(input: Uint8Array): Uint8Array {
  const digest = new Uint8Array(HASH_BYTES)
  blake3Into(input, digest)
  return digest
}
