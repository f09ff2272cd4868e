import { bytesEqual } from '../base/bytes.ts'
import { IdTable } from './id-table.ts'
import type { Candidate } from './lens.ts'
import { claimOf } from './weight.ts'

/** No place. */
export const NONE = -1

const ids = new IdTable()

/** Whether a child may change its parent at all: agents speak for themselves, of one subject and predicate. */
function isOwnParent(child: Candidate, parent: Candidate): boolean {
  const a = claimOf(child)
  const b = claimOf(parent)
  return bytesEqual(a.agent, b.agent) && a.predicate === b.predicate && a.subject === b.subject
}

/**
 * For each candidate the place of its parent, where that is among the candidates and its own agent's word on the same subject and
 * predicate; else {@link NONE}.
 * @param list each id once
 */
export function ownParentsOf(list: readonly Candidate[]): Int32Array {
  ids.begin(list.length)
  for (const { id } of list) ids.add(id)
  return Int32Array.from(list, (child) => {
    const { parent } = claimOf(child)
    const at = parent === undefined ? NONE : ids.find(parent)
    return at !== NONE && isOwnParent(child, list[at]!) ? at : NONE
  })
}

/**
 * Who comes from whom by own parents, through any number of them. Candidates are numbered so that those that come from one have the numbers
 * behind its own, up to a last one: to compare two of them costs no walk.
 *
 * Ids are digests of what names the parent, so that no ring can be. Were there one, it and what hangs on it would be numbered {@link NONE},
 * each as if it came from all the others.
 */
export class Lineage {
  /** By place, the number. */
  readonly numbers: Int32Array
  /** By place, the last number of those that come from it. */
  readonly lasts: Int32Array

  /** @param list each id once */
  constructor(list: readonly Candidate[]) {
    const parents = ownParentsOf(list)
    const children = new Int32Array(list.length).fill(NONE)
    const siblings = new Int32Array(list.length).fill(NONE)
    for (let i = 0; i < list.length; i++) {
      const parent = parents[i]!
      if (parent === NONE) continue
      siblings[i] = children[parent]!
      children[parent] = i
    }
    this.numbers = new Int32Array(list.length).fill(NONE)
    this.lasts = new Int32Array(list.length).fill(NONE)
    let count = 0
    for (let root = 0; root < list.length; root++) {
      if (parents[root] !== NONE) continue
      for (let at = root; at !== NONE;) {
        this.numbers[at] = count++
        let next = children[at]!
        for (; next === NONE && at !== NONE; at = parents[at]!) {
          this.lasts[at] = count - 1
          next = siblings[at]!
        }
        at = next
      }
    }
  }
}
