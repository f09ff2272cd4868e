import type { Random } from '../../src/base/random.ts'
import { readShimLog, type CountedCall, type Fault } from './shim.ts'

/** One system call of a run: the n-th of its kind on files whose path contains `path`. */
export interface SyscallPoint {
  readonly path: string
  readonly operation: CountedCall
  readonly nth: number
}

/** All calls of one kind on one part of the data directory. */
export interface PointGroup {
  readonly path: string
  readonly operation: CountedCall
  readonly count: number
}

/** What a dry run for all calls (`operation: 'any', nth: 0`) has counted, by kind and by the parts of the path that it is asked about. */
export function countPoints(log: string, parts: readonly string[]): PointGroup[] {
  const counts = new Map<string, { path: string, operation: CountedCall, count: number }>()
  for (const { what, operation, path } of readShimLog(log)) {
    if (what === 'fault') continue
    const part = parts.find((candidate) => path.includes(candidate))
    if (part === undefined) continue
    const group = counts.get(`${operation} ${part}`) ?? { path: part, operation: operation as CountedCall, count: 0 }
    group.count++
    counts.set(`${operation} ${part}`, group)
  }
  return [...counts.values()]
}

export const totalOf = (groups: readonly PointGroup[]): number => groups.reduce((sum, group) => sum + group.count, 0)

/** A line for people. */
export const describeGroups = (groups: readonly PointGroup[]): string =>
  groups.map(({ path, operation, count }) => `${count} ${operation} ${path}`).join(', ')

/**
 * Points in an order for sampling: one of each group in turn, so that rare calls are all met early, in each group by
 * chance. After all have come they come again.
 */
export function* samplePoints(groups: readonly PointGroup[], random: Random): Generator<SyscallPoint, never> {
  for (;;) {
    const left = groups.map((group) => ({ group, order: shuffled(group.count, random) }))
    while (left.some(({ order }) => order.length > 0)) {
      for (const { group: { path, operation }, order } of left) {
        const nth = order.pop()
        if (nth !== undefined) yield { path, operation, nth }
      }
    }
  }
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i + 1)
  for (let i = count - 1; i > 0; i--) {
    const j = random.u32() % (i + 1)
    const swapped = order[i]!
    order[i] = order[j]!
    order[j] = swapped
  }
  return order
}

/** The process dies at the point: before the call, or in the middle of every second write. */
export function killAt({ path, operation, nth }: SyscallPoint, random: Random): Fault {
  const tearable = operation === 'pwrite' || operation === 'write'
  return { path, operation, nth, action: tearable && random.u32() % 2 === 0 ? 'torn' : 'kill' }
}
