import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { EntryArena } from './entry-arena.ts'
import { SMALL_ENTRIES, eagerMerge, isLarge, neededMerges, type MergeChoice } from './entry-merge-policy.ts'
import { EntryMerge } from './entry-merge.ts'
import { ENTRY_LIST_KEY, NodePacker, nodeKey } from './entry-node.codec.ts'
import { RunBuilder } from './entry-run-builder.ts'
import { decodeEntryRunList, encodeEntryRunList, type EntryRun, type EntryRunList } from './entry-run-list.ts'
import { nodeCounts } from './entry-runs.layout.ts'
import { KeySorter } from './entry-sort.ts'
import { isFileRun } from './run-file.layout.ts'
import { RunGraves } from './run-graves.ts'
import { clearLeftoverRuns } from './run-leftovers.ts'
import type { Store, StoreBatch } from './store.ts'
import { YoungPages } from './young-pages.ts'

/**
 * Runs beyond which new entries wait for merges: bounds what a query reads. More than seven classes of size have that are
 * not due, so that there is something to merge then.
 */
export const ENTRY_RUNS_MAX = 112
/**
 * What a large merge moves, of what a small one may: 1.5 entries for each that is added, as 1 would keep up. At full speed
 * it would take a third of the rate while it lasts, which is for many millions.
 */
const LARGE_SHARE = 0.3
/** Entries of runs that wait for the removal of their files, about 60 bytes each on disk: each removal costs a sync of the store's own log. */
const GRAVE_ENTRIES_MAX = 4_000_000
/** A run with fewer nodes is removed node by node: a range deletion slows down every read beside it until it is compacted. */
const RANGE_DELETE_NODES_MIN = 4096

interface ActiveMerge {
  readonly choice: MergeChoice
  readonly merge: EntryMerge
  /** All is written; the list of runs is still to be changed. */
  isAtEnd: boolean
  /** Entries that a large one may move before it waits; below zero where a round was more than was due. */
  due: number
}

/**
 * Writes the index by subject and predicate: the ingest thread only. The entries of an ingest batch become one run, in the
 * batch's own write; merges go on in small steps, whose pages nobody sees until the list of runs names them. What an
 * interrupted merge left is cleared at the next start.
 */
export class EntryRunWriter {
  readonly #store: Store
  readonly #onList: (version: number) => void
  readonly #smallEntries: number
  readonly #sorter = new KeySorter()
  readonly #packer = new NodePacker()
  readonly #young = new YoungPages()
  readonly #batch: StoreBatch
  /** Of a change of the list alone, made anew at each attempt: an older list must never be written over a newer one. */
  readonly #listBatch: StoreBatch
  #list: EntryRunList
  #nextRun: number
  /** By class of size; the runs of one are in no other. */
  readonly #merges: ActiveMerge[] = []
  readonly #graves: RunGraves

  /**
   * @param onList told of the version of the list when it can be read: at once, and after each change
   * @param smallEntries see {@link SMALL_ENTRIES}
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  constructor(store: Store, onList: (version: number) => void = () => {}, smallEntries = SMALL_ENTRIES) {
    this.#store = store
    this.#onList = onList
    this.#smallEntries = smallEntries
    this.#batch = store.batch()
    this.#listBatch = store.batch()
    this.#list = decodeEntryRunList(store.get('sp', ENTRY_LIST_KEY))
    this.#graves = new RunGraves(store, 'sp')
    // An interrupted merge's number must not be used for another run while old pages might show through.
    this.#nextRun = Math.max(clearLeftoverRuns(store, 'sp', this.#list), this.#graves.clearLeftovers(this.#list.runs))
    onList(this.#list.version)
  }

  get list(): EntryRunList {
    return this.#list
  }

  /** Whether so many runs wait to be merged that new entries must wait for `mergeStep`. */
  get mustMerge(): boolean {
    return this.#list.runs.length >= ENTRY_RUNS_MAX
  }

