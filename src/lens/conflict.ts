import type { ConflictStatus } from './lens.ts'

/** From this share of the weight on, the heaviest value has the agreement of the rest. */
export const AGREED_SHARE_MIN = 0.8

/** Digits behind the point that a score keeps: those behind them differ between machines. */
const SCORE_GRID = 1e9

/**
 * Conflict score, 0..1, of the values' weights, **the heaviest first**, none negative.
 *
 * Shannon's entropy (C. E. Shannon, "A Mathematical Theory of Communication", 1948) of the shares, divided by its greatest value,
 * log2 m (Pielou's evenness, 1966), taken over the m heaviest values; the score is the greatest such over m = 2, 3, ...:
 *
 *     score = max over m >= 2 of  H(w1/Sm, ..., wm/Sm) / log2 m,   Sm = w1 + ... + wm,   H(p) = -sum p log2 p
 *
 * 0: one value has all the weight. 1: two or more share it evenly, and all others are lighter. With two values it is the entropy
 * of their shares. Over all values alone (m = k) a conflict could be hidden: each junk value of hardly any weight
 * would lower the score. So, a value lighter than all others never lowers it (docs/rfcs/0007-conflict-score-and-votes.md).
 */
export function conflictScore(weights: readonly number[]): number {
  const heaviest = weights[0] ?? 0
  if (heaviest <= 0) return 0
  let sum = 1
  let logs = 0
  let score = 0
  for (let m = 2; m <= weights.length; m++) {
    const weight = weights[m - 1]! / heaviest
    if (weight <= 0) break
    sum += weight
    logs += weight * Math.log2(weight)
    score = Math.max(score, (Math.log2(sum) - logs / sum) / Math.log2(m))
  }
  return Math.min(1, Math.round(score * SCORE_GRID) / SCORE_GRID)
}

/** How far candidates agree: by the number of values and the share of the heaviest, which no number of light values moves. */
export function statusOf(values: number, topShare: number): ConflictStatus {
  if (values <= 1) return 'unanimous'
  return topShare >= AGREED_SHARE_MIN ? 'agreed' : 'contested'
}
