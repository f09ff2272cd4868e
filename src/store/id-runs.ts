import { assert } from '../base/assert.ts'
import { DbError } from '../base/errors.ts'
import type { IdHash } from './id-hash.ts'
import { pageBitsOf, IDS_PAGE, RUN_ENTRY_BYTES } from './id-runs.layout.ts'
import {
  ID_LIST_KEY, IdEntries, IdPage, decodeIdRunList, encodeIdRunList, pageKey, pageOf, type IdRun, type IdRunList,
} from './id-runs.codec.ts'
import { FingerprintSorter } from './id-sort.ts'
import { ENTRY_INDEX, ENTRY_RECORD_OFFSET, ENTRY_SEGMENT_ID, ENTRY_BYTES, ENTRY_WORDS } from './recent-ids.layout.ts'
import type { FinishedIds } from './recent-ids.ts'
import { isFileRun } from './run-file.layout.ts'
import { RunGraves } from './run-graves.ts'
import { clearLeftoverRuns } from './run-leftovers.ts'
import { EMPTY_RUN_LIST, runListVersion } from './run-list.codec.ts'
import type { Store, StoreBatch } from './store.ts'

/** So many runs of one level are merged into one of the next: a look-up reads at most 15 pages a level. */
export const MERGE_FAN_IN = 16
/** Runs beyond which a flush waits for merges: bounds what a look-up reads. */
export const RUNS_MAX = 128
/** Pages that a merge takes of its most finely paged input at a time: in a file they stand one behind the other. */
const CHUNK_PAGES_BITS = 3
/** So many pages of a file are put between two looks at whether there is enough for a write. */
const FLUSH_PAGES = 256
/** A look-up that finds the list of runs changed reads again; so often in a row only if something is broken. */
const ATTEMPTS_MAX = 64

/** A place whose id has the same fingerprint: to be confirmed against the record. */
export interface IdCandidate {
  readonly segmentId: number
  readonly recordOffset: number
  readonly index: number
}

/**
 * Looks ids up in the runs; one for each thread. It keeps the list of runs and checks in each read, which sees one
 * state of the column, that the list still holds: so a merge may drop the runs it has replaced at once.
 */
export class IdRunReader {
  readonly #store: Store
  #list: IdRunList = EMPTY_RUN_LIST

  constructor(store: Store) {
    this.#store = store
  }

  /** @param hi @param lo the fingerprint by IdHash. @throws {DbError} as the store does. */
  find(hi: number, lo: number): IdCandidate[] {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { runs, version } = this.#list
      const keys = [ID_LIST_KEY, ...runs.map((run) => pageKey(run.id, pageOf(hi, run.pageBits)))]
      const values = this.#store.multiGet('ids', keys)
      const list = values[0]
      if (list === undefined) return []
      if (runListVersion(list) === version) return candidatesOf(runs, values, hi >>> 0, lo >>> 0)
      this.#list = decodeIdRunList(list)
      this.#store.runFiles?.ids.retain(new Set(this.#list.runs.map(({ id }) => id)))
    }
    throw new DbError('internal', `the list of id runs changed ${ATTEMPTS_MAX} times during one look-up`)
  }
}

/** @param values the list's, then a page of each run. @throws {DbError} `store_corrupt` */
function candidatesOf(runs: readonly IdRun[], values: readonly (Uint8Array | undefined)[], hi: number, lo: number): IdCandidate[] {
  const found: IdCandidate[] = []
  for (let n = 1; n < values.length; n++) {
    const bytes = values[n]
    if (bytes === undefined) {
      // Among keys it has no ids; in a file such a page is an empty one.
      if (isFileRun(runs[n - 1]!.id)) throw missingFile()
      continue
    }
    const page = new IdPage(bytes)
    for (let i = page.lowerBound(hi, lo); i < page.count && page.hi(i) === hi && page.lo(i) === lo; i++) {
      found.push({ segmentId: page.segmentId(i), recordOffset: page.recordOffset(i), index: page.index(i) })
    }
  }
  return found
}

