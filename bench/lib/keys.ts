import type { Random } from '../../src/base/random.ts'

/** Exponent of the keys' distribution: as YCSB's. */
export const ZIPF_EXPONENT = 0.99
/** A prime that neither 2 nor 5 divides: ranks that are neighbours are not neighbours in the index. */
const SCATTER = 7919
const ONE = 1_000_000_000

export const PREDICATE = 'recommended_dose'

/** Decimal, so that pgbench, whose variables are numbers, can name the same subjects. */
export const subjectOf = (pair: number): string => `1${String(pair).padStart(17, '0')}`

/**
 * A pair by Zipf's law, by inverting the distribution function of its continuous form (a bounded Pareto): the formula that
 * `pgbenchKey` has, so that both sides draw from one distribution. pgbench's own random_zipfian needs an exponent above 1.
 */
export function zipfPair(random: Random, range: number, pairs: number): number {
  const u = (random.u32() % ONE) / ONE
  const a = 1 - ZIPF_EXPONENT
  const rank = Math.floor((((range + 1) ** a - 1) * u + 1) ** (1 / a))
  return (rank - 1) * SCATTER % pairs
}

/** The same as pgbench's script: sets `s` to a subject. `n` and `m` are pairs and range. */
export const pgbenchKey = [
  `\\set u random(0, ${ONE - 1})`,
  `\\set k int(pow((pow(:m + 1.0, ${(1 - ZIPF_EXPONENT).toFixed(2)}) - 1.0) * :u / ${ONE}.0 + 1.0, ${(1 / (1 - ZIPF_EXPONENT)).toFixed(1)}))`,
  `\\set s 100000000000000000 + ((:k - 1) * ${SCATTER}) % :n`,
]
