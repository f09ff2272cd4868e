import type { EntryRun } from './entry-run-list.ts'

/** So many runs of about one size are merged while there is other work. */
export const ENTRY_FAN_IN = 16
/** Runs of fewer entries count as of one size. */
const SMALL_ENTRIES = 512

const sizeClass = (entries: number): number => Math.max(0, Math.ceil(Math.log(entries / SMALL_ENTRIES) / Math.log(ENTRY_FAN_IN)))

/**
 * Which runs to merge next, or undefined. Runs of about one size wait until there are {@link ENTRY_FAN_IN} of them, so
 * that an entry is written once for each class of size. Where there is nothing else to do (`eager`), the smallest runs
 * are merged as long as none of them is larger than twice the rest, so that a quiet index comes to a few runs at a cost that
 * stays in proportion.
 */
export function pickMerge(runs: readonly EntryRun[], eager: boolean): readonly EntryRun[] | undefined {
  const bySize = [...runs].sort((a, b) => a.entries - b.entries)
  for (let start = 0; start < bySize.length;) {
    const size = sizeClass(bySize[start]!.entries)
    let end = start + 1
    while (end < bySize.length && sizeClass(bySize[end]!.entries) === size) end++
    if (end - start >= ENTRY_FAN_IN) return bySize.slice(start, start + ENTRY_FAN_IN)
    start = end
  }
  if (!eager) return undefined
  let best = 0
  let sum = 0
  for (let i = 0; i < Math.min(bySize.length, ENTRY_FAN_IN); i++) {
    const { entries } = bySize[i]!
    if (i > 0 && entries <= 2 * sum) best = i + 1
    sum += entries
  }
  return best >= 2 ? bySize.slice(0, best) : undefined
}