const missingFile = (): DbError => new DbError('store_corrupt', 'a file of ids is missing; run "stemedb store rebuild"')

interface Merge {
  readonly inputs: readonly IdRun[]
  readonly output: IdRun
  /** A step takes the fingerprints that share these leading bits: some pages of the most finely paged input. */
  readonly chunkBits: number
  nextChunk: number
  written: number
}

/**
 * Writes runs: the ingest thread only. A generation of recent ids becomes a run of level 0 in one write batch. Sixteen
 * runs of a level are merged into one of the next in small steps, whose pages nobody sees until the list of runs names
 * them; what an interrupted merge left is cleared at the next start.
 */
export class IdRunWriter {
  readonly #store: Store
  readonly #hash: IdHash
  readonly #sorter = new FingerprintSorter()
  readonly #entries = new IdEntries(0)
  readonly #batch: StoreBatch
  readonly #key = pageKey(0, 0)
  #pageBytes = new Uint8Array(512 * RUN_ENTRY_BYTES)
  readonly #graves: RunGraves
  #list: IdRunList
  #nextRun: number
  #merge: Merge | undefined
  /** Of the generation that is being flushed: the same at each attempt. */
  #flushed: IdRun | undefined

  /** @throws {DbError} `store_corrupt`, and as the store does. */
  constructor(store: Store, hash: IdHash) {
    this.#store = store
    this.#hash = hash
    this.#batch = store.batch()
    this.#list = idRunListOf(store)
    this.#graves = new RunGraves(store, 'ids')
    // An interrupted merge's number must not be used for another run while old pages might show through.
    this.#nextRun = Math.max(clearLeftoverRuns(store, 'ids', this.#list), this.#graves.clearLeftovers(this.#list.runs))
  }

  get list(): IdRunList {
    return this.#list
  }

  /** Whether so many runs wait to be merged that a flush must wait for `mergeStep`. */
  get mustMerge(): boolean {
    return this.#list.runs.length >= RUNS_MAX
  }

  /**
   * Puts a generation's run, and the list that names it, into `batch`; call the result once the batch is written.
   * Idempotent until then.
   * @throws {DbError} as the store does, where the run is put into a file, which is durable then; after `disk_full` it may be tried again.
   */
  flush(finished: FinishedIds, batch: StoreBatch): () => void {
    const entries = this.#entries
    entries.count = 0
    const ids = new Uint8Array(finished.words.buffer, finished.words.byteOffset, finished.count * ENTRY_BYTES)
    for (let i = 0; i < finished.count; i++) {
      const at = i * ENTRY_WORDS
      this.#hash.compute(ids, i * ENTRY_BYTES)
      entries.push(this.#hash.hi, this.#hash.lo, finished.words[at + ENTRY_SEGMENT_ID / 4]!,
        finished.words[at + ENTRY_RECORD_OFFSET / 4]!, finished.words[at + ENTRY_INDEX / 4]!)
    }
    if (this.#flushed?.lastLsn !== finished.lastLsn) this.#flushed = this.#runOf(finished)
    const run = this.#flushed
    this.#putPages(run, batch, 0, 2 ** run.pageBits)
    if (isFileRun(run.id)) this.#store.runFiles!.ids.seal(run.id, 2 ** run.pageBits)
    const list: IdRunList = {
      version: this.#list.version + 1, nextRun: this.#nextRun, runs: [run, ...this.#list.runs],
    }
    batch.put('ids', ID_LIST_KEY, encodeIdRunList(list))
    return () => {
      this.#list = list
      this.#flushed = undefined
    }
  }

  #runOf({ count, firstLsn, lastLsn }: FinishedIds): IdRun {
    return { id: this.#numberFor(count), level: 0, pageBits: pageBitsOf(count), entries: count, firstLsn, lastLsn }
  }

  /** Of a new run: it says whether that is put into a file. */
  #numberFor(entries: number): number {
    const number = this.#nextRun++
    return this.#store.runFiles?.ids.runOf(number, entries) ?? number
  }

