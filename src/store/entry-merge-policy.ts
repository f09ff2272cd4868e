import type { EntryRun } from './entry-run-list.ts'

/** So many runs of about one size are merged while there is other work. */
export const ENTRY_FAN_IN = 16
/** Runs of so many entries at most count as of one size. */
export const SMALL_ENTRIES = 512
/** Merges of this class and above (outputs of more than 2 million entries) go on beside smaller ones. */
const LARGE_CLASS = 4

export interface MergeChoice {
  readonly runs: readonly EntryRun[]
  /** What it will write is of this class: merges of one class are made one after the other. */
  readonly sizeClass: number
  /** There were {@link ENTRY_FAN_IN} of a size: it goes on beside other work. Otherwise it waits while there is any. */
  readonly isNeeded: boolean
}

const sizeClassOf = (entries: number, smallEntries: number): number =>
  Math.max(0, Math.ceil(Math.log(entries / smallEntries) / Math.log(ENTRY_FAN_IN)))

export const isLarge = ({ sizeClass }: Pick<MergeChoice, 'sizeClass'>): boolean => sizeClass >= LARGE_CLASS

/**
 * Merges that `runs` need: of each class of size that has {@link ENTRY_FAN_IN} of them, the smallest.
 * @param smallEntries {@link SMALL_ENTRIES}, or less in a test
 */
export function neededMerges(runs: readonly EntryRun[], smallEntries: number): MergeChoice[] {
  const choices: MergeChoice[] = []
  const bySize = ascending(runs)
  for (let start = 0; start < bySize.length;) {
    const sizeClass = sizeClassOf(bySize[start]!.entries, smallEntries)
    let end = start + 1
    while (end < bySize.length && sizeClassOf(bySize[end]!.entries, smallEntries) === sizeClass) end++
    if (end - start >= ENTRY_FAN_IN) choices.push(choiceOf(bySize.slice(start, start + ENTRY_FAN_IN), true, smallEntries))
    start = end
  }
  return choices
}

/**
 * The merge to make where there is nothing else to do: the smallest runs, as long as none of them is larger than twice
 * the rest, so that a quiet index comes to a few runs at a cost that stays in proportion.
 */
export function eagerMerge(runs: readonly EntryRun[], smallEntries: number): MergeChoice | undefined {
  const bySize = ascending(runs)
  let best = 0
  let sum = 0
  for (let i = 0; i < Math.min(bySize.length, ENTRY_FAN_IN); i++) {
    const { entries } = bySize[i]!
    if (i > 0 && entries <= 2 * sum) best = i + 1
    sum += entries
  }
  return best >= 2 ? choiceOf(bySize.slice(0, best), false, smallEntries) : undefined
}

const ascending = (runs: readonly EntryRun[]): EntryRun[] => [...runs].sort((a, b) => a.entries - b.entries)

const choiceOf = (runs: readonly EntryRun[], isNeeded: boolean, smallEntries: number): MergeChoice =>
  ({ runs, sizeClass: sizeClassOf(runs.reduce((sum, { entries }) => sum + entries, 0), smallEntries), isNeeded })