  /**
   * Puts a run of these entries, and the list that names it, into `batch`; call the result once the batch is written.
   * Write nothing else of this object's in between.
   */
  add(arena: EntryArena, firstLsn: Lsn, lastLsn: Lsn, batch: StoreBatch): () => void {
    const pages: Uint8Array[] = []
    const builder = new RunBuilder(this.#nextRun, this.#packer, (page) => pages.push(page.slice()))
    builder.add(arena, this.#sorter.order(arena.bytes, arena.keyStarts, arena.keyEnds, arena.count), arena.count, batch)
    builder.finish(batch)
    const run: EntryRun = { id: builder.run, pages: builder.pages, entries: builder.entries, firstLsn, lastLsn }
    const list: EntryRunList = { version: this.#list.version + 1, nextRun: run.id + 1, runs: [run, ...this.#list.runs] }
    batch.put('sp', ENTRY_LIST_KEY, encodeEntryRunList(list))
    return () => {
      this.#adopt(list)
      this.#nextRun = list.nextRun
      this.#young.hold(run, pages)
    }
  }

  /**
   * Merges on, by about `entriesMax` entries, and beside that each large merge by a part of it; false where there is
   * nothing to merge.
   * @param eager there is nothing else to do: merges that nobody needs yet go on, too
   * @throws {DbError} as the store does; after `disk_full` the step may be tried again.
   */
  mergeStep(entriesMax: number, eager: boolean): boolean {
    this.#writePending()
    this.#choose(eager)
    const isUrgent = eager || this.mustMerge
    const active = this.#merges.filter((merge) => isUrgent || merge.choice.isNeeded)
    const small = active.find(({ choice }) => !isLarge(choice))
    if (small !== undefined) this.#advance(small, entriesMax)
    for (const merge of active) {
      if (!isLarge(merge.choice)) continue
      merge.due = isUrgent ? entriesMax : merge.due + entriesMax * LARGE_SHARE
      if (merge.due > 0) merge.due -= this.#advance(merge, merge.due)
    }
    if (active.length === 0 && eager) this.#graves.clear()
    return active.length > 0
  }

  /** Begins what is due. A run is in one merge at a time, and so is a class of size. */
  #choose(eager: boolean): void {
    const taken = new Set(this.#merges.flatMap(({ choice }) => choice.runs))
    const free = this.#list.runs.filter((run) => !taken.has(run))
    const isBusy = ({ sizeClass }: MergeChoice): boolean =>
      this.#merges.some(({ choice }) => choice.isNeeded && choice.sizeClass === sizeClass)
    const choices = neededMerges(free, this.#smallEntries).filter((choice) => !isBusy(choice))
    const spare = eager && choices.length + this.#merges.length === 0 ? eagerMerge(free, this.#smallEntries) : undefined
    if (spare !== undefined) choices.push(spare)
    for (const choice of choices) {
      const merge = new EntryMerge(this.#store, this.#young, choice.runs, new RunBuilder(this.#numberFor(choice), this.#packer))
      this.#merges.push({ choice, merge, isAtEnd: false, due: 0 })
    }
    this.#merges.sort((a, b) => a.choice.sizeClass - b.choice.sizeClass)
  }

  /** Of the run that a merge makes: it says whether that is put into a file. */
  #numberFor({ runs }: MergeChoice): number {
    const number = this.#nextRun++
    return this.#store.runFiles?.sp.runOf(number, runs.reduce((sum, { entries }) => sum + entries, 0)) ?? number
  }

  /** Entries moved: a round too many at most. */
  #advance(active: ActiveMerge, entriesMax: number): number {
    let entries = 0
    while (entries < entriesMax && !active.isAtEnd) {
      const count = active.merge.round(this.#sorter, this.#batch)
      active.isAtEnd = count === 0
      entries += count
      this.#writePending()
    }
    if (active.isAtEnd) this.#finish(active)
    return entries
  }

  /** A write that failed has left its batch as it was. */
  #writePending(): void {
    if (this.#batch.count > 0) this.#batch.write()
  }

  #finish(active: ActiveMerge): void {
    const { inputs, output } = active.merge
    const entries = inputs.reduce((sum, run) => sum + run.entries, 0)
    if (output.entries !== entries) {
      throw new DbError('store_corrupt', `merging runs of the index of subjects gave ${output.entries} of ${entries} entries; run "stemedb store rebuild"`)
    }
    output.finish(this.#batch)
    this.#writePending()
    if (isFileRun(output.run)) this.#store.runFiles!.sp.seal(output.run, output.pages)
    const gone = new Set(inputs.map((run) => run.id))
    const run: EntryRun = {
      id: output.run, pages: output.pages, entries,
      firstLsn: Math.min(...inputs.map((input) => input.firstLsn)), lastLsn: Math.max(...inputs.map((input) => input.lastLsn)),
    }
    const list: EntryRunList = {
      version: this.#list.version + 1, nextRun: this.#nextRun, runs: [...this.#list.runs.filter(({ id }) => !gone.has(id)), run],
    }
    this.#listBatch.clear()
    this.#listBatch.put('sp', ENTRY_LIST_KEY, encodeEntryRunList(list))
    for (const input of inputs) this.#removeNodes(input)
    this.#listBatch.write()
    this.#adopt(list)
    this.#merges.splice(this.#merges.indexOf(active), 1)
    for (const { id } of inputs) this.#young.drop(id)
    for (const input of inputs) {
      if (isFileRun(input.id)) this.#graves.add(input)
      else if (hasManyNodes(input.pages)) this.#clearNodes(input)
    }
    if (this.#graves.entries >= GRAVE_ENTRIES_MAX) this.#graves.clear()
  }

  #clearNodes({ id }: Pick<EntryRun, 'id'>): void {
    this.#store.clearRange('sp', nodeKey(id, 0, 0), nodeKey(id + 1, 0, 0))
  }

  #adopt(list: EntryRunList): void {
    this.#list = list
    this.#onList(list.version)
  }

  #removeNodes({ id, pages }: EntryRun): void {
    if (hasManyNodes(pages) || isFileRun(id)) return
    nodeCounts(pages).forEach((count, level) => {
      for (let number = 0; number < count; number++) this.#listBatch.del('sp', nodeKey(id, level, number))
    })
  }
}

const hasManyNodes = (pages: number): boolean => pages >= RANGE_DELETE_NODES_MIN
