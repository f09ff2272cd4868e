/** Order statistics over plain numbers. None of these change their input. */

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b)

/** The value at quantile `q` (0..1) by nearest rank; NaN where there are no values. */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN
  const rank = Math.min(values.length - 1, Math.max(0, Math.ceil(q * values.length) - 1))
  return ascending(values)[rank]!
}

/** The middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const sorted = ascending(values)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** Half of the distance between the largest and the smallest value, as a part of the median: how noisy a figure was. */
export function spread(values: readonly number[]): number {
  const middle = median(values)
  if (values.length < 2 || middle === 0) return 0
  return (Math.max(...values) - Math.min(...values)) / 2 / Math.abs(middle)
}
