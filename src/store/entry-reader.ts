import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import { entryListMark } from '../ring/marks.ts'
import { ENTRY_ATTEMPTS_MAX, EntryRangeCursor, type PageSource, type RunPosition } from './entry-cursor.ts'
import { ENTRY_LIST_KEY, EntryNode, nodeKey } from './entry-node.codec.ts'
import { EntryPageCache, PAGE_BYTES } from './entry-page-cache.ts'
import { decodeEntryRunList, type EntryRun } from './entry-run-list.ts'
import { NODE_CHILDREN, nodeCounts } from './entry-runs.layout.ts'
import type { Lookups } from './lookups.ts'
import type { PairEntries } from './pair-entries.ts'
import { runListVersion } from './run-list.codec.ts'
import type { RangeBounds, Store } from './store.ts'

/** What a reader keeps of pages and inner nodes where nobody says otherwise. */
const PAGE_CACHE_BYTES = 1536 * PAGE_BYTES
/** What inner nodes may take of it. They have 128 children each: one of 25 nodes is enough for all that is kept, but not for all that is stored. */
const INNER_SHARE = 1 / 4
/** About what an inner node takes. */
const INNER_NODE_BYTES = 5 * 1024
/** More than a run has. */
const LEVELS_MAX = 8

export interface EntryReaderOptions {
  /** `Marks.entryList`. Absent: each read asks the store for the list. */
  readonly listMark?: (() => number) | undefined
  /** Memory for pages and inner nodes that were read lately, in bytes; the roots of the runs are kept beside them. */
  readonly pageCacheBytes?: number
}

/** A run, and its root where it is at hand and no page. */
interface RunNodes {
  readonly run: EntryRun
  /** Nodes of each level, the pages first. */
  readonly counts: readonly number[]
  root: EntryNode | undefined
}

/** The node of a run to look at next on the way to a key. */
interface Step {
  readonly nodes: RunNodes
  level: number
  number: number
  /** Of level 0, where it is at hand. */
  page: EntryNode | undefined
}

/**
 * Reads the index by subject and predicate; one for each thread. It keeps the list of runs, their inner nodes and pages that were read
 * lately. A run's nodes never change, so they are right as long as the list names the run: that is seen from the list's mark, which
 * moves before anything that a newer list names counts as applied; where there is none, or something is not at hand, from the list in
 * the same read as the rest, which sees one state of the column. So a merge may remove the runs that it has replaced at once.
 */
export class EntryReader implements PageSource {
  readonly #store: Store
  readonly #listMark: () => number
  #version = -1
  /** Of the list that is at hand; no mark equals it before there is one. */
  #mark = -1
  #runs: readonly RunNodes[] = []
  readonly #pages: EntryPageCache
  /** Numbered by number and level; without the roots. */
  readonly #inner: EntryPageCache
  #lookups: Lookups = { kept: 0, read: 0 }

  constructor(store: Store, { listMark = () => 0, pageCacheBytes = PAGE_CACHE_BYTES }: EntryReaderOptions = {}) {
    this.#store = store
    this.#listMark = listMark
    this.#pages = cacheOf(pageCacheBytes * (1 - INNER_SHARE), PAGE_BYTES)
    this.#inner = cacheOf(pageCacheBytes * INNER_SHARE, INNER_NODE_BYTES)
  }

  /** Entries by ascending key. What it sees is the index as it was at the call, or later. */
  entries(bounds: Pick<RangeBounds, 'gte' | 'lt'>): EntryRangeCursor {
    return new EntryRangeCursor(this, bounds.gte ?? new Uint8Array(0), bounds.lt)
  }