  /**
   * Merges on, by about `entriesMax` entries; false where there is nothing to merge.
   * @throws {DbError} as the store does; the step may be tried again.
   */
  mergeStep(entriesMax: number): boolean {
    // Of the merge before.
    this.#graves.clear()
    this.#merge ??= this.#nextMerge()
    const merge = this.#merge
    if (merge === undefined) return false
    const chunks = 2 ** merge.chunkBits
    for (let entries = 0; entries < entriesMax && merge.nextChunk < chunks;) {
      entries += this.#mergeChunk(merge)
      // Sparse chunks cost a read too.
      entries += MERGE_FAN_IN
    }
    if (merge.nextChunk === chunks) this.#finishMerge(merge)
    return true
  }

  #nextMerge(): Merge | undefined {
    const levels = new Set(this.#list.runs.map((run) => run.level))
    for (const level of [...levels].sort((a, b) => a - b)) {
      const runs = this.#list.runs.filter((run) => run.level === level)
      if (runs.length < MERGE_FAN_IN) continue
      // The oldest: the list has the newest first.
      const inputs = runs.slice(-MERGE_FAN_IN)
      const entries = inputs.reduce((sum, run) => sum + run.entries, 0)
      const output: IdRun = {
        id: this.#numberFor(entries), level: level + 1, pageBits: pageBitsOf(entries), entries,
        firstLsn: Math.min(...inputs.map((run) => run.firstLsn)), lastLsn: Math.max(...inputs.map((run) => run.lastLsn)),
      }
      const finestBits = Math.max(...inputs.map((run) => run.pageBits))
      assert(output.pageBits >= finestBits, 'a merged run has no coarser pages than its inputs')
      return { inputs, output, chunkBits: Math.max(0, finestBits - CHUNK_PAGES_BITS), nextChunk: 0, written: 0 }
    }
    return undefined
  }

  /** Entries written. */
  #mergeChunk(merge: Merge): number {
    const { inputs, output, chunkBits } = merge
    const chunk = merge.nextChunk
    const keys = inputs.flatMap((run) => {
      const pages = pagesOf(run, chunk, chunkBits)
      return Array.from({ length: pages.end - pages.first }, (_, i) => pageKey(run.id, pages.first + i))
    })
    // What is merged is read once, and then gone.
    const values = this.#store.multiGet('ids', keys, { fillCache: false })
    const entries = this.#entries
    entries.count = 0
    for (const bytes of values) {
      if (bytes === undefined) continue
      const page = new IdPage(bytes)
      for (let i = 0; i < page.count; i++) {
        const hi = page.hi(i)
        if (pageOf(hi, chunkBits) !== chunk) continue
        entries.push(hi, page.lo(i), page.segmentId(i), page.recordOffset(i), page.index(i))
      }
    }
    this.#batch.clear()
    const pages = pagesOf(output, chunk, chunkBits)
    this.#putPages(output, this.#batch, pages.first, pages.end)
    if (this.#batch.count > 0) this.#batch.write()
    merge.nextChunk++
    merge.written += entries.count
    return entries.count
  }

  #finishMerge(merge: Merge): void {
    const { inputs, output } = merge
    if (merge.written !== output.entries) {
      throw new DbError('store_corrupt',
        `merging id runs gave ${merge.written} of ${output.entries} ids; run "stemedb store rebuild"`)
    }
    if (isFileRun(output.id)) this.#store.runFiles!.ids.seal(output.id, 2 ** output.pageBits)
    const gone = new Set(inputs.map((run) => run.id))
    const kept = this.#list.runs.filter((run) => !gone.has(run.id))
    const runs = [...kept, output].sort((a, b) => a.level - b.level || b.lastLsn - a.lastLsn)
    const list: IdRunList = { version: this.#list.version + 1, nextRun: this.#nextRun, runs }
    this.#batch.clear()
    this.#batch.put('ids', ID_LIST_KEY, encodeIdRunList(list))
    this.#batch.write()
    this.#list = list
    this.#merge = undefined
    for (const run of inputs) if (isFileRun(run.id)) this.#graves.add(run)
    for (const run of inputs) if (!isFileRun(run.id)) this.#clearRun(run.id)
  }

