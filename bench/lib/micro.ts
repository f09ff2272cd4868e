/** The result of one micro-bench: how much, how long, and a number that says that the work was done. */
export interface MicroResult {
  readonly operations: number
  readonly ms: number
  /** Depends on the inputs and every output, and on nothing else: two runs of one size must agree. */
  readonly hash: number
}

export type MicroSize = 'small' | 'large'

export interface Micro {
  readonly name: string
  /** What one operation is. */
  readonly unit: string
  /** @param dir a folder of its own, empty. */
  run(size: MicroSize, dir: string): Promise<MicroResult>
}

/** FNV-1a over bytes, continued from `hash`. */
export function mix(hash: number, bytes: Uint8Array): number {
  let h = hash
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193) >>> 0
  return h
}

export const HASH_START = 0x811c9dc5
