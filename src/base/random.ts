import { randomBytes } from 'node:crypto'

/** Random numbers for choices and jitter, never for keys. One seed gives one sequence. */
export interface Random {
  /** Uniform in 0..2^32-1. */
  u32(): number
  /** A generator of its own for `label`, so that a new caller elsewhere does not shift this one's sequence. */
  fork(label: string): Random
}

/** Keys, nonces and ids that nobody may guess. */
export interface Secrets {
  bytes(count: number): Uint8Array
}

export const systemSecrets: Secrets = { bytes: (count) => new Uint8Array(randomBytes(count)) }

/** Mulberry32 (Tommy Ettinger, public domain): small, fast, full period 2^32. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    u32() {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return (t ^ (t >>> 14)) >>> 0
    },
    fork(label) {
      let hash = seed >>> 0
      // FNV-1a over UTF-16 units: only has to spread labels.
      for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193) >>> 0
      return seededRandom(hash)
    },
  }
}

/** A generator seeded by the operating system. */
export function systemRandom(): Random {
  return seededRandom(randomBytes(4).readUInt32LE(0))
}
