import { must } from '../base/assert.ts'
import type { Assertion, SourceClass } from '../record/assertion.ts'
import type { Candidate, LensContext } from './lens.ts'

/**
 * Weights are whole multiples of 2^-40, so that sums of up to 8,192 of them are exact: adding floats in another order gives
 * another sum, and an answer must not depend on the order in which candidates are read.
 */
export const WEIGHT_ONE = 2 ** 40

const MS_PER_DAY = 86_400_000
const HLC_PER_MS = 65_536

/** The claim of a candidate whose lens reads claims. */
export const claimOf = (candidate: Candidate): Assertion => must(candidate.assertion, 'the assertion of a candidate')

/**
 * What is left of confidence, 0..1: 0.5^(age / half-life of the tier). Age counts from the earlier of when the agent says that it
 * asserted and when a node accepted it: an agent can date itself older, never younger. From the future: undecayed.
 */
export function decayOf(tier: SourceClass, assertedAtMs: number, hlc: bigint, context: LensContext): number {
  const halfLifeDays = context.halfLifeDays?.[tier] ?? Infinity
  return halfLifeDays === Infinity ? 1 : decaySince(Math.min(assertedAtMs, hlcMsOf(hlc)), context.nowMs, halfLifeDays)
}

/** The moment of an HLC, in milliseconds, with what its counter adds. */
export const hlcMsOf = (hlc: bigint): number => Number(hlc) / HLC_PER_MS

/** `decayOf` a claim whose age counts from `sinceMs` on. */
export function decaySince(sinceMs: number, nowMs: number, halfLifeDays: number): number {
  const ageMs = nowMs - sinceMs
  return ageMs > 0 ? 0.5 ** (ageMs / (halfLifeDays * MS_PER_DAY)) : 1
}

/** Decayed confidence, 0..1. */
export function decayedConfidence(candidate: Candidate, context: LensContext): number {
  const { confidence, sourceClass, assertedAtMs } = claimOf(candidate)
  return confidence * decayOf(sourceClass, assertedAtMs, candidate.hlc, context)
}

/** Decayed confidence in units of 1 / {@link WEIGHT_ONE}. */
export const weightOf = (candidate: Candidate, context: LensContext): number =>
  Math.round(decayedConfidence(candidate, context) * WEIGHT_ONE)

/** For a sentence: `0.826`. */
export const weightText = (weight: number): string => String(Math.round(weight * 1000) / 1000)

/** For a sentence: `83%`. */
export const shareText = (share: number): string => `${percentOf(share)}%`

/** Whole. */
export const percentOf = (share: number): number => Math.round(share * 100)
