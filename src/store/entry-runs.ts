import { DbError } from '../base/errors.ts'
import type { Lsn } from '../base/lsn.ts'
import type { EntryArena } from './entry-arena.ts'
import { pickMerge } from './entry-merge-policy.ts'
import { EntryMerge } from './entry-merge.ts'
import { ENTRY_LIST_KEY, NodePacker, nodeKey } from './entry-node.codec.ts'
import { RunBuilder } from './entry-run-builder.ts'
import { decodeEntryRunList, encodeEntryRunList, type EntryRun, type EntryRunList } from './entry-run-list.ts'
import { nodeCounts } from './entry-runs.layout.ts'
import { KeySorter } from './entry-sort.ts'
import { clearLeftoverRuns } from './run-leftovers.ts'
import type { Store, StoreBatch } from './store.ts'
import { YoungPages } from './young-pages.ts'

/** Runs beyond which new entries wait for merges: bounds what a query reads. */
export const ENTRY_RUNS_MAX = 64
/** A run with fewer nodes is removed node by node: a range deletion slows down every read beside it until it is compacted. */
const RANGE_DELETE_NODES_MIN = 4096

/**
 * Writes the index by subject and predicate: the ingest thread only. The entries of an ingest batch become one run, in the
 * batch's own write; merges go on in small steps, whose pages nobody sees until the list of runs names them. What an
 * interrupted merge left is cleared at the next start.
 */
export class EntryRunWriter {
  readonly #store: Store
  readonly #onList: (version: number) => void
  readonly #sorter = new KeySorter()
  readonly #packer = new NodePacker()
  readonly #young = new YoungPages()
  readonly #batch: StoreBatch
  /** Of a change of the list alone, made anew at each attempt: an older list must never be written over a newer one. */
  readonly #listBatch: StoreBatch
  #list: EntryRunList
  #nextRun: number
  #merge: EntryMerge | undefined
  /** The merge has come to its end; the list of runs is still to be changed. */
  #merged = false

  /**
   * @param onList told of the version of the list when it can be read: at once, and after each change
   * @throws {DbError} `store_corrupt`, and as the store does.
   */
  constructor(store: Store, onList: (version: number) => void = () => {}) {
    this.#store = store
    this.#onList = onList
    this.#batch = store.batch()
    this.#listBatch = store.batch()
    this.#list = decodeEntryRunList(store.get('sp', ENTRY_LIST_KEY))
    // An interrupted merge's number must not be used for another run while old pages might show through.
    this.#nextRun = clearLeftoverRuns(store, 'sp', this.#list)
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
   * Merges on, by about `entriesMax` entries; false where there is nothing to merge.
   * @param eager there is nothing else to do: see {@link pickMerge}
   * @throws {DbError} as the store does; after `disk_full` the step may be tried again.
   */
  mergeStep(entriesMax: number, eager: boolean): boolean {
    if (this.#merge === undefined) {
      const inputs = pickMerge(this.#list.runs, eager)
      if (inputs === undefined) return false
      this.#merge = new EntryMerge(this.#store, this.#young, inputs, new RunBuilder(this.#nextRun++, this.#packer))
    }
    const merge = this.#merge
    this.#writePending()
    for (let entries = 0; entries < entriesMax && !this.#merged;) {
      const count = merge.round(this.#sorter, this.#batch)
      this.#merged = count === 0
      entries += count
      this.#writePending()
    }
    if (this.#merged) this.#finishMerge(merge)
    return true
  }

  /** A write that failed has left its batch as it was. */
  #writePending(): void {
    if (this.#batch.count > 0) this.#batch.write()
  }

  #finishMerge(merge: EntryMerge): void {
    const { inputs, output } = merge
    const entries = inputs.reduce((sum, run) => sum + run.entries, 0)
    if (output.entries !== entries) {
      throw new DbError('store_corrupt', `merging runs of the index of subjects gave ${output.entries} of ${entries} entries; run "stemedb store rebuild"`)
    }
    output.finish(this.#batch)
    this.#writePending()
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
    this.#merge = undefined
    this.#merged = false
    for (const { id } of inputs) this.#young.drop(id)
    for (const { id, pages } of inputs) if (isLarge(pages)) this.#store.clearRange('sp', nodeKey(id, 0, 0), nodeKey(id + 1, 0, 0))
  }

  #adopt(list: EntryRunList): void {
    this.#list = list
    this.#onList(list.version)
  }

  #removeNodes({ id, pages }: EntryRun): void {
    if (isLarge(pages)) return
    nodeCounts(pages).forEach((count, level) => {
      for (let number = 0; number < count; number++) this.#listBatch.del('sp', nodeKey(id, level, number))
    })
  }
}

const isLarge = (pages: number): boolean => pages >= RANGE_DELETE_NODES_MIN
