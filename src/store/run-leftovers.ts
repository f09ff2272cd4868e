import type { RunList } from './run-list.codec.ts'
import type { ColumnName, Store } from './store.ts'

/** Columns whose keys are a kind (1: the list, 2: a page), then a run's number, big-endian. */
const PAGE_KIND = 2
const KEY_RUN = 1

/** The first of a run's keys; of run 0, which there is none of, a key that nothing has. */
export const firstKeyOf = (run: number): Uint8Array => {
  const key = new Uint8Array(5)
  key[0] = PAGE_KIND
  new DataView(key.buffer).setUint32(KEY_RUN, run)
  return key
}

/**
 * Removes pages of runs that the list does not name: of an interrupted merge, or of one whose inputs were not removed.
 * @returns a number that no run has or had.
 */
export function clearLeftoverRuns(store: Store, column: ColumnName, list: RunList<{ readonly id: number }>): number {
  const valid = new Set(list.runs.map((run) => run.id))
  let nextRun = list.nextRun
  for (let run = 0; ;) {
    const range = store.range(column, { gte: firstKeyOf(run), lt: Uint8Array.of(PAGE_KIND + 1) })
    const found = range.next(1)[0]
    range.close()
    if (found === undefined) return nextRun
    const number = new DataView(found.buffer, found.byteOffset, found.length).getUint32(KEY_RUN)
    if (!valid.has(number)) store.clearRange(column, firstKeyOf(number), firstKeyOf(number + 1))
    nextRun = Math.max(nextRun, number + 1)
    run = number + 1
  }
}
