import type { Lsn } from './lsn.ts'

/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014): 48 bits of Unix milliseconds, then
 * 16 bits of counter, as one unsigned 64-bit number; comparing two compares their order. Each accepted assertion has
 * one of its own: the n-th of a record has `hlcFirst + n`, where a full counter carries into the milliseconds.
 */
export type Hlc = bigint

export const hlcOf = (wallMs: number, counter = 0): Hlc => (BigInt(wallMs) << 16n) | BigInt(counter)
export const hlcWallMs = (hlc: Hlc): number => Number(hlc >> 16n)
export const hlcCounter = (hlc: Hlc): number => Number(hlc & 0xffffn)

/**
 * The next free stamp for `count` events, given the last one handed out: never before the wall clock, always after
 * `last`.
 */
export function hlcNext(last: Hlc, wallMs: number): Hlc {
  const now = hlcOf(wallMs)
  return now > last ? now : last + 1n
}

/** What an acked assertion is known by on its node. */
export interface Stamp {
  readonly lsn: Lsn
  readonly hlc: Hlc
}