  /**
   * Puts the entries of one pair into `out`, the newest first, each once.
   * @param prefix subject, zero, predicate, zero. Read the applied mark before, where the answer must have what is applied.
   * @param lastLsn leaves out the runs that begin behind it (`PairLsns.lastLsn`)
   * @returns false where there are more than `out` takes
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  pair(prefix: Uint8Array, lastLsn: Lsn, out: PairEntries): boolean {
    for (let attempt = 0; attempt < ENTRY_ATTEMPTS_MAX; attempt++) {
      out.begin(prefix)
      const gathered = this.#gatherAtHand(prefix, lastLsn, out) ?? this.#gatherRead(prefix, lastLsn, out)
      if (gathered !== undefined) return gathered && out.finish()
    }
    return changing()
  }

  /** Pages that `pair` looked at since the last call. */
  takeLookups(): Readonly<Lookups> {
    const lookups = this.#lookups
    this.#lookups = { kept: 0, read: 0 }
    return lookups
  }

  /** @param lastLsn leaves out the runs that begin behind it */
  open(key: Uint8Array, lastLsn = Infinity): readonly RunPosition[] {
    for (let attempt = 0; attempt < ENTRY_ATTEMPTS_MAX; attempt++) {
      const steps = this.#runs.filter(({ run }) => run.firstLsn <= lastLsn).map((nodes) => this.#descend(nodes, key))
      if (steps.every(hasPage) && this.#listMark() === this.#mark) return steps.map(positionOf)
      // Each time a level lower.
      while (this.#fetch(steps.filter((step) => !hasPage(step)), key)) if (steps.every(hasPage)) return steps.map(positionOf)
    }
    return changing()
  }

  pages(run: EntryRun, number: number, count: number): EntryNode[] | undefined {
    const keys = Array.from({ length: count }, (_, i) => nodeKey(run.id, 0, number + i))
    const [list, ...values] = this.#store.multiGet('sp', [ENTRY_LIST_KEY, ...keys])
    const isListed = list !== undefined && runListVersion(list) === this.#version
    // Whatever the mark says, which may not have moved yet: the next look-up reads the list.
    if (!isListed) this.#mark = -1
    const pages: EntryNode[] = []
    for (const bytes of values) {
      if (bytes === undefined) return isListed ? absent() : undefined
      pages.push(new EntryNode(bytes))
    }
    return pages
  }

  /** What `pair` is for, where all that it takes is at hand; undefined where it is not. */
  #gatherAtHand(prefix: Uint8Array, lastLsn: Lsn, out: PairEntries): boolean | undefined {
    if (this.#listMark() !== this.#mark) return undefined
    for (const nodes of this.#runs) {
      if (nodes.run.firstLsn > lastLsn) continue
      const { number, page } = this.#descend(nodes, prefix)
      if (page !== undefined) this.#lookups.kept++
      const gathered = page === undefined ? undefined : this.#gatherRun(nodes.run, number, page, prefix, out)
      if (gathered !== true) {
        if (gathered === undefined) out.begin(prefix)
        return gathered
      }
    }
    return true
  }

  #gatherRead(prefix: Uint8Array, lastLsn: Lsn, out: PairEntries): boolean | undefined {
    for (const { run, number, page } of this.open(prefix, lastLsn)) {
      const gathered = this.#gatherRun(run, number, page, prefix, out)
      if (gathered !== true) return gathered
    }
    return true
  }

  /** False: there are more than `out` takes. Undefined: the run has been merged away meanwhile. */
  #gatherRun(run: EntryRun, number: number, page: EntryNode, prefix: Uint8Array, out: PairEntries): boolean | undefined {
    let node = page
    let i = page.rank(prefix, false)
    for (let n = number; ;) {
      i = out.addFrom(node, i, prefix, n !== number)
      if (i < 0) return false
      if (i < node.count || ++n === run.pages) return true
      const kept = this.#pages.get(run.id, n)
      const next = kept ?? this.pages(run, n, 1)?.[0]
      if (next === undefined) return undefined
      if (kept === undefined) this.#pages.keep(run.id, n, next)
      node = next
      i = 0
    }
  }

