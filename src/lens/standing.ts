import { lifecycleNumber, type Lifecycle } from '../record/assertion.ts'
import { distinct } from './id-table.ts'
import type { Candidate, LeftOut } from './lens.ts'
import { NONE, ownParentsOf } from './lineage.ts'
import { isLater } from './order.ts'
import { objectsEqual } from './value.ts'
import { claimOf } from './weight.ts'

/** Which of the assertions about one subject and predicate count. */
export interface Standing<C extends Candidate> {
  /** What a lens is given. */
  readonly standing: readonly C[]
  readonly leftOut: readonly LeftOut<C>[]
  /** The lifecycles of those that stand with another one than their own. */
  readonly lifecycles: ReadonlyMap<C, Lifecycle>
  /** Of those left out, what a new version has taken the place of, and its agent has not taken back: words that may contradict others. */
  readonly replaced: readonly C[]
}

const ON_PATH = -2
const PROPOSED = 1
const APPROVED = 3

/** What a candidate is to another one. */
const ITSELF = 0
const TAKES_BACK = 1
const CHANGES = 2
const REPLACES = 3

const takesBack = (word: Lifecycle | undefined): boolean => word !== undefined && lifecycleNumber(word) > APPROVED
const isTakenBack = (candidate: Candidate): boolean => takesBack(claimOf(candidate).lifecycle)

/** What each candidate is, and to which: an index of the list for each. */
class Roles {
  readonly kinds: Uint8Array
  readonly targets: Int32Array
  readonly #list: readonly Candidate[]
  readonly #parents: Int32Array

  constructor(list: readonly Candidate[]) {
    this.#list = list
    this.#parents = ownParentsOf(list)
    this.kinds = new Uint8Array(list.length)
    this.targets = new Int32Array(list.length).fill(NONE)
    for (let i = 0; i < list.length; i++) if (this.targets[i] === NONE) this.#follow(i)
  }

  /** Parents first, as what a child does to its parent it does to whatever the parent changes. */
  #follow(start: number): void {
    const path: number[] = []
    let at = start
    while (at !== NONE && this.targets[at] === NONE) {
      this.targets[at] = ON_PATH
      path.push(at)
      at = this.#parents[at]!
    }
    // Ids are digests of what names the parent, so that no ring can be; if there were one, nobody in it would have a parent.
    const ring = at === NONE || this.targets[at] !== ON_PATH ? path.length : path.indexOf(at)
    for (let i = path.length - 1; i >= 0; i--) this.#settle(path[i]!, i >= ring ? NONE : this.#parents[path[i]!]!)
  }

  #settle(child: number, parent: number): void {
    const target = parent === NONE ? NONE : this.kinds[parent] === REPLACES ? parent : this.targets[parent]!
    // What was never in force can not be changed: who names it as parent speaks for itself.
    if (target === NONE || isTakenBack(this.#list[target]!)) {
      this.targets[child] = child
      return
    }
    this.targets[child] = target
    this.kinds[child] = this.#kindOf(this.#list[child]!, this.#list[target]!)
  }

  #kindOf(child: Candidate, target: Candidate): number {
    if (isTakenBack(child)) return TAKES_BACK
    const { lifecycle, object } = claimOf(child)
    return lifecycleNumber(lifecycle) > PROPOSED && objectsEqual(object, claimOf(target).object) ? CHANGES : REPLACES
  }
}

/** The later one by (HLC, id) of two indexes, where the first may be NONE. */
const laterOf = (list: readonly Candidate[], a: number, b: number): number => a === NONE || isLater(list[b]!, list[a]!) ? b : a

/**
 * Which candidates of one subject and predicate stand, and why the others do not. An assertion changes another by naming it as
 * `parent`, if both are by the same agent and about the same subject and predicate:
 *
 * - lifecycle deprecated, rejected, retracted: **takes back**. It is no candidate itself, with a parent or without;
 * - lifecycle under review or approved, and the same object: **changes the lifecycle** of the parent, which goes on to stand, with its
 *   own age, votes and confidence. The change is no candidate;
 * - anything else: **a new version**. It stands, and the parent does not any more, whatever becomes of the new one.
 *
 * Of what takes back and what changes the lifecycle of one assertion, the last one counts, by (HLC, id). Who changes a
 * change means what that one changed. A parent that is not among the candidates is as none.
 *
 * A pure function, and the same for any order and repetition: convergent, as the set of assertions is.
 */
export function standing<C extends Candidate>(candidates: readonly C[]): Standing<C> {
  const list = distinct(candidates)
  if (!list.some((candidate) => claimOf(candidate).parent !== undefined || isTakenBack(candidate))) {
    return { standing: list, leftOut: [], lifecycles: new Map(), replaced: [] }
  }
  const { kinds, targets } = new Roles(list)
  const lastWords = new Int32Array(list.length).fill(NONE)
  const isReplaced = new Uint8Array(list.length)
  for (let i = 0; i < list.length; i++) {
    const target = targets[i]!
    if (kinds[i] === REPLACES) isReplaced[target] = 1
    else if (kinds[i] !== ITSELF) lastWords[target] = laterOf(list, lastWords[target]!, i)
  }
  const stands: C[] = []
  const leftOut: LeftOut<C>[] = []
  const lifecycles = new Map<C, Lifecycle>()
  const replaced: C[] = []
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i]!
    const word = lastWords[i]! === NONE ? undefined : claimOf(list[lastWords[i]!]!).lifecycle
    const why = whyOut(candidate, kinds[i]!, isReplaced[i] === 1, word)
    if (why !== undefined) {
      leftOut.push({ candidate, why })
      if (isReplaced[i] === 1 && !takesBack(word)) replaced.push(candidate)
      continue
    }
    stands.push(candidate)
    if (word !== undefined && word !== claimOf(candidate).lifecycle) lifecycles.set(candidate, word)
  }
  return { standing: stands, leftOut, lifecycles, replaced }
}

function whyOut(candidate: Candidate, kind: number, isReplaced: boolean, word: Lifecycle | undefined): string | undefined {
  const { lifecycle } = claimOf(candidate)
  if (kind === TAKES_BACK) return `It says that its parent is ${lifecycle}.`
  if (kind === CHANGES) return `It says of its parent, which stands for it, that it is ${spoken(lifecycle)}.`
  if (isTakenBack(candidate)) return `It is ${lifecycle}.`
  if (isReplaced) return 'Its agent has a newer version.'
  return takesBack(word) ? `Its agent has made it ${word!}.` : undefined
}

const spoken = (lifecycle: Lifecycle): string => lifecycle.replace('_', ' ')