  /** Packs the collected entries into the pages `firstPage..endPage` of `run`, where they all belong. Only files have pages without any. */
  #putPages(run: IdRun, batch: StoreBatch, firstPage: number, endPage: number): void {
    const entries = this.#entries
    const order = this.#sorter.order(entries.words, entries.count)
    for (let page = firstPage, i = 0; page < endPage; page++) {
      let end = i
      while (end < entries.count && pageOf(entries.hi(order[end]!), run.pageBits) === page) end++
      if (end === i && !isFileRun(run.id)) continue
      const length = (end - i) * RUN_ENTRY_BYTES
      if (this.#pageBytes.length < length) this.#pageBytes = new Uint8Array(length * 2)
      const bytes = this.#pageBytes.subarray(0, length)
      const view = new DataView(bytes.buffer, 0, length)
      for (let at = 0; i < end; i++, at += RUN_ENTRY_BYTES) entries.pack(order[i]!, view, at)
      batch.put('ids', pageKey(run.id, page, this.#key), bytes)
      // A generation has ten megabytes of pages: they need not gather.
      if (isFileRun(run.id) && page % FLUSH_PAGES === 0) this.#store.runFiles!.ids.flush()
    }
  }

  #clearRun(run: number): void {
    this.#store.clearRange('ids', pageKey(run, 0), pageKey(run + 1, 0))
  }
}

/** The pages of a run in which fingerprints stand that share these leading bits. */
function pagesOf({ pageBits }: IdRun, chunk: number, chunkBits: number): { readonly first: number, readonly end: number } {
  const pages = 2 ** (pageBits - chunkBits)
  const first = Math.floor(chunk * pages)
  return { first, end: first + Math.max(1, pages) }
}

/**
 * Hands every fingerprint of every run to `add`, some pages at a time, so that the id filter can be filled while other
 * work goes on: `next` reads up to `pages` pages and gives how many there were, 0 at the end. Nobody merges meanwhile.
 * @throws {DbError} `store_corrupt`, and as the store does.
 */
export function fingerprintScan(store: Store, add: (hi: number, lo: number) => void): {
  next(pages: number): number
  close(): void
} {
  const range = store.range('ids', { gte: Uint8Array.of(IDS_PAGE), lt: Uint8Array.of(IDS_PAGE + 1) })
  const files = idRunListOf(store).runs.filter(({ id }) => isFileRun(id))
  let nextPage = 0
  const addPage = (bytes: Uint8Array): void => {
    const page = new IdPage(bytes)
    for (let i = 0; i < page.count; i++) add(page.hi(i), page.lo(i))
  }
  return {
    next(pages) {
      const run = files[0]
      if (run === undefined) {
        const rows = range.next(pages)
        for (let n = 1; n < rows.length; n += 2) addPage(rows[n]!)
        return rows.length / 2
      }
      const count = Math.min(pages, 2 ** run.pageBits - nextPage)
      const values = store.multiGet('ids', Array.from({ length: count }, (_, i) => pageKey(run.id, nextPage + i)))
      for (const bytes of values) {
        if (bytes === undefined) throw missingFile()
        addPage(bytes)
      }
      nextPage += count
      if (nextPage === 2 ** run.pageBits) {
        files.shift()
        nextPage = 0
      }
      return count
    },
    close: () => range.close(),
  }
}

/** The runs of ids that the store has now. @throws {DbError} `store_corrupt`, and as the store does. */
export function idRunListOf(store: Store): IdRunList {
  const bytes = store.get('ids', ID_LIST_KEY)
  return bytes === undefined ? EMPTY_RUN_LIST : decodeIdRunList(bytes)
}