  /** Reads nodes, and sees to it that the list still held then. False: it does not, or did not. */
  #fetch(wanted: readonly Step[], key: Uint8Array): boolean {
    const keys = wanted.map(({ nodes, level, number }) => nodeKey(nodes.run.id, level, number))
    // Before the read: what is read then is at least as new.
    const mark = this.#listMark()
    if (mark === this.#mark) {
      const values = this.#store.multiGet('sp', keys)
      // Nodes never change: what is there is right. What is not may have been removed with a list whose mark has not moved yet.
      if (values.every((value) => value !== undefined)) return this.#take(wanted, values, key)
    }
    const [list, ...values] = this.#store.multiGet('sp', [ENTRY_LIST_KEY, ...keys])
    if (list === undefined) return this.#version === -1 && wanted.length === 0
    const version = runListVersion(list)
    if (version !== this.#version) {
      this.#adopt(list, version)
      return false
    }
    // A list that is not marked yet was read early: the next read asks again.
    this.#mark = mark === entryListMark(version) ? mark : -1
    return this.#take(wanted, values, key)
  }

  #take(wanted: readonly Step[], values: readonly (Uint8Array | undefined)[], key: Uint8Array): true {
    for (let i = 0; i < wanted.length; i++) {
      const step = wanted[i]!
      const node = new EntryNode(values[i] ?? absent())
      if (step.level > 0) {
        this.#keepInner(step, node)
        lower(step, node, key)
        this.#goDown(step, key)
      } else {
        this.#pages.keep(step.nodes.run.id, step.number, node)
        this.#lookups.read++
        step.page = node
      }
    }
    return true
  }

  /** The page on the way to `key`, or the lowest node above it that is not at hand. */
  #descend(nodes: RunNodes, key: Uint8Array): Step {
    const step: Step = { nodes, level: nodes.counts.length - 1, number: 0, page: undefined }
    this.#goDown(step, key)
    return step
  }

  #goDown(step: Step, key: Uint8Array): void {
    while (step.level > 0) {
      const node = this.#innerNode(step)
      if (node === undefined) return
      lower(step, node, key)
    }
    step.page = this.#pages.get(step.nodes.run.id, step.number)
  }

  #innerNode(step: Step): EntryNode | undefined {
    return isRoot(step) ? step.nodes.root : this.#inner.get(step.nodes.run.id, innerNumber(step))
  }

  #keepInner(step: Step, node: EntryNode): void {
    if (isRoot(step)) step.nodes.root = node
    else this.#inner.keep(step.nodes.run.id, innerNumber(step), node)
  }

  #adopt(list: Uint8Array, version: number): void {
    const known = new Map(this.#runs.map((nodes) => [nodes.run.id, nodes]))
    this.#runs = decodeEntryRunList(list).runs.map((run) => known.get(run.id) ?? nodesOf(run))
    const ids = new Set(this.#runs.map(({ run }) => run.id))
    this.#pages.retain(ids)
    this.#inner.retain(ids)
    this.#store.runFiles?.sp.retain(ids)
    this.#version = version
    this.#mark = -1
  }
}

const nodesOf = (run: EntryRun): RunNodes => ({ run, counts: nodeCounts(run.pages), root: undefined })

/** Two generations of a size. */
const cacheOf = (bytes: number, nodeBytes: number): EntryPageCache => new EntryPageCache(Math.max(1, Math.floor(bytes / 2 / nodeBytes)))

const isRoot = ({ nodes, level }: Step): boolean => level === nodes.counts.length - 1
const innerNumber = ({ level, number }: Step): number => number * LEVELS_MAX + level
const hasPage = ({ page }: Step): boolean => page !== undefined

/** Goes from an inner node to the child in which `key` stands, if it is in the run. */
function lower(step: Step, node: EntryNode, key: Uint8Array): void {
  const level = step.level - 1
  step.number = Math.min(step.number * NODE_CHILDREN + Math.max(0, node.rank(key, true) - 1), step.nodes.counts[level]! - 1)
  step.level = level
}

const positionOf = ({ nodes, number, page }: Step): RunPosition => ({ run: nodes.run, number, page: page! })

function changing(): never {
  throw new DbError('internal', `the list of runs changed ${ENTRY_ATTEMPTS_MAX} times during one look-up`)
}

function absent(): never {
  throw new DbError('store_corrupt', 'a page of the index of subjects is missing; run "stemedb store rebuild"')
}
